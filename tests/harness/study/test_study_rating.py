"""Rating: nothing that is typed is lost, nothing counts twice, nobody is given what is somebody else's."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from sqlalchemy import select
from studies import ASPECTS, Desk, a_study, form, note, rate_all, some_sources

from harness.errors import InviteRefused, NotAllowed, NotYours, SeatUnknown, StudyError, TooManyTries
from harness.study.design.create import Created
from harness.study.rating.views import Seat, SlotView
from harness.study.tables.schema import Block, Output, Refused, Slot, Submission


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Created]:
    folder = tmp_path_factory.mktemp("fresh") / "pilot"
    return folder, a_study(folder)


@pytest.fixture
def desk(template: tuple[Path, Created], tmp_path: Path) -> Desk:
    """A fresh study: making one takes longer than most of these tests."""
    return Desk(shutil.copytree(template[0], tmp_path / "pilot"), template[1])


@pytest.fixture(scope="module")
def begun(template: tuple[Path, Created], tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Seat, SlotView]:
    """A study with somebody in it who has rated nothing, for what is to change nothing."""
    desk = Desk(shutil.copytree(template[0], tmp_path_factory.mktemp("begun") / "pilot"), template[1])
    ann = desk.sit("ann")
    return desk, ann, desk.service.claim(ann).slots[0]


def test_a_whole_study(desk: Desk) -> None:
    seats = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    forms = [rate_all(desk.service, seat, value) for seat, value in zip(seats, (1, 5, 3), strict=True)]
    assert sum(forms) == desk.made.plan.forms
    assert max(forms) - min(forms) <= 5
    counts = desk.ratings_a_text()
    assert len(counts) == 4 * 4
    assert set(counts.values()) == {2}
    assert desk.service.claim(seats[0]).message == "finished"
    assert desk.admin.verify().ok
    progress = desk.service.progress(seats[0])
    assert (progress.done, progress.left) == (forms[0], 0)
    assert len(desk.service.history(seats[0])) == forms[0]


def test_a_form_that_comes_again_changes_nothing(desk: Desk) -> None:
    ann = desk.sit("ann")
    first = form(desk.service.claim(ann).slots[0], 5)
    assert desk.service.submit(ann, first).status == "saved"
    assert [desk.service.submit(ann, first).status for _ in range(5)] == ["duplicate"] * 5
    assert len(desk.rows(Submission)) == 1


def test_another_form_under_a_known_id_is_kept_apart_and_audited(desk: Desk) -> None:
    ann = desk.sit("ann")
    first = form(desk.service.claim(ann).slots[0], 5)
    desk.service.submit(ann, first)
    other = first | {"values": dict.fromkeys(ASPECTS, 1)}
    assert [desk.service.submit(ann, other).reason for _ in range(2)] == ["event-id-with-other-content"] * 2
    (kept,) = desk.rows(Refused)
    assert '"fluency":1' in kept.content
    assert desk.service.history(ann)[0].values["fluency"] == 5
    assert desk.admin.verify().ok


def test_edits_are_revisions(desk: Desk) -> None:
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    for revision, value in enumerate((1, 5, 2)):
        assert desk.service.submit(ann, form(slot, value, revision)).revision == revision
    assert [(row.revision, row.status) for row in desk.rows(Submission)] == [(0, "superseded"), (1, "superseded"), (2, "current")]
    view = desk.service.slot(ann, slot.slot)
    assert view.revision == 2
    assert set(view.values.values()) == {2}
    assert [rated.values["fluency"] for rated in desk.service.history(ann)] == [2]
    assert desk.service.progress(ann).done == 1


def test_forms_that_overtake_each_other(desk: Desk) -> None:
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    assert desk.service.submit(ann, form(slot, 2, 1)).status == "saved"
    assert desk.service.submit(ann, form(slot, 5, 0)).status == "saved"
    assert desk.service.history(ann)[0].values["fluency"] == 2, "the later revision counts, whichever came first"


def test_two_tabs_rate_one_text(desk: Desk) -> None:
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    desk.service.submit(ann, form(slot, 1))
    receipt = desk.service.submit(ann, form(slot, 4))
    assert (receipt.status, receipt.revision, receipt.reason) == ("saved", 1, "rated-twice")
    assert len(desk.rows(Submission)) == 2


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "text",
        {},
        {"event_id": 7},
        {"event_id": "no uuid"},
        {"slot": "x\x00y"},
        {"slot": "ü" * 70},
        {"slot": ["a"]},
        {"values": None},
        {"values": {}},
        {"values": dict.fromkeys(ASPECTS, 6)},
        {"values": dict.fromkeys(ASPECTS, 0)},
        {"values": dict.fromkeys(ASPECTS, True)},
        {"values": dict.fromkeys(ASPECTS, 3.0)},
        {"values": dict.fromkeys(ASPECTS[:3], 3)},
        {"values": dict.fromkeys((*ASPECTS, "more"), 3)},
    ],
    ids=str,
)
def test_what_is_no_form_is_kept_and_refused(begun: tuple[Desk, Seat, SlotView], broken: object) -> None:
    desk, ann, slot = begun
    before = len(desk.rows(Refused))
    sent = form(slot) | broken if isinstance(broken, dict) and broken else broken
    receipts = [desk.service.submit(ann, sent), desk.service.submit(ann, sent)]  # type: ignore[arg-type]
    assert {receipt.status for receipt in receipts} == {"refused"}
    assert len(desk.rows(Refused)) == before + 1
    assert not desk.rows(Submission)


def test_odd_times_and_words_are_no_reason_to_refuse(desk: Desk) -> None:
    ann = desk.sit("ann")
    odd = {"shown_at": "soon", "first_at": -1, "sent_at": math.inf, "active_ms": math.nan, "hidden_ms": 1e300}
    sent = form(desk.service.claim(ann).slots[0]) | odd | {"changes": None, "input": 3, "client": "\ud800\x00😀"}
    assert desk.service.submit(ann, sent).status == "saved"
    assert desk.service.submit(ann, sent).status == "duplicate"
    assert desk.admin.verify().ok


def test_somebody_elses_slot(desk: Desk) -> None:
    ann, bob = desk.sit("ann"), desk.sit("bob")
    slot = desk.service.claim(ann).slots[0]
    assert desk.service.submit(bob, form(slot)).reason == "not-yours"
    with pytest.raises(NotYours):
        desk.service.slot(bob, slot.slot)
    assert desk.service.claim(ann).slots[0].slot == slot.slot


def test_images_of_the_study_and_no_others(desk: Desk) -> None:
    ann = desk.sit("ann")
    content, mime = desk.service.image(ann, desk.service.claim(ann).slots[0].media)
    assert mime == "image/png"
    assert content.startswith(b"\x89PNG")
    for other in ("", "../study.sqlite", "nothing"):
        with pytest.raises(NotYours):
            desk.service.image(ann, other)


def test_what_is_next_is_there_before_it_is_needed(desk: Desk) -> None:
    ann = desk.sit("ann")
    work = desk.service.claim(ann, ahead=2)
    while len({slot.block for slot in work.slots}) == 1 and len(work.slots) > 2:
        desk.service.submit(ann, form(work.slots[0]))
        work = desk.service.claim(ann, ahead=2)
        assert len(work.slots) >= 3
    numbers = [slot.number for slot in work.slots]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len({slot.of for slot in work.slots}) == 1


def test_a_lease_ends_and_late_forms_are_surplus(desk: Desk) -> None:
    ann, *others = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    lost = desk.service.claim(ann, ahead=0).slots
    desk.clock.pass_(hours=25)  # longer than the lease, and than the day for which a lane is left to its owner
    taker, taken = next(found for seat in others if (found := take(desk, seat, lost[0].block)))
    late = desk.service.submit(ann, form(lost[0], 1))
    assert (late.status, late.reason) == ("surplus", "late")
    assert desk.service.submit(taker, form(taken[0], 5)).status == "saved"
    again = form(lost[1], 2)
    assert [desk.service.submit(ann, again).status for _ in range(2)] == ["surplus", "duplicate"]
    assert set(desk.admin.ratings().where(output=output_of(desk, lost[0].slot)).value.tolist()) <= {3, 5}
    assert len(desk.admin.ratings(surplus=True)) == len(desk.admin.ratings()) + 2 * len(ASPECTS)
    assert desk.admin.verify().ok


def take(desk: Desk, seat: Seat, block: str) -> tuple[Seat, list[SlotView]] | None:
    """Rate until this block comes; None if it never does, because the image was rated in another place."""
    while (work := desk.service.claim(seat, ahead=0)).slots:
        if work.slots[0].block == block:
            return seat, list(work.slots)
        desk.service.submit(seat, form(work.slots[0]))
    return None


def output_of(desk: Desk, slot: str) -> str:
    found = select(Output.public_id).join(Slot, Slot.output_id == Output.id).where(Slot.public_id == slot)
    return str(desk.admin.database.read(lambda session: session.scalar(found)))


def test_a_block_that_was_begun_stays_for_three_days(desk: Desk) -> None:
    ann, *others = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    begun = desk.service.claim(ann, ahead=0).slots
    desk.service.submit(ann, form(begun[0], 1))
    desk.clock.pass_(hours=71)
    assert not [seat for seat in others if take(desk, seat, begun[0].block)], "begun work is nobody else's"
    assert desk.service.submit(ann, form(begun[1], 1)).status == "saved"
    desk.clock.pass_(hours=73)
    for seat in others:
        rate_all(desk.service, seat, 4)
    states = {block.public_id: block.state for block in desk.rows(Block)}
    assert states[begun[0].block] == "void"
    assert desk.service.submit(ann, form(begun[2], 1)).status == "surplus"
    assert {row.status for row in desk.rows(Submission) if row.annotator_id == 1} == {"surplus"}
    assert max(desk.ratings_a_text().values()) <= 2
    assert desk.admin.verify().ok


def test_a_skipped_text_goes_to_somebody_else(desk: Desk) -> None:
    seats = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    slots = desk.service.claim(seats[0], ahead=0).slots
    skipped = note(slots[0].slot)
    assert [desk.service.skip(seats[0], skipped).status for _ in range(2)] == ["saved", "duplicate"]
    assert desk.service.claim(seats[0]).slots[0].slot == slots[1].slot
    for seat in seats:
        rate_all(desk.service, seat)
    counts = desk.ratings_a_text()
    assert len(counts) == 16
    assert set(counts.values()) == {2}, "the text was rated by two others"
    assert desk.service.submit(seats[0], form(slots[0])).reason == "given-to-another"
    assert desk.admin.verify().ok


def test_a_skipped_text_may_be_rated_after_all(desk: Desk) -> None:
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    desk.service.skip(ann, note(slot.slot))
    assert desk.service.submit(ann, form(slot, 5)).status == "saved"
    assert desk.service.progress(ann).done == 1
    assert desk.service.skip(ann, note(slot.slot)).reason == "rated-already"
    assert desk.admin.overview().flags == 1
    assert desk.admin.overview().skips == 0
    assert desk.admin.verify().ok


def test_flags_leave_the_text_to_be_rated(desk: Desk) -> None:
    ann = desk.sit("ann")
    slot = desk.service.claim(ann).slots[0]
    assert desk.service.flag(ann, note(slot.slot)).status == "saved"
    assert desk.service.flag(ann, note(slot.slot, reason="boring")).reason == "reason"
    assert desk.service.claim(ann).slots[0].slot == slot.slot


def test_repeats_show_what_was_rated_long_enough_ago(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "pilot", sources=some_sources(12), items=12, annotators=2, share=0.25)
    ann = desk.sit("ann")
    rate_all(desk.service, ann)
    table = desk.admin.ratings().where(aspect="fluency")
    repeats = table.where(kind="repeat")
    assert len(repeats) >= 1
    order = {output: place for place, output in enumerate(table.output[table.at.argsort(kind="stable")].tolist())}
    for output, before in zip(repeats.output.tolist(), repeats.repeat_of.tolist(), strict=True):
        assert order[output] - order[before] > 20
    assert len(set(repeats.repeat_of.tolist())) == len(repeats), "nothing is repeated twice"


def test_invitations(desk: Desk) -> None:
    token = desk.admin.invite(uses=1)
    with pytest.raises(InviteRefused, match="choose a name"):
        desk.service.join(token, " \n ")
    ann = desk.service.join(token, "  Ann  Lee ")
    assert ann.pseudonym == "Ann Lee"
    assert ann.key
    assert len(ann.key) >= 32
    assert desk.service.seat(ann.key).annotator == ann.annotator
    for wanted, reason in ((token, "used-up"), ("nonsense", "unknown")):
        with pytest.raises(InviteRefused) as refused:
            desk.service.join(wanted, "bob")
        assert refused.value.reason == reason
    with pytest.raises(InviteRefused) as refused:
        desk.service.join(desk.made.invite, "ANN LEE")
    assert refused.value.reason == "name-taken"
    revoked = desk.admin.invite()
    desk.admin.revoke(revoked, by="me")
    with pytest.raises(InviteRefused) as refused:
        desk.service.join(revoked, "bob")
    assert refused.value.reason == "revoked"
    other_device = desk.admin.invite(annotator="ann lee")
    back = desk.service.join(other_device, "whatever")
    assert back.annotator == ann.annotator
    assert back.key != ann.key
    late = desk.admin.invite()
    desk.clock.pass_(days=31)
    with pytest.raises(InviteRefused) as refused:
        desk.service.join(late, "bob")
    assert refused.value.reason == "expired"
    desk.service.sign_out(ann.key)
    with pytest.raises(SeatUnknown):
        desk.service.seat(ann.key)


def test_guessing_is_slowed_down_and_locks_nobody_out(desk: Desk) -> None:
    """A room of people shares one address: whoever types nonsense there must not keep the others out."""
    for _ in range(10):
        with pytest.raises(InviteRefused):
            desk.service.join("guess", "eve", address="10.0.0.1")
    for _ in range(3):
        with pytest.raises(TooManyTries) as slowed:
            desk.service.join("guess", "eve", address="10.0.0.1")
        assert 1 <= slowed.value.seconds <= 601
    assert desk.service.join(desk.made.invite, "eve", address="10.0.0.1").pseudonym == "eve"
    revoked = desk.admin.invite()
    desk.admin.revoke(revoked)
    with pytest.raises(InviteRefused, match="revoked"):
        desk.service.join(revoked, "bob", address="10.0.0.1")
    desk.clock.pass_(minutes=11)
    with pytest.raises(InviteRefused):
        desk.service.join("guess", "eve", address="10.0.0.1")


def test_consent_and_practice_come_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "pilot", sources=some_sources(20), practice=True)
    seat = desk.service.join(desk.made.invite, "ann")
    assert not seat.consented
    assert desk.service.claim(seat).message == "training"
    with pytest.raises(NotAllowed, match="consent"):
        desk.service.begin(seat)
    with pytest.raises(NotAllowed, match="read it again"):
        desk.service.consent(seat, "older")
    seat = desk.service.consent(seat, desk.service.protocol().consent_version)
    assert seat.consented
    texts = desk.service.practice(seat)
    assert len(texts) == 6
    assert all(desk.service.image(seat, text.media) for text in texts)
    with pytest.raises(NotAllowed, match="practice"):
        desk.service.begin(seat)
    wrong = [desk.service.answer_practice(seat, text.id, dict.fromkeys(ASPECTS, 3)) for text in texts]
    assert not all(feedback.passed for feedback in wrong)
    assert not wrong[-1].finished
    for text, feedback in zip(texts, wrong, strict=True):
        right = {value.aspect: value.low for value in feedback.values}
        assert desk.service.answer_practice(seat, text.id, right).passed
    with pytest.raises(StudyError, match="expected 1, 2, 3, 4 or 5"):
        desk.service.answer_practice(seat, texts[0].id, {"fluency": 9})
    assert desk.service.begin(seat).status == "active"
    desk.admin.guidelines("# New\n", kind="consent", by="me")
    assert not desk.service.seat(seat.key).consented, "a new text is asked for again"


def test_protocol_has_an_anchor_for_every_value(desk: Desk) -> None:
    protocol = desk.service.protocol()
    assert [aspect.code for aspect in protocol.aspects] == list(ASPECTS)
    for aspect in protocol.aspects:
        assert [anchor.value for anchor in aspect.anchors] == [1, 2, 3, 4, 5]
        assert all(anchor.text and anchor.example for anchor in aspect.anchors)
    assert "pilot" not in (protocol.study, protocol.title)


def test_paused_people_get_no_work_and_lose_nothing(desk: Desk) -> None:
    ann = desk.sit("ann")
    slots = desk.service.claim(ann).slots
    desk.admin.pause("ann", by="me", reason="a talk first")
    assert desk.service.claim(ann).message == "paused"
    assert desk.service.submit(ann, form(slots[0])).status == "saved"
    desk.admin.resume("ann", by="me")
    assert desk.service.claim(ann).slots[0].slot == slots[1].slot


def test_stories_come_one_text_a_visit(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "tales", sources=some_sources(12, 3, "story"), items=6)
    seats = [desk.sit(name) for name in ("ann", "bob", "cleo")]
    slots = desk.service.claim(seats[0], ahead=0).slots
    assert len({slot.prompt for slot in slots if slot.prompt}) >= 3, "each story of a block once"
    for seat in seats:
        rate_all(desk.service, seat)
    counts = desk.ratings_a_text()
    assert len(counts) == 6 * 3
    assert set(counts.values()) == {2}
    assert desk.service.protocol().task == "story"
