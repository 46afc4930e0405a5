"""Tables that remember what left a study: results that were computed, files that were exported, copies that were made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from harness.study.base import Base


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
