"""The first layout: everything from the campaign to the audit chain, and the triggers that keep forms as they came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NEVER_CHANGED = ("audit", "rating", "lease", "refused", "qc_signal", "qc_decision", "origin")
"""Rows of these are added and nothing else."""
_STATUS_ONLY = {
    "submission": "event_id slot_id annotator_id revision client_revision shown_at first_at sent_at active_ms hidden_ms "
    "changes input client received_at payload_sha256",
    "skip_flag": "event_id slot_id annotator_id kind reason note received_at payload_sha256",
    "exclusion": "annotator_id event_id rule reason decided_by at",
}
"""Columns that stay as they were written; only the others may change, and no row goes."""
_PROTOCOL = ("protocol", "protocol_sha256", "seed", "k", "lanes", "task", "suite")
"""Columns of the campaign that stay once somebody has rated."""
_RATED = "EXISTS (SELECT 1 FROM submission)"


_TYPES = {
    "int": sa.Integer,
    "bigint": sa.BigInteger,
    "double": sa.Double,
    "bool": sa.Boolean,
    "text": sa.Text,
    "bytes": sa.LargeBinary,
}
_CURRENT = sa.text("status = 'current'")


@dataclass(frozen=True)
class _Table:
    """One table as it was in this layout; the names of its constraints follow from what they hold."""

    name: str
    columns: str
    """`name type`, with commas between: `?` behind the type may be NULL, `!` is not numbered by itself, `->` leads to another
    table's column."""
    key: str = "id"
    """Columns of the primary key, as in the next two."""
    unique: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    checks: Mapping[str, str] = field(default_factory=dict)

    def create(self) -> None:
        """The table, then its indexes."""
        columns, targets = [], {}
        for column in self.columns.split(", "):
            name, kind, *target = column.replace("-> ", "").split(" ")
            type_ = _TYPES[kind.rstrip("?!")]
            numbered: Literal["auto", False] = False if kind.endswith("!") else "auto"
            columns.append(sa.Column(name, type_(), nullable=kind.endswith("?"), autoincrement=numbered))
            if target:
                targets[name] = target[0]
        op.create_table(
            self.name,
            *columns,
            *(sa.CheckConstraint(rule, name=op.f(f"ck_{self.name}_{what}")) for what, rule in self.checks.items()),
            *(sa.ForeignKeyConstraint([name], [targets[name]], name=op.f(f"fk_{self.name}_{name}")) for name in sorted(targets)),
            sa.PrimaryKeyConstraint(*self.key.split(), name=op.f(f"pk_{self.name}")),
            *(sa.UniqueConstraint(*names.split(), name=op.f(self._named("uq", names))) for names in self.unique),
        )
        for names in self.indexes:
            op.create_index(op.f(self._named("ix", names)), self.name, names.split(), unique=False)

    def drop(self) -> None:
        """The indexes, then the table."""
        for names in self.indexes:
            op.drop_index(op.f(self._named("ix", names)), table_name=self.name)
        op.drop_table(self.name)

    def _named(self, kind: str, names: str) -> str:
        return f"{kind}_{self.name}_{'_'.join(names.split())}"


_TABLES = (
    _Table(
        "annotator",
        "id int, public_id text, pseudonym text, pseudonym_key text, role text, status text, language text, "
        "consent_version text?, consent_at bigint?, lane int, joined_at bigint, last_at bigint",
        unique=("pseudonym_key", "public_id"),
        checks={
            "role": "role IN ('annotator', 'admin')",
            "status": "status IN ('invited', 'training', 'active', 'paused', 'withdrawn', 'done')",
        },
    ),
    _Table("aspect", "id int, code text, position int, label text, definition text", unique=("code", "position")),
    _Table(
        "audit", "seq int!, at bigint, actor text, action text, object text, payload text, prev_hash text, hash text", key="seq"
    ),
    _Table(
        "campaign",
        "id int, slug text, title text, task text, suite text, status text, protocol text, protocol_sha256 text, "
        "seed int, k int, lanes int, salt text, admin_sha256 text?, created_at bigint, frozen_at bigint?",
        unique=("slug",),
        checks={"status": "status IN ('open', 'closed', 'frozen')", "task": "task IN ('caption', 'story')", "k": "k >= 1"},
    ),
    _Table(
        "document",
        "id int, kind text, version text, text text, created_at bigint",
        unique=("kind version",),
        checks={"kind": "kind IN ('guidelines', 'consent')"},
    ),
    _Table("join_try", "id int, address_sha256 text, at bigint", indexes=("address_sha256 at",)),
    _Table("media", "id int, public_id text, sha256 text, mime text, content bytes", unique=("public_id", "sha256")),
    _Table("system", "id int, name text, decoder text, identity text, config text", unique=("name",)),
    _Table(
        "aspect_anchor",
        "aspect_id int -> aspect.id, value int!, text text, example text, media_id int? -> media.id",
        key="aspect_id value",
        checks={"value": "value BETWEEN 1 AND 5"},
    ),
    _Table(
        "block",
        "id int, public_id text, unit int, topic int, rep int, attempt int, lane int, seq int, order_row int, state "
        "text, annotator_id int? -> annotator.id, claimed_at bigint?, lease_until bigint?, kept_until bigint?, "
        "forms int, active_ms int, done_at bigint?",
        unique=("public_id", "unit annotator_id", "unit rep attempt"),
        indexes=("annotator_id state", "state done_at", "state lane seq"),
        checks={"state": "state IN ('open', 'leased', 'done', 'void')"},
    ),
    _Table(
        "invite",
        "token_sha256 text, public_id text, role text, annotator_id int? -> annotator.id, max_uses int, uses int, "
        "note text, created_at bigint, expires_at bigint, revoked_at bigint?",
        key="token_sha256",
        unique=("public_id",),
        checks={"role": "role IN ('annotator', 'admin')", "uses": "uses <= max_uses"},
    ),
    _Table("item", "id int, source_id text, prompt text, media_id int? -> media.id", unique=("source_id",)),
    _Table(
        "practice",
        "id int, public_id text, position int, prompt text, text text, media_id int? -> media.id, expected text",
        unique=("position", "public_id"),
    ),
    _Table(
        "qc_signal",
        "id int, annotator_id int -> annotator.id, rule text, version int, value double, threshold double, evidence "
        "text, computed_at bigint",
        indexes=("annotator_id",),
    ),
    _Table(
        "refused",
        "id int, annotator_id int? -> annotator.id, reason text, content text, content_sha256 text, at bigint",
        unique=("content_sha256",),
    ),
    _Table(
        "seat_key",
        "key_sha256 text, annotator_id int -> annotator.id, created_at bigint, revoked_at bigint?",
        key="key_sha256",
        indexes=("annotator_id",),
    ),
    _Table(
        "lease",
        "id int, block_id int -> block.id, annotator_id int -> annotator.id, at bigint",
        indexes=("annotator_id block_id",),
    ),
    _Table("output", "id int, public_id text, item_id int -> item.id, text text", unique=("public_id",), indexes=("item_id",)),
    _Table(
        "practice_answer",
        "id int, practice_id int -> practice.id, annotator_id int -> annotator.id, given text, inside int, asked int, at bigint",
        indexes=("annotator_id",),
    ),
    _Table(
        "qc_decision",
        "id int, signal_id int -> qc_signal.id, decision text, reason text, decided_by text, at bigint",
        unique=("signal_id",),
        checks={"decision": "decision IN ('dismissed', 'excluded')"},
    ),
    _Table(
        "origin",
        "output_id int -> output.id, kind text, system_id int? -> system.id, from_item_id int? -> item.id, text_sha256 text",
        key="output_id",
        indexes=("system_id",),
        checks={"kind": "kind IN ('system', 'reference', 'swap', 'scramble')"},
    ),
    _Table(
        "slot",
        "id int, public_id text, block_id int -> block.id, position int, output_id int -> output.id, counted bool, "
        "repeat_planned bool, repeats_id int? -> slot.id",
        unique=("block_id output_id", "block_id position", "public_id"),
        indexes=("output_id",),
    ),
    _Table(
        "skip_flag",
        "event_id text, slot_id int -> slot.id, annotator_id int -> annotator.id, kind text, reason text, note "
        "text, status text, received_at bigint, payload_sha256 text",
        key="event_id",
        indexes=("annotator_id", "slot_id"),
        checks={
            "kind": "kind IN ('skip', 'flag')",
            "reason": "reason IN ('image-missing', 'text-unreadable', 'wrong-language', 'offensive', 'other')",
            "status": "status IN ('current', 'superseded', 'surplus')",
        },
    ),
    _Table(
        "submission",
        "event_id text, slot_id int -> slot.id, annotator_id int -> annotator.id, revision int, client_revision "
        "int, status text, shown_at bigint?, first_at bigint?, sent_at bigint?, active_ms int, hidden_ms int, "
        "changes int, input text, client text, received_at bigint, payload_sha256 text",
        key="event_id",
        unique=("slot_id annotator_id revision",),
        indexes=("annotator_id received_at",),
        checks={"status": "status IN ('current', 'superseded', 'surplus', 'withdrawn')", "revision": "revision >= 0"},
    ),
    _Table(
        "exclusion",
        "id int, annotator_id int? -> annotator.id, event_id text? -> submission.event_id, rule text, reason text, "
        "decided_by text, at bigint, reverted_at bigint?, reverted_by text?",
        indexes=("annotator_id", "event_id"),
        checks={"one_target": "(annotator_id IS NULL) <> (event_id IS NULL)"},
    ),
    _Table(
        "rating",
        "event_id text -> submission.event_id, aspect_id int -> aspect.id, value int",
        key="event_id aspect_id",
        checks={"value": "value BETWEEN 1 AND 5"},
    ),
)
"""In the order in which they can be made: what is led to comes first."""


def _guard(table: str, columns: tuple[str, ...], *, when: str = "", delete: bool = True) -> None:
    """Triggers that refuse changes: of some columns (of all where none is named), and deletion."""
    if op.get_bind().dialect.name == "sqlite":
        of = f" OF {', '.join(columns)}" if columns else ""
        condition = f" WHEN {when}" if when else ""
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE{of} ON {table}{condition} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        if delete:
            op.execute(
                f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns) or "TRUE"
    condition = f"({changed}) AND {when}" if when else changed
    op.execute(
        f"CREATE FUNCTION {table}_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'DELETE' THEN RAISE EXCEPTION '{table} is append-only'; END IF; "
        f"IF {condition} THEN RAISE EXCEPTION '{table} is append-only'; END IF; RETURN NEW; END $$"
    )
    events = "UPDATE OR DELETE" if delete else "UPDATE"
    op.execute(f"CREATE TRIGGER {table}_guard BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_guard()")


def _unguard(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_update")
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_delete")
    else:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_guard ON {table}")
        op.execute(f"DROP FUNCTION IF EXISTS {table}_guard()")


def upgrade() -> None:
    """Tables first, then the triggers on them."""
    for table in _TABLES:
        table.create()
    op.create_index(
        "uq_submission_current", "submission", ["slot_id"], unique=True, sqlite_where=_CURRENT, postgresql_where=_CURRENT
    )
    for name in _NEVER_CHANGED:
        _guard(name, ())
    for name, columns in _STATUS_ONLY.items():
        _guard(name, tuple(columns.split()))
    _guard("campaign", _PROTOCOL, when=_RATED, delete=False)


def downgrade() -> None:
    """Back to nothing."""
    for name in (*_NEVER_CHANGED, *_STATUS_ONLY, "campaign"):
        _unguard(name)
    op.drop_index("uq_submission_current", table_name="submission", sqlite_where=_CURRENT, postgresql_where=_CURRENT)
    for table in reversed(_TABLES):
        table.drop()
