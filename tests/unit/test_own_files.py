"""The project's own files have one door: what is locked, out of reach, missing or damaged is told apart, by name."""

from __future__ import annotations

import errno
import json
import sqlite3
import zipfile

import numpy as np
import psycopg
import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from icbir_core.catalogue import table
from icbir_core.catalogue.table import Catalogue
from icbir_core.errors import (
    CatalogueError,
    DatabaseAway,
    IndexMismatch,
    StudyError,
    UnknownNameError,
    WorkspaceBusy,
    WorkspaceError,
)
from icbir_core.files import read_arrays, read_json, reading_own
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.neighbours import read_neighbours, write_neighbours
from icbir_core.study.exchange import import_study
from icbir_core.study.store import RatingsStore


def tell(error: Exception, kind=WorkspaceError) -> WorkspaceError:
    with pytest.raises(WorkspaceError) as caught, reading_own("'the file'", kind):
        raise error
    return caught.value


def locked() -> sqlite3.OperationalError:
    """The error of a real lock."""
    first = sqlite3.connect("file:locked?mode=memory&cache=shared", uri=True)
    second = sqlite3.connect("file:locked?mode=memory&cache=shared", uri=True, timeout=0)
    first.execute("CREATE TABLE IF NOT EXISTS t (x)")
    first.execute("BEGIN EXCLUSIVE")
    first.execute("INSERT INTO t VALUES (1)")
    try:
        second.execute("SELECT * FROM t")
    except sqlite3.OperationalError as error:
        return error
    finally:
        first.close()
        second.close()
    raise AssertionError("not locked")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("letters of the file"), "is damaged (ValueError)"),
        (KeyError("mean"), "is damaged (KeyError)"),
        (EOFError(), "is damaged (EOFError)"),
        (OSError("Failed to interpret file"), "is damaged (OSError)"),
        (FileNotFoundError(errno.ENOENT, "gone"), "is missing"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be reached (Permission denied)"),
        (OSError(errno.ESTALE, "Stale file handle"), "cannot be reached (Stale file handle)"),
        (MemoryError(), "not enough memory"),
        (
            OperationalError("SELECT", None, sqlite3.OperationalError("attempt to write a readonly database")),
            "read-only",
        ),
        (sqlite3.DatabaseError("database disk image is malformed"), "is damaged (DatabaseError)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_trouble_is_told_as_what_it_is(error, words):
    told = tell(error)
    assert words in str(told) and not isinstance(told, WorkspaceBusy) and told.__cause__ is error
    assert "letters of the file" not in str(told)


def test_locked_is_never_told_as_damaged():
    for error in (locked(), OperationalError("SELECT", None, locked())):
        told = tell(error, IndexMismatch)
        assert isinstance(told, WorkspaceBusy) and "another process" in str(told)
        assert "damaged" not in str(told) and "restore" not in str(told)


def test_a_database_server_that_is_away_is_told_without_the_words_of_its_driver():
    for error in (psycopg.OperationalError("host 10.0.0.9"), psycopg.errors.AdminShutdown("host 10.0.0.9")):
        for raised in (error, OperationalError("SELECT", None, error)):
            told = tell(raised, CatalogueError)
            assert isinstance(told, DatabaseAway) and str(told).startswith("The database does not answer;")
            assert "10.0.0.9" not in str(told)
    assert "no right" in str(tell(psycopg.errors.InsufficientPrivilege("denied")))
    assert "no room" in str(tell(psycopg.errors.DiskFull("full")))
    broken = ProgrammingError("SELECT", None, psycopg.errors.UndefinedTable("none"))
    with pytest.raises(CatalogueError, match="UndefinedTable"), reading_own("the table", CatalogueError):
        raise broken


def test_errors_of_the_project_pass_unchanged():
    own = StudyError("one sentence.")
    with pytest.raises(StudyError) as caught, reading_own("'the file'"):
        raise own
    assert caught.value is own


def test_a_locked_catalogue_is_busy(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "LOCK_SECONDS", 0.1)
    catalogue = Catalogue(tmp_path / "catalogue.db")
    assert catalogue.count() == 0
    holder = sqlite3.connect(tmp_path / "catalogue.db")
    holder.execute("BEGIN EXCLUSIVE")
    asked = (catalogue.sha256, catalogue.removed_rows, lambda: catalogue.remove("x"), lambda: catalogue.get("x"))
    try:
        for ask in (catalogue.count, *asked):
            with pytest.raises(WorkspaceBusy, match="in use by another process"):
                ask()
    finally:
        holder.close()
    assert catalogue.count() == 0


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100, None], ids=["empty", "other", "half"])
def test_a_damaged_catalogue_is_one_sentence(tmp_path, damage):
    path = tmp_path / "catalogue.db"
    Catalogue(path).add([{"case_id": str(i), "path": "p", "sha256": "s", "pixel_sha256": "x", "findings": {}}
                         for i in range(400)])  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    try:
        catalogue = Catalogue(path)
        found = catalogue.count(), len(catalogue.cases()), catalogue.sha256()
    except CatalogueError as error:
        assert "is damaged" in str(error) and "restore it" in str(error)
    else:
        assert damage == b"" and found[:2] == (0, 0), "an empty file is a new database to SQLite"


def test_a_damaged_ratings_store_is_one_sentence(tmp_path):
    path = tmp_path / "ratings.db"
    store = RatingsStore.open(path)
    store.close()
    database = sqlite3.connect(path)
    database.execute("DROP TABLE studies")
    database.execute("CREATE TABLE studies (name TEXT)")
    database.commit()
    database.close()
    with pytest.raises(StudyError, match="column 'sha256'"):
        RatingsStore.open(path)


def cut_in_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [cut_in_half, lambda data: b"", lambda data: b"PK\3\4" + bytes(99)])
def test_damaged_arrays_are_one_sentence(tmp_path, damage):
    Centre.measure([np.ones((3, 4))], {"model": "m"}).save(tmp_path)
    write_neighbours(tmp_path, "hash", np.arange(5.0))
    for name, read in (
        ("centre.npz", lambda: Centre.open(tmp_path, {"model": "m"})),
        ("neighbours.npz", lambda: read_neighbours(tmp_path, "hash")),
    ):
        read()
        path = tmp_path / name
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(IndexMismatch, match="run the index command"):
            read()


def test_arrays_with_other_names_are_one_sentence(tmp_path):
    np.savez(tmp_path / "centre.npz", other=np.ones(3))
    with pytest.raises(IndexMismatch, match=r"is damaged \(KeyError\)"):
        Centre.open(tmp_path, {})
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with pytest.raises(IndexMismatch, match="is damaged"):
        read_arrays(tmp_path / "objects.npz", IndexMismatch, "run the index command again")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\0", '{"a": 1' + "0" * 5000 + "}"])
def test_json_that_is_none_is_one_sentence(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(WorkspaceError):
        read_json(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(WorkspaceError, match="cannot be reached"):
        read_json(path)


@pytest.mark.parametrize("study", [[], 5, "text", {"queries": 5}, {"queries": [5], "methods": 1}, None])
def test_an_import_that_is_no_study_adds_nothing(tmp_path, study):
    import hashlib

    parts = {"study.json": json.dumps(study).encode(), "ratings.jsonl": b'{"x": 1}\n5\n'}
    manifest = {"format": "icbir study 1", "sha256": {n: hashlib.sha256(d).hexdigest() for n, d in parts.items()}}
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for name, data in (parts | {"manifest.json": json.dumps(manifest).encode()}).items():
            archive.writestr(name, data)
    store = RatingsStore.open(tmp_path / "ratings.db")
    with pytest.raises(StudyError):
        import_study(store, tmp_path / "study.zip")
    assert store.count() == 0 and store.study_names() == []


def test_a_name_from_a_damaged_file_does_not_break_the_sentence():
    for error in (IndexMismatch("'a\x7fb\u202e.npy' is missing;\r\n run `index`."), UnknownNameError("f", "a\x7f", ())):
        assert str(error).isprintable() and "a\ufffd" in str(error)
    assert str(IndexMismatch("'a\nb' é is missing.")) == "'a b' é is missing."
