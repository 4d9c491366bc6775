"""Saved cases, the audit log and the films that readers keep over a reload."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "folders",
        sa.Column("folder_id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False, index=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("made", sa.String(40), nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "saved_cases",
        sa.Column("folder_id", sa.String(32), primary_key=True),
        sa.Column("case_id", sa.String(400), primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("saved", sa.String(40), nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    for verb in ("update", "delete"):
        name = f"audit_no_{verb}"
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$"
        )
        op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON audit FOR EACH ROW EXECUTE FUNCTION {name}()")
    op.create_table(
        "kept",
        sa.Column("folder", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("written", sa.Float, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("kept", "audit", "saved_cases", "folders"):
        op.drop_table(table)
    for verb in ("update", "delete"):
        op.execute(f"DROP FUNCTION audit_no_{verb}()")
