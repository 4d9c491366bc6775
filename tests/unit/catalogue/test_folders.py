"""Saved cases: an owner's folders, orders and notes; what is removed comes back, what is erased is in no byte."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.folders import FOLDERS_FILE, LONGEST_NOTE, VERSION, FolderStore, erase_from_folders
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.database import draw_schema
from icbir_core.errors import AccessRefused, CatalogueError
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.keeping.migrating import migrate_workspace
from tests.helpers import fakes

NOTE = "looks like a Ghon focus"


@pytest.fixture
def place(either_database, tmp_path):
    """Opens the folders once more, where they lie: in a file, or in the database server."""
    schema = draw_schema() if either_database == "postgresql" else ""
    return lambda: FolderStore.open(tmp_path / FOLDERS_FILE, schema)


@pytest.fixture
def store(place):
    opened = place()
    yield opened
    opened.close()


@pytest.fixture
def folder(store):
    made = store.make_folder("anna", " teaching:  mimics of effusion ")
    for name in ("one", "two", "three"):
        store.save(made.folder_id, "anna", name)
    return made


def list_names(store, folder, reader: str = "anna") -> list[str]:
    return [one.case_id for one in store.list_cases(folder.folder_id, reader)]


def test_cases_and_folders_keep_the_order_that_their_owner_gives_them(store, folder):
    assert folder.name == "teaching: mimics of effusion" and list_names(store, folder) == ["one", "two", "three"]
    store.move_case(folder.folder_id, "anna", "three", -1)
    assert list_names(store, folder) == ["one", "three", "two"]
    store.move_case(folder.folder_id, "anna", "three", -5)
    store.move_case(folder.folder_id, "anna", "two", 1)
    assert list_names(store, folder) == ["three", "one", "two"]
    other = store.make_folder("anna", "second")
    store.move(other.folder_id, "anna", -1)
    store.rename(folder.folder_id, "anna", "mimics")
    assert [(one.name, one.cases) for one in store.list_folders("anna")] == [("second", 0), ("mimics", 3)]
    with pytest.raises(CatalogueError, match="'second' already"):
        store.rename(folder.folder_id, "anna", "second")


def test_a_case_is_saved_once_and_its_note_is_the_last_one(store, folder):
    store.save(folder.folder_id, "anna", "two", NOTE)
    store.save(folder.folder_id, "anna", "two")
    assert list_names(store, folder) == ["one", "two", "three"]
    assert store.list_cases(folder.folder_id, "anna")[1].note == NOTE
    store.write_note(folder.folder_id, "anna", "two", "")
    assert store.list_cases(folder.folder_id, "anna")[1].note == ""
    with pytest.raises(CatalogueError, match="shorten it"):
        store.write_note(folder.folder_id, "anna", "two", "x" * (LONGEST_NOTE + 1))


def test_what_is_removed_comes_back_until_something_else_is_removed(store, folder):
    store.write_note(folder.folder_id, "anna", "two", NOTE)
    store.remove_case(folder.folder_id, "anna", "two")
    assert list_names(store, folder) == ["one", "three"] and store.list_folders("anna")[0].cases == 2
    store.restore_case(folder.folder_id, "anna", "two")
    assert list_names(store, folder) == ["one", "two", "three"]
    store.remove_case(folder.folder_id, "anna", "two")
    store.remove(folder.folder_id, "anna")
    assert store.list_folders("anna") == []
    store.restore(folder.folder_id, "anna")
    assert list_names(store, folder) == ["one", "three"]
    with pytest.raises(CatalogueError, match="any more"):
        store.restore_case(folder.folder_id, "anna", "two")


def test_a_folder_is_its_owners_and_a_shared_one_can_be_looked_into(store, folder):
    for refused in (
        lambda: store.save(folder.folder_id, "ben", "four"),
        lambda: store.remove(folder.folder_id, "ben"),
        lambda: store.write_note(folder.folder_id, "ben", "one", "mine"),
        lambda: store.share(folder.folder_id, "ben", True),
        lambda: store.move_case(folder.folder_id, "ben", "one", 1),
    ):
        with pytest.raises(AccessRefused):
            refused()
    with pytest.raises(CatalogueError, match="no such folder"):
        store.list_cases(folder.folder_id, "ben")
    store.share(folder.folder_id, "anna", True)
    assert list_names(store, folder, "ben") == ["one", "two", "three"] and store.list_folders("ben") == []
    with pytest.raises(AccessRefused):
        store.save(folder.folder_id, "ben", "four")
    store.share(folder.folder_id, "anna", False)
    with pytest.raises(CatalogueError):
        store.find(folder.folder_id, "ben")


@pytest.mark.parametrize("name", ["", " \n "])
def test_a_folder_has_a_name(store, name):
    with pytest.raises(CatalogueError, match="a name"):
        store.make_folder("anna", name)


def test_windows_that_save_at_once_lose_nothing(place, store, folder):
    def save(number: int) -> None:
        own = place()
        own.save(folder.folder_id, "anna", f"case_{number}")
        own.close()

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(save, range(12)))
    assert set(list_names(store, folder)) == {"one", "two", "three", *(f"case_{number}" for number in range(12))}


@pytest.mark.in_a_file
def test_copies_migration_and_verify_know_them(tmp_path):
    workspace = fakes.make_workspace(tmp_path / "w", 3)
    store = FolderStore.open(workspace.path / FOLDERS_FILE)
    made = store.make_folder("anna", "teaching")
    store.save(made.folder_id, "anna", "case_001", NOTE)
    assert (FOLDERS_FILE, VERSION, VERSION) in [(m.name, m.before, m.after) for m in migrate_workspace(workspace)]
    back_up(workspace, tmp_path / "copy")
    store.remove(made.folder_id, "anna")
    store.close()
    restore_backup(tmp_path / "copy", tmp_path / "again")
    again = FolderStore.open(tmp_path / "again" / FOLDERS_FILE)
    assert again.list_cases(made.folder_id, "anna")[0].note == NOTE
    again.close()
    file = tmp_path / "again" / FOLDERS_FILE
    for left in file.parent.glob(f"{FOLDERS_FILE}-*"):
        left.unlink()
    file.write_bytes(file.read_bytes()[:4096] + bytes(4096) + file.read_bytes()[8192:])
    checks = {one.name: one.passed for one in verify_workspace(Workspace.open(tmp_path / "again"))}
    assert checks["catalogue.db"] and not checks[FOLDERS_FILE]


def test_folders_of_a_file_move_into_the_database_once(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    former = FolderStore.open(tmp_path / FOLDERS_FILE)
    made = former.make_folder("anna", "teaching")
    former.save(made.folder_id, "anna", "case_001", NOTE)
    former.close()
    for _ in range(2):
        store = FolderStore.open(tmp_path / FOLDERS_FILE, "icbir_folders")
        assert [one.note for one in store.list_cases(made.folder_id, "anna")] == [NOTE]
    assert not (tmp_path / FOLDERS_FILE).exists() and (tmp_path / f"{FOLDERS_FILE}.moved").is_file()


def test_a_file_that_is_not_taken_over_stays_and_no_moved_one_is_lost(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    file, moved = tmp_path / FOLDERS_FILE, tmp_path / f"{FOLDERS_FILE}.moved"
    for owner in ("anna", "ben"):
        former = FolderStore.open(file)
        made = former.make_folder(owner, "teaching")
        former.close()
        if owner == "anna":
            FolderStore.open(file, "icbir_folders").close()
            good = shutil.copy(moved, tmp_path / "good")
    store = FolderStore.open(file, "icbir_folders")
    assert file.is_file() and [one.folder_id for one in FolderStore.open(file).list_folders("ben")] == [made.folder_id]
    assert store.list_folders("ben") == [] and len(store.list_folders("anna")) == 1
    for end in ("-wal", "-shm"):
        (tmp_path / f"{FOLDERS_FILE}{end}").unlink(missing_ok=True)
    shutil.copy(good, file)  # as after a start that was cut short before the file got its new name
    assert len(FolderStore.open(file, "icbir_folders").list_folders("anna")) == 1
    assert not file.exists() and moved.read_bytes() == Path(good).read_bytes()
    assert (tmp_path / f"{FOLDERS_FILE}.moved1").is_file()


def test_a_newer_file_is_refused(tmp_path):
    FolderStore.open(tmp_path / FOLDERS_FILE).close()
    with closing(sqlite3.connect(tmp_path / FOLDERS_FILE)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(CatalogueError, match="newer version"):
        FolderStore.open(tmp_path / FOLDERS_FILE)


def test_an_erased_case_is_in_no_byte_of_the_folders(tmp_path):
    store = FolderStore.open(tmp_path / FOLDERS_FILE)
    folder = store.make_folder("anna", "teaching")
    for name in ("one", "two", "three"):
        store.save(folder.folder_id, "anna", name)
    store.save(folder.folder_id, "anna", "patient_17", NOTE)
    store.save(store.make_folder("ben", "his").folder_id, "ben", "patient_17", "his note")
    store.close()

    def read_all() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob(f"{FOLDERS_FILE}*"))

    assert b"patient_17" in read_all() and NOTE.encode() in read_all()
    assert erase_from_folders(tmp_path / FOLDERS_FILE, ["patient_17"]) == 2
    assert b"patient_17" not in read_all() and NOTE.encode() not in read_all() and b"his note" not in read_all()
    assert list_names(FolderStore.open(tmp_path / FOLDERS_FILE), folder) == ["one", "two", "three"]
