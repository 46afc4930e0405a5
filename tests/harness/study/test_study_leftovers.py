"""What is left over: who may take what others left, what waiting people are told, and that every text gets its ratings."""

from __future__ import annotations

import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Server
from sqlalchemy import select
from studies import ASPECTS, Desk, a_study, form, note, rate_all, some_sources

from harness.study.design.create import Created
from harness.study.rating.views import Seat
from harness.study.tables.schema import Annotator, Audit, Block, Campaign, Slot


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Created]:
    folder = tmp_path_factory.mktemp("fresh") / "pilot"
    return folder, a_study(folder, items=6, ratings_per_item=1)


@pytest.fixture
def desk(template: tuple[Path, Created], tmp_path: Path) -> Desk:
    """Six images, each to be rated once, in three lanes of two; no two people share an image."""
    return Desk(shutil.copytree(template[0], tmp_path / "pilot"), template[1])


def test_what_others_hold_is_told_from_what_is_kept_for_them(desk: Desk) -> None:
    ann, bob = desk.sit("ann"), desk.sit("bob")
    rate_all(desk.service, ann)  # her own lane, and the third, which is nobody's
    work = desk.service.claim(ann)
    assert (work.done, work.message) == (False, "reserved"), "bob is here, and has not begun"
    held = desk.service.claim(bob, ahead=0).slots
    assert desk.service.claim(ann).message == "wait", "what bob holds may come free within a lease"
    desk.service.submit(bob, form(held[0]))
    assert desk.service.claim(ann).message == "reserved", "and what he has begun stays his for days"
    rate_all(desk.service, bob)
    work = desk.service.claim(ann)
    assert (work.done, work.message) == (True, "finished")
    assert set(desk.ratings_a_text().values()) == {1}


def test_whoever_waits_takes_over_when_a_lease_ends(desk: Desk) -> None:
    ann, bob = desk.sit("ann"), desk.sit("bob")
    rate_all(desk.service, ann)
    held = desk.service.claim(bob, ahead=0).slots
    assert desk.service.claim(ann).message == "wait"
    desk.clock.pass_(minutes=21)
    assert desk.service.claim(ann).slots[0].block == held[0].block
    assert desk.service.submit(bob, form(held[0])).reason == "late"
    desk.clock.pass_(hours=25)  # and what is planned for somebody who stays away is anybody's
    rate_all(desk.service, ann)
    assert desk.service.claim(ann).done
    assert set(desk.ratings_a_text().values()) == {1}
    assert desk.admin.verify().ok


def test_newcomers_help_where_most_is_left(desk: Desk) -> None:
    seats = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    assert sorted(row.lane for row in desk.rows(Annotator)) == [0, 1, 2]
    rate_all(desk.service, seats[0])
    newcomer = desk.service.join(desk.admin.invite(), "dora")
    desk.service.consent(newcomer, desk.service.protocol().consent_version)
    assert desk.service.claim(desk.service.begin(newcomer)).slots, "not told that the study is finished"


def test_nobody_waits_for_what_nobody_else_can_do(tmp_path: Path) -> None:
    """A block of a lane whose owner has rated that image elsewhere is not kept for that owner."""
    desk = Desk(tmp_path / "pilot", items=4, ratings_per_item=2, annotators=2)
    ann, bob = desk.sit("ann"), desk.sit("bob")
    first = next(block for block in desk.rows(Block) if block.lane == 1)
    desk.admin.database.write(lambda session: _swap_lanes(session, first.unit))
    for seat in (ann, bob):
        rate_all(desk.service, seat)
    assert set(desk.ratings_a_text().values()) == {2}
    assert [desk.service.claim(seat).message for seat in (ann, bob)] == ["finished", "finished"]


def _swap_lanes(session: object, unit: int) -> None:
    """Both blocks of a unit in ann's lane: she can do one of them only."""
    for block in session.scalars(select(Block).where(Block.unit == unit)):  # type: ignore[attr-defined]
        block.lane = 0


def test_work_that_was_left_many_times_is_still_given_out(desk: Desk) -> None:
    lost: set[str] = set()
    for number in range(6):
        seat = desk.service.join(desk.admin.invite(), f"passer-by {number}")
        desk.service.consent(seat, desk.service.protocol().consent_version)
        work = desk.service.claim(desk.service.begin(seat), ahead=0)
        desk.service.submit(seat, form(work.slots[0], 1))
        lost.add(work.slots[0].block)
        desk.admin.withdraw(seat.annotator, by="me", reason="gone")
    assert len(lost) == 6
    rate_all(desk.service, desk.sit("ann"), 5)
    table = desk.admin.ratings().where(kind="system", aspect="fluency")
    assert len(table) == 6 * 4
    assert set(table.value.tolist()) == {5}
    assert desk.admin.verify().ok


def test_a_text_that_everybody_skips_is_let_go_in_the_end(desk: Desk) -> None:
    first = desk.sit("person 0")
    unwanted = desk.service.claim(first, ahead=0).slots[0].text
    seats = [first, *(desk.service.join(desk.admin.invite(), f"person {number}") for number in range(1, 7))]
    for seat in seats:
        desk.service.consent(seat, desk.service.protocol().consent_version)
        desk.service.begin(seat)
        while slots := desk.service.claim(seat, ahead=0).slots:
            if slots[0].text == unwanted:
                desk.service.skip(seat, note(slots[0].slot))
            else:
                desk.service.submit(seat, form(slots[0]))
        desk.clock.pass_(hours=25)
    assert desk.admin.overview().skips == 4
    assert len(desk.ratings_a_text()) == 6 * 4 - 1


def test_voiding_a_block_with_a_skip_gives_no_text_twice(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "pilot", items=2, ratings_per_item=1, annotators=2, share=0.0)
    ann = desk.sit("ann")
    slots = desk.service.claim(ann, ahead=0).slots
    desk.service.skip(ann, note(slots[0].slot))
    for slot in slots[1:]:
        desk.service.submit(ann, form(slot, 1))
    desk.admin.void(slots[0].block, by="me", reason="a wrong start")
    rate_all(desk.service, desk.sit("bob"), 5)
    desk.clock.pass_(hours=25)
    rate_all(desk.service, desk.service.begin(_agreed(desk, "cleo")), 5)
    assert set(desk.ratings_a_text().values()) == {1}
    assert desk.admin.verify().ok


def _agreed(desk: Desk, name: str) -> Seat:
    seat = desk.service.join(desk.admin.invite(), name)
    return desk.service.consent(seat, desk.service.protocol().consent_version)


def test_a_slot_shows_what_it_showed(tmp_path: Path) -> None:
    """Whoever takes a block over sees what was in it before, and no repeat of their own: late answers are about that."""
    desk = Desk(tmp_path / "pilot", sources=some_sources(24, 2), items=24, annotators=1, ratings_per_item=1, share=0.3)
    bob = desk.sit("bob")
    planned = {slot.block_id for slot in desk.rows(Slot) if slot.repeat_planned}
    before = next(block.seq for block in desk.rows(Block) if block.id in planned)  # blocks of one lane are in its order
    while sum(block.state == "done" for block in desk.rows(Block)) < before:
        desk.service.submit(bob, form(desk.service.claim(bob, ahead=0).slots[0]))
    ann = desk.sit("ann")
    seen = {slot.slot: slot.text for slot in desk.service.claim(ann, ahead=0).slots}
    desk.clock.pass_(minutes=21)
    taken = {slot.slot: slot.text for slot in desk.service.claim(bob, ahead=0).slots}
    assert taken == seen
    assert planned & {slot.block_id for slot in desk.rows(Slot) if slot.public_id in seen}


def test_nobody_is_resumed_past_consent(desk: Desk) -> None:
    seat = desk.service.join(desk.made.invite, "ann")
    for status in ("invited", "training"):
        desk.admin.pause("ann", by="me", reason="a talk first")
        desk.admin.resume("ann", by="me")
        assert desk.service.seat(seat.key).status == status
        assert desk.service.claim(seat).message == "training"
        desk.service.consent(seat, desk.service.protocol().consent_version)
    desk.service.begin(seat)
    assert desk.service.claim(seat).slots
    desk.admin.pause("ann", by="me", reason="a talk first")
    desk.admin.resume("ann", by="me")
    assert desk.service.claim(seat).slots


def test_absurd_times_lose_no_form(tmp_path: Path, postgres: Server) -> None:
    desk = Desk(tmp_path / "pilot", database=postgres.fresh())
    ann = desk.sit("ann")
    for slot in desk.service.claim(ann, ahead=0).slots:
        assert desk.service.submit(ann, form(slot, 4, active_ms=2**40)).status == "saved"
    assert desk.admin.verify().ok
    desk.service.close()
    desk.admin.close()


def test_no_form_slips_in_behind_the_freeze(tmp_path: Path, postgres: Server) -> None:
    """A form that is being written when the study freezes is either in what the freeze signed, or surplus."""
    desk = Desk(tmp_path / "pilot", database=postgres.fresh())
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        def work(session: object) -> None:
            from harness.study import service
            from harness.study.rating import submit

            campaign = service._campaign(session, hold=True)  # type: ignore[arg-type]
            me = session.scalars(select(Annotator)).one()  # type: ignore[attr-defined]
            submit.submit(session, campaign, me, form(slot, 2), desk.clock.now + timedelta(seconds=1))  # type: ignore[arg-type]
            reached.set()
            go_on.wait(300)

        desk.admin.database.write(work)

    writer = threading.Thread(target=slow)
    writer.start()
    assert reached.wait(300)
    freezer = threading.Thread(target=lambda: desk.admin.freeze("me"))
    freezer.start()
    freezer.join(0.3)
    assert freezer.is_alive(), "the freeze waits for what is being written"
    go_on.set()
    writer.join()
    freezer.join()
    assert [row.status for row in desk.rows(Campaign)] == ["frozen"]
    (signed,) = [entry.payload for entry in desk.rows(Audit) if entry.action == "freeze"]
    counted = desk.admin.ratings().sha256
    assert signed == {"ratings": len(ASPECTS), "sha256": counted, "with_excluded": counted}
    desk.service.close()
    desk.admin.close()
