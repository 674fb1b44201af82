"""Runs within the transaction of `database.open_database`, which alone calls it."""

from alembic import context

from careplan.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
