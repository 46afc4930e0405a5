"""Materials for sites, made without models: plain ones, hostile ones, and as many as one likes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.leaderboard.collect import Material, RunMaterial
from harness.leaderboard.frame import Board, Cell, Grouping, Row
from harness.store.numbers import Column
from harness.store.runs import Record, RunFolder
from harness.store.speed import Speed
from harness.suites.examples import Example, Failure
from harness.suites.spec import ModelPin, RunSpec, Suite
from tests.harness.leaderboard.samples import HOSTILE, hostile_board, png

QUALITY = Column("cider", "CIDEr", description="Consensus with the references.")
LENGTH = Column("length", "Length", higher_is_better=None, percent=False)
IMAGES = Column("images-per-second", "Images/s", percent=False, kind="speed")
HUMAN = Column("human", "Faithful", kind="human")

SUITE = b"""
name = "made"
title = "Made up"
[data]
dataset = "jsonl"
file = "data.jsonl"
[text]
max_new_tokens = 8
[decoders.echo]
[metrics.cider]
"""


def spec(label: str, suite: str = "made") -> RunSpec:
    pin = ModelPin(name="local:model", digest="0" * 64)
    return RunSpec(
        suite=suite, label=label, task="caption", decoder="echo", decoder_version=1, config={"word": label}, language_model=pin,
        image_text=None, data_digest="1" * 64, captions_digest=None, prompt="{prompt}", max_new_tokens=8, max_length=None, seed=0,
        draws=1, dtype="float32",
    )  # fmt: skip


def run(label: str, value: float, records: Sequence[Record], folder: Path, letters: str = "") -> RunMaterial:
    made = spec(label)
    cells = {
        "cider": Cell("", value, value - 0.05, value + 0.05, len(records), 0, "cider|v:1", letters=letters),
        "length": Cell("", 3.0, signature="length|v:1"),
        "human": Cell("", 1 - value, 0.0, 1.0, 5, 0, "human|study:s"),
        "images-per-second": Cell("", 100 * (1 - value), 1.0, 99.0, signature="speed|device:cpu"),
    }
    row = Row(
        "made", label, made.identity()[:8], cells, len(records), 0, len(records), True, {"word": label}, "blind", "",
        f"seetell run made.toml --only {label}",
    )  # fmt: skip
    content = {
        "identity": made.identity(),
        "spec": made.model_dump(mode="json"),
        "suite": Suite.parse(SUITE, "suite", Path("/somewhere")).document(),
        "environment": {"python": "3.99", "platform": "some-machine", "packages": {"torch": "9.9"}},
        "state": "complete",
        "created": "2026-01-02T03:04:05+00:00",
    }
    return RunMaterial(row, RunFolder(folder / label), content, (), tuple(records))


def material(folder: Path, examples: int = 6, systems: int = 3, words: str = "", references: int = 1) -> Material:
    """So many systems on so many examples, which say the same to two of three; `words` make every text longer."""
    shown = [
        Example(
            f"ex-{index:05}", "", png(f"#{index * 1663 % 0xFFFFFF:06x}"), (f"A red kite, number {index}.{words}",) * references
        )
        for index in range(examples)
    ]
    runs = []
    for place in range(systems):
        records = [
            Record(each.id, 0, f"kite {index} of system {place if index % 3 == 0 else 0}{words}", (), "eos")
            for index, each in enumerate(shown)
        ]
        runs.append(run(f"system-{place}", 0.9 - 0.8 * place / systems, records, folder, "a" if place < 2 else "b"))
    grouping = Grouping("paired permutation test", 10_000, "Holm", 0.05, 0)
    board = Board(
        "made", "caption", (QUALITY, LENGTH, IMAGES, HUMAN), tuple(each.row for each in runs), (), "", "Made up", {}, examples,
        "2026-01-02T03:04:05+00:00", "0.1.0", "some-machine", "95 % intervals", grouping,
    )  # fmt: skip
    speeds = [
        Speed(decoder=each.row.decoder, identity=each.content["identity"], images_per_second=5.0, low=4.0, high=6.0, batch_size=8,
              device="cpu", threads=2, signature="speed|device:cpu", seetell="0.1.0") for each in runs
    ]  # fmt: skip
    return Material(board, tuple(runs), tuple(shown), tuple(speeds))


MORE_HOSTILE = (
    *HOSTILE,
    "javascript:document.documentElement.id='pwned'",
    "</title></textarea><iframe srcdoc='<script>parent.document.documentElement.id=1</script>'>",
    "<!--<script>",
    "]]>\u2028\u2029\x00\u202eevil\u2066",
    "../../../etc/passwd",
    "{{constructor.constructor('alert(1)')()}}",
    '<a href="javascript:alert(1)" onfocus=alert(1) autofocus>x</a>',
    "datum['constructor']; \\u003cscript\\u003e",
    "ex%2Fslash?query#hash",
)


def hostile(folder: Path) -> Material:
    """Every text that comes from outside tries to be something else: ids, prompts, references, answers, labels, names of suites,
    environments, signatures, devices."""
    texts = MORE_HOSTILE
    examples = tuple(Example(text, text, b"<svg onload=alert(1)>" if place else png(), texts) for place, text in enumerate(texts))
    evil = " ".join(texts)
    rows, runs = [], []
    for place, text in enumerate(texts):
        records = [
            Record(each.id, 0, failure=Failure(text, text)) if place == 1 else Record(each.id, 0, text, (), "eos")
            for each in examples
        ]
        cells = {
            "cider": Cell("", place / 20, place / 20 - 0.1, place / 20 + 0.1, 3, 1, evil, letters=text),
            "images-per-second": Cell("", 1.0 + place, 0.5 + place, 2.0 + place, signature=evil),
        }
        identity = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        row = Row(evil, text, identity[:8], cells, 3, 1, 4, place != 3, {text: text}, "", text, text)
        content = {**run("x", 0.5, [], folder).content, "identity": text, "environment": {text: text}}
        rows.append(row)
        runs.append(RunMaterial(row, RunFolder(folder / identity), content, (), tuple(records)))
    column = Column("cider", evil, description=evil)
    board = hostile_board()
    boards = Board(
        evil, "caption", (column, IMAGES), tuple(rows), (), "", evil, board.models, 9, evil, evil, evil, evil, board.grouping,
        evil, (evil,), board.published,
    )  # fmt: skip
    return Material(boards, tuple(runs), examples)
