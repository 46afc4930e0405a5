"""Scored runs in a store, made without models: a metric that reads its score off the text, installed as a plug-in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.compare.differences import load_metric
from harness.metrics.score import score_samples
from harness.store.runs import Record, Results, RunFolder
from harness.suites.examples import Example, Failure, Sample
from harness.suites.spec import RunSpec, Suite
from tests.plugins import install

METRIC = '''
"""Scores that stand in the text: `0.7 some words` is worth 0.7; without a number it is unscored."""
import math
import numpy as np
from harness.metrics.base import Metric, MetricConfig, Output
from harness.suites.provenance import Signature

class Config(MetricConfig):
    way: str = "plain"
    """Stands in the signature."""
    scale: float = 1.0
    """The value is multiplied with it."""

class Quality(Metric):
    """Reads a number off the text."""

    Config = Config

    @property
    def outputs(self):
        return (Output("quality", True), Output("badness", False), Output("words", None, percent=False))

    def rows(self, samples):
        return np.array([self.row(sample) for sample in samples])

    def row(self, sample):
        try:
            return [float(sample.text.split()[0]), len(sample.text.split()), 1.0]
        except (ValueError, IndexError):
            return [math.nan] * 3

    def finalise(self, sums):
        with np.errstate(invalid="ignore", divide="ignore"):
            quality = self.config.scale * sums[..., 0] / sums[..., 2]
            return np.stack([quality, 1 - quality, sums[..., 1] / sums[..., 2]], axis=-1)

    def signature(self):
        return Signature.of("quality", {"way": self.config.way, "n": 7})

class Unresampled(Quality):
    """The same, but nothing may be resampled."""

    resampling = "none"

    @property
    def outputs(self):
        return tuple(Output("un-" + each.name, each.higher_is_better, each.percent) for each in super().outputs)

class Bounded(Quality):
    """The same, and 0 is the worst quality."""

    @property
    def outputs(self):
        return tuple(Output("bounded-" + each.name, each.higher_is_better, each.percent) for each in super().outputs)

    def worst_row(self, rows):
        return np.array([0.0, 0.0, 1.0])
'''

SUITE = b"""
name = "%s"
task = "story"
[data]
dataset = "jsonl"
file = "data.jsonl"
[text]
max_new_tokens = 8
[decoders.echo]
[metrics.quality]
way = "%s"
"""


def install_metric(folder: Path) -> Path:
    """A folder for `sys.path` in which the metrics `quality`, `unresampled` and `bounded` are installed."""
    module = f"quality_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    entries = {"quality": f"{module}:Quality", "unresampled": f"{module}:Unresampled",
               "bounded": f"{module}:Bounded"}  # fmt: skip
    return install(folder, "quality-metric", module, METRIC, {"seetell.metrics": entries})


def make_run(
    results: Results,
    label: str,
    texts: Mapping[str, str | Sequence[str] | Failure],
    *,
    way: str = "plain",
    suite_name: str = "made",
    config: Mapping[str, object] | None = None,
    data: str = "",
    data_digest: str = "",
    metrics: Iterable[str] = ("quality",),
    **spec_fields: object,
) -> RunFolder:
    """Store a complete, scored run: `texts` by example id, several for several draws; `spec_fields` are changed of its spec."""
    suite = Suite.parse(SUITE % (suite_name.encode(), way.encode()), "suite", results.root)
    suite = suite.model_copy(
        update={"metrics": {name: suite.metrics["quality"].model_copy(update={"metric": name}) for name in metrics}}
    )
    answers = [(key, (each,) if isinstance(each, str | Failure) else tuple(each)) for key, each in texts.items()]
    spec = RunSpec(
        suite=suite_name, label=label, task="story", decoder="echo", decoder_version=1, config=dict(config or {"word": label}),
        language_model=None, image_text=None, data_digest=data_digest or _hash(data), captions_digest=None,
        prompt="{prompt}", max_new_tokens=8, max_length=None, seed=0, draws=max(len(each) for _, each in answers),
        dtype="float32",
    ).model_copy(update=spec_fields)  # fmt: skip
    records = [
        Record(key, draw, failure=text) if isinstance(text, Failure) else Record(key, draw, text, (), "eos")
        for key, draws in answers
        for draw, text in enumerate(draws)
    ]
    folder = results.run(spec)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.open(spec, len(records), suite.document(), {"python": "3", "platform": "here", "packages": {"torch": "1"}})
    with folder.part() as part:
        part.append(records)
    folder.finish([record.key for record in records])
    score(folder, suite)
    return folder


def _hash(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


def score(folder: RunFolder, suite: Suite) -> None:
    """Score a run with the suite's metrics, as the evaluator does."""
    samples = [Sample(Example(each.example_id), each.draw, each.text, failure=each.failure) for each in folder.records()]
    entries, rows = {}, {}
    for label in suite.metrics:
        sheet = score_samples(samples, {label: load_metric(suite, label)}, seed=0, draws=50)
        rows[label] = sheet.rows[label]
        entries[label] = {"key": label, "rows": label, "scores": [each.to_json() for each in sheet.scores]}
    content = hashlib.sha256((folder.path / "samples.parquet").read_bytes()).hexdigest()
    folder.write_scores({"samples": content, "metrics": entries}, rows)


def noisy(generator: np.random.Generator, count: int, shift: float = 0.0, spread: float = 0.05) -> dict[str, str]:
    """Texts whose numbers share each example's difficulty and have noise of their own."""
    base = np.linspace(0.3, 0.7, count)
    values = base + shift + spread * generator.standard_normal(count)
    return {f"ex{index:04}": f"{value:.6f} words" for index, value in enumerate(values)}
