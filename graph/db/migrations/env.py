"""Alembic's entry: it migrates over the connection that `graph.db.database` hands in."""

from alembic import context

from core.database.engine import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
