"""The tables of procrastinate 3.10, which hold the jobs."""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    # the driver itself, so that no sign of the text is taken for the place of a value
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(SchemaManager.get_schema())


def downgrade() -> None:
    raise NotImplementedError("The jobs' tables are dropped with their schema.")
