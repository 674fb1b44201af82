"""The outbox, whose turn it is to write for a patient, and the answers that were given under an Idempotency-Key."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("identity", sa.String(700), nullable=False),
        sa.Column("base", sa.String(500), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("rung", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("unclear", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("held_until", sa.String(40)),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("changed", sa.String(40), nullable=False),
        sa.Column("bundle", sa.Text),
        sa.Column("reference", sa.String(200)),
        sa.Column("written", sa.Text, nullable=False),
        sa.Column("replaces", sa.String(200)),
        sa.Column("encounter", sa.String(200)),
        sa.Column("error", sa.Text),
        sa.UniqueConstraint("identity", "base", name="outbox_identity_base"),
    )
    op.create_table(
        "turn",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("held_until", sa.String(40), nullable=False),
    )
    op.create_table(
        "answer",
        sa.Column("client", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("held_until", sa.String(40)),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("answer")
    op.drop_table("turn")
    op.drop_table("outbox")
