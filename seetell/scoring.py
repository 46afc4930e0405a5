"""`seetell.score`: texts against references and images, as numbers with intervals and signatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decoders.base import Need
from harness.cli.console import progress_bar
from harness.errors import DataError, SuiteError
from harness.metrics import registry
from harness.metrics.base import Metric, MetricConfig
from harness.metrics.evaluate import metric_with_models
from harness.metrics.score import Score, score_samples
from harness.store.numbers import Column
from harness.suites.examples import Example, Sample
from harness.suites.sections import checked
from harness.suites.spec import ModelPin
from seetell.frames import data_frame, html_table, text_table
from seetell.inputs import Picture, by_key, image_of, is_one_image

HEADS = ("metric", "value", "95 % interval", "scored", "signature")


class Scores(Mapping[str, Score]):
    """The scores of some texts, by the name of the number, such as `bleu-4`. In a notebook it is shown as a table.

    Attributes:
        rows: what each metric made of each text, `[texts, k]`, by metric; sums of rows give the score.
        ids: of the texts, in the order of the rows.
    """

    def __init__(self, scores: Sequence[Score], rows: Mapping[str, NDArray[np.float64]], ids: Sequence[str]) -> None:
        self._scores = {score.output: score for score in scores}
        self.rows = dict(rows)
        self.ids = tuple(ids)

    def __getitem__(self, output: str) -> Score:
        return self._scores[output]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    def to_pandas(self) -> Any:
        """A data frame with a row a number: value, ends of the interval, counts, signature."""
        return data_frame([score.to_json() for score in self._scores.values()], index="output")

    def _lines(self) -> list[tuple[str, ...]]:
        return [score_line(score) for score in self._scores.values()]

    def __repr__(self) -> str:
        return text_table(HEADS, self._lines(), left=(0, 4))

    def _repr_html_(self) -> str:
        return html_table(HEADS, self._lines(), left=(0, 4))


def score_line(score: Score) -> tuple[str, ...]:
    """A score as the cells of `HEADS`, percent metrics times 100."""
    column = Column(score.output, score.output, score.higher_is_better, score.percent)
    interval = "–" if np.isnan(score.low) else f"{column.show(score.low)} to {column.show(score.high)}"
    counted = f"{score.n} of {score.n + score.unscored}" if score.unscored else f"{score.n}"
    note = score.unavailable or score.signature
    return f"{score.output} {column.arrow}".strip(), column.show(score.value), interval, counted, note


def score(
    texts: Sequence[str] | Mapping[str, str],
    references: Sequence[str | Sequence[str]] | Mapping[str, str | Sequence[str]] | None = None,
    *,
    metrics: str | Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    images: Sequence[Picture] | Mapping[str, Picture] | None = None,
    image_text: str | None = None,
    prompts: Sequence[str] | Mapping[str, str] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Scores:
    """Score texts.

    ```python
    seetell.score(["a dog runs", "two cats"], [["a dog is running"], ["a pair of cats"]], metrics=["cider", "rouge-l"])
    ```

    Args:
        texts: a list, or a dict by id.
        references: what people wrote, one text or several for each of the texts: a list in the same order, or a dict by id.
        metrics: names (`seetell list`), or a dict of names with their options. By default CIDEr and BLEU where there are
            references, CLIPScore where there are images and an image-text model.
        images: an image for each of the texts, in any form that `seetell.decode` takes.
        image_text: the image-text model of metrics that look at images, such as `open_clip:ViT-B-32-quickgelu@openai`.
        prompts: what the texts continue, for metrics of stories.
        device: where models of metrics run: `auto`, `cpu`, `cuda`.
        seed: of the bootstrap behind the intervals.

    Returns:
        One score a number, with a 95 % interval over examples and the signature of how it was made. A metric that could not be
        computed has `unavailable`, the reason, and no value.

    Raises:
        DataError: texts, references, images or prompts that do not belong together.
        SuiteError: an unknown metric or option, or a metric whose model or images are missing.
    """
    answers = by_key(texts, "texts")
    if not answers:
        raise DataError("no texts to score; expected at least one")
    wrong = next((key for key, text in answers.items() if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError(f"text {wrong!r} is a {type(answers[wrong]).__name__}; expected str")
    if images is not None and is_one_image(images):
        images = [images]  # type: ignore[list-item]
    written = _beside(references, answers, "references")
    pictures = _beside(images, answers, "images")
    starts = _beside(prompts, answers, "prompts")
    samples = [
        Sample(
            Example(
                key,
                starts.get(key, ""),
                image_of(pictures[key]) if pictures else None,
                _texts_of(written[key], key) if written else (),
            ),
            text=text,
        )
        for key, text in answers.items()
    ]
    built = _metrics(metrics, bool(written), bool(pictures), image_text, device)
    with progress_bar("scoring") as progress:
        sheet = score_samples(samples, built, seed=seed, progress=progress)
    return Scores(sheet.scores, sheet.rows, list(answers))


def _beside(values: Any, answers: Mapping[str, str], name: str) -> dict[str, Any]:
    """One value a text; nothing where none are given."""
    if values is None:
        return {}
    given = by_key(values, name)
    if given.keys() != answers.keys():
        lacking = [key for key in answers if key not in given]
        surplus = [key for key in given if key not in answers]
        first = f"text {lacking[0]!r} has none" if lacking else f"there is no text {surplus[0]!r}"
        raise DataError(f"{len(answers)} texts and {len(given)} {name}; expected one entry for each text; {first}")
    return given


def _texts_of(references: object, key: str) -> tuple[str, ...]:
    texts = (references,) if isinstance(references, str) else references
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"references of {key!r}: expected a text or a list of texts, not {references!r}")
    return tuple(texts)


def _metrics(
    metrics: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
    with_references: bool,
    with_images: bool,
    image_text: str | None,
    device: str,
) -> dict[str, Metric]:
    """Each metric with its options and models."""
    if isinstance(metrics, Mapping):
        options = {name: dict(given) for name, given in metrics.items()}
    else:
        options = {name: {} for name in ([metrics] if isinstance(metrics, str) else metrics)}
    if not options:
        names = [*(("cider", "bleu") if with_references else ()), *(("clipscore",) if with_images and image_text else ())]
        options = {name: {} for name in names}
    if not options:
        raise SuiteError("no metrics and no references; name some, such as metrics=['repetition']")
    built = {}
    for name, given in options.items():
        plugin = registry().load(name)
        config = checked(plugin.Config, given, f"options of the metric {name}")
        if plugin.needs_references and not with_references:
            raise SuiteError(f"{name} compares with what people wrote; pass references=")
        if Need.IMAGE in plugin.needs and not with_images:
            raise SuiteError(f"{name} looks at the images; pass images=")
        built[name] = metric_with_models(name, config, _pins(name, plugin, config, image_text), device)
    return built


def _pins(name: str, plugin: type[Metric], config: MetricConfig, image_text: str | None) -> dict[Need, ModelPin]:
    """The models of a metric: its own, and the image-text model where it needs one."""
    own = dict(config.own_models())
    if Need.CLIP in plugin.needs and Need.CLIP not in own:
        if image_text is None:
            raise SuiteError(f'{name} needs an image-text model; pass image_text=, such as "open_clip:ViT-B-32-quickgelu@openai"')
        own[Need.CLIP] = image_text
    if not own:
        return {}
    from decoders.models.names import model_digest
    from harness.datasets.digests import resolve_model

    resolved = {need: resolve_model(model, Path.cwd()) for need, model in own.items()}
    return {need: ModelPin(name=model, digest=model_digest(model)) for need, model in resolved.items()}
