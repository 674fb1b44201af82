"""How the tables came to be, one step after the other (Alembic). A step that was released is never changed."""
