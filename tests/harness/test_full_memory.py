"""Memory that is full halves what is computed at once, whoever computes; nothing is lost and nothing comes out otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from decoders.models.image_text import ImageTextModel
from decoders.models.language_model import LanguageModel
from decoders.models.load import load_for_training, load_image_text
from harness.datasets.index.build import build_index, image_corpus
from harness.datasets.index.inputs import image_source
from harness.decode.executor import InlineExecutor
from harness.errors import MetricUnavailable
from harness.metrics.base import Metric, MetricConfig, Output
from harness.metrics.evaluate import Evaluator
from harness.metrics.score import rows_that_fit, score_samples
from harness.store.runs import Record
from harness.suites.examples import Example, Sample
from harness.training import loop
from harness.training.loop import Adaptation, Trainer
from tests.checkpoints import write_images
from tests.harness.test_cluster import Spread, samples

FULL = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


def row_by_row(compute: Callable[[Tensor], Tensor], limit: int | None = None) -> Callable[..., Tensor]:
    """A computation of each row by itself, so that no batch moves a bit; more rows than the limit do not fit."""

    def computed(rows: Tensor) -> Tensor:
        if limit is not None and len(rows) > limit:
            raise torch.AcceleratorError(FULL)
        return torch.cat([compute(row[None]) for row in rows])

    return computed


def test_a_run_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = Spread(tmp_path, size=12)
    notices: list[str] = []
    expected = samples(spread.decode("magic", tmp_path / "roomy", InlineExecutor(), batch_size=12))
    forward = LanguageModel.forward

    def tight(self: LanguageModel, ids: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        if len(ids) > 3:
            raise RuntimeError("CUDA error: out of memory")
        return forward(self, ids, *rest, **options)

    monkeypatch.setattr(LanguageModel, "forward", tight)
    assert samples(spread.decode("magic", tmp_path / "tight", InlineExecutor(notices.append), batch_size=12)) == expected
    assert notices == [f"out of memory with {size} examples at once; continuing with {size // 2}" for size in (12, 6)]


def test_metrics_and_indices_end_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spread = Spread(tmp_path, size=9)
    clip = load_image_text("toybox:clip")
    answers = [Sample(example, 0, f"a red boat {number}") for number, example in enumerate(spread.examples)]
    write_images(tmp_path / "images", 9)
    image, text = clip.model.encode_image, ImageTextModel._encode_cropped

    def measured(limit: int | None) -> tuple[bytes, bytes]:
        monkeypatch.setattr(clip.model, "encode_image", row_by_row(image, limit))

        def one_by_one(self: ImageTextModel, ids: Tensor, ends: Tensor) -> Tensor:
            return row_by_row(lambda pair: text(self, pair[:, :-1], pair[:, -1]), limit)(torch.hstack([ids, ends[:, None]]))

        monkeypatch.setattr(ImageTextModel, "_encode_cropped", one_by_one)
        monkeypatch.setattr("harness.metrics.clip._FEATURES", {})
        [sheet] = Evaluator(
            spread.suite.model_copy(update={"metrics": {"clipscore": spread.suite.metrics["clipscore"]}}),
            spread.examples, spread.digests, "cpu",
        ).measure(answers).values()  # fmt: skip
        folder = tmp_path / f"index {limit}"
        build_index(image_corpus(image_source(tmp_path / "images"), clip, 9), folder)
        return np.ascontiguousarray(sheet.rows["clipscore"]).tobytes(), (folder / "features.f32").read_bytes()

    assert measured(2) == measured(None)


class Wide(Metric):
    """A metric of somebody else's that computes all of its samples at once."""

    Config = MetricConfig
    outputs = (Output("wide", higher_is_better=True),)
    needs = frozenset({"language_model"})  # type: ignore[assignment]
    per_sample = True
    most = 4

    def rows(self, samples: Any) -> Any:
        if len(samples) > self.most:
            raise RuntimeError(FULL)
        return np.array([[len(sample.text), 1] for sample in samples], dtype=float)

    def finalise(self, sums: Any) -> Any:
        return sums[..., :1] / sums[..., 1:]

    def signature(self) -> Any:
        return "wide"


def test_a_metric_makes_fewer_rows_at_once_and_says_when_nothing_fits() -> None:
    answers = [Sample(Example(str(number), ""), 0, "a" * number) for number in range(11)]
    wide = Wide(MetricConfig(), None)  # type: ignore[arg-type]
    assert rows_that_fit(wide, answers)[:, 0].tolist() == list(range(11))
    wide.most = 0
    [score] = score_samples(answers, {"wide": wide}).scores
    assert "do not fit the device's memory" in score.unavailable
    wide.per_sample = False  # type: ignore[misc]
    with pytest.raises(MetricUnavailable, match="another --device"):
        rows_that_fit(wide, answers)


def test_a_training_goes_on_as_if_it_had_been_given_the_smaller_micro_batches(
    gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, dropout included: an attempt that fails half-way leaves neither gradients nor random draws behind."""
    base = load_for_training(f"local:{gpt2_folder}")[0]
    texts = [[1, *range(2, 4 + number), 1] for number in range(8)]
    losses = loop.losses

    def trained(micro: int | None, limit: int) -> tuple[list[Tensor], list[tuple[int, int]]]:
        notices: list[tuple[int, int]] = []
        trainer = Trainer(
            copy.deepcopy(base), texts, Adaptation(steps=3, batch_size=6, micro_batch_size=micro, learning_rate=0.01),
            notice=lambda *sizes: notices.append(sizes),
        )  # fmt: skip
        seen = [0]

        def tight(model: Any, part: Any, *rest: Any, **options: Any) -> Any:
            seen[0] += len(part)
            if len(part) > limit or (limit == 3 and seen[0] == 6):  # also in the second half of a batch
                raise RuntimeError(FULL)
            return losses(model, part, *rest, **options)

        monkeypatch.setattr(loop, "losses", tight)
        torch.manual_seed(4)
        for _ in range(3):
            trainer.update()
        return [parameter.detach() for parameter in trainer.model.parameters()], notices

    expected, nothing = trained(1, 6)
    weights, notices = trained(3, 3)
    assert (nothing, notices) == ([], [(3, 1)])
    assert all(map(torch.equal, weights, expected))


def test_records_are_not_lost_when_memory_is_full_for_a_while(tmp_path: Path) -> None:
    """The worker keeps what it has learnt from one call to the next, as the workers of a cluster need it."""
    from harness.decode.executor import Job, Worker
    from harness.store.runs import cache_folder

    planned = Spread(tmp_path, size=8).plan("nucleus")
    notices: list[str] = []
    worker = Worker(Job(planned.spec, None, "cpu", cache_folder()), notices.append)
    decode, tasks = worker.decode, planned.tasks(set())

    def tight(some: Any) -> list[Record]:
        if len(some) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(some)

    worker.decode = tight  # type: ignore[method-assign]
    calls = [
        [record.key for batch in worker.batches(tasks[start : start + 4], 4) for record in batch] for start in range(0, 16, 4)
    ]
    assert [key for call in calls for key in call] == [task.key for task in tasks]
    assert len(notices) == 1
