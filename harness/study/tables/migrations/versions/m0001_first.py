"""The first layout: everything from the campaign to the audit chain, and the triggers that keep forms as they came."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NEVER_CHANGED = ("audit", "rating", "lease", "refused", "qc_signal", "qc_decision", "origin")
"""Rows of these are added and nothing else."""
_STATUS_ONLY = {
    "submission": (
        "event_id",
        "slot_id",
        "annotator_id",
        "revision",
        "client_revision",
        "shown_at",
        "first_at",
        "sent_at",
        "active_ms",
        "hidden_ms",
        "changes",
        "input",
        "client",
        "received_at",
        "payload_sha256",
    ),
    "skip_flag": ("event_id", "slot_id", "annotator_id", "kind", "reason", "note", "received_at", "payload_sha256"),
    "exclusion": ("annotator_id", "event_id", "rule", "reason", "decided_by", "at"),
}
"""Columns that stay as they were written; only the others may change, and no row goes."""
_PROTOCOL = ("protocol", "protocol_sha256", "seed", "k", "lanes", "task", "suite")
"""Columns of the campaign that stay once somebody has rated."""
_RATED = "EXISTS (SELECT 1 FROM submission)"


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
    op.create_table(
        "annotator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("pseudonym_key", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("consent_version", sa.Text(), nullable=True),
        sa.Column("consent_at", sa.BigInteger(), nullable=True),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('annotator', 'admin')", name=op.f("ck_annotator_role")),
        sa.CheckConstraint(
            "status IN ('invited', 'training', 'active', 'paused', 'withdrawn', 'done')",
            name=op.f("ck_annotator_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotator")),
        sa.UniqueConstraint("pseudonym_key", name=op.f("uq_annotator_pseudonym_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_annotator_public_id")),
    )
    op.create_table(
        "aspect",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aspect")),
        sa.UniqueConstraint("code", name=op.f("uq_aspect_code")),
        sa.UniqueConstraint("position", name=op.f("uq_aspect_position")),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("protocol_sha256", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("lanes", sa.Integer(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("admin_sha256", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("frozen_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("status IN ('open', 'closed', 'frozen')", name=op.f("ck_campaign_status")),
        sa.CheckConstraint("task IN ('caption', 'story')", name=op.f("ck_campaign_task")),
        sa.CheckConstraint("k >= 1", name=op.f("ck_campaign_k")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("slug", name=op.f("uq_campaign_slug")),
    )
    op.create_table(
        "document",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('guidelines', 'consent')", name=op.f("ck_document_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("kind", "version", name=op.f("uq_document_kind_version")),
    )
    op.create_table(
        "join_try",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address_sha256", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_try")),
    )
    op.create_index(op.f("ix_join_try_address_sha256_at"), "join_try", ["address_sha256", "at"], unique=False)
    op.create_table(
        "media",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media")),
        sa.UniqueConstraint("public_id", name=op.f("uq_media_public_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_media_sha256")),
    )
    op.create_table(
        "system",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("decoder", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system")),
        sa.UniqueConstraint("name", name=op.f("uq_system_name")),
    )
    op.create_table(
        "aspect_anchor",
        sa.Column("aspect_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("value BETWEEN 1 AND 5", name=op.f("ck_aspect_anchor_value")),
        sa.ForeignKeyConstraint(["aspect_id"], ["aspect.id"], name=op.f("fk_aspect_anchor_aspect_id")),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_aspect_anchor_media_id")),
        sa.PrimaryKeyConstraint("aspect_id", "value", name=op.f("pk_aspect_anchor")),
    )
    op.create_table(
        "block",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Integer(), nullable=False),
        sa.Column("rep", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("order_row", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("kept_until", sa.BigInteger(), nullable=True),
        sa.Column("forms", sa.Integer(), nullable=False),
        sa.Column("active_ms", sa.Integer(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'leased', 'done', 'void')", name=op.f("ck_block_state")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_block_annotator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block")),
        sa.UniqueConstraint("public_id", name=op.f("uq_block_public_id")),
        sa.UniqueConstraint("unit", "annotator_id", name=op.f("uq_block_unit_annotator_id")),
        sa.UniqueConstraint("unit", "rep", "attempt", name=op.f("uq_block_unit_rep_attempt")),
    )
    op.create_index(op.f("ix_block_annotator_id_state"), "block", ["annotator_id", "state"], unique=False)
    op.create_index(op.f("ix_block_state_done_at"), "block", ["state", "done_at"], unique=False)
    op.create_index(op.f("ix_block_state_lane_seq"), "block", ["state", "lane", "seq"], unique=False)
    op.create_table(
        "invite",
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("role IN ('annotator', 'admin')", name=op.f("ck_invite_role")),
        sa.CheckConstraint("uses <= max_uses", name=op.f("ck_invite_uses")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_invite_annotator_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_invite")),
        sa.UniqueConstraint("public_id", name=op.f("uq_invite_public_id")),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_item_media_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("source_id", name=op.f("uq_item_source_id")),
    )
    op.create_table(
        "practice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("media_id", sa.Integer(), nullable=True),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["media_id"], ["media.id"], name=op.f("fk_practice_media_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice")),
        sa.UniqueConstraint("position", name=op.f("uq_practice_position")),
        sa.UniqueConstraint("public_id", name=op.f("uq_practice_public_id")),
    )
    op.create_table(
        "qc_signal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_qc_signal_annotator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qc_signal")),
    )
    op.create_index(op.f("ix_qc_signal_annotator_id"), "qc_signal", ["annotator_id"], unique=False)
    op.create_table(
        "refused",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_refused_annotator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused")),
        sa.UniqueConstraint("content_sha256", name=op.f("uq_refused_content_sha256")),
    )
    op.create_table(
        "seat_key",
        sa.Column("key_sha256", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_seat_key_annotator_id")),
        sa.PrimaryKeyConstraint("key_sha256", name=op.f("pk_seat_key")),
    )
    op.create_index(op.f("ix_seat_key_annotator_id"), "seat_key", ["annotator_id"], unique=False)
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("block_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_lease_annotator_id")),
        sa.ForeignKeyConstraint(["block_id"], ["block.id"], name=op.f("fk_lease_block_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_index(op.f("ix_lease_annotator_id_block_id"), "lease", ["annotator_id", "block_id"], unique=False)
    op.create_table(
        "output",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_output_item_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_output")),
        sa.UniqueConstraint("public_id", name=op.f("uq_output_public_id")),
    )
    op.create_index(op.f("ix_output_item_id"), "output", ["item_id"], unique=False)
    op.create_table(
        "practice_answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("practice_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("inside", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_practice_answer_annotator_id")),
        sa.ForeignKeyConstraint(["practice_id"], ["practice.id"], name=op.f("fk_practice_answer_practice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_practice_answer")),
    )
    op.create_index(op.f("ix_practice_answer_annotator_id"), "practice_answer", ["annotator_id"], unique=False)
    op.create_table(
        "qc_decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("signal_id", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("decision IN ('dismissed', 'excluded')", name=op.f("ck_qc_decision_decision")),
        sa.ForeignKeyConstraint(["signal_id"], ["qc_signal.id"], name=op.f("fk_qc_decision_signal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qc_decision")),
        sa.UniqueConstraint("signal_id", name=op.f("uq_qc_decision_signal_id")),
    )
    op.create_table(
        "origin",
        sa.Column("output_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("system_id", sa.Integer(), nullable=True),
        sa.Column("from_item_id", sa.Integer(), nullable=True),
        sa.Column("text_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('system', 'reference', 'swap', 'scramble')", name=op.f("ck_origin_kind")),
        sa.ForeignKeyConstraint(["from_item_id"], ["item.id"], name=op.f("fk_origin_from_item_id")),
        sa.ForeignKeyConstraint(["output_id"], ["output.id"], name=op.f("fk_origin_output_id")),
        sa.ForeignKeyConstraint(["system_id"], ["system.id"], name=op.f("fk_origin_system_id")),
        sa.PrimaryKeyConstraint("output_id", name=op.f("pk_origin")),
    )
    op.create_index(op.f("ix_origin_system_id"), "origin", ["system_id"], unique=False)
    op.create_table(
        "slot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("block_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("output_id", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("repeat_planned", sa.Boolean(), nullable=False),
        sa.Column("repeats_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["block_id"], ["block.id"], name=op.f("fk_slot_block_id")),
        sa.ForeignKeyConstraint(["output_id"], ["output.id"], name=op.f("fk_slot_output_id")),
        sa.ForeignKeyConstraint(["repeats_id"], ["slot.id"], name=op.f("fk_slot_repeats_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot")),
        sa.UniqueConstraint("block_id", "output_id", name=op.f("uq_slot_block_id_output_id")),
        sa.UniqueConstraint("block_id", "position", name=op.f("uq_slot_block_id_position")),
        sa.UniqueConstraint("public_id", name=op.f("uq_slot_public_id")),
    )
    op.create_index(op.f("ix_slot_output_id"), "slot", ["output_id"], unique=False)
    op.create_table(
        "skip_flag",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("payload_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('skip', 'flag')", name=op.f("ck_skip_flag_kind")),
        sa.CheckConstraint(
            "reason IN ('image-missing', 'text-unreadable', 'wrong-language', 'offensive', 'other')",
            name=op.f("ck_skip_flag_reason"),
        ),
        sa.CheckConstraint("status IN ('current', 'superseded', 'surplus')", name=op.f("ck_skip_flag_status")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_skip_flag_annotator_id")),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name=op.f("fk_skip_flag_slot_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_skip_flag")),
    )
    op.create_index(op.f("ix_skip_flag_annotator_id"), "skip_flag", ["annotator_id"], unique=False)
    op.create_index(op.f("ix_skip_flag_slot_id"), "skip_flag", ["slot_id"], unique=False)
    op.create_table(
        "submission",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("client_revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("shown_at", sa.BigInteger(), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("active_ms", sa.Integer(), nullable=False),
        sa.Column("hidden_ms", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("payload_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('current', 'superseded', 'surplus', 'withdrawn')", name=op.f("ck_submission_status")
        ),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_submission_revision")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_submission_annotator_id")),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name=op.f("fk_submission_slot_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_submission")),
        sa.UniqueConstraint(
            "slot_id", "annotator_id", "revision", name=op.f("uq_submission_slot_id_annotator_id_revision")
        ),
    )
    op.create_index(
        op.f("ix_submission_annotator_id_received_at"), "submission", ["annotator_id", "received_at"], unique=False
    )
    op.create_index(
        "uq_submission_current",
        "submission",
        ["slot_id"],
        unique=True,
        sqlite_where=sa.text("status = 'current'"),
        postgresql_where=sa.text("status = 'current'"),
    )
    op.create_table(
        "exclusion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reverted_at", sa.BigInteger(), nullable=True),
        sa.Column("reverted_by", sa.Text(), nullable=True),
        sa.CheckConstraint("(annotator_id IS NULL) <> (event_id IS NULL)", name=op.f("ck_exclusion_one_target")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_exclusion_annotator_id")),
        sa.ForeignKeyConstraint(["event_id"], ["submission.event_id"], name=op.f("fk_exclusion_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exclusion")),
    )
    op.create_index(op.f("ix_exclusion_annotator_id"), "exclusion", ["annotator_id"], unique=False)
    op.create_index(op.f("ix_exclusion_event_id"), "exclusion", ["event_id"], unique=False)
    op.create_table(
        "rating",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("aspect_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.CheckConstraint("value BETWEEN 1 AND 5", name=op.f("ck_rating_value")),
        sa.ForeignKeyConstraint(["aspect_id"], ["aspect.id"], name=op.f("fk_rating_aspect_id")),
        sa.ForeignKeyConstraint(["event_id"], ["submission.event_id"], name=op.f("fk_rating_event_id")),
        sa.PrimaryKeyConstraint("event_id", "aspect_id", name=op.f("pk_rating")),
    )
    for table in _NEVER_CHANGED:
        _guard(table, ())
    for table, columns in _STATUS_ONLY.items():
        _guard(table, columns)
    _guard("campaign", _PROTOCOL, when=_RATED, delete=False)


def downgrade() -> None:
    """Back to nothing."""
    for table in (*_NEVER_CHANGED, *_STATUS_ONLY, "campaign"):
        _unguard(table)

    op.drop_table("rating")
    op.drop_index(op.f("ix_exclusion_event_id"), table_name="exclusion")
    op.drop_index(op.f("ix_exclusion_annotator_id"), table_name="exclusion")
    op.drop_table("exclusion")
    op.drop_index(
        "uq_submission_current",
        table_name="submission",
        sqlite_where=sa.text("status = 'current'"),
        postgresql_where=sa.text("status = 'current'"),
    )
    op.drop_index(op.f("ix_submission_annotator_id_received_at"), table_name="submission")
    op.drop_table("submission")
    op.drop_index(op.f("ix_skip_flag_slot_id"), table_name="skip_flag")
    op.drop_index(op.f("ix_skip_flag_annotator_id"), table_name="skip_flag")
    op.drop_table("skip_flag")
    op.drop_index(op.f("ix_slot_output_id"), table_name="slot")
    op.drop_table("slot")
    op.drop_index(op.f("ix_origin_system_id"), table_name="origin")
    op.drop_table("origin")
    op.drop_table("qc_decision")
    op.drop_index(op.f("ix_practice_answer_annotator_id"), table_name="practice_answer")
    op.drop_table("practice_answer")
    op.drop_index(op.f("ix_output_item_id"), table_name="output")
    op.drop_table("output")
    op.drop_index(op.f("ix_lease_annotator_id_block_id"), table_name="lease")
    op.drop_table("lease")
    op.drop_index(op.f("ix_seat_key_annotator_id"), table_name="seat_key")
    op.drop_table("seat_key")
    op.drop_table("refused")
    op.drop_index(op.f("ix_qc_signal_annotator_id"), table_name="qc_signal")
    op.drop_table("qc_signal")
    op.drop_table("practice")
    op.drop_table("item")
    op.drop_table("invite")
    op.drop_index(op.f("ix_block_state_lane_seq"), table_name="block")
    op.drop_index(op.f("ix_block_state_done_at"), table_name="block")
    op.drop_index(op.f("ix_block_annotator_id_state"), table_name="block")
    op.drop_table("block")
    op.drop_table("aspect_anchor")
    op.drop_table("system")
    op.drop_table("media")
    op.drop_index(op.f("ix_join_try_address_sha256_at"), table_name="join_try")
    op.drop_table("join_try")
    op.drop_table("document")
    op.drop_table("campaign")
    op.drop_table("audit")
    op.drop_table("aspect")
    op.drop_table("annotator")
