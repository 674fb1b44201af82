"""The steps by which the tables came to be (Alembic). What was released is not changed any more."""
