"""The cases that readers save."""

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


def downgrade() -> None:
    for table in ("saved_cases", "folders"):
        op.drop_table(table)
