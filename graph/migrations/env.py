"""Alembic's entry: it migrates over the connection that `graph.database` hands in."""

from alembic import context

from graph.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
