"""`seetell bench published` from end to end on tiny models, and what its figures are made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decoders.base import Limits
from harness.bench import report
from harness.bench.meters import Part
from harness.bench.scenarios import SCENARIOS, Contestant, Setup, _figures, choose, measure, title
from harness.bench.stand_ins import picture_files, pictures
from harness.cli import bench as benches
from harness.errors import SeeTellError, SuiteError
from tests.harness.in_process import seetell_here


def models(gpt2: Path, clip: Path) -> list[str]:
    return ["--language-model", f"local:{gpt2}", "--image-text", f"local-dir:{clip}"]


def test_from_the_command_line(gpt2_folder: Path, clip_folder: Path) -> None:
    done = seetell_here(
        "bench", "published", "magic-coco,greedy", "--batch-sizes", "1,2", "--images", "2", "--k", "4,6",
        "--new-tokens", "5", "--repeats", "2", "--no-memory", "--threads", "1", "--json", *models(gpt2_folder, clip_folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    figures = found["figures"]
    assert [(each["scenario"], each["who"], each["batch_size"]) for each in figures] == [
        *((f"magic-coco k={k} 5 tokens", who, size) for k in (4, 6) for who, size in
          (("published", 1), ("seetell", 1), ("seetell", 2))),
        *(("greedy 5 tokens", who, size) for size in (1, 2) for who in ("published", "seetell")),
    ]  # fmt: skip
    for each in figures:
        assert sum(each["parts"].values()) == pytest.approx(each["seconds"]["median"], rel=0.5)
        assert each["gigaflops"] > 0
        assert 0 < each["share"] < 1.5
        assert 1 <= each["tokens"] <= 5
        if each["who"] == "seetell":
            assert each["ratio"]["low"] <= each["ratio"]["median"] <= each["ratio"]["high"]
            assert each["equal"] == each["compared"] == 2
        if each["scenario"].startswith("magic"):
            assert min(each["parts"][part] for part in ("image", "lm", "text")) > 0
    # more candidates are more work; the published program does not stop at the end token and reads every text whole
    assert figures[3]["gigaflops"] > figures[0]["gigaflops"] > figures[1]["gigaflops"]
    assert found["machine"]["threads"] == 1
    assert set(found["rates"]) >= {"float32 2880x512x2048 plain", "float32 45x768x3072 plain"}


@pytest.mark.heavy
def test_memory_and_markdown(gpt2_folder: Path, clip_folder: Path) -> None:
    setup = Setup(
        images=1, published_images=1, repeats=1, batch_sizes=(1,), language_model=f"local:{gpt2_folder}",
        image_text=f"local-dir:{clip_folder}",
    )  # fmt: skip
    passes: list[tuple[int, int]] = []
    scenario = SCENARIOS["magic-coco"].changed(None, 5)
    found = measure([scenario], setup, memory=True, progress=lambda done, due: passes.append((done, due)))
    assert passes[-1] == (6, 6)
    for each in found["figures"]:
        assert each.memory["peak"] > each.memory["libraries"] > 50 << 20
        assert each.memory["weights"] > 4 * 49408 * 16
        assert each.memory["cache"] == (45 if each.who == "published" else 1) * 6 * 2 * 2 * 32 * 4
        assert each.memory["candidates"] > 0
    text = report.markdown(found)
    header, _, published, ours = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(report.HEADER)
    assert published.startswith("| published | 1 | 1 |")
    assert ours.startswith("| seetell | 1 | 1 |")
    assert "| 1/1 |" in ours
    assert float(ours.rstrip("| ").rpartition("|")[2]) > 0.05, "peak memory in GB"
    assert "float32 2880x512x2048 plain" in text


def bench_published(*names: str, setup: dict[str, Any] | None = None, **flags: Any) -> int:
    """The verb in this process, as short as it gets."""
    short = benches.Setup(**{"images": 1, "published_images": 1, "repeats": 1, **(setup or {})})
    return benches.published(names, setup=short, **{"memory": False, "device": "cpu", **flags})


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["magic-cocoa"], {}, "did you mean 'magic-coco'"),
        ([], {"batch_sizes": ("1", "zero")}, "--batch-sizes is zero"),
        ([], {"k": ("0",)}, "--k is 0"),
        ([], {"setup": {"repeats": 0}}, "--repeats is 0"),
        (["greedy"], {"setup": {"language_model": "local:nowhere"}}, "no folder nowhere"),
    ],
)
def test_what_cannot_be_measured_is_said(names: list[str], given: dict[str, Any], message: str) -> None:
    with pytest.raises(SeeTellError, match=message):
        bench_published(*names, **given)


def test_a_file_of_markdown_and_a_table(gpt2_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup = {"language_model": f"local:{gpt2_folder}"}
    given: dict[str, Any] = {"setup": setup, "batch_sizes": ("1",), "new_tokens": ("2",)}
    assert bench_published("greedy", **given, out=tmp_path / "figures.md") == 0
    assert "**greedy 2 tokens**" in (tmp_path / "figures.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == ""
    assert bench_published("greedy", **given) == 0
    assert "greedy 2 tokens" in capsys.readouterr().out


def test_zerocap_does_the_same_work(gpt2_folder: Path, clip_folder: Path) -> None:
    setup = Setup(
        images=2, repeats=1, batch_sizes=(2,), language_model=f"local:{gpt2_folder}", image_text=f"local-dir:{clip_folder}"
    )  # fmt: skip
    yardstick, ours = measure([SCENARIOS["zerocap"].changed(None, 2)], setup)["figures"]
    assert ours.equal == ours.compared == 2
    assert yardstick.gigaflops > 5 * ours.gigaflops
    assert all(each.parts["lm"] > 0 and each.parts["text"] > 0 for each in (yardstick, ours))


def test_choosing_scenarios() -> None:
    assert [each.name for each in choose(["greedy", "magic-coco"], [5, 9], [])] == [
        "greedy", "magic-coco k=5", "magic-coco k=9",
    ]  # fmt: skip
    longer = choose(["zerocap"], [], [16])[0]
    assert (longer.limits, longer.note) == (Limits(16), "")
    assert choose([], [], [])[0].name == "magic-coco"
    with pytest.raises(SuiteError, match="magic-flickr"):
        choose(["magic-flicker"], [], [])


def test_stories_have_titles_of_their_own() -> None:
    assert len({title(number) for number in range(56)}) == 56


def contestant(who: str, size: int, seconds: list[float], said: list[tuple[int, ...]], flops: int) -> Contestant:
    parts = [{Part.IMAGE: 0.0, Part.LM: each / 2, Part.TEXT: each / 4, Part.REST: each / 4} for each in seconds]
    return Contestant(who, size, len(said), list, seconds, parts, said, flops)  # type: ignore[arg-type]


def test_figures_are_medians_and_ratios_within_a_repeat() -> None:
    yardstick = contestant("published", 1, [4.0, 8.0, 4.0], [(1, 2), (3,)], 2 * 40_000_000_000)
    ours = contestant("seetell", 2, [1.0, 4.0, 2.0], [(1, 2), (4,), (5, 6)], 3 * 10_000_000_000)
    first, second = _figures(SCENARIOS["magic-coco"], [yardstick, ours], {"published": 100e9, "seetell": 100e9})
    assert (first.ratio, first.equal) == (None, None)
    assert (first.seconds.median, first.gigaflops, first.gigaflops_per_second) == (4.0, 40.0, 10.0)
    assert second.ratio is not None
    assert (second.ratio.low, second.ratio.median, second.ratio.high) == (2.0, 2.0, 4.0)
    assert (second.equal, second.compared) == (1, 2)
    assert second.share == pytest.approx(0.05)
    assert second.tokens == pytest.approx(5 / 3)
    assert second.parts == {"image": 0.0, "lm": 1.0, "text": 0.5, "rest": 0.5}
    drawn = _figures(replace(SCENARIOS["nucleus"]), [yardstick, ours], {"published": 100e9, "seetell": 50e9})[1]
    assert (drawn.equal, drawn.compared) == (None, 0)
    assert drawn.share == pytest.approx(0.1)


def test_each_batch_size_has_its_own_generate() -> None:
    pairs = [contestant("published", 1, [2.0], [(1,)], 1), contestant("seetell", 1, [1.0], [(1,)], 1),
             contestant("published", 8, [1.0], [(1,)], 1), contestant("seetell", 8, [0.25], [(1,)], 1)]  # fmt: skip
    ratios = [
        each.ratio and each.ratio.median for each in _figures(SCENARIOS["greedy"], pairs, {"published": 1e9, "seetell": 1e9})
    ]
    assert ratios == [None, 2.0, None, 4.0]


def test_pictures_are_unlike_each_other_and_the_same_each_time() -> None:
    assert len(set(picture_files(6))) == 6
    assert picture_files(3) == picture_files(6)[:3]
    assert pictures(1)[0].size == (224, 224)
    assert picture_files(1, seed=1) != picture_files(1)
