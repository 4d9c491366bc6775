"""The history of the tables that a workspace keeps in a database server, for Alembic: one file in `versions` a change.

The tables of the catalogue and of the ratings stand at its beginning: they are made, and gain columns, in the same way
in a file and in a server (`catalogue.schema`, `study.schema`). What came later, and every change that is more than an
addition, is a migration here. `icbir_core.database.make_schema` runs what a schema lacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0004"
"""The last migration, so that a schema that is whole is known without Alembic; a test compares it with the files."""
_TABLE = "alembic_version"


def read_revision(connection: Connection) -> str:
    """The last migration that ran in the connection's schema; "" for none."""
    if not inspect(connection).has_table(_TABLE):
        return ""
    return str(connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar_one_or_none() or "")


def upgrade(connection: Connection) -> None:
    """Run every migration that the connection's schema lacks, within its transaction. Raises what Alembic raises."""
    from alembic import command

    command.upgrade(make_config(connection), "head")


def make_config(connection: Connection) -> Config:
    """What Alembic's commands need to work over a connection, within its transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
