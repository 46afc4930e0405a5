"""Many at once, in processes of their own: exactly k ratings a text, nobody twice, nothing lost, and fast enough."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgres import Server
from studies import Clock, a_study, form, sit, some_sources

from harness.study.admin import StudyAdmin
from harness.study.design.create import Created
from harness.study.rating.views import Seat
from harness.study.service import StudyService
from harness.study.tables.base import utc_now

THINK = 10.0
"""Seconds between two forms of one annotator."""


def fresh(folder: Path, database: str | None, **design: int) -> tuple[Created, list[Seat]]:
    """A study and everybody in their seats; two systems, so that there are many blocks."""
    clock = Clock()
    clock.now = utc_now()
    items = design["items"]
    made = a_study(folder, some_sources(items, 2), clock=clock, database=database, share=0.0, **design)
    service = StudyService.open(folder)
    admin = StudyAdmin.open(folder)
    token = admin.invite(uses=1000)
    admin.close()
    people = design["annotators"]
    seats = [sit(service, token, f"annotator {number}") for number in range(people)]
    service.close()
    return made, seats


def claim_all(folder: Path, seat: Seat, start: object, told: object) -> None:
    """One annotator's process: claims until nothing is left, and rates what it claimed."""
    service = StudyService.open(folder)
    start.wait()  # type: ignore[attr-defined]
    blocks = 0
    while True:
        work = service.claim(seat, ahead=0)
        if not work.slots:
            if work.done:
                break
            time.sleep(0.5)  # the screen waits for 5 s, or for a minute
            continue
        blocks += 1
        for slot in work.slots:
            assert service.submit(seat, form(slot, 4)).status == "saved"
    told.put(blocks)  # type: ignore[attr-defined]
    service.close()


def race(folder: Path, processes: int, database: str | None, **design: int) -> str:
    """Let everybody claim at once, and check what came of it."""
    made, seats = fresh(folder, database, annotators=processes, **design)
    context = multiprocessing.get_context("spawn")
    start, told = context.Event(), context.Queue()
    runners = [context.Process(target=claim_all, args=(folder, seat, start, told)) for seat in seats]
    for runner in runners:
        runner.start()
    began = time.monotonic()
    start.set()
    blocks = sorted(told.get(timeout=540) for _ in runners)
    took = time.monotonic() - began
    for runner in runners:
        runner.join()
        assert runner.exitcode == 0
    admin = StudyAdmin.open(folder)
    table = admin.ratings().where(aspect="fluency")
    counts = Counter(table.output.tolist())
    assert len(counts) == 2 * design["items"]
    assert set(counts.values()) == {design["ratings_per_item"]}, "exactly k, of every text"
    pairs = Counter(zip(table.annotator.tolist(), table.output.tolist(), strict=True))
    assert set(pairs.values()) == {1}, "nobody twice on a text"
    owners = Counter(zip(table.annotator.tolist(), table.item.tolist(), strict=True))
    assert set(owners.values()) == {2}, "an image once, with both its texts"
    assert admin.overview().surplus == 0
    assert admin.verify().ok
    assert sum(blocks) == len(made.plan.blocks)
    assert blocks[-1] - blocks[0] <= 2, "the work is shared fairly"
    admin.close()
    return (
        f"{processes} processes, {len(made.plan.blocks)} blocks, {len(table)} forms in {took:.1f} s: exactly "
        f"{design['ratings_per_item']} each, 0 repeats, {blocks[0]}-{blocks[-1]} blocks a person"
    )


def test_threads_share_a_study(tmp_path: Path) -> None:
    """The race in small: eight annotators, four tabs each, in one process."""
    made, seats = fresh(tmp_path / "pilot", None, items=8, ratings_per_item=3, annotators=8)
    service = StudyService.open(tmp_path / "pilot")

    def tab(seat: Seat) -> None:
        while slots := service.claim(seat, ahead=0).slots:
            service.submit(seat, form(slots[0]))

    with ThreadPoolExecutor(16) as pool:
        for each in [pool.submit(tab, seat) for seat in seats for _ in range(2)]:
            each.result()
    admin = StudyAdmin.open(tmp_path / "pilot")
    counts = Counter(admin.ratings().where(aspect="fluency").output.tolist())
    assert len(counts) == 16
    assert set(counts.values()) == {3}
    assert admin.verify().ok
    assert admin.overview().forms_done == made.plan.forms


def test_one_form_sent_by_many_at_once(tmp_path: Path, postgres: Server) -> None:
    for database in (None, postgres.fresh()):
        folder = tmp_path / ("there" if database else "here")
        _, (seat, other) = fresh(folder, database, items=4, ratings_per_item=1, annotators=2)
        service = StudyService.open(folder)
        sent = form(service.claim(seat).slots[0], 5)
        barrier = threading.Barrier(8)

        def send(number: int) -> str:
            barrier.wait()  # noqa: B023 - used before the next one is made
            return service.submit(seat if number else other, sent).status  # noqa: B023

        with ThreadPoolExecutor(8) as pool:
            answers = Counter(pool.map(send, range(8)))
        assert answers == {"saved": 1, "duplicate": 6, "refused": 1}
        service.close()


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_fifty_processes_claim_1200_blocks(tmp_path: Path, where: str, postgres: Server) -> None:
    database = postgres.fresh() if where == "postgres" else None
    said = race(tmp_path / "race", 50, database, items=400, ratings_per_item=3)
    print(f"{where}: {said}")


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_a_hundred_annotators(tmp_path: Path, where: str, postgres: Server) -> None:
    """100 people x 20 forms. People think for 20 s; here for 10 s, so the rate is twice as high."""
    database = postgres.fresh() if where == "postgres" else None
    folder = tmp_path / "load"
    _, seats = fresh(folder, database, items=400, ratings_per_item=3, annotators=100)
    service = StudyService.open(folder)
    took: list[float] = []
    sent: dict[str, tuple[str, int]] = {}
    lock = threading.Lock()
    began = time.monotonic()

    def play(number: int) -> None:
        for turn in range(20):
            for place, seat in enumerate(seats[number * 10 : number * 10 + 10]):
                due = began + THINK * (turn + (number + 10 * place) / 100)  # everybody's turn, evenly spread
                time.sleep(max(0.0, due - time.monotonic()))
                at = time.monotonic()
                slots = service.claim(seat).slots
                if not slots:
                    continue
                filled = form(slots[0], 1 + (number + turn + place) % 5)
                assert service.submit(seat, filled).status == "saved"
                with lock:
                    took.append(time.monotonic() - at)
                    sent[filled["event_id"]] = (slots[0].slot, filled["values"]["fluency"])

    with ThreadPoolExecutor(10) as pool:
        for each in [pool.submit(play, number) for number in range(10)]:
            each.result()
    elapsed = time.monotonic() - began
    admin = StudyAdmin.open(folder)
    stored = admin.database.read(
        lambda session: (
            session.connection()
            .exec_driver_sql(
                "SELECT submission.event_id, slot.public_id, rating.value FROM submission "
                "JOIN slot ON slot.id = submission.slot_id JOIN rating ON rating.event_id = submission.event_id "
                "JOIN aspect ON aspect.id = rating.aspect_id WHERE aspect.code = 'fluency'"
            )
            .all()
        )
    )
    kept = {event: (slot, value) for event, slot, value in stored}
    lost = len(set(sent) - set(kept))
    wrong = sum(kept.get(event) != given for event, given in sent.items())
    p50, p95, p99 = (statistics.quantiles(took, n=100)[each - 1] * 1000 for each in (50, 95, 99))
    print(
        f"{where}: 100 annotators, {len(sent)} forms in {elapsed:.0f} s ({len(sent) / elapsed:.1f}/s): {lost} lost, "
        f"{wrong} wrong; "
        f"claim and submit p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms"
    )
    assert lost == wrong == 0
    assert len(sent) == 2000
    assert admin.verify().ok
    assert max(Counter(admin.ratings().where(aspect="fluency").output.tolist()).values()) <= 3
    service.close()
    admin.close()
