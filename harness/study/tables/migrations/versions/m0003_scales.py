"""Ratings on other scales than 1 to 5: a value is the number of its step on the study's scale."""

from alembic import op

from harness.study.tables.migrations.versions.m0001_first import _guard, _unguard

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Up to 1001 values."""
    _limit(1001)


def downgrade() -> None:
    """Five values; it fails where there are others."""
    _limit(5)


def _limit(most: int) -> None:
    rule = f"value BETWEEN 1 AND {most}"
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_rating_value"), "rating", type_="check")
        op.create_check_constraint(op.f("ck_rating_value"), "rating", rule)
        return
    # SQLite cannot change a rule: the table is written again. No other table leads to it.
    _unguard("rating")
    op.execute("ALTER TABLE rating RENAME TO rating_before")
    op.execute(
        "CREATE TABLE rating (event_id TEXT NOT NULL, aspect_id INTEGER NOT NULL, value INTEGER NOT NULL, "
        f"CONSTRAINT ck_rating_value CHECK ({rule}), "
        "CONSTRAINT fk_rating_aspect_id FOREIGN KEY(aspect_id) REFERENCES aspect (id), "
        "CONSTRAINT fk_rating_event_id FOREIGN KEY(event_id) REFERENCES submission (event_id), "
        "CONSTRAINT pk_rating PRIMARY KEY (event_id, aspect_id))"
    )
    op.execute("INSERT INTO rating SELECT event_id, aspect_id, value FROM rating_before")
    op.execute("DROP TABLE rating_before")
    _guard("rating", ())
