"""Run by Alembic, on the connection that `open_database` gives it."""

from alembic import context

from careplan.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
