"""`verify` finds each damaged file of a workspace, in four ways, never stops at the first, and never raises."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from icbir_core.audit import open_audit
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.verifying import Check, guard, verify_workspace
from icbir_core.errors import WorkspaceError
from icbir_core.retrieval.target_files import verify_stores
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore
from icbir_core.study.verifying import verify_ratings

# What no other file depends on: locks, lists for the operator, and a database's helpers.
LEFT_OUT = (".lock", ".csv", "-wal", "-shm")
# The audit log, where there is one, is chained by the salt.
KEYED = (["salt"], ["salt", "audit"])


def verify_all(workspace: Workspace) -> list[Check]:
    return [*verify_workspace(workspace), *verify_stores(workspace), *verify_ratings(workspace)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, indexed) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "w"
    shutil.copytree(indexed.path, folder)
    store = RatingsStore.open(folder / "ratings.db")
    store.add_all([Rating("search", "1", "reader", "query", str(i), score=3) for i in range(50)])
    store.close()
    assert not [check for check in verify_all(Workspace.open(folder)) if not check.passed]
    return folder


def list_files(folder: Path) -> list[str]:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(LEFT_OUT))
    return sorted(file.relative_to(folder).as_posix() for file in files)


def list_kinds(folder: Path) -> list[str]:
    """One chunk of each field and one film stand for all, each being hashed alike; every other file for itself."""
    names = [name for name in list_files(folder) if "/c/" not in name or "/c/1/" in name or name.endswith("/c/1")]
    films = [name for name in names if name.startswith("images/")]
    return [name for name in names if name not in films[1:]]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def change_row(path: Path) -> None:
    """One value of one row, every page of the database being whole; the triggers are taken away first."""
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        ratings = path.name == "ratings.db"
        table, change = ("ratings", "score = 5 WHERE number = 7") if ratings else ("cases", "sex = 'X' WHERE row = 3")
        assert database.execute(f"UPDATE {table} SET {change}").rowcount == 1
        database.commit()


def verify(folder: Path) -> list[str]:
    """The names of the failed checks; ["not a workspace"] where it is refused by name."""
    try:
        opened = Workspace.open(folder)
        checks = [*verify_all(opened), *guard("audit", lambda: open_audit(opened).verify())]
        return [check.name for check in checks if not check.passed]
    except WorkspaceError:
        return ["not a workspace"]


WAYS = {
    "flip": flip,
    "half": lambda data: data[: len(data) // 2],
    "delete": lambda data: None,
    "swap": lambda data: bytes(reversed(data)),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_damaged_file_is_found(whole, way):
    unseen, looked = [], 0
    names = list_kinds(whole)
    assert len(names) > 25
    for name in names:
        path = whole / name
        data = path.read_bytes()
        damaged = WAYS[way](data)
        in_a_row = way == "flip" and name.endswith(".db")  # most of a page is room that no row uses
        if in_a_row:
            change_row(path)
            damaged = path.read_bytes()
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
            path.chmod(0o600 if name.endswith(".salt") else 0o644)
        if not verify(whole):
            unseen.append(name)
        looked += 1
        path.write_bytes(data)
        path.chmod(0o600 if name.endswith(".salt") else 0o644)
    assert not unseen, f"{len(unseen)} of {looked} not seen"
    assert not verify(whole), "all was put right again"


def test_one_fault_does_not_hide_the_others(whole):
    names = ["patients.salt", "targets/effusion/store.zarr/maps/zarr.json", "targets/effusion/centre.npz"]
    kept = {name: (whole / name).read_bytes() for name in names}
    try:
        for name in names:
            (whole / name).write_bytes(flip(kept[name])[: len(kept[name]) // 2 * 2 - 2])
        assert {"salt", "centre/Effusion", "maps and embeddings/Effusion"} <= set(verify(whole))
    finally:
        for name, data in kept.items():
            (whole / name).write_bytes(data)


def test_a_salt_that_was_exchanged_stays_wrong_after_the_next_ingest(whole):
    from icbir_core.catalogue.ingesting import record_catalogue

    path = whole / "patients.salt"
    salt = path.read_bytes()
    try:
        path.write_bytes(flip(salt))
        assert verify(whole) in KEYED
        record_catalogue(Workspace.open(whole))
        assert verify(whole) in KEYED
    finally:
        path.write_bytes(salt)
