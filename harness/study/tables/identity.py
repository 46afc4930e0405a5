"""Tables that say which system wrote a text, what is a control, and what was decided. The annotator's side imports none of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from harness.study.tables.base import Base


class System(Base):
    """A system whose texts are rated."""

    __tablename__ = "system"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    decoder: Mapped[str]
    identity: Mapped[str]
    """Of the run: a hash of all that decided its texts."""
    config: Mapped[dict[str, Any]]


class Origin(Base):
    """Where a text comes from."""

    __tablename__ = "origin"

    output_id: Mapped[int] = mapped_column(ForeignKey("output.id"), primary_key=True)
    kind: Mapped[str]
    system_id: Mapped[int | None] = mapped_column(ForeignKey("system.id"), index=True)
    """Whose words they are; of a control, whose words were changed; None for a person's."""
    from_item_id: Mapped[int | None] = mapped_column(ForeignKey("item.id"))
    """Of a swap: the image that the caption was written for."""
    text_sha256: Mapped[str]
    __table_args__ = (CheckConstraint("kind IN ('system', 'reference', 'swap', 'scramble')", name="kind"),)


class Signal(Base):
    """Something about an annotator that a person should look at."""

    __tablename__ = "qc_signal"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    rule: Mapped[str]
    version: Mapped[int]
    value: Mapped[float]
    threshold: Mapped[float]
    evidence: Mapped[dict[str, Any]]
    computed_at: Mapped[datetime]


class Decision(Base):
    """What a person made of a signal."""

    __tablename__ = "qc_decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    signal_id: Mapped[int] = mapped_column(ForeignKey("qc_signal.id"), unique=True)
    decision: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str]
    at: Mapped[datetime]
    __table_args__ = (CheckConstraint("decision IN ('dismissed', 'excluded')", name="decision"),)


class Exclusion(Base):
    """That ratings do not count: signed, with its reason, and reverted by another signature; nothing is deleted."""

    __tablename__ = "exclusion"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"), index=True)
    event_id: Mapped[str | None] = mapped_column(ForeignKey("submission.event_id"), index=True)
    rule: Mapped[str]
    reason: Mapped[str]
    decided_by: Mapped[str]
    at: Mapped[datetime]
    reverted_at: Mapped[datetime | None]
    reverted_by: Mapped[str | None]
    __table_args__ = (CheckConstraint("(annotator_id IS NULL) <> (event_id IS NULL)", name="one_target"),)


class Snapshot(Base):
    """Results that somebody may cite: from which ratings, with which settings, by which version."""

    __tablename__ = "snapshot"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    ratings_sha256: Mapped[str]
    params: Mapped[dict[str, Any]]
    version: Mapped[str]
    results: Mapped[dict[str, Any]]


class ExportLog(Base):
    """Files that were written."""

    __tablename__ = "export_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str]
    formats: Mapped[list[str]]
    rows: Mapped[int]
    export_sha256: Mapped[str]


class BackupLog(Base):
    """Copies that were made; a copy cannot hold the line about itself."""

    __tablename__ = "backup_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    name: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int]
