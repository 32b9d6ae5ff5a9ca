"""Alembic's entry: it migrates over the connection that `graph.database` hands in."""

from alembic import context

from core.database import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
