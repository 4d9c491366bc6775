"""A workspace whose catalogue and ratings lie in a database server: the same commands, and what is refused by name."""

from __future__ import annotations

import json
import os
import sys

import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from icbir_core.audit import Action, Subject, open_audit
from icbir_core.catalogue import IngestOptions, Workspace, ingest, record_catalogue
from icbir_core.catalogue.erasing import name_erased
from icbir_core.catalogue.folders import FOLDERS_FILE, FolderStore
from icbir_core.catalogue.schema import CASES, COPIES
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.database import find_engine, make_schema, open_engine, write_anew
from icbir_core.errors import DatabaseAway, WorkspaceError
from icbir_core.keeping import moving, rows
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.keeping.migrating import migrate_workspace
from icbir_core.keeping.moving import move_to_database
from icbir_core.migrations import make_config
from icbir_core.pacs.inbox import INBOX
from icbir_core.pipeline.erasing import erase_from_workspace, find_remains, plan_erasure
from icbir_core.radiograph.writing import write_lossless
from icbir_core.study.creating import open_store
from icbir_core.study.rating import Rating
from icbir_core.study.verifying import verify_ratings
from scripts.postgres import Postgres
from tests.helpers import fakes
from tests.helpers.postgres import create_empty_database

PASSWORD = "a-word-of-the-tests"


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films").mkdir()
    for seed in range(3):
        write_lossless(fakes.make_radiograph(seed), tmp_path / "films" / f"film_{seed}.png")
    return tmp_path / "films"


@pytest.fixture
def named(database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url.replace("icbir@", f"icbir:{PASSWORD}@"))
    return database_url


def fill(workspace: Workspace, films) -> None:
    ingest(workspace, IngestOptions("folder", films))
    store = open_store(workspace)
    for score in (2, 4):
        store.add(Rating("pilot", "s1", "reader-a", "film_0", "film_1", score=score))
    store.add_study("pilot", {"queries": ["film_0"]}, "a" * 64)


def check(workspace: Workspace) -> list[str]:
    found = [*verify_workspace(workspace), *verify_ratings(workspace)]
    return [f"{one.name}: {one.text}" for one in found if not one.passed]


def test_a_new_workspace_keeps_everything_shared_in_the_server(named, tmp_path, films, monkeypatch):
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    again = Workspace.open(workspace.path)
    assert again.catalogue.count() == 3 and open_store(again).count() == 2 and check(again) == []
    assert not [file.name for file in workspace.path.glob("*.db*")]
    assert PASSWORD not in "".join(file.read_text() for file in workspace.path.glob("*.json"))
    again.catalogue.remove("film_2")
    assert workspace.catalogue.count() == 2, "the first one sees what the second did"
    assert migrate_workspace(again)[0].before == migrate_workspace(again)[0].after
    other = Workspace.create(tmp_path / "other")
    assert other.catalogue.count() == 0 and open_store(other).count() == 0
    monkeypatch.delenv("ICBIR_DATABASE_URL")
    with pytest.raises(WorkspaceError, match="set ICBIR_DATABASE_URL"):
        Workspace.open(workspace.path).catalogue.count()
    monkeypatch.setenv("ICBIR_DATABASE_URL", f"postgresql://icbir:{PASSWORD}@127.0.0.1:9/none")
    with pytest.raises(DatabaseAway, match="does not answer"):
        Workspace.open(workspace.path).catalogue.count()


def test_what_others_change_in_the_server_is_found(named, tmp_path, films):
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    engine, schema = create_engine(named), workspace.database_schema

    def do(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("@", f'"{schema}".'))

    do("ALTER TABLE @ratings DISABLE TRIGGER USER", "UPDATE @ratings SET score = 5 WHERE score = 2")
    assert any("is not as it was stored" in line for line in check(workspace))
    do("UPDATE @ratings SET score = 2 WHERE score = 5")
    assert check(workspace) == []
    # an older copy of the database was put back: the chain is whole, and shorter than the head in the folder knows
    do("ALTER TABLE @chain DISABLE TRIGGER USER", "ALTER TABLE @studies DISABLE TRIGGER USER", "DELETE FROM @studies",
       "DELETE FROM @chain WHERE kind = 'study'")  # fmt: skip
    assert any("missing at the end" in line for line in check(workspace))
    do("UPDATE @cases SET age = 99 WHERE row = 0")
    assert any(line.startswith("catalogue: ") for line in check(Workspace.open(workspace.path)))


def test_a_workspace_moves_into_the_server_with_the_same_hashes(database_url, tmp_path, films, monkeypatch):
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    workspace.catalogue.remove("film_1")
    before = workspace.catalogue.sha256(), workspace.catalogue.sha256_of_rest()
    with pytest.raises(WorkspaceError, match="set ICBIR_DATABASE_URL"):
        move_to_database(workspace)
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    report = move_to_database(workspace)
    moved = Workspace.open(workspace.path)
    assert (report.cases, report.ratings) == (3, 2) and moved.database_schema == report.schema
    assert (moved.catalogue.sha256(), moved.catalogue.sha256_of_rest()) == before and moved.catalogue.count() == 2
    store = open_store(moved)
    store.add(Rating("pilot", "s1", "reader-b", "film_0", "film_2", score=1))
    assert [one.score for one in store.history()] == [2, 4, 1] and check(moved) == []
    assert moved.catalogue.add([{"case_id": "n", "path": "p", "sha256": "0", "pixel_sha256": "0", "findings": {}}]) == [
        3
    ]
    assert (workspace.path / "catalogue.db.moved").is_file() and not (workspace.path / "catalogue.db").exists()
    assert json.loads((workspace.path / "manifest.json").read_text())["database"] == report.schema
    with pytest.raises(WorkspaceError, match="already"):
        move_to_database(moved)


def test_a_move_that_leaves_a_rating_behind_is_refused(database_url, tmp_path, films, monkeypatch):
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    (workspace.path / "ratings.head").write_text(json.dumps({"number": 9, "digest": "f" * 64}))
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    with pytest.raises(WorkspaceError, match="The ratings were not moved: .* missing at the end"):
        move_to_database(workspace)
    assert not Workspace.open(workspace.path).database_schema and open_store(workspace).count() == 2
    assert list_schemas() == [], "nothing of it is left in the server"


def list_schemas() -> list[str]:
    with find_engine().connect() as connection:
        query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'icbir%%'"
        return list(connection.exec_driver_sql(query).scalars())


def test_what_a_killed_move_left_goes_with_the_next(database_url, tmp_path, films, monkeypatch):
    monkeypatch.delenv("ICBIR_DATABASE_URL", raising=False)
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(moving, "copy_rows", lambda *_: sys.exit())
        move_to_database(workspace)
    assert len(list_schemas()) == 1
    assert [move_to_database(Workspace.open(workspace.path)).schema] == list_schemas()
    assert check(Workspace.open(workspace.path)) == [] and not list(workspace.path.glob(".schema*"))


def test_the_migration_of_the_audit_log_takes_all_back_that_it_made(named):
    make_schema(engine := find_engine("icbir_taken_back"), "icbir_taken_back")
    with engine.begin() as connection:
        command.downgrade(make_config(connection), "0002")
        asked = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'audit%%'"
        assert connection.exec_driver_sql(asked).scalar_one() == 0
    make_schema(engine, "icbir_taken_back")


@pytest.mark.parametrize("schema", ['x"; DROP SCHEMA public', "public -c log_statement=all", "x, public"])
def test_a_manifest_cannot_say_more_to_the_server_than_a_name(named, tmp_path, schema):
    manifest = Workspace.create(tmp_path / "w").path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"database": schema}))
    with pytest.raises(WorkspaceError, match="restore the manifest"):
        Workspace.open(manifest.parent).catalogue.count()


def test_a_copy_of_one_moment_becomes_a_workspace_in_a_folder_or_in_a_server(
    database_url, postgres, tmp_path, films, monkeypatch, capsys
):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    workspace.catalogue.remove("film_1")
    folders = FolderStore.open(workspace.path / FOLDERS_FILE, workspace.database_schema)
    folders.save(folders.make_folder("anna", "mimics").folder_id, "anna", "film_2", "a note")
    for _ in range(3):
        open_audit(workspace).record("reader", Action.SAW, Subject("case", "film_0"))
    held = [workspace.catalogue.sha256(), workspace.catalogue.sha256_of_rest()]
    read_hash = rows.hash_cases

    def hash_while_others_write(connection):
        """What comes between the tables of the copy is not of its moment."""
        open_store(workspace).add(Rating("pilot", "s1", "reader-b", "film_0", "film_1", score=3))
        open_audit(workspace).record("reader", Action.RATED)
        workspace.catalogue.remove("film_0")
        return read_hash(connection)

    monkeypatch.setattr(rows, "hash_cases", hash_while_others_write)
    report = back_up(workspace, tmp_path / "copy")
    assert (report.cases, report.ratings) == (3, 2)
    assert open_store(workspace).count() == 3 and check(workspace) == []
    assert PASSWORD not in "".join(file.read_text() for file in (tmp_path / "copy").glob("*.json"))

    def look(found: Workspace) -> None:
        assert [found.catalogue.sha256(), found.catalogue.sha256_of_rest()] == held and check(found) == []
        assert [case.case_id for case in found.catalogue.cases()] == ["film_0", "film_2"]
        assert [one.score for one in open_store(found).history()] == [2, 4] and open_store(found).find_study("pilot")
        (folder,) = open_folders(found).list_folders("anna")
        assert [(one.case_id, one.note) for one in open_folders(found).list_cases(folder.folder_id, "anna")] == [
            ("film_2", "a note")
        ]
        (audit,) = open_audit(found).verify()
        assert audit.passed and audit.text.startswith("3 entries")

    monkeypatch.delenv("ICBIR_DATABASE_URL")
    restore_backup(tmp_path / "copy", tmp_path / "folder")
    in_folder = Workspace.open(tmp_path / "folder")
    assert not in_folder.database_schema
    look(in_folder)
    monkeypatch.setenv("ICBIR_DATABASE_URL", create_empty_database(postgres))
    assert main(["restore-backup", str(tmp_path / "copy"), str(tmp_path / "server"), "--to-database"]) == 0
    in_server = Workspace.open(tmp_path / "server")
    assert in_server.database_schema and "2 ratings" in capsys.readouterr().out
    assert [one.action for one in open_audit(in_server).entries()][3:] == ["imported"]


def open_folders(workspace: Workspace) -> FolderStore:
    return FolderStore.open(workspace.path / FOLDERS_FILE, workspace.database_schema)


REPORT = "Mrs SMITH JANE, born 1931-02-03, seen by Dr Miller.\nSecond line of the report."
COPY = "SMITH_JANE_copy_17"


def test_what_is_erased_is_in_no_row_of_any_table_and_in_no_page_of_them(named, tmp_path, films, capsys, postgres):
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    schema, case = workspace.database_schema, workspace.catalogue.get("film_1")
    with find_engine(schema).begin() as connection:
        connection.execute(
            CASES.update().where(CASES.c.row == case.row).values(report=REPORT, patient="feed0123feed0123")
        )
        connection.execute(
            COPIES.insert(), [{"case_id": COPY, "kept": "film_1", "source": "folder", "other_patient": 0}]
        )
    record_catalogue(Workspace.open(workspace.path))
    folders = open_folders(workspace)
    made = folders.make_folder("anna", "mimics")
    for name in ("film_0", "film_1"):
        folders.save(made.folder_id, "anna", name, f"of {name}")
    (workspace.path / "catalogue.db.moved").write_text(f"left of a move: {COPY}")
    with find_engine(schema).begin() as connection:
        job = "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES ('q', 'chunk', %s, %s)"
        for status in ("failed", "todo", "cancelled"):
            connection.exec_driver_sql(job, ('{"plan": 7, "reason": "indexed without: film_1"}', status))
    (workspace.path / INBOX).mkdir()
    (workspace.path / INBOX / "a.dcm").write_bytes(b"a received film")
    (workspace.path / INBOX / "a.json").write_text('{"answer": {"hits": [["film_1", 0.5]]}}')
    needles = [REPORT.splitlines()[0].encode(), COPY.encode(), case.sha256.encode(), b"feed0123feed0123", b"of film_1"]
    needles.append(b"without: film_1")
    assert all(find_in_tables(named, schema, postgres, needle) for needle in needles), "the search below can find"

    assert main(["erase", str(workspace.path), "--patient", "feed0123feed0123", "--sure"]) == 0
    said = capsys.readouterr().out
    assert "1 case erased; 2 ratings and studies" in said and "rows of" in said and "Nothing is left" in said
    assert "The server's log, its archives, standbys and copies are not reached." in said
    assert not [needle for needle in needles if find_in_tables(named, schema, postgres, needle)]
    with find_engine(schema).connect() as connection:
        jobs = connection.exec_driver_sql("SELECT status::text, args FROM procrastinate_jobs").all()
    assert jobs == [("todo", {"plan": 7})] and [one.name for one in (workspace.path / INBOX).iterdir()] == ["a.dcm"]
    found = Workspace.open(workspace.path)
    assert [one.case_id for one in found.catalogue.cases()] == ["film_0", "film_2"] and check(found) == []
    assert [one.case_id for one in open_store(found).history()] == [name_erased(case.row)] * 2
    assert [one.case_id for one in folders.list_cases(made.folder_id, "anna")] == ["film_0"]
    with pytest.raises(DBAPIError, match="append-only"), find_engine(schema).begin() as connection:
        connection.exec_driver_sql("DELETE FROM ratings")
    open_store(found).add(Rating("pilot", "s1", "reader-a", "film_0", "film_2", score=1))
    assert check(found) == [] and all(one.passed for one in open_audit(found).verify())


def find_in_tables(url: str, schema: str, server: Postgres, needle: bytes) -> list[str]:
    """The tables of a schema whose files, as they lie on the disk, hold these bytes."""
    query = (
        "SELECT relname, pg_relation_filepath(pg_class.oid) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relkind IN ('r', 'i')"
    )
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
        files = connection.exec_driver_sql(query, (schema,)).all()
    engine.dispose()
    return [name for name, path in files if needle in (server.folder / "data" / path).read_bytes()]


def test_what_still_lies_in_a_table_is_named(named, tmp_path, films):
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    with find_engine(workspace.database_schema).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes_of_others (note text)")
        connection.exec_driver_sql("INSERT INTO notes_of_others VALUES ('seen: film_1.')")
    erasure = plan_erasure(workspace, ["film_1"], [])
    assert "the table cases" in find_remains(workspace, erasure, tmp_path / "outbox").left
    erase_from_workspace(workspace, erasure)
    left = find_remains(workspace, erasure, tmp_path / "outbox").left
    assert left == ("the table notes_of_others", "the table ratings")


def test_an_account_that_may_not_write_a_table_anew_is_told(named, tmp_path):
    schema, account = Workspace.create(tmp_path / "w").catalogue.schema, f"room_{os.urandom(4).hex()}"
    with find_engine(schema).begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {account} LOGIN")
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {account}")
    engine = open_engine(named.replace("icbir@", f"{account}@"), schema)
    try:
        with pytest.raises(WorkspaceError, match="free space of the table 'cases': let the account that owns it"):
            write_anew(engine, ["cases"])
    finally:
        engine.dispose()
        with find_engine(schema).begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {account} CASCADE")
            connection.exec_driver_sql(f"DROP ROLE {account}")
