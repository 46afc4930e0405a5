"""What a study is made of: complete runs of the store (imported outputs are runs too), and the images they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decoders.models.images import ImageLike
from harness.datasets.digests import data_digest
from harness.datasets.load import load_examples
from harness.decode.plan import CONSTANT
from harness.errors import SeeTellError, StudyError, UnreadableImage, did_you_mean
from harness.store.runs import Results, RunFolder
from harness.suites.examples import Example, read_image
from harness.suites.spec import RunSpec, Suite

_ENDINGS = ("", ".jpg", ".jpeg", ".png", ".webp", ".gif")


@dataclass(frozen=True, slots=True)
class Source:
    """One run."""

    name: str
    decoder: str
    identity: str
    config: Mapping[str, Any]
    texts: Mapping[str, str]
    """By example id, the first draw of each; failures are left out."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Runs that answered the same examples."""

    suite: str
    task: str
    runs: tuple[Source, ...]
    examples: tuple[Example, ...]
    """Those that every run has a text for, in id order."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as browsers take it."""

    sha256: str
    mime: str
    content: bytes


def read_sources(results: Results, suite: str, names: Sequence[str] = ()) -> Sources:
    """Read runs.

    Args:
        results: the store.
        suite: whose runs, by the name of their folder (or the TOML file of the suite).
        names: labels (`magic`) or folders (`magic-1f0c33ab`); every complete run but the constant one by default.

    Raises:
        StudyError: a name that leads to no run or to several; runs that are incomplete or of different data.
    """
    suite, folders = runs_of(results, suite)
    chosen = [find_folder(folders, suite, name) for name in names] if names else _complete_runs(folders, suite)
    if len(chosen) < 2:
        raise StudyError(
            f"a study compares two systems or more, and {suite!r} has {len(chosen)} complete; name others with --runs"
        )
    described = [(folder, RunSpec.model_validate(folder.describe()["spec"])) for folder in chosen]
    digests = {spec.data_digest for _, spec in described}
    if len(digests) > 1:
        raise StudyError(
            "these runs are of different data, so their texts are not about the same images: "
            + ", ".join(f"{folder.path.name} of {spec.data_digest[:8]}" for folder, spec in described)
        )
    examples = load_examples(Suite.model_validate(chosen[0].describe()["suite"]))
    if data_digest(sorted(examples, key=lambda example: example.id)) not in digests and data_digest(examples) not in digests:
        raise StudyError(
            f"the data of {suite!r} has changed since its runs were made; run the suite again (`seetell run {suite}`)"
        )
    runs = tuple(source(folder) for folder, _ in described)
    common = [example for example in examples if all(example.id in run.texts for run in runs)]
    if not common:
        raise StudyError(f"no example of {suite!r} has a text from every one of: {', '.join(r.name for r in runs)}")
    return Sources(suite, described[0][1].task, runs, tuple(sorted(common, key=lambda example: example.id)))


def runs_of(results: Results, suite: str) -> tuple[str, list[RunFolder]]:
    """The name of a suite (or of the one in a TOML file) and its runs.

    Raises:
        StudyError: it has none.
    """
    suite = Suite.load(suite).name if suite.endswith(".toml") else suite
    folders = results.runs(suite)
    if not folders:
        raise StudyError(
            f"{results.root} has no runs of {suite!r}{did_you_mean(suite, _suites(results))}; `seetell run {suite}` makes some, "
            "`seetell score FILE...` imports outputs of other systems"
        )
    return suite, folders


def picture(example: Example, images: Path | None = None) -> Picture | None:
    """The image of an example, in a format that browsers show; None where it has none.

    Args:
        example: whose.
        images: folder with images named after example ids, for data that has none of its own.

    Raises:
        StudyError: a file that is missing or no image.
    """
    source: ImageLike | None = example.image
    if source is None and images is not None:
        source = _named_after(example.id, images)
    if source is None:
        return None
    from decoders.models.images import image_for_browsers

    try:
        content, mime = image_for_browsers(read_image(source))
    except UnreadableImage as error:
        raise StudyError(
            f"the image of example {example.id!r} cannot be read ({error}); correct it, or leave that example out"
        ) from error
    return Picture(hashlib.sha256(content).hexdigest(), mime, content)


def _named_after(example: str, images: Path) -> Path:
    name = Path(example).name  # an id must not lead out of the folder
    for ending in _ENDINGS:
        if name and (images / f"{name}{ending}").is_file():
            return images / f"{name}{ending}"
    raise StudyError(f"--images {images} has no image for example {example!r}; expected {name}.jpg, .png, .webp or .gif")


def find_folder(folders: Sequence[RunFolder], suite: str, name: str) -> RunFolder:
    """The complete run of that label or folder.

    Raises:
        StudyError: none, an incomplete one only, or several of which none is the suite's as it is now.
    """
    fitting = [folder for folder in folders if name in (folder.path.name, label_of(folder))]
    complete = [folder for folder in fitting if folder.complete]
    if len(complete) == 1:
        return complete[0]
    if not fitting:
        known = sorted({label_of(folder) for folder in folders})
        raise StudyError(f"{suite!r} has no run {name!r}{did_you_mean(name, known)}")
    if not complete:
        raise StudyError(f"run {name!r} of {suite!r} is not complete; finish it with `seetell run {suite}`")
    current = _as_the_suite_is_now(suite, name)
    for folder in complete:
        if folder.path.name == current:
            return folder
    raise StudyError(f"{suite!r} has several runs of {name!r}; say which: {', '.join(folder.path.name for folder in complete)}")


def _complete_runs(folders: Sequence[RunFolder], suite: str) -> list[RunFolder]:
    names = dict.fromkeys(label_of(folder) for folder in folders if folder.complete)
    return [find_folder(folders, suite, name) for name in names if name != CONSTANT]


def _as_the_suite_is_now(suite: str, label: str) -> str:
    """The folder that a packaged suite would give a run now; nothing where that cannot be told."""
    from harness.decode.plan import plan

    try:
        now = Suite.load(suite)
        spec = plan(now, label, load_examples(now)).spec
    except SeeTellError:
        return ""
    return f"{spec.label}-{spec.identity()[:8]}"


def label_of(folder: RunFolder) -> str:
    """The label of a run, such as `magic`."""
    return str(folder.describe()["spec"]["label"])


def source(folder: RunFolder) -> Source:
    """The texts of a run, the first draw of each example."""
    spec = RunSpec.model_validate(folder.describe()["spec"])
    texts = {record.example_id: record.text for record in folder.records() if record.draw == 0 and record.failure is None}
    return Source(spec.label, spec.decoder, spec.identity(), dict(spec.config), texts)


def _suites(results: Results) -> list[str]:
    return sorted({folder.path.parent.name for folder in results.runs()})
