"""Where kept films lie: a folder beside the workspace, or a table beside its catalogue in a database server, where all
replicas of the pages find them. Neither can open what it holds."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from icbir_core.catalogue.workspace import MANIFEST, Workspace
from icbir_core.database import find_engine, make_schema, reaching
from icbir_core.errors import WorkspaceError
from icbir_core.files import PathLike, write_bytes_atomically
from icbir_core.settings import get_environment

FILM = ".film"
"""How the name of a film ends; what else an owner keeps is her state."""
STATE = "state"
LATER = 300.0
"""Seconds by which the clock of a file may be ahead of this machine's."""
_OWNER = re.compile(r"[0-9a-f]{32}")
TABLE = sa.Table(
    "kept_films",
    sa.MetaData(),
    sa.Column("owner", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("written", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
)


class KeptPlace(Protocol):
    """Sealed bytes by their owner and name, both of which tell nothing. Every call may raise `WorkspaceError`."""

    def list_films(self, owner: str) -> list[tuple[str, int]]:
        """(name, bytes) of an owner's films, the oldest first."""

    def measure(self, owner: str = "") -> int:
        """Bytes of all that an owner keeps; without one, of all owners."""

    def read(self, owner: str, name: str) -> bytes | None:
        """What lies there; None for nothing."""

    def write(self, owner: str, name: str, sealed: bytes) -> None:
        """Put it there, in the place of what was, whole or not at all."""

    def delete(self, owner: str, name: str) -> None:
        """Delete it, if it is there."""

    def forget(self, owner: str) -> None:
        """Delete all that an owner keeps."""

    def sweep(self, hours: float, now: float | None = None) -> int:
        """Delete what was written longer ago, and what a crash left; how many went. hours : 0 for all. now : another
        time than this one, in seconds since 1970."""


class KeptFolder:
    """A folder for each owner, with a file for each film."""

    def __init__(self, root: PathLike):
        self.root = Path(root)

    def list_films(self, owner: str) -> list[tuple[str, int]]:
        """As `KeptPlace` says."""
        films = [(path, found) for path, found in self._list(owner) if path.name.endswith(FILM)]
        return [(path.name, found.st_size) for path, found in sorted(films, key=lambda one: one[1].st_mtime)]

    def measure(self, owner: str = "") -> int:
        """As `KeptPlace` says."""
        return sum(found.st_size for _, found in self._list(owner))

    def read(self, owner: str, name: str) -> bytes | None:
        """As `KeptPlace` says; None too for a file that cannot be read."""
        with suppress(OSError):
            return (self.root / owner / name).read_bytes()
        return None

    def write(self, owner: str, name: str, sealed: bytes) -> None:
        """As `KeptPlace` says."""
        path = self.root / owner / name
        try:
            for folder in (self.root, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_bytes_atomically(path, sealed, mode=0o600)
        except OSError as error:
            raise WorkspaceError(f"The film cannot be kept ({error.strerror}): it is gone after a reload.") from None

    def delete(self, owner: str, name: str) -> None:
        """As `KeptPlace` says."""
        (self.root / owner / name).unlink(missing_ok=True)

    def forget(self, owner: str) -> None:
        """As `KeptPlace` says."""
        shutil.rmtree(self.root / owner, ignore_errors=True)

    def sweep(self, hours: float, now: float | None = None) -> int:
        """As `KeptPlace` says; the time of a file is when it was written."""
        moment = time.time() if now is None else now
        gone = 0
        for folder in (one for one in self.root.glob("*") if one.is_dir() and _OWNER.fullmatch(one.name)):
            for path, found in self._list(folder.name):
                known = path.name == STATE or path.name.endswith(FILM)
                age = moment - found.st_mtime
                if not hours or age >= 3600 * hours or (not known and age >= LATER):
                    with suppress(OSError):
                        path.unlink()
                        gone += 1
            with suppress(OSError):
                folder.rmdir()  # refused where something is left
        return gone

    def _list(self, owner: str) -> list[tuple[Path, os.stat_result]]:
        """The files that are still there when each is looked at: those of other visits come and go."""
        listed = []
        for root, _, names in os.walk(self.root / owner):
            for path in (Path(root) / name for name in names):
                with suppress(FileNotFoundError):
                    listed.append((path, path.stat()))
        return listed


class KeptTable:
    """A row for each film. The clock is the server's, the same for all replicas."""

    def __init__(self, schema: str):
        self.schema = schema
        with reaching("What is kept"):
            make_schema(find_engine(schema), schema)

    def list_films(self, owner: str) -> list[tuple[str, int]]:
        """As `KeptPlace` says."""
        query = sa.select(TABLE.c.name, sa.func.octet_length(TABLE.c.sealed)).where(TABLE.c.owner == owner)
        query = query.where(TABLE.c.name.endswith(FILM, autoescape=True)).order_by(TABLE.c.written, TABLE.c.name)
        with self._connect() as connection:
            return [(str(name), int(size)) for name, size in connection.execute(query)]

    def measure(self, owner: str = "") -> int:
        """As `KeptPlace` says."""
        query = sa.select(sa.func.coalesce(sa.func.sum(sa.func.octet_length(TABLE.c.sealed)), 0))
        with self._connect() as connection:
            return int(connection.execute(query.where(TABLE.c.owner == owner) if owner else query).scalar_one())

    def read(self, owner: str, name: str) -> bytes | None:
        """As `KeptPlace` says."""
        query = sa.select(TABLE.c.sealed).where(*_name(owner, name))
        with self._connect() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else bytes(found)

    def write(self, owner: str, name: str, sealed: bytes) -> None:
        """As `KeptPlace` says."""
        from sqlalchemy.dialects.postgresql import insert

        new = insert(TABLE).values(owner=owner, name=name, sealed=sealed)
        changes = {"sealed": new.excluded.sealed, "written": sa.func.now()}
        with self._connect() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["owner", "name"], set_=changes))

    def delete(self, owner: str, name: str) -> None:
        """As `KeptPlace` says."""
        with self._connect() as connection:
            connection.execute(sa.delete(TABLE).where(*_name(owner, name)))

    def forget(self, owner: str) -> None:
        """As `KeptPlace` says."""
        with self._connect() as connection:
            connection.execute(sa.delete(TABLE).where(TABLE.c.owner == owner))

    def sweep(self, hours: float, now: float | None = None) -> int:
        """As `KeptPlace` says."""
        moment = sa.func.now() if now is None else sa.func.to_timestamp(now)
        old = TABLE.c.written <= moment - timedelta(hours=hours)
        with self._connect() as connection:
            return int(connection.execute(sa.delete(TABLE).where(old) if hours else sa.delete(TABLE)).rowcount)

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        with reaching("What is kept"), find_engine(self.schema).begin() as connection:
            yield connection


def _name(owner: str, name: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return TABLE.c.owner == owner, TABLE.c.name == name


def find_kept_folder(workspace: PathLike) -> Path:
    """The folder `ICBIR_KEPT`, else one beside the workspace, so that no copy of that holds it."""
    place = Path(workspace).absolute()
    return Path(get_environment("KEPT") or place.with_name(f"{place.name}.kept"))


def open_kept_place(workspace: Workspace) -> KeptPlace:
    """Where films of this workspace are kept: in the folder, or, unless `ICBIR_KEPT` names one, in the database server
    where the catalogue lies there. Raises what reaching the database raises."""
    if workspace.database_schema and not get_environment("KEPT"):
        return KeptTable(workspace.database_schema)
    return KeptFolder(find_kept_folder(workspace.path))


def sweep_kept(workspace: PathLike, hours: float) -> int:
    """Sweep all places where films of the workspace in a folder may lie: the folder of kept films also where the
    workspace is not there, or keeps films in the database server now. Needs no key. hours : 0 for all; how many things
    went."""
    gone = KeptFolder(find_kept_folder(workspace)).sweep(hours)
    if (Path(workspace) / MANIFEST).is_file():
        place = open_kept_place(Workspace.open(workspace))
        gone += 0 if isinstance(place, KeptFolder) else place.sweep(hours)
    return gone
