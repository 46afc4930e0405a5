"""Small studies for tests: texts and images made up on the spot, annotators who answer as told, a clock that obeys."""

from __future__ import annotations

import io
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import select

from harness.study.admin import StudyAdmin
from harness.study.design.create import Created, create
from harness.study.design.fill import Design
from harness.study.design.sources import Source, Sources
from harness.study.rating.views import Seat, SlotView
from harness.study.service import StudyService
from harness.suites.examples import Example

ASPECTS = ("coherence", "fluency", "informativeness", "relevance")
SYSTEMS = ("magic", "beam", "nucleus", "zerocap", "clipre", "greedy", "top-k", "typical")


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


def some_sources(items: int = 12, systems: int = 4, task: str = "caption", **extra: str) -> Sources:
    """Runs that were never run. `extra` puts words into every text."""
    word = extra.get("word", "red")
    examples = tuple(
        Example(
            id=f"img-{number:04d}",
            prompt=f"Title {number}" if task == "story" else "",
            image=_dot(number),
            references=(f"a person saw {number} {word} houses near the river bank",),
        )
        for number in range(items)
    )
    runs = tuple(
        Source(
            name,
            name,
            f"{index:064x}",
            {"k": index},
            {
                example.id: f"{'abcdefgh'[index]}{number} shows {number} {word} things in place {index} of {number * 7 + index}"
                for number, example in enumerate(examples)
            },
        )
        for index, name in enumerate(SYSTEMS[:systems])
    )
    return Sources("toy", task, runs, examples)


def a_study(
    folder: Path, sources: Sources | None = None, *, database: str | None = None, clock: Clock | None = None, **design: Any
) -> Created:
    """A new study named after its folder."""
    wanted = {"items": 4, "ratings_per_item": 2, "annotators": 3, "practice": False} | design
    now = (clock or Clock())()
    return create(Design(name=folder.name, **wanted), sources or some_sources(), folder, database=database, now=now)


def sit(service: StudyService, token: str, name: str) -> Seat:
    """Join, agree, and start to rate."""
    seat = service.join(token, name)
    service.consent(seat, service.protocol().consent_version)
    return service.begin(seat)


def form(slot: str | SlotView, value: int | Mapping[str, int] = 3, revision: int = 0, **more: Any) -> dict[str, Any]:
    """What a browser sends for a slot."""
    values = dict.fromkeys(ASPECTS, value) if isinstance(value, int) else dict(value)
    return {
        "event_id": str(uuid.uuid4()),
        "slot": slot if isinstance(slot, str) else slot.slot,
        "revision": revision,
        "values": values,
        "shown_at": 1_772_355_600_000,
        "first_at": 1_772_355_604_000,
        "sent_at": 1_772_355_612_345,
        "active_ms": 12_345,
        "hidden_ms": 0,
        "changes": 1,
        "input": "keys",
        "client": "test/1",
    } | more


def note(slot: str, **more: str) -> dict[str, str]:
    return {"event_id": form(slot)["event_id"], "slot": slot, "reason": "other", "note": "=1+1 😀"} | more


def rate_all(service: StudyService, seat: Seat, value: int = 3, most: int = 10_000) -> int:
    """Rate until nothing is left; how many forms it took."""
    done = 0
    while done < most:
        work = service.claim(seat, ahead=0)
        if not work.slots:
            break
        done += 1
        service.submit(seat, form(work.slots[0], value, sent_at=1_772_355_612_345 + 20_000 * done))
    return done


class Desk:
    """A study with its two sides and a clock."""

    def __init__(self, folder: Path, made: Created | None = None, **design: object) -> None:
        self.clock = Clock()
        self.made = made or a_study(folder, design.pop("sources", None), clock=self.clock, **design)  # type: ignore[arg-type]
        self.service = StudyService.open(folder, clock=self.clock)
        self.admin = StudyAdmin.open(folder, clock=self.clock)

    def sit(self, name: str) -> Seat:
        return sit(self.service, self.made.invite, name)

    def rows(self, table: type) -> list:  # type: ignore[type-arg]
        return self.admin.database.read(lambda session: list(session.scalars(select(table))))

    def ratings_a_text(self) -> Counter[str]:
        table = self.admin.ratings().where(kind="system", aspect="fluency")
        return Counter(table.output.tolist())


def _dot(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 99)).save(buffer, "PNG")
    return buffer.getvalue()
