"""The tables as SQLAlchemy knows them; `migrations/` makes them. Times are UTC in ISO 8601, which sorts as text."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("identity", String(700), nullable=False),
    Column("base", String(500), nullable=False),
    Column("state", String(10), nullable=False),
    Column("rung", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("unclear", Boolean, nullable=False),
    Column("owner", String(200)),
    Column("held_until", String(40)),
    Column("created", String(40), nullable=False),
    Column("changed", String(40), nullable=False),
    Column("bundle", Text),
    Column("reference", String(200)),
    Column("written", Text, nullable=False),
    Column("replaces", String(200)),
    Column("encounter", String(200)),
    Column("error", Text),
    UniqueConstraint("identity", "base", name="outbox_identity_base"),
)

TURNS = Table(
    "turn",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("held_until", String(40), nullable=False),
)

DRAFTS = Table(
    "draft",
    METADATA,
    Column("launch", String(200), primary_key=True),
    Column("changed", String(40), nullable=False),
    Column("body", Text, nullable=False),
)

ANSWERS = Table(
    "answer",
    METADATA,
    Column("client", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("owner", String(200)),
    Column("held_until", String(40)),
    Column("created", String(40), nullable=False),
    Column("status", Integer),
    Column("headers", Text),
    Column("body", Text),
)

AUTHORISATIONS = Table(
    "authorisation",
    METADATA,
    Column("state", String(64), primary_key=True),
    Column("created", String(40), nullable=False),
    Column("browser", String(64), nullable=False),
    Column("sealed", Text, nullable=False),
)

LAUNCHES = Table(
    "launch",
    METADATA,
    Column("key", String(40), primary_key=True),
    Column("browser", String(64), nullable=False),
    Column("created", String(40), nullable=False),
    Column("used", String(40), nullable=False),
    Column("base", String(500), nullable=False),
    Column("patient", String(100), nullable=False),
    Column("issuer", String(500), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("person", String(100)),
    Column("scopes", Text, nullable=False),
    Column("banner", Boolean, nullable=False),
    Column("encounter", String(100)),
    Column("ehr", String(500)),
    Column("sealed", Text),
    Column("expires", String(40)),
    Column("generation", Integer, nullable=False),
    Column("held_until", String(40)),
)
