"""Cases that readers save: named folders in their own order, with the reader's note on each case.

One SQLite file beside the catalogue, or tables beside it where it lies in a database server. A folder is its owner's; a
colleague who has its link may look into it once the owner shares it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from icbir_core.catalogue.folder_tables import (
    FOLDERS,
    LONGEST_NAME,
    METADATA,
    SAVED,
    Folder,
    SavedCase,
    find_next_place,
    read_folders,
    set_values,
)
from icbir_core.database import erasing, find_engine, hold_alone, make_schema, write_anew
from icbir_core.errors import AccessRefused, CatalogueError
from icbir_core.files import PathLike, reading_own

FOLDERS_FILE = "folders.db"
VERSION = 1
LONGEST_NOTE = 4000
MOST_FOLDERS, MOST_CASES = 200, 500
_TABLES = (FOLDERS, SAVED)


class FolderStore:
    """The folders of all readers; every change is committed when its call returns. Safe for several processes."""

    def __init__(self, engine: sa.Engine):
        self._engine = engine

    @classmethod
    def open(cls, target: PathLike, schema: str = "") -> FolderStore:
        """The store at a file's path (made if missing) or at a database URL. schema : of a workspace in the database
        server that `ICBIR_DATABASE_URL` names, whose folders lie there; those of a file at the path move there.

        Raises `CatalogueError` for a file that a newer version of this program wrote, or that is damaged.
        """
        text = os.fspath(target)
        is_url = "://" in text
        if schema:
            store = cls(find_engine(schema))
            with _door():
                make_schema(store._engine, schema)
            if Path(text).is_file():
                store._take_in(Path(text))
            return store
        store = cls(sa.create_engine(text if is_url else f"sqlite:///{Path(text).resolve()}", pool_pre_ping=is_url))
        if store._engine.dialect.name == "sqlite":
            sa.event.listen(store._engine, "connect", _prepare)
        with store._change() as connection:
            version = store._read_version(connection)
            if version > VERSION:
                raise CatalogueError(
                    f"The folders were written by a newer version of this program (folders {version}, this version "
                    f"reads {VERSION}); use that version."
                )
            METADATA.create_all(connection)
            if connection.dialect.name == "sqlite" and version < VERSION:
                connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        return store

    def _take_in(self, file: Path) -> None:
        """Move what a file holds into empty tables; the file stays with the ending `.moved`. One that holds folders
        which the tables lack stays as it is where they hold others."""
        with self._change() as connection:
            hold_alone(connection)  # of two servers that start at once, one moves it
            if not file.is_file():
                return
            former = FolderStore.open(file)
            try:
                with former._look() as reading:
                    rows = {one: [dict(row) for row in reading.execute(sa.select(one)).mappings()] for one in _TABLES}
            finally:
                former.close()
            known = set(connection.execute(sa.select(FOLDERS.c.folder_id)).scalars())
            if known and not {row["folder_id"] for row in rows[FOLDERS]} <= known:
                return
            for table, found in rows.items():
                if found and not known:
                    connection.execute(sa.insert(table), found)
        # Only now, when the rows are there for good; a start that was cut short here is ended by the next one.
        names = (f"{file.name}.moved{number or ''}" for number in count())
        free = next(name for name in names if not file.with_name(name).exists())
        with suppress(FileNotFoundError):  # the other server did it
            file.rename(file.with_name(free))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # Looking

    def list_folders(self, owner: str) -> list[Folder]:
        """The folders of a reader in her order."""
        with self._look() as connection:
            return read_folders(connection, FOLDERS.c.owner == owner)

    def find(self, folder_id: str, reader: str) -> Folder:
        """A folder that the reader owns or that is shared. Raises `CatalogueError` for any other."""
        with self._look() as connection:
            found = read_folders(connection, FOLDERS.c.folder_id == folder_id)
        if not found or not (found[0].shared or found[0].owner == reader):
            raise CatalogueError("There is no such folder, or its owner does not share it.")
        return found[0]

    def list_cases(self, folder_id: str, reader: str) -> list[SavedCase]:
        """What is in a folder, in its order. Raises as `find`."""
        self.find(folder_id, reader)
        query = sa.select(SAVED.c.case_id, SAVED.c.note, SAVED.c.saved).where(
            SAVED.c.folder_id == folder_id, SAVED.c.removed.is_(False)
        )
        with self._look() as connection:
            return [SavedCase(*row) for row in connection.execute(query.order_by(SAVED.c.place))]

    # Changing: each by the owner alone

    def make_folder(self, owner: str, name: str) -> Folder:
        """A new folder at the end of the reader's. Raises `CatalogueError` without a name, or for one too many."""
        name = _check_name(name)
        with self._change() as connection:
            held = read_folders(connection, FOLDERS.c.owner == owner)
            if name in [one.name for one in held]:
                raise CatalogueError(f"You have a folder '{name}' already; choose another name.")
            if len(held) >= MOST_FOLDERS:
                raise CatalogueError(f"You have {MOST_FOLDERS} folders, which is the most; remove one first.")
            made = Folder(secrets.token_hex(16), owner, name, False, 0)
            place = find_next_place(connection, FOLDERS, FOLDERS.c.owner == owner)
            values = {"folder_id": made.folder_id, "owner": owner, "name": name, "place": place, "made": _now()}
            connection.execute(sa.insert(FOLDERS), [values])
        return made

    def rename(self, folder_id: str, owner: str, name: str) -> None:
        """Give a folder another name."""
        name = _check_name(name)
        with self._change(folder_id, owner) as connection:
            if any(one.name == name for one in read_folders(connection, FOLDERS.c.owner == owner)):
                raise CatalogueError(f"You have a folder '{name}' already; choose another name.")
            set_values(connection, FOLDERS, FOLDERS.c.folder_id == folder_id, name=name)

    def share(self, folder_id: str, owner: str, shared: bool) -> None:
        """Let others who have the link look into a folder, or no longer."""
        with self._change(folder_id, owner) as connection:
            set_values(connection, FOLDERS, FOLDERS.c.folder_id == folder_id, shared=shared)

    def move(self, folder_id: str, owner: str, by: int) -> None:
        """Move a folder among the reader's own: -1 is one place earlier."""
        with self._change(folder_id, owner) as connection:
            order = [one.folder_id for one in read_folders(connection, FOLDERS.c.owner == owner)]
            for place, one in enumerate(_shift(order, folder_id, by)):
                set_values(connection, FOLDERS, FOLDERS.c.folder_id == one, place=place)

    def remove(self, folder_id: str, owner: str) -> None:
        """Take a folder away; `restore` brings it back until the owner removes something else."""
        with self._change(folder_id, owner) as connection:
            self._forget_removed(connection, owner)
            set_values(connection, FOLDERS, FOLDERS.c.folder_id == folder_id, removed=True)

    def restore(self, folder_id: str, owner: str) -> None:
        """Undo `remove`. Raises `AccessRefused` where it cannot be undone any more."""
        with self._change(folder_id, owner) as connection:
            set_values(connection, FOLDERS, FOLDERS.c.folder_id == folder_id, removed=False)

    def save(self, folder_id: str, owner: str, case_id: str, note: str = "") -> None:
        """Put a case at the end of a folder; one that is there gets the note, unless that is empty."""
        note = _check_note(note)
        here = (SAVED.c.folder_id == folder_id) & (SAVED.c.case_id == case_id)
        with self._change(folder_id, owner) as connection:
            held = connection.execute(sa.select(SAVED.c.removed).where(here)).scalar_one_or_none()
            if held is False:
                if note:
                    set_values(connection, SAVED, here, note=note)
                return
            count = sa.select(sa.func.count()).select_from(SAVED).where(SAVED.c.folder_id == folder_id)
            if connection.execute(count).scalar_one() >= MOST_CASES:
                raise CatalogueError(f"The folder holds {MOST_CASES} cases, which is the most; make another.")
            connection.execute(sa.delete(SAVED).where(here))
            place = find_next_place(connection, SAVED, SAVED.c.folder_id == folder_id)
            values = {"folder_id": folder_id, "case_id": case_id, "note": note, "place": place, "saved": _now()}
            connection.execute(sa.insert(SAVED), [values])

    def write_note(self, folder_id: str, owner: str, case_id: str, note: str) -> None:
        """Replace the note on a case."""
        note = _check_note(note)
        with self._change(folder_id, owner) as connection:
            set_values(connection, SAVED, (SAVED.c.folder_id == folder_id) & (SAVED.c.case_id == case_id), note=note)

    def move_case(self, folder_id: str, owner: str, case_id: str, by: int) -> None:
        """Move a case within its folder: -1 is one place earlier."""
        shown = (SAVED.c.folder_id == folder_id) & SAVED.c.removed.is_(False)
        with self._change(folder_id, owner) as connection:
            order = list(connection.execute(sa.select(SAVED.c.case_id).where(shown).order_by(SAVED.c.place)).scalars())
            for place, one in enumerate(_shift(order, case_id, by)):
                set_values(connection, SAVED, (SAVED.c.folder_id == folder_id) & (SAVED.c.case_id == one), place=place)

    def remove_case(self, folder_id: str, owner: str, case_id: str) -> None:
        """Take a case out of a folder; `restore_case` brings it back until the owner removes something else."""
        with self._change(folder_id, owner) as connection:
            self._forget_removed(connection, owner)
            set_values(connection, SAVED, (SAVED.c.folder_id == folder_id) & (SAVED.c.case_id == case_id), removed=True)

    def restore_case(self, folder_id: str, owner: str, case_id: str) -> None:
        """Undo `remove_case`."""
        with self._change(folder_id, owner) as connection:
            set_values(
                connection, SAVED, (SAVED.c.folder_id == folder_id) & (SAVED.c.case_id == case_id), removed=False
            )

    def _forget_removed(self, connection: sa.Connection, owner: str) -> None:
        """What was removed before goes for good, notes too."""
        own = sa.select(FOLDERS.c.folder_id).where(FOLDERS.c.owner == owner)
        gone = own.where(FOLDERS.c.removed.is_(True))
        connection.execute(sa.delete(SAVED).where(SAVED.c.folder_id.in_(gone)))
        connection.execute(sa.delete(SAVED).where(SAVED.c.folder_id.in_(own), SAVED.c.removed.is_(True)))
        connection.execute(sa.delete(FOLDERS).where(FOLDERS.c.owner == owner, FOLDERS.c.removed.is_(True)))

    @contextmanager
    def _look(self) -> Iterator[sa.Connection]:
        with _door(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _change(self, folder_id: str | None = None, owner: str | None = None) -> Iterator[sa.Connection]:
        """One transaction. Raises `AccessRefused` where the folder is not the owner's."""
        with _door(), self._engine.begin() as connection:
            if folder_id is not None:
                query = sa.select(FOLDERS.c.owner).where(FOLDERS.c.folder_id == folder_id)
                if connection.execute(query).scalar_one_or_none() != owner:
                    raise AccessRefused("Only the owner of a folder may change it.")
            yield connection

    @staticmethod
    def _read_version(connection: sa.Connection) -> int:
        if connection.dialect.name != "sqlite":
            return VERSION
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def erase_from_folders(path: PathLike, names: Iterable[str], schema: str = "") -> int:
    """Take cases with their notes out of every folder, also out of the free pages; how many there were. path, schema :
    as for `FolderStore.open`."""
    path = Path(path)
    if not schema and not path.is_file():
        return 0
    store = FolderStore.open(path, schema)
    try:
        with _door():
            with erasing(store._engine) as connection:
                gone = sum(connection.execute(sa.delete(SAVED).where(SAVED.c.case_id == one)).rowcount for one in names)
            write_anew(store._engine, METADATA.tables)
    finally:
        store.close()
    return gone


def _door() -> Any:
    return reading_own("The saved cases", CatalogueError, f"restore '{FOLDERS_FILE}' from a copy")


def _prepare(connection: Any, _record: Any) -> None:
    """A busy window waits its turn, a commit waits for the disk, and what is deleted is written over."""
    cursor = connection.cursor()
    for setting in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _shift(order: list[str], name: str, by: int) -> list[str]:
    if name not in order:
        raise CatalogueError("That is not in your folders any more; open the page again.")
    place = max(0, min(order.index(name) + by, len(order) - 1))
    others = [one for one in order if one != name]
    return [*others[:place], name, *others[place:]]


def _check_name(name: str) -> str:
    plain = " ".join(name.split())[:LONGEST_NAME]
    if not plain:
        raise CatalogueError("Give the folder a name, such as: teaching: mimics of effusion.")
    return plain


def _check_note(note: str) -> str:
    if len(note) > LONGEST_NOTE:
        raise CatalogueError(f"A note has at most {LONGEST_NOTE:,} letters, this one has {len(note):,}; shorten it.")
    return note.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
