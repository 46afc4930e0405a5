"""Speeds on disk: what is written is read again, and what cannot be true is refused with the place and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store.runs import Results
from harness.store.speed import Speed, read_speed, write_speed

FIELDS: dict[str, Any] = {
    "decoder": "magic", "identity": "a" * 64, "images_per_second": 5.0, "low": 4.0, "high": 6.0, "relative": 20.0,
    "peak_memory": 10, "flops_per_image": 1e9, "share_of_peak": 0.5, "batch_size": 8, "device": "cpu", "threads": 2,
    "signature": "speed|device:cpu|batch:8|v:0.1.0", "seetell": "0.1.0",
}  # fmt: skip


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    store = Results(tmp_path)
    assert read_speed(store, "toybox-plain") == ()
    speeds = (Speed(**FIELDS), Speed(**{**FIELDS, "signature": "speed|batch:1", "relative": None, "peak_memory": None}))
    path = write_speed(store, "toybox-plain", speeds)
    assert path == tmp_path / "speed" / "toybox-plain.json"
    assert read_speed(store, "toybox-plain") == speeds


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("images_per_second", 0.0, "greater than 0"),
        ("images_per_second", 7.0, "are not between 4.0 and 6.0"),
        ("low", float("nan"), "low"),
        ("identity", "short", "identity"),
        ("batch_size", 0, "batch_size"),
        ("decoder", "<b>", "decoder"),
        ("signature", "speed|nothing", "no colon"),
        ("unknown", 1, "unknown"),
    ],
)
def test_what_cannot_be_true_is_refused(field: str, value: Any, says: str, tmp_path: Path) -> None:
    store = Results(tmp_path)
    content = {"format": "seetell-speed-1", "suite": "made", "speeds": [{**FIELDS, field: value}]}
    store.speed("made").parent.mkdir()
    store.speed("made").write_text(json.dumps(content))
    with pytest.raises(StoreError, match=says) as caught:
        read_speed(store, "made")
    assert "seetell bench decoders made" in str(caught.value)


def test_a_line_twice_or_of_another_suite_is_refused(tmp_path: Path) -> None:
    store = Results(tmp_path)
    with pytest.raises(StoreError, match="twice"):
        write_speed(store, "made", [Speed(**FIELDS), Speed(**FIELDS)])
    assert not store.speed("made").exists()
    with pytest.raises(StoreError, match="speeds"):
        write_speed(store, "made", [])
    write_speed(store, "made", [Speed(**FIELDS)])
    store.speed("made").rename(store.speed("other"))
    with pytest.raises(StoreError, match="holds the speeds of 'made'"):
        read_speed(store, "other")
