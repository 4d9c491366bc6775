"""The ratings store keeps every change, refuses to forget, and serves several windows at once."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from icbir_core.catalogue import Workspace
from icbir_core.errors import StudyError, WorkspaceError
from icbir_core.study.creating import open_store
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore


def make_rating(**changes) -> Rating:
    values = dict(study="pilot", session="s1", reader="reader-a", query="q1", case_id="c1", score=4)
    return Rating(**(values | changes))


@pytest.fixture
def store(either_database, request, tmp_path):
    target = tmp_path / "ratings.db" if either_database == "sqlite" else request.getfixturevalue("database_url")
    opened = RatingsStore.open(target)
    yield opened
    opened.close()


def test_a_rating_comes_back_equal_with_everything_it_held(store):
    rating = make_rating(
        study=f"full-{os.urandom(4).hex()}", blinded=True, stage=2, repetition=1, position=7, time_ms=5321,
        actions=({"kind": "window", "at_ms": 12}, {"kind": "zoom", "at_ms": 900}), method="cnn",
        ranking={"cases": ["c1", "c2"], "distances": [0.5, 0.75]}, versions={"model": "abc"},
    )  # fmt: skip
    store.add(rating)
    assert store.history(study=rating.study) == [rating]


def test_every_change_is_kept_and_the_newest_counts(store):
    name = f"changes-{os.urandom(4).hex()}"
    first = store.add(make_rating(study=name, score=2))
    second = store.add(make_rating(study=name, score=None, cannot_judge=True))
    other = store.add(make_rating(study=name, reader="reader-b", score=5))
    repeat = store.add(make_rating(study=name, repetition=1, score=3))
    assert store.history(study=name) == [first, second, other, repeat]
    assert store.latest(study=name) == [second, other, repeat]
    assert store.latest(study=name, reader="reader-b") == [other]


def test_the_database_itself_refuses_changes_and_deletions(tmp_path, database_url):
    path = tmp_path / "ratings.db"
    RatingsStore.open(path).add(make_rating())
    with sqlite3.connect(path) as connection:
        for statement in ("UPDATE ratings SET score = 1", "DELETE FROM ratings"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    name = f"refuse-{os.urandom(4).hex()}"
    RatingsStore.open(database_url).add(make_rating(study=name))
    with create_engine(database_url).connect() as connection, pytest.raises(DatabaseError, match="append-only"):
        connection.execute(text("DELETE FROM ratings"))


def test_adding_the_same_rating_again_changes_nothing(store):
    rating = make_rating(study=f"twice-{os.urandom(4).hex()}")
    assert store.add_all([rating]) == 1
    assert store.add_all([rating, replace(rating, rating_id=os.urandom(8).hex(), score=1)]) == 1
    assert len(store.history(study=rating.study)) == 2


def write_many(target: str, window: int) -> None:
    store = RatingsStore.open(target)
    for number in range(25):
        store.add(make_rating(study="crowd", session=f"window-{window}", case_id=f"c{window}-{number}"))


def test_windows_in_threads_and_processes_lose_nothing(tmp_path):
    path = str(tmp_path / "ratings.db")
    shared = RatingsStore.open(path)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(path, window)) for window in range(2)]
    for process in processes:
        process.start()

    def write_from_thread(window: int) -> None:
        for number in range(25):
            shared.add(make_rating(study="crowd", session=f"window-{window}", case_id=f"c{window}-{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_from_thread, range(2, 6)))
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len({rating.case_id for rating in shared.history(study="crowd")}) == 150


def test_a_rating_that_says_nothing_or_two_things_is_refused_and_not_stored(tmp_path):
    store = RatingsStore.open(tmp_path / "ratings.db")
    for changes in (
        dict(score=None), dict(cannot_judge=True), dict(score=6), dict(score=0), dict(reader=" "), dict(case_id=None),
        dict(stage=3), dict(task="guess"), dict(task="choice", answer={"chosen": "c1"}), dict(task="ranking"),
    ):  # fmt: skip
        with pytest.raises(StudyError):
            store.add(make_rating(**changes))
    assert store.count() == 0


def test_a_study_is_stored_once_and_never_replaced(store):
    name = f"study-{os.urandom(4).hex()}"
    store.add_study(name, {"queries": ["q1"]}, "a" * 64)
    store.add_study(name, {"queries": ["q1"]}, "a" * 64)
    with pytest.raises(StudyError, match="choose another name"):
        store.add_study(name, {"queries": ["q2"]}, "b" * 64)
    assert store.find_study(name) == ({"queries": ["q1"]}, "a" * 64)
    assert name in store.study_names()


def test_a_place_that_cannot_hold_a_store_is_one_sentence(tmp_path):
    (tmp_path / "ratings.db").write_bytes(b"this is no database, and long enough to be told apart from one" * 4)
    with pytest.raises(StudyError, match="is damaged|cannot be reached"):
        RatingsStore.open(tmp_path / "ratings.db")
    with pytest.raises(StudyError, match="installed database driver"):
        RatingsStore.open("nosuchthing://host/ratings")


def test_where_a_drive_was_no_second_store_begins(tmp_path):
    workspace = Workspace.create(tmp_path / "drive" / "w")
    open_store(workspace).close()
    (tmp_path / "drive" / "w").rename(tmp_path / "away")
    with pytest.raises(StudyError, match="connect its drive"):
        RatingsStore.open(workspace.path / "ratings.db")
    (tmp_path / "drive" / "w").mkdir()
    with pytest.raises(WorkspaceError, match="not a workspace"):
        open_store(workspace)
    assert not list((tmp_path / "drive" / "w").iterdir())
