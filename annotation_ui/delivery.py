"""What the rating screen and the service exchange, over HTTP or through the component."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.study.rating.views import Receipt, Seat, SlotView, Work
from harness.study.service import StudyService

MOST_AT_ONCE = 50
"""Forms of one delivery."""
AHEAD = 3
"""Texts beyond the one on the screen, fetched before they are needed."""


def deliver(service: StudyService, seat: Seat, body: Any) -> list[dict[str, Any]]:
    """Keep what a browser's outbox sent: `{"forms": [{"kind": "rate" | "skip" | "flag", "form": {...}}]}`.

    Anything that is no such thing is passed over, since it cannot carry an id to acknowledge. The receipts come back.
    """
    entries = body.get("forms") if isinstance(body, Mapping) else None
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    ways = {"rate": service.submit, "skip": service.skip, "flag": service.flag}
    receipts: list[Receipt] = []
    for entry in entries[:MOST_AT_ONCE]:
        form = entry.get("form") if isinstance(entry, Mapping) else None
        if isinstance(form, Mapping):
            receipts.append(ways.get(str(entry.get("kind")), service.submit)(seat, form))
    return [asdict(receipt) for receipt in receipts]


def next_work(service: StudyService, seat: Seat) -> dict[str, Any]:
    """The texts to rate now and next, and how far the annotator is."""
    stamp = time.time_ns() // 1_000_000
    work = service.claim(seat, ahead=AHEAD)
    return {"work": shown_work(work, stamp), "progress": asdict(service.progress(seat))}


def shown_work(work: Work, stamp: int) -> dict[str, Any]:
    """A list of texts as the screen takes it; of two lists, the one with the later stamp holds."""
    return {"stamp": stamp, "slots": [shown_slot(slot) for slot in work.slots], "message": work.message}


def shown_slot(slot: SlotView) -> dict[str, Any]:
    """What a browser may know of a slot: nothing that tells whose text it is or which texts belong together."""
    return {
        "slot": slot.slot,
        "number": slot.number,
        "of": slot.of,
        "media": slot.media,
        "prompt": slot.prompt,
        "text": slot.text,
        "revision": slot.revision,
    }
