"""Ratings from files as a study: our own exports come back the same to the hash, others' need five columns.

Such a study is closed: nobody rates in it, everything that looks at ratings works on it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.store.runs import Results
from harness.study.design.create import NAME, fresh
from harness.study.design.protocol import load_document, version_of
from harness.study.exchange import incoming, rows
from harness.study.exchange.columns import OURS, ColumnMap
from harness.study.exchange.joined import join_runs
from harness.study.rating.forms import COUNTS, TIMES, WORDS, Form, Note
from harness.study.tables import audit
from harness.study.tables.base import canonical, from_ms, plain_text
from harness.study.tables.content import content_hashes
from harness.study.tables.database import FILE, locate
from harness.study.tables.identity import Exclusion, Origin, System
from harness.study.tables.scale import Scale
from harness.study.tables.schema import (
    Annotator,
    Aspect,
    AspectAnchor,
    Block,
    Campaign,
    Document,
    Item,
    Lease,
    Output,
    Rating,
    SkipFlag,
    Slot,
    Submission,
)


def import_ratings(
    source: Path,
    name: str,
    folder: Path,
    *,
    columns: ColumnMap = OURS,
    scale: Scale | None = None,
    runs: tuple[Results, str] | None = None,
    database: str | None = None,
    now: datetime,
) -> tuple[int, int]:
    """Make a study from ratings.

    Args:
        source: a .csv, .tsv, .jsonl or .parquet file of ratings, or the folder of an export.
        name: of the new study.
        folder: where it is kept.
        columns: what the file calls its columns, where they are not ours.
        scale: of the ratings; by default that of the export, or else 1 to 5.
        runs: store and suite of the runs that wrote the texts, to be joined with the ratings.
        database: a PostgreSQL URL instead of a file in the folder.
        now: the time.

    Returns:
        How many ratings there are, and how many skips and flags were left out because nobody rated the text in that place.

    Raises:
        StudyError: files that hold no ratings, or something that no study can hold.
    """
    if not NAME.fullmatch(name):
        raise StudyError(f"{name!r} cannot be a study's name; expected small letters, digits, '.', '_' and '-'")
    given = incoming.read(source, name, columns, scale)
    if runs is not None:
        given = join_runs(given, *runs)
    with fresh(locate(database or folder / FILE), folder) as target:
        target.write(lambda session: _Filler(session, given.described, now).fill(given.ratings, given.notes))
    slots = {row["slot"] for row in given.ratings}
    return len(given.ratings), sum(row["slot"] not in slots for row in given.notes)


class _Filler:
    """Fills an empty database from rows."""

    def __init__(self, session: Session, described: Mapping[str, Any], now: datetime) -> None:
        self.session, self.described, self.now = session, described, now
        self.scale = Scale.of_protocol(described["protocol"])

    def fill(self, ratings: Sequence[rows.Row], notes: Sequence[rows.Row]) -> None:
        """Everything, in one transaction."""
        self._study()
        items = self._items(ratings)
        systems = self._systems()
        outputs = self._outputs(ratings, items, systems)
        people = self._people([*ratings, *notes])
        slots = self._slots(ratings, notes, outputs, people)
        self._forms(ratings, slots, people)
        self._notes(notes, slots, people)
        protocol_sha256 = hashlib.sha256(canonical(self.described["protocol"]).encode()).hexdigest()
        content = {"rows": len(ratings), "sha256": rows.sha256(ratings), "protocol": protocol_sha256}
        content["content"] = content_hashes(self.session)
        audit.record(self.session, self.now, "import", "import", self.described["name"], content)

    def _study(self) -> None:
        described = self.described
        self.session.add(
            Campaign(
                slug=described["name"], title=plain_text(described["title"]), task=described["task"],
                suite=plain_text(described["suite"]), status="closed", protocol=described["protocol"],
                protocol_sha256=hashlib.sha256(canonical(described["protocol"]).encode()).hexdigest(), seed=described["seed"],
                k=described["ratings_per_item"], lanes=described["annotators"], salt=secrets.token_hex(16), created_at=self.now,
            )
        )  # fmt: skip
        self.aspects: dict[str, int] = {}
        for position, (code, text) in enumerate(described["aspects"].items()):
            aspect = Aspect(code=code, position=position, label=text["label"], definition=text["definition"])
            self.session.add(aspect)
            self.session.flush()
            self.aspects[code] = aspect.id
            examples = [*text["examples"], *[""] * 5]
            self.session.add_all(
                AspectAnchor(aspect_id=aspect.id, value=value, text=meaning, example=examples[value - 1])
                for value, meaning in enumerate(text["anchors"], start=1)
            )
        for kind in ("guidelines", "consent"):
            words = load_document(kind, described["task"])
            self.session.add(Document(kind=kind, version=version_of(words), text=words, created_at=self.now))

    def _items(self, ratings: Sequence[rows.Row]) -> dict[str, int]:
        prompts: dict[str, str] = {}
        for row in ratings:
            prompts.setdefault(row["item"], row["prompt"] or "")
        for row in ratings:  # after all of those: an item may be a swap's source and be rated itself
            if row["source"]:
                prompts.setdefault(row["source"], "")
        items = {source: Item(source_id=source, prompt=prompt) for source, prompt in prompts.items()}
        self.session.add_all(items.values())
        self.session.flush()
        return {source: item.id for source, item in items.items()}

    def _systems(self) -> dict[str, int]:
        items = {
            name: System(
                name=name, decoder=about.get("decoder", ""), identity=about.get("identity", ""), config=about.get("config", {})
            )
            for name, about in self.described["systems"].items()
        }
        self.session.add_all(items.values())
        self.session.flush()
        return {name: system.id for name, system in items.items()}

    def _outputs(self, ratings: Sequence[rows.Row], items: Mapping[str, int], systems: Mapping[str, int]) -> dict[str, int]:
        first: dict[str, rows.Row] = {}
        for row in sorted(ratings, key=lambda row: row["kind"] == "repeat"):  # a repeat does not say what its text was at first
            first.setdefault(row["output"], row)
        created = {
            public: Output(public_id=public, item_id=items[row["item"]], text=row["text"] or "") for public, row in first.items()
        }
        self.session.add_all(created.values())
        self.session.flush()
        self.session.add_all(
            Origin(
                output_id=output.id,
                kind="system" if first[public]["kind"] == "repeat" else first[public]["kind"],
                system_id=systems.get(first[public]["system"]),
                from_item_id=items.get(first[public]["source"]) if first[public]["source"] else None,
                text_sha256=hashlib.sha256(output.text.encode("utf-8", "replace")).hexdigest(),
            )
            for public, output in created.items()
        )
        self.session.flush()
        return {public: output.id for public, output in created.items()}

    def _people(self, records: Sequence[rows.Row]) -> dict[str, int]:
        created = {
            public: Annotator(
                public_id=public, pseudonym=public, pseudonym_key=public, role="annotator", status="done", language="en",
                lane=number, joined_at=self.now, last_at=self.now,
            )
            for number, public in enumerate(dict.fromkeys(row["annotator"] for row in records))
        }  # fmt: skip
        self.session.add_all(created.values())
        self.session.flush()
        return {public: annotator.id for public, annotator in created.items()}

    def _slots(
        self, ratings: Sequence[rows.Row], notes: Sequence[rows.Row], outputs: Mapping[str, int], people: Mapping[str, int]
    ) -> dict[str, Slot]:
        """Blocks and slots; a block is its current raters', and everyone who sent a form for it had it once."""
        owners: dict[str, str] = {}
        holders: dict[str, dict[str, None]] = {}
        for row in sorted(ratings, key=lambda row: row["status"] not in ("current", "superseded")):
            owners.setdefault(row["block"], row["annotator"])
            holders.setdefault(row["block"], {})[row["annotator"]] = None
        skipped = {row["slot"] for row in notes if row["kind"] == "skip" and row["status"] == "current"}
        counted: dict[str, set[str]] = {}
        for row in ratings:
            if row["status"] == "current" or row["slot"] in skipped:
                counted.setdefault(row["block"], set()).add(row["slot"])
        blocks = {
            public: Block(
                public_id=public, unit=number, topic=number, rep=0, attempt=0, lane=0, seq=number, order_row=0, state="done",
                annotator_id=people[owner], claimed_at=self.now, forms=len(counted.get(public, ())), active_ms=0,
                done_at=self.now,
            )
            for number, (public, owner) in enumerate(owners.items())
        }  # fmt: skip
        self.session.add_all(blocks.values())
        self.session.flush()
        self.session.add_all(
            Lease(block_id=blocks[public].id, annotator_id=people[annotator_id], at=self.now)
            for public, annotators in holders.items()
            for annotator_id in annotators
        )
        first: dict[str, rows.Row] = {}
        for row in ratings:
            first.setdefault(row["slot"], row)
        places: dict[str, set[int]] = {}
        leases = {}
        for public, row in first.items():
            positions = places.setdefault(row["block"], set())
            position = row["position"] if row["position"] not in positions else 1 + max(positions)
            positions.add(position)
            leases[public] = Slot(
                public_id=public,
                block_id=blocks[row["block"]].id,
                position=position,
                output_id=outputs[row["output"]],
                counted=row["kind"] == "system",
                repeat_planned=row["kind"] == "repeat",
            )
        self.session.add_all(leases.values())
        self.session.flush()
        for public, row in first.items():
            if row["repeat_of"] in leases:
                leases[public].repeats_id = leases[row["repeat_of"]].id
        self.session.flush()
        return leases

    def _forms(self, ratings: Sequence[rows.Row], slots: Mapping[str, Slot], people: Mapping[str, int]) -> None:
        forms: dict[str, list[rows.Row]] = {}
        for row in ratings:
            forms.setdefault(row["event_id"], []).append(row)
        entries = []
        for event, given in forms.items():
            row = given[0]
            values = {rating["aspect"]: self.scale.code(rating["value"]) for rating in given}
            if len(values) < len(given):
                raise StudyError(f"form {event} gives two values to one aspect")
            ordered = {code: values[code] for code in self.aspects if code in values}
            kept: dict[str, Any] = {name: _when(row[name]) for name in TIMES}
            kept |= {name: row[name] for name in COUNTS} | {name: row[name] or "" for name in WORDS}
            form = Form(slot=row["slot"], revision=row["revision"], values=ordered, event_id=event, **kept)
            digest = form.sha256()
            self.session.add(
                Submission(
                    **form.kept(), slot_id=slots[row["slot"]].id, annotator_id=people[row["annotator"]],
                    revision=form.revision, client_revision=form.revision, status=row["status"],
                    received_at=_when(row["received_at"]) or self.now, payload_sha256=digest,
                )
            )  # fmt: skip
            entries.append(
                (
                    "submit",
                    event,
                    {
                        "sha256": digest,
                        "status": row["status"],
                        "slot": row["slot"],
                        "annotator": row["annotator"],
                        "output": slots[row["slot"]].output_id,
                    },
                )
            )
        self.session.flush()
        self.session.add_all(
            Rating(event_id=row["event_id"], aspect_id=self.aspects[row["aspect"]], value=self.scale.code(row["value"]))
            for row in ratings
        )
        self.session.add_all(
            Exclusion(event_id=event, rule=given[0]["excluded"], reason="imported", decided_by="import", at=self.now)
            for event, given in forms.items()
            if given[0]["excluded"]
        )
        self.session.flush()
        audit.record_all(self.session, self.now, "import", entries)

    def _notes(self, notes: Sequence[rows.Row], slots: Mapping[str, Slot], people: Mapping[str, int]) -> None:
        entries = []
        for row in notes:
            if row["slot"] not in slots:
                continue  # nobody rated anything there, so the ratings do not know the slot
            digest = Note(row["event_id"], row["slot"], row["reason"], row["note"] or "").sha256(row["kind"])
            self.session.add(
                SkipFlag(
                    event_id=row["event_id"], slot_id=slots[row["slot"]].id, annotator_id=people[row["annotator"]],
                    kind=row["kind"], reason=row["reason"], note=row["note"] or "",
                    status=row["status"],
                    received_at=_when(row["received_at"]) or self.now, payload_sha256=digest,
                )
            )  # fmt: skip
            entries.append((row["kind"], row["event_id"], {"sha256": digest, "slot": row["slot"], "annotator": row["annotator"]}))
        self.session.flush()
        audit.record_all(self.session, self.now, "import", entries)


def _when(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
