"""The tables of the cases that readers save: what a row holds, and how rows are read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from icbir_core.errors import CatalogueError

LONGEST_NAME = 120
METADATA = sa.MetaData()
FOLDERS = sa.Table(
    "folders",
    METADATA,
    sa.Column("folder_id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(200), nullable=False, index=True),
    sa.Column("name", sa.String(LONGEST_NAME), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False, default=False),
    sa.Column("made", sa.String(40), nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)
SAVED = sa.Table(
    "saved_cases",
    METADATA,
    sa.Column("folder_id", sa.String(32), primary_key=True),
    sa.Column("case_id", sa.String(400), primary_key=True),
    sa.Column("note", sa.Text, nullable=False, default=""),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("saved", sa.String(40), nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False, default=False),
)


@dataclass(frozen=True)
class Folder:
    """folder_id : drawn at random, so that its link cannot be guessed; owner : the pseudonym of its reader; shared :
    whether others who have the link may look into it; cases : how many are in it."""

    folder_id: str
    owner: str
    name: str
    shared: bool
    cases: int


@dataclass(frozen=True)
class SavedCase:
    """A case in a folder. note : what the owner wrote on it; saved : when, ISO 8601 in UTC."""

    case_id: str
    note: str
    saved: str


def read_folders(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Folder]:
    """The folders that fit the condition, in their order, without those that were removed."""
    counted = (
        sa.select(sa.func.count())
        .select_from(SAVED)
        .where(SAVED.c.folder_id == FOLDERS.c.folder_id, SAVED.c.removed.is_(False))
        .scalar_subquery()
    )
    query = sa.select(FOLDERS.c.folder_id, FOLDERS.c.owner, FOLDERS.c.name, FOLDERS.c.shared, counted)
    found = connection.execute(query.where(condition, FOLDERS.c.removed.is_(False)).order_by(FOLDERS.c.place))
    return [Folder(*row) for row in found]


def set_values(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool], **values: Any) -> None:
    """Write values into the one row that fits the condition. Raises `CatalogueError` where there is none."""
    if connection.execute(sa.update(table).where(condition).values(**values)).rowcount != 1:
        raise CatalogueError("That is not in your folders any more; open the page again.")


def find_next_place(connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    """The place after the last row that fits the condition, from 0."""
    query = sa.select(sa.func.coalesce(sa.func.max(table.c.place), -1)).where(condition)
    return int(connection.execute(query).scalar_one()) + 1
