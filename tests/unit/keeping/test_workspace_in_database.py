"""A workspace whose catalogue and ratings lie in a database server: the same commands, and what is refused by name."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine

from icbir_core.catalogue import IngestOptions, Workspace, ingest
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.errors import DatabaseAway, WorkspaceError
from icbir_core.keeping.backup import back_up
from icbir_core.keeping.migrating import migrate_workspace
from icbir_core.keeping.moving import move_to_database
from icbir_core.pipeline.erasing import plan_erasure
from icbir_core.radiograph.writing import write_lossless
from icbir_core.study.creating import open_store
from icbir_core.study.rating import Rating
from icbir_core.study.verifying import verify_ratings
from tests.helpers import fakes

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
    with pytest.raises(WorkspaceError, match="pg_dump --schema=icbir_"):
        back_up(again, tmp_path / "copy")
    with pytest.raises(WorkspaceError, match="`remove` takes the case out"):
        plan_erasure(again, ["film_1"], [])
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
    workspace = Workspace.create(tmp_path / "w")
    fill(workspace, films)
    (workspace.path / "ratings.head").write_text(json.dumps({"number": 9, "digest": "f" * 64}))
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    with pytest.raises(WorkspaceError, match="The ratings were not moved: .* missing at the end"):
        move_to_database(workspace)
    assert not Workspace.open(workspace.path).database_schema and open_store(workspace).count() == 2
