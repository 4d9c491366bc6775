"""Films that readers keep over a reload, sealed.

Unlogged: no archive of the server's log holds films that are to be gone tomorrow. A crash of the server empties it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.create_table(
        "kept_films",
        sa.Column("owner", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
        prefixes=["UNLOGGED"],
    )
    op.execute("ALTER TABLE kept_films ALTER COLUMN sealed SET STORAGE EXTERNAL")  # sealed bytes cannot be compressed


def downgrade() -> None:
    op.drop_table("kept_films")
