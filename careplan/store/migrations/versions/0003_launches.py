"""Launches of the app: authorisations that were begun, and launches that are open, with their tokens sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authorisation",
        sa.Column("state", sa.String(64), primary_key=True),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
    )
    op.create_table(
        "launch",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("browser", sa.String(64), nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("used", sa.String(40), nullable=False),
        sa.Column("base", sa.String(500), nullable=False),
        sa.Column("patient", sa.String(100), nullable=False),
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("person", sa.String(100)),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("banner", sa.Boolean, nullable=False),
        sa.Column("encounter", sa.String(100)),
        sa.Column("ehr", sa.String(500)),
        sa.Column("sealed", sa.Text),
        sa.Column("expires", sa.String(40)),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("held_until", sa.String(40)),
    )


def downgrade() -> None:
    op.drop_table("launch")
    op.drop_table("authorisation")
