"""The chain of a ratings store: whatever is changed, taken out, cut off, put in or lost is found."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.database import draw_schema
from icbir_core.errors import StudyError
from icbir_core.study.creating import open_store
from icbir_core.study.rating import Rating
from icbir_core.study.schema import VERSION
from icbir_core.study.store import RatingsStore
from tests.helpers.stores import change_behind

COUNT = 6


def make_rating(number: int) -> Rating:
    return Rating("search", "1", "reader", "query", str(number), score=1 + number % 5)


@dataclass(frozen=True)
class Place:
    """Where a store lies. path : the file, or where the head of one in a schema lies."""

    path: Path
    schema: str

    def open(self) -> RatingsStore:
        return RatingsStore.open(self.path, self.schema)

    def find_faults(self) -> list[str]:
        store = self.open()
        try:
            return store.find_faults()
        finally:
            store.close()

    def tamper(self, *statements: str) -> None:
        change_behind(self.path, self.schema, *statements)


@pytest.fixture
def place(either_database, tmp_path) -> Place:
    """A store of a study and six ratings."""
    made = Place(tmp_path / "ratings.db", draw_schema() if either_database == "postgresql" else "")
    store = made.open()
    store.add_study("night", {"queries": ["q1"]}, "a" * 64)
    store.add_all([make_rating(number) for number in range(COUNT)])
    assert store.find_faults() == []
    store.close()
    return made


@pytest.fixture
def path(place) -> Path:
    """The file of a store in a file."""
    return place.path


def find_faults(path: Path) -> list[str]:
    return Place(path, "").find_faults()


def tamper(path: Path, *statements: str) -> None:
    change_behind(path, "", *statements)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE ratings SET score = 6 - score WHERE number = 2", "is not as it was stored"),
        ("UPDATE ratings SET recorded_at = '2020' WHERE number = 6", "is not as it was stored"),
        ("UPDATE studies SET definition = '{}'", "The study night is not as it was stored"),
        ("DELETE FROM ratings WHERE number = 3", "is missing"),
        ("DELETE FROM studies", "The study night is missing"),
        ("UPDATE chain SET digest = 'f' WHERE number = 4", "is not as it was stored"),
        (
            "INSERT INTO ratings SELECT 99, 'x', recorded_at, study, session, reader, query, case_id, score,"
            " cannot_judge, task, blinded, stage, repetition, position, time_ms, method, simulated, actions, ranking,"
            " answer, versions FROM ratings WHERE number = 1",
            "was not stored by this program",
        ),
    ],
)
def test_what_was_changed_is_named(place, statement, told):
    place.tamper(statement)
    assert told in " ".join(place.find_faults())


@pytest.mark.in_a_file
def test_a_flipped_byte_within_a_rating_is_found(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    place = data.index(b"1readerquery") + 1
    path.write_bytes(data[:place] + b"R" + data[place + 1 :])
    assert "is not as it was stored" in find_faults(path)[0]


@pytest.mark.in_a_file
def test_an_older_copy_is_found_by_the_head(path, tmp_path):
    older = tmp_path / "older.db"
    shutil.copy(path, older)
    store = RatingsStore.open(path)
    store.add(make_rating(10))
    store.close()
    for left in path.parent.glob("ratings.db-*"):
        left.unlink()
    shutil.copy(older, path)
    assert find_faults(path) == ["1 of 8 entries are missing at the end; restore the newest copy."]


@pytest.mark.in_a_file
def test_a_store_that_is_gone_is_never_begun_anew_unasked(path):
    path.unlink()
    with pytest.raises(StudyError, match="missing, though ratings were stored in it"):
        RatingsStore.open(path)
    assert not path.exists()
    path.with_suffix(".head").unlink()
    assert RatingsStore.open(path).count() == 0


def test_a_head_that_is_gone_or_lies_behind(place):
    head = place.path.with_suffix(".head")
    kept = head.read_bytes()
    head.unlink()
    assert "missing" in place.find_faults()[0]
    head.write_bytes(kept[: len(kept) // 2])
    assert "damaged" in place.find_faults()[0]
    head.write_bytes(kept)
    store = place.open()  # a writer was killed between its commit and its head: the chain is longer
    store.head = None
    store.add(make_rating(11))
    assert place.find_faults() == []


def test_writers_at_once_make_one_chain(place):
    stores = [place.open() for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: stores[number % 3].add(make_rating(100 + number)), range(24)))
    assert place.find_faults() == [] and stores[0].count() == COUNT + 24
    place.tamper("DELETE FROM ratings WHERE rating_id = (SELECT name FROM chain WHERE number = 31)",
                 "DELETE FROM chain WHERE number = 31")  # fmt: skip
    assert "missing at the end" in place.find_faults()[0], "the head is that of the last writer"


@pytest.mark.in_a_file
def test_a_store_of_an_earlier_version_is_chained_when_it_is_opened(path):
    ratings = RatingsStore.open(path).history()
    tamper(path, "DROP TABLE chain", "PRAGMA user_version = 0")
    path.with_suffix(".head").unlink()
    store = RatingsStore.open(path)
    assert store.history() == ratings and store.find_faults() == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("SELECT count(*) FROM chain").fetchone() == (COUNT + 1,)


@pytest.mark.in_a_file
def test_a_store_of_a_newer_version_is_refused_by_name(path):
    tamper(path, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StudyError, match=f"newer version of this program .store {VERSION + 1}, this version reads"):
        RatingsStore.open(path)


def test_a_workspace_knows_that_it_has_ratings(either_database, tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    store = open_store(workspace)
    assert "ratings" not in workspace.read_manifest()["artefacts"]
    store.add(make_rating(0))
    assert "ratings" in workspace.read_manifest()["artefacts"]
