"""Hashes of what the ratings of a study are about: sealed in the audit chain when the study is made, and never changed after it.

This module reads who wrote a text, so the rating room must not import it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from harness.study.tables.base import canonical
from harness.study.tables.identity import Origin, System
from harness.study.tables.schema import Aspect, AspectAnchor, Item, Media, Output

_AT_A_TIME = 50
_PARTS: dict[str, Select[*tuple[Any, ...]]] = {
    "texts": select(Output.public_id, Output.text, Output.item_id).order_by(Output.id),
    "items": select(Item.id, Item.source_id, Item.prompt, Item.media_id).order_by(Item.id),
    "images": select(Media.id, Media.public_id, Media.mime, Media.content).order_by(Media.id),
    "systems": select(System.id, System.name, System.decoder, System.identity, System.config).order_by(System.id),
    "origins of texts": (
        select(Output.public_id, Origin.kind, Origin.system_id, Origin.from_item_id)
        .join(Output, Output.id == Origin.output_id)
        .order_by(Output.id)
    ),
    "aspects": select(Aspect.id, Aspect.code, Aspect.position, Aspect.label, Aspect.definition).order_by(Aspect.id),
    "anchors": (
        select(AspectAnchor.aspect_id, AspectAnchor.value, AspectAnchor.text, AspectAnchor.example, AspectAnchor.media_id)
        .order_by(AspectAnchor.aspect_id, AspectAnchor.value)
    ),
}  # fmt: skip


def content_hashes(session: Session) -> dict[str, str]:
    """The hash of each part, the same on every database: `{"texts": ..., "images": ..., ...}`."""
    return {name: _sha256(session, query) for name, query in _PARTS.items()}


def _sha256(session: Session, query: Select[*tuple[Any, ...]]) -> str:
    digest = hashlib.sha256()
    for row in session.execute(query.execution_options(yield_per=_AT_A_TIME)):
        cells = [hashlib.sha256(cell).hexdigest() if isinstance(cell, bytes) else cell for cell in row]
        digest.update(canonical(cells).encode() + b"\n")
    return digest.hexdigest()
