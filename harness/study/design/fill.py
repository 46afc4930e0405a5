"""Filling an empty database with a study: protocol, items with their images, texts, controls, blocks, practice."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from harness.errors import StudyError
from harness.study.design import controls
from harness.study.design import protocol as protocols
from harness.study.design.plan import CONTROL_SHARE, PLANNER, Plan, PlannedSlot
from harness.study.design.sources import Sources, picture
from harness.study.tables import audit
from harness.study.tables.base import PRACTICE_SHARE, REPEAT_GAP, canonical, plain_text, token_sha256
from harness.study.tables.content import content_hashes
from harness.study.tables.identity import Origin, System
from harness.study.tables.schema import Aspect, AspectAnchor, Block, Campaign, Document, Item, Media, Output, Practice, Slot
from harness.suites.examples import Example

PRACTICE = ("reference", "swap", "scramble", "reference", "swap", "scramble")
"""Kinds of practice texts, in their order."""


@dataclass(frozen=True, slots=True)
class Design:
    """The choices of whoever creates a study."""

    name: str
    aspects: tuple[str, ...] = protocols.DEFAULT_ASPECTS
    items: int = 200
    ratings_per_item: int = 3
    annotators: int | None = None
    """To balance the plan for; as many as ratings an item by default. More or fewer may come."""
    seed: int = 0
    title: str = ""
    preset: str = ""
    analysis: Mapping[str, Any] = field(default_factory=lambda: dict(protocols.DEFAULT_ANALYSIS))
    share: float = CONTROL_SHARE
    """Of slots that are controls."""
    practice: bool = True
    aspects_file: Path | None = None
    guidelines: Path | None = None
    consent: Path | None = None
    images: Path | None = None


class Maker:
    """Fills an empty database."""

    def __init__(
        self,
        design: Design,
        sources: Sources,
        chosen: Sequence[Example],
        spare: Sequence[Example],
        plan: Plan,
        *,
        now: datetime,
        notes: list[str],
        progress: Callable[[int, int], None],
    ) -> None:
        self.design, self.sources, self.plan, self.now = design, sources, plan, now
        self.chosen, self.spare = chosen, spare
        self.notes, self.progress = notes, progress
        self.texts = {run.name: run.texts for run in sources.runs}
        self.random = np.random.default_rng([PLANNER, design.seed, 2])
        self.media: dict[str, int] = {}
        self.controls: dict[tuple[int, str], int] = {}

    def fill(self, session: Session, kinds: Sequence[str], secret: str) -> None:
        """Everything, in one transaction."""
        self.media.clear()
        self.controls.clear()
        aspects = protocols.load_aspects(self.sources.task, self.design.aspects, self.design.aspects_file)
        self._campaign(session, aspects, kinds, secret)
        self._words(session, aspects)
        items = self._items(session)
        systems = self._systems(session)
        outputs = self._outputs(session, items, systems)
        self._blocks(session, items, systems, outputs)
        if self.design.practice:
            self._practice(session, list(aspects))
        session.flush()
        sealed = {
            "protocol": self.protocol_sha256,
            "plan": plan_sha256(self.plan),
            "blocks": len(self.plan.blocks),
            "content": content_hashes(session),
        }
        audit.record(session, self.now, "create", "create", self.design.name, sealed)

    def _campaign(self, session: Session, aspects: Mapping[str, protocols.AspectText], kinds: Sequence[str], secret: str) -> None:
        aspect_texts = {code: [text.label, text.definition, text.anchors, text.examples] for code, text in aspects.items()}
        protocol = {
            "preset": self.design.preset,
            "analysis": dict(self.design.analysis),
            "aspects": aspect_texts,
            "items": self.plan.items,
            "systems": self.plan.systems,
            "ratings_per_item": self.plan.k,
            "annotators": self.plan.lanes,
            "spread": self.plan.spread,
            "seed": self.plan.seed,
            "planner": PLANNER,
            "plan_sha256": plan_sha256(self.plan),
            "controls": {"share": self.design.share, "kinds": list(kinds), "repeat_gap": REPEAT_GAP},
            "practice_share": PRACTICE_SHARE,
        }
        self.protocol_sha256 = hashlib.sha256(canonical(protocol).encode()).hexdigest()
        noun = "stories" if self.sources.task == "story" else "captions"
        session.add(
            Campaign(
                slug=self.design.name,
                title=plain_text(self.design.title) or f"How good are these {noun}?",
                task=self.sources.task,
                suite=self.sources.suite,
                status="open",
                protocol=protocol,
                protocol_sha256=self.protocol_sha256,
                seed=self.plan.seed,
                k=self.plan.k,
                lanes=self.plan.lanes,
                salt=secrets.token_hex(16),
                admin_sha256=token_sha256(secret),
                created_at=self.now,
            )
        )

    def _words(self, session: Session, aspects: Mapping[str, protocols.AspectText]) -> None:
        for position, (code, text) in enumerate(aspects.items()):
            aspect = Aspect(code=code, position=position, label=text.label, definition=text.definition)
            session.add(aspect)
            session.flush()
            examples = [*text.examples, *[""] * 5]
            session.add_all(
                AspectAnchor(aspect_id=aspect.id, value=value, text=meaning, example=example)
                for value, meaning, example in zip(protocols.VALUES, text.anchors, examples, strict=False)
            )
        for kind in ("guidelines", "consent"):
            file = self.design.guidelines if kind == "guidelines" else self.design.consent
            words = protocols.load_document(kind, self.sources.task, file)
            session.add(Document(kind=kind, version=protocols.version_of(words), text=words, created_at=self.now))

    def _items(self, session: Session) -> list[Item]:
        items = []
        for number, example in enumerate(self.chosen):
            media = self._media(session, example)
            items.append(Item(source_id=plain_text(example.id), prompt=plain_text(example.prompt), media_id=media))
            self.progress(number + 1, len(self.chosen))
        if "relevance" in self.design.aspects and any(item.media_id is None for item in items):
            missing = next(item.source_id for item in items if item.media_id is None)
            raise StudyError(
                f"example {missing!r} has no image, so nobody can judge relevance to it; give --images FOLDER with files named "
                "after the examples, or leave relevance out of --aspects"
            )
        session.add_all(items)
        session.flush()
        return items

    def _media(self, session: Session, example: Example) -> int | None:
        image = picture(example, self.design.images)
        if image is None:
            return None
        if image.sha256 not in self.media:
            row = Media(sha256=image.sha256, mime=image.mime, content=image.content)
            session.add(row)
            session.flush()
            self.media[image.sha256] = row.id
        return self.media[image.sha256]

    def _systems(self, session: Session) -> list[System]:
        systems = [
            System(name=run.name, decoder=run.decoder, identity=run.identity, config=dict(run.config))
            for run in self.sources.runs
        ]
        session.add_all(systems)
        session.flush()
        return systems

    def _outputs(self, session: Session, items: Sequence[Item], systems: Sequence[System]) -> dict[tuple[int, int], int]:
        outputs = {}
        for number, (example, item) in enumerate(zip(self.chosen, items, strict=True)):
            for index, system in enumerate(systems):
                outputs[number, index] = Output(item_id=item.id, text=plain_text(self.texts[system.name][example.id]))
        session.add_all(outputs.values())
        session.flush()
        session.add_all(
            Origin(output_id=output.id, kind="system", system_id=systems[index].id, text_sha256=_sha256(output.text))
            for (_, index), output in outputs.items()
        )
        same = sum(len({self.texts[system.name][example.id] for system in systems}) < len(systems) for example in self.chosen)
        if same:
            self.notes.append(
                f"two systems or more say the same about {same} of {len(items)} items; each text is rated by itself"
            )
        return {key: output.id for key, output in outputs.items()}

    def _blocks(
        self, session: Session, items: Sequence[Item], systems: Sequence[System], outputs: Mapping[tuple[int, int], int]
    ) -> None:
        by_name = {system.name: system.id for system in systems}
        rows = []
        for planned in self.plan.blocks:
            block = Block(
                unit=planned.unit, topic=planned.topic, rep=planned.rep, attempt=0, lane=planned.lane, seq=planned.seq,
                order_row=planned.row, state="open", forms=0, active_ms=0,
            )  # fmt: skip
            rows.append((block, planned))
        session.add_all(block for block, _ in rows)
        session.flush()
        for block, planned in rows:
            position, held = 0, set()
            for slot in planned.slots:
                output = (
                    outputs[slot.item, slot.system] if slot.system is not None else self._control(session, slot, items, by_name)
                )
                if output is None or output in held:
                    continue
                held.add(output)
                session.add(
                    Slot(
                        block_id=block.id,
                        position=position,
                        output_id=output,
                        counted=slot.control is None,
                        repeat_planned=slot.control == "repeat",
                    )
                )
                position += 1
        session.flush()

    def _control(self, session: Session, slot: PlannedSlot, items: Sequence[Item], systems: Mapping[str, int]) -> int | None:
        """The text of a control; of a repeat, what replaces it until it is known what its annotator has rated."""
        order = {"swap": ("swap", "scramble"), "repeat": ("swap", "scramble"), "scramble": ("scramble", "swap")}
        for kind in order.get(str(slot.control), ("reference", "swap", "scramble")):
            if (slot.item, kind) in self.controls:
                return self.controls[slot.item, kind]
            control = self._make(kind, self.chosen[slot.item], self.chosen)
            if control is None:
                continue
            output = Output(item_id=items[slot.item].id, text=plain_text(control.text))
            session.add(output)
            session.flush()
            sources = {example.id: item.id for example, item in zip(self.chosen, items, strict=True)}
            session.add(
                Origin(
                    output_id=output.id,
                    kind=control.kind,
                    system_id=systems[control.system] if control.system else None,
                    from_item_id=sources[control.source] if control.source else None,
                    text_sha256=_sha256(output.text),
                )
            )
            self.controls[slot.item, kind] = output.id
            return output.id
        self.notes.append("some controls were left out: the texts are too short or too much alike to make them")
        return None

    def _make(self, kind: str, example: Example, candidates: Sequence[Example]) -> controls.ControlText | None:
        if kind == "swap":
            return controls.swap(example, self.texts, candidates, self.random)
        make = controls.scramble if kind == "scramble" else controls.reference
        return make(example, self.texts, self.random)

    def _practice(self, session: Session, aspects: Sequence[str]) -> None:
        """Practice texts from examples that the study does not use: people's words where there are some."""
        if len(self.spare) < len(PRACTICE):
            self.notes.append(
                f"no practice: it takes {len(PRACTICE)} examples that are not rated, and {len(self.spare)} are left"
            )
            return
        own = {"person": {example.id: example.references[0] for example in self.spare if example.references}}
        people = len(own["person"]) == len(self.spare)
        place = 0
        for kind, example in zip(PRACTICE, self.spare, strict=False):
            text = self._practice_text(kind, example, own if people else self.texts)
            if text is None:
                continue
            session.add(
                Practice(
                    position=place,
                    prompt=plain_text(example.prompt),
                    text=plain_text(text),
                    media_id=self._media(session, example),
                    expected=controls.expected(kind, aspects),
                )
            )
            place += 1

    def _practice_text(self, kind: str, example: Example, texts: Mapping[str, Mapping[str, str]]) -> str | None:
        if kind == "reference":
            return example.references[0] if example.references else None
        if kind == "swap":
            control = controls.swap(example, texts, self.spare, self.random)
        else:
            control = controls.scramble(example, texts, self.random)
        return control.text if control else None


def plan_sha256(plan: Plan) -> str:
    """Hash of a plan: the same for the same numbers and seed."""
    content = [
        [
            block.unit, block.topic, block.rep, block.lane, block.seq, block.row,
            [[slot.item, slot.system, slot.control] for slot in block.slots],
        ]
        for block in plan.blocks
    ]  # fmt: skip
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
