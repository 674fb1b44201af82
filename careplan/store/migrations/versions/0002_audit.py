"""The audit: records that are never changed, how many there are, and how far they were sent on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEVER = "audit records are never changed or removed"
GAP = "audit records are numbered without gaps"

_SQLITE = (
    ("audit_record_kept", "BEFORE UPDATE ON audit_record", "", NEVER),
    ("audit_record_there", "BEFORE DELETE ON audit_record", "", NEVER),
    (
        "audit_record_next",
        "BEFORE INSERT ON audit_record",
        "WHEN NEW.sequence <> (SELECT count + 1 FROM audit_head) "
        "OR EXISTS (SELECT 1 FROM audit_record WHERE sequence = NEW.sequence)",
        GAP,
    ),
    (
        "audit_head_grows",
        "BEFORE UPDATE ON audit_head",
        "WHEN NEW.count NOT IN (OLD.count, OLD.count + 1) OR (NEW.count = OLD.count AND NEW.hash <> OLD.hash)",
        NEVER,
    ),
    ("audit_head_there", "BEFORE DELETE ON audit_head", "", NEVER),
    ("audit_head_one", "BEFORE INSERT ON audit_head", "", NEVER),
)
_POSTGRESQL = (
    f"""CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '{NEVER}'; END $$""",
    """CREATE FUNCTION audit_follows() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF NEW.sequence <> (SELECT count + 1 FROM audit_head)
        THEN RAISE EXCEPTION 'audit records are numbered without gaps'; END IF;
        RETURN NEW;
    END $$""",
    f"""CREATE FUNCTION audit_grows() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF NEW.count NOT IN (OLD.count, OLD.count + 1) OR (NEW.count = OLD.count AND NEW.hash <> OLD.hash)
        THEN RAISE EXCEPTION '{NEVER}'; END IF;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER audit_record_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_record "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
    "CREATE TRIGGER audit_record_next BEFORE INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION audit_follows()",
    "CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_grows()",
    "CREATE TRIGGER audit_head_there BEFORE INSERT OR DELETE OR TRUNCATE ON audit_head "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()",
)


def upgrade() -> None:
    op.create_table(
        "audit_record",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recorded", sa.String(40), nullable=False),
        sa.Column("patient", sa.String(100)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False, unique=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )
    op.create_index("audit_record_patient", "audit_record", ["patient"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    sent = op.create_table(
        "audit_sent",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("held_until", sa.Float, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "count": 0, "hash": "0" * 64}])
    op.bulk_insert(sent, [{"id": 1, "sequence": 0, "held_until": 0.0}])
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def _guards(dialect: str) -> list[str]:
    if dialect == "postgresql":
        return list(_POSTGRESQL)
    return [
        f"CREATE TRIGGER {name} {event} {when} BEGIN SELECT RAISE(ABORT, '{says}'); END"
        for name, event, when, says in _SQLITE
    ]


def downgrade() -> None:
    for table in ("audit_record", "audit_head", "audit_sent"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for function in ("audit_refuses", "audit_follows", "audit_grows"):
            op.execute(f"DROP FUNCTION {function}()")
