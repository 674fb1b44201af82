"""What all tables of the store belong to; `migrations/` makes them."""

from __future__ import annotations

from sqlalchemy import MetaData

METADATA = MetaData()
