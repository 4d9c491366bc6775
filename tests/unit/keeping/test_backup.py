"""A copy of a workspace in use: whole, of one moment, checked when it is taken back; and what other versions made."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from icbir_core.audit import open_audit
from icbir_core.audit.entries import Action
from icbir_core.catalogue import Workspace
from icbir_core.catalogue.copies import Copy
from icbir_core.catalogue.ingesting import record_catalogue
from icbir_core.catalogue.schema import CASES
from icbir_core.catalogue.schema import VERSION as CATALOGUE_VERSION
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import IcbirError, WorkspaceError
from icbir_core.files import sha256_of_file
from icbir_core.keeping import backup as keeping
from icbir_core.keeping.backup import LIST, back_up, read_backup, restore_backup
from icbir_core.keeping.migrating import migrate_workspace
from icbir_core.keeping.moving import move_to_database
from icbir_core.study.creating import open_store
from icbir_core.study.rating import Rating
from icbir_core.study.schema import VERSION as RATINGS_VERSION
from icbir_core.study.store import RatingsStore
from icbir_core.study.verifying import verify_ratings
from tests.helpers.made_data_sets import write_film

FILMS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A workspace of four films, a copy of one, a removed case, three ratings and a line in the audit log."""
    workspace = Workspace.create(tmp_path_factory.mktemp("made") / "w")
    records = []
    for number in range(FILMS):
        film = write_film(workspace.images / f"{number}.png", seed=number)
        digest = sha256_of_file(film)
        records.append(
            {"case_id": str(number), "path": f"images/{number}.png", "sha256": digest, "pixel_sha256": digest}
            | {"findings": {}, "patient": f"p{number}", "instance": f"i{number}", "stored_sha256": digest}
        )
    workspace.catalogue.add(records, [Copy("copy", "1", "folder", 99, True)], [("1", "p9")])
    record_catalogue(workspace)
    workspace.catalogue.remove("2")
    (workspace.models / "classifier.keras").write_bytes(b"weights")
    workspace.record_artefact("classifier", {"path": workspace.models / "classifier.keras"})
    store = RatingsStore.open(workspace.path / "ratings.db")
    store.add_all([make_rating(number) for number in range(3)])
    store.close()
    open_audit(workspace).record("reader", Action.SEARCHED)
    workspace.catalogue.close()
    return workspace.path


@pytest.fixture
def workspace(made, tmp_path) -> Workspace:
    shutil.copytree(made, tmp_path / "w")
    return Workspace.open(tmp_path / "w")


@pytest.fixture
def anywhere(either_database, workspace) -> Workspace:
    """The same in its folder, and in a database server."""
    if either_database == "postgresql":
        move_to_database(workspace)
    return Workspace.open(workspace.path)


def make_rating(number: int) -> Rating:
    return Rating("search", "1", "reader", "query", str(number), score=3)


def find_faults(path: Path) -> list[str]:
    opened = Workspace.open(path)
    checks = [*verify_workspace(opened), *verify_ratings(opened), *open_audit(opened).verify()]
    return [f"{check.name}: {check.text}" for check in checks if not check.passed]


def test_files_that_a_move_left_behind_are_not_copied(workspace, tmp_path):
    for name in ("catalogue.db.moved", "folders.db.moved1"):  # two stores of folders were moved, one after the other
        (workspace.path / name).write_text("what was erased since")
    back_up(workspace, tmp_path / "copy")
    assert not [path.name for path in (tmp_path / "copy").iterdir() if "moved" in path.name]


@pytest.mark.parametrize("link", [False, True])
def test_a_copy_taken_back_is_the_same_workspace(anywhere, tmp_path, link):
    workspace = anywhere
    report = back_up(workspace, tmp_path / "copies" / "monday", link)
    assert (report.cases, report.ratings) == (FILMS, 3) and report.files == len(
        read_backup(tmp_path / "copies/monday")["files"]
    )
    film = tmp_path / "copies" / "monday" / "images" / "0.png"
    assert (film.stat().st_nlink == 2) is link
    shutil.rmtree(workspace.path)
    assert restore_backup(tmp_path / "copies" / "monday", tmp_path / "again") == report
    again = Workspace.open(tmp_path / "again")
    assert find_faults(again.path) == []
    assert again.catalogue.get("2").removed and again.catalogue.copies.find(["copy"])
    assert RatingsStore.open(again.path / "ratings.db").count() == 3
    assert (again.path / "patients.salt").stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "copies").rglob("*.lock"))


def test_readers_rate_while_it_is_copied(anywhere, tmp_path, monkeypatch):
    """Ratings come at the worst time: after the databases were copied."""
    workspace = anywhere
    store = open_store(workspace)
    move = RatingsStore.move_head

    def move_and_rate(moved):
        move(moved)
        if moved is not store:  # it is the copy, whose databases are whole with this
            store.add(make_rating(50))
            open_audit(workspace).record("reader", Action.RATED)

    monkeypatch.setattr(RatingsStore, "move_head", move_and_rate)
    stop = threading.Event()

    def rate() -> None:
        number = 100
        while not stop.is_set():
            store.add(make_rating(number := number + 1))

    reader = threading.Thread(target=rate)
    reader.start()
    try:
        report = back_up(workspace, tmp_path / "copy")
    finally:
        stop.set()
        reader.join()
    restore_backup(tmp_path / "copy", tmp_path / "again")
    assert find_faults(tmp_path / "again") == []
    assert 3 <= report.ratings < store.count() and "50" not in {
        rating.case_id for rating in RatingsStore.open(tmp_path / "again" / "ratings.db").history()
    }
    assert find_faults(workspace.path) == []


def test_one_that_was_cut_short_leaves_nothing_of_its_name(anywhere, tmp_path, monkeypatch):
    workspace = anywhere

    def fail(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "sha256_of_file", fail)
        with pytest.raises(KeyboardInterrupt):
            back_up(workspace, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    (tmp_path / ".copy.0123.partial").mkdir()  # what a killed one leaves
    back_up(workspace, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy"]


def test_two_at_once_leave_each_other_alone(anywhere, tmp_path, monkeypatch):
    """The second begins while the first is at work, and does not take its folder for what a killed one left."""
    workspace = anywhere
    hashed, tried = keeping.sha256_of_file, []

    def begin_another(path):
        if not tried:
            tried.append(path)
            with pytest.raises(WorkspaceError, match="are missing"):
                restore_backup(tmp_path / "former", tmp_path / "copy")
        return hashed(path)

    back_up(workspace, tmp_path / "former")
    (tmp_path / "former" / "manifest.json").unlink()
    monkeypatch.setattr(keeping, "sha256_of_file", begin_another)
    back_up(workspace, tmp_path / "copy")
    assert tried and find_faults(tmp_path / "copy") == []
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy"]
    assert not list((tmp_path / "copy").rglob("*.lock"))


def test_what_cannot_be_done_is_said(anywhere, tmp_path):
    workspace = anywhere
    back_up(workspace, tmp_path / "copy")
    with pytest.raises(WorkspaceError, match="has content"):
        back_up(workspace, tmp_path / "copy")
    with pytest.raises(WorkspaceError, match="lost with it"):
        back_up(workspace, workspace.path / "copy")
    with pytest.raises(WorkspaceError, match="has content"):
        restore_backup(tmp_path / "copy", workspace.path)
    with pytest.raises(WorkspaceError, match="no copy of a workspace"):
        restore_backup(workspace.path, tmp_path / "again")
    with workspace.lock("index"), pytest.raises(WorkspaceError, match="Another process is writing"):
        back_up(workspace, tmp_path / "second")


@pytest.mark.parametrize(
    "name", ["images/1.png", "catalogue.db", "ratings.db", "manifest.json", "models/classifier.keras"]
)
@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_copy_is_not_taken_back(workspace, tmp_path, name, lost):
    back_up(workspace, tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = path.read_bytes()
    path.unlink()
    if not lost:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WorkspaceError, match="are missing" if lost else "not what was copied"):
        restore_backup(tmp_path / "copy", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["../outside", "/outside"])
def test_a_copy_writes_nowhere_else(workspace, tmp_path, name):
    back_up(workspace, tmp_path / "copy")
    listed = json.loads((tmp_path / "copy" / LIST).read_text())
    listed["files"][name] = listed["files"]["manifest.json"]
    (tmp_path / "copy" / LIST).write_text(json.dumps(listed))
    with pytest.raises(WorkspaceError, match="is damaged"):
        restore_backup(tmp_path / "copy", tmp_path / "again")


def test_the_commands(workspace, tmp_path, capsys):
    copy, again = str(tmp_path / "copy"), str(tmp_path / "again")
    assert main(["backup", str(workspace.path), copy, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ratings"] == 3
    assert main(["restore-backup", copy, again]) == 0
    assert "4 cases and 3 ratings" in capsys.readouterr().out
    assert main(["migrate", again]) == 0
    assert capsys.readouterr().out.count("of this version") == 2
    assert main(["verify", again]) == 0


def make_older(workspace: Workspace, columns: list[str]) -> None:
    """The databases as they were: a catalogue without the columns and tables that came later, ratings unchained."""
    workspace.catalogue.close()
    with closing(sqlite3.connect(workspace.path / "catalogue.db")) as database:
        for column in columns:
            database.execute(f"DROP INDEX IF EXISTS ix_cases_{column}")
            database.execute(f"ALTER TABLE cases DROP COLUMN {column}")
        if "instance" in columns:
            for table in ("copies", "other_patients"):
                database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 0")
        database.commit()
    with closing(sqlite3.connect(workspace.path / "ratings.db")) as database:
        database.execute("DROP TABLE chain")
        database.execute("PRAGMA user_version = 0")
        database.commit()
    (workspace.path / "ratings.head").unlink()


LATER = ["orientation_verified", "doubt", "instance", "stored_sha256"]


@pytest.mark.parametrize("since", range(len(LATER) + 1))
def test_every_earlier_version_is_brought_to_this_one(workspace, since):
    """`since` of the columns that came later were there already, in the order in which they came."""
    cases = workspace.catalogue.cases(include_removed=True)
    digest = workspace.catalogue.sha256()
    ratings = RatingsStore.open(workspace.path / "ratings.db").history()
    make_older(workspace, LATER[since:])
    opened = Workspace.open(workspace.path)
    found = migrate_workspace(opened)
    assert [(one.name, one.before, one.after) for one in found] == [
        ("catalogue.db", 0, CATALOGUE_VERSION),
        ("ratings.db", 0, RATINGS_VERSION),
    ]
    assert [one.before for one in migrate_workspace(opened)] == [CATALOGUE_VERSION, RATINGS_VERSION]
    assert opened.catalogue.sha256() == digest
    assert [case.case_id for case in opened.catalogue.cases(include_removed=True)] == [case.case_id for case in cases]
    assert RatingsStore.open(workspace.path / "ratings.db").history() == ratings
    assert list(verify_ratings(opened))[0].passed
    assert {column.name for column in CASES.columns} >= set(LATER)


@pytest.mark.parametrize("version", range(CATALOGUE_VERSION))
def test_each_number_of_a_version_is_brought_to_this_one(workspace, version):
    workspace.catalogue.close()
    set_version(workspace.path / "catalogue.db", version)
    opened = Workspace.open(workspace.path)
    assert (migrate_workspace(opened)[0].before, opened.catalogue.read_version()) == (version, CATALOGUE_VERSION)


def set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("name", ["catalogue.db", "ratings.db", "manifest.json"])
def test_a_newer_workspace_is_refused_by_name_and_stays_as_it_is(workspace, name):
    workspace.catalogue.close()
    path = workspace.path / name
    if name == "manifest.json":
        path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    else:
        set_version(path, 99)
    before = sha256_of_file(path)
    with pytest.raises(IcbirError, match="newer version of this program|format 2, this version reads 1"):
        migrate_workspace(Workspace.open(workspace.path))
    assert sha256_of_file(path) == before
