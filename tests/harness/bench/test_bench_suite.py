"""Speed of a suite's decoders: what is counted, what is kept, what is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.bench.timing import measure, peak_memory
from harness.cli import bench as verbs
from harness.datasets.load import Digests, load_examples
from harness.decode.plan import plan
from harness.errors import SuiteError
from harness.store.runs import Results
from harness.store.speed import read_speed
from harness.suites.provenance import Signature
from harness.suites.spec import Suite

SUITE = """
name = "quick"
[data]
dataset = "toybox"
domain = "plain"
split = "test"
size = 6
[models]
language_model = "toybox:plain"
image_text = "toybox:clip"
[text]
prompt = "<-start_of_text->"
max_new_tokens = 4
[decoders.greedy]
[decoders.steered]
decoder = "zerocap"
cond_text = false
candidates = 8
beam_size = 1
num_iterations = 3
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(SUITE)
    return path


def test_every_decoder_at_every_batch_size_relative_to_zerocap(suite: Path) -> None:
    loaded = Suite.load(str(suite))
    examples = load_examples(loaded)
    digests = Digests(loaded, examples)
    plans = [plan(loaded, label, examples, digests=digests) for label in ("greedy", "steered")]
    seen: list[tuple[int, int]] = []
    timings = measure(
        plans, examples=2, batch_sizes=(1, 2), repeats=2, device="cpu", progress=lambda done, due: seen.append((done, due))
    )
    assert seen[-1] == (12, 12)
    by = {(each.decoder, each.batch_size): each for each in timings}
    assert set(by) == {(label, size) for label in ("greedy", "steered") for size in (1, 2)}
    for (label, size), each in by.items():
        assert each.examples == 2
        assert each.same_texts
        assert each.seconds.low <= each.seconds.median <= each.seconds.high
        assert each.relative == pytest.approx(by["steered", size].seconds.median / each.seconds.median)
        assert 0 < each.share < 1.5
        assert each.identity == next(p for p in plans if p.spec.label == label).spec.identity()
    # Steering runs the model forwards and backwards several times a token; greedy search runs it once.
    assert by["steered", 1].flops > 3 * by["greedy", 1].flops > 0


def test_other_texts_at_another_batch_size_are_seen(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from decoders.sampling import Greedy

    plain = Greedy.decode

    def impure(self: Greedy, prompts, seeds):  # type: ignore[no-untyped-def]
        said = plain(self, prompts, seeds)
        return said if len(prompts) == 1 else [each.__class__(each.text, each.tokens[:-1], each.finish, {}) for each in said]

    monkeypatch.setattr(Greedy, "decode", impure)
    loaded = Suite.load(str(suite))
    examples = load_examples(loaded)
    plans = [plan(loaded, "greedy", examples)]
    timings = measure(plans, examples=2, batch_sizes=(1, 2), repeats=1, device="cpu")
    assert {each.batch_size: each.same_texts for each in timings} == {1: True, 2: False}


@pytest.mark.heavy  # seconds of imports in a process of its own; test_meters.py tries the meter itself
def test_memory_is_that_of_a_process_of_its_own(suite: Path) -> None:
    loaded = Suite.load(str(suite))
    examples = load_examples(loaded)
    used = peak_memory(plan(loaded, "greedy", examples), 2, "cpu")
    assert 100e6 < used < 4e9


def test_figures_are_kept_with_their_signature_and_the_largest_batch_first(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    few: dict[str, Any] = {"only": ("greedy",), "examples": 2, "repeats": 1, "memory": False, "device": "cpu"}
    assert verbs.decoders(str(suite), batch_sizes=("1", "2"), results=results, as_json=True, **few) == 0
    shown = json.loads(capsys.readouterr().out)
    kept = read_speed(Results(results), "quick")
    assert [each.batch_size for each in kept] == [2, 1]
    assert [each.model_dump(mode="json") for each in kept] == shown["speeds"]
    fields = dict(Signature.parse(kept[0].signature).fields)
    assert (fields["batch"], fields["dt"], fields["device"]) == ("2", "float32", shown["machine"]["name"])
    assert kept[0].relative is None  # nobody to be relative to
    assert verbs.decoders(str(suite), keep=False, results=tmp_path / "none", **few) == 0
    assert not (tmp_path / "none").exists()


def test_the_constant_sentence_has_no_speed_unless_asked_for(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for only, expected in (((), {"greedy", "steered"}), (("constant",), {"constant"})):
        few: dict[str, Any] = {"only": only, "examples": 1, "batch_sizes": ("1",), "repeats": 1, "memory": False, "keep": False}
        assert verbs.decoders(str(suite), device="cpu", results=tmp_path, as_json=True, **few) == 0
        assert {each["decoder"] for each in json.loads(capsys.readouterr().out)["speeds"]} == expected


def test_nonsense_is_refused(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="--batch-sizes is 0"):
        verbs.decoders(str(suite), batch_sizes=("0",), results=tmp_path)
