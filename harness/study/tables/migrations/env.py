"""What Alembic runs for every migration: on the connection that it was given, in that connection's transaction."""

from alembic import context

from harness.study.tables import identity, schema  # noqa: F401 - they register their tables
from harness.study.tables.base import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
context.run_migrations()
