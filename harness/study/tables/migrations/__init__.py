"""Layouts of a study's database, from the first to the latest, for SQLite and PostgreSQL (Alembic)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine


def config(connection: Connection | None = None) -> Any:
    """Alembic's configuration, which needs no file of its own."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database to a layout, in one transaction; an empty one becomes an empty study."""
    from alembic import command

    with engine.execution_options(seetell_writer=True).begin() as connection:
        command.upgrade(config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database back to an older layout, such as "0001" or "-1"."""
    from alembic import command

    with engine.execution_options(seetell_writer=True).begin() as connection:
        command.downgrade(config(connection), revision)
