"""The case table: rows, filters, labels, tombstones, hash."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from icbir_core.catalogue import Catalogue
from icbir_core.catalogue.copies import Copy
from icbir_core.catalogue.schema import VERSION
from icbir_core.database import find_engine
from icbir_core.errors import CatalogueError, DatabaseAway, FilterError
from icbir_core.findings import FindingState
from icbir_core.settings import SearchFilter


def make_record(name: str, **columns) -> dict:
    base = {"case_id": name, "path": f"images/{name}.png", "sha256": "0" * 64, "pixel_sha256": name.ljust(64, "0")}
    return base | {"patient": None, "view": "PA", "sex": "F", "age": 50, "findings": {}} | columns


@pytest.fixture
def make_catalogue(either_database, tmp_path):
    """A function that opens a catalogue by name, in a file or in a database server."""
    if either_database == "sqlite":
        yield lambda name="catalogue": Catalogue(tmp_path / f"{name}.db")
        return
    own, opened = os.urandom(4).hex(), []

    def make(name: str = "catalogue") -> Catalogue:
        opened.append(Catalogue("catalogue", schema=f"icbir_{own}_{name}"))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def catalogue(make_catalogue) -> Catalogue:
    made = make_catalogue()
    made.add(
        [
            make_record("a", patient="p", findings={"Effusion": "present", "Edema": "absent"}),
            make_record("b", view="AP", sex="M", age=None, findings={"Effusion": "uncertain"}),
            make_record("c", view="AP", age=70, findings={"Effusion": "absent", "Zebra": "present"}),
            make_record(
                "d", patient="p", view="unknown", sex="unknown", age=30, report="Clear.", diagnosis="None made"
            ),
        ]
    )
    return made


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("view=ap", [1, 2]),
        ("sex=F", [0, 2]),
        ("view=unknown, sex=Unknown", [3]),
        ("sex=female", [0, 2]),
        ("Sex=Male, view=AP", [1]),
        ("age=40-", [0, 2]),
        ("age=40 - 60", [0]),
        ("age=-50", [0, 3]),
        ("age=50", [0]),
        ("Pleural Effusion=present", [0]),
        ("Effusion=absent, view=AP", [2]),
        ("Effusion=uncertain", [1]),
        ("Effusion=unknown", [3]),
        ("Edema=unknown", [1, 2, 3]),
        ("Effusion=present, Edema=present", []),
    ],
)
def test_filters(catalogue, text, rows):
    found = catalogue.eligible_rows(SearchFilter.parse(text))
    assert found.dtype == np.int64 and found.tolist() == rows


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("view=AP, view=PA", "'view=PA' is a second filter for view"),
        ("Effusion=present, Pleural Effusion=absent", "is a second filter for Effusion"),
        ("age=40-, age=-60", "a second filter for age"),
        ("age=-", "'age=-' is no age in years; write it as 40-60, 40-, -60 or 50"),
        ("age=old", "'age=old' is no age"),
        ("age=40 50", "'age=40 50' is no age"),
        ("age=60-40", "In 'age=60-40' the larger age comes first; write age=40-60"),
        ("view=XX", "view cannot be 'XX'; choose one of PA, AP, LATERAL, unknown"),
        ("sex=woman", "sex cannot be 'woman'; choose one of F, M, unknown"),
        ("Effusion=maybe", "Effusion cannot be 'maybe'; choose one of present, absent, uncertain, unknown"),
        ("Zebra=present", "'Zebra=present' is no filter"),
        ("view", "'view' is no filter"),
        ("view=AP,", "'' is no filter"),
    ],
)
def test_a_filter_that_says_nothing_clear_is_named(text, part):
    with pytest.raises(FilterError) as told:
        SearchFilter.parse(text)
    assert part in str(told.value)


def test_findings_stand_in_the_vocabularys_order(catalogue):
    assert catalogue.findings == ("Edema", "Effusion", "Zebra")
    case = catalogue.get("a")
    assert list(case.findings) == ["Edema", "Effusion", "Zebra"] and case.present == ("Effusion",)
    assert case.findings["Zebra"] is FindingState.UNKNOWN


def test_rows_come_in_the_asked_order(catalogue):
    assert [case.case_id for case in catalogue.cases([3, 0, 0])] == ["d", "a", "a"]
    assert catalogue.patients([3, 1, 0]) == ["p", None, "p"]
    labels = catalogue.labels(["Effusion", "Edema"], [2, 0])
    assert labels.dtype == np.float32
    assert np.array_equal(labels, np.array([[0, np.nan], [1, 0]], np.float32), equal_nan=True)
    assert catalogue.labels(["Effusion"], []).shape == (0, 1)
    assert catalogue.get_row(3).diagnosis == "None made" and catalogue.get_row(3).report == "Clear."


def test_a_removed_case_keeps_its_row(catalogue):
    digest = catalogue.sha256()
    assert catalogue.remove("b").removed
    assert catalogue.count() == 3 and catalogue.count(include_removed=True) == 4
    assert catalogue.eligible_rows().tolist() == [0, 2, 3] and catalogue.removed_rows().tolist() == [1]
    assert [case.row for case in catalogue.cases()] == [0, 2, 3]
    assert len(catalogue.patients()) == len(catalogue.labels(["Effusion"])) == 3
    assert catalogue.cases([1])[0].removed, "asked for by its row, it is there"
    assert catalogue.sha256() == digest
    assert catalogue.add([make_record("e")]) == [4], "the row is not used again"
    assert not catalogue.restore("b").removed and catalogue.count() == 5


def test_the_hash_follows_every_shown_column(make_catalogue):
    digests = set()
    changes = [
        {},
        {"patient": "q"},
        {"view": "AP"},
        {"age": 51},
        {"sex": "M"},
        {"findings": {"Edema": "present"}},
        {"report": "x"},
        {"diagnosis": "x"},
        {"pixel_sha256": "f" * 64},
        {"source": "other"},
        {"orientation_verified": True},
    ]
    for number, change in enumerate(changes):
        made = make_catalogue(f"number_{number}")
        made.add([make_record("a", **change)])
        digests.add(made.sha256())
    assert len(digests) == len(changes)
    same = make_catalogue("same")
    same.add([make_record("a", sha256="1" * 64)])
    assert same.sha256() in digests, "how the film was encoded does not matter"


def test_iteration_in_batches(catalogue):
    assert [[case.row for case in batch] for batch in catalogue.iterate(3)] == [[0, 1, 2], [3]]
    assert [[case.row for case in batch] for batch in catalogue.iterate(3, after=1)] == [[2, 3]]


def test_what_is_not_there_is_named(catalogue):
    for call in (lambda: catalogue.get("x"), lambda: catalogue.remove("x"), lambda: catalogue.get_row(9)):
        with pytest.raises(CatalogueError, match="lacks"):
            call()
    with pytest.raises(CatalogueError, match="row 9"):
        catalogue.labels(["Effusion"], [0, 9])
    with pytest.raises(CatalogueError, match="'a' twice"):
        catalogue.add([make_record("z"), make_record("a")])
    assert catalogue.count() == 4, "a refused batch leaves nothing"


def test_many_rows(make_catalogue):
    made = make_catalogue("many")
    made.add([make_record(f"case{number}", age=number % 90) for number in range(3000)])
    rows = np.arange(2999, -1, -1)
    assert [case.row for case in made.cases(rows)] == rows.tolist()
    assert sum(len(batch) for batch in made.iterate()) == 3000
    assert len(made.find_identifiers([f"case{number}" for number in range(0, 6000, 2)])) == 1500


def test_both_databases_give_one_hash(tmp_path, database_url, monkeypatch):
    """Also of texts whose order is another by the rules of a language."""
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    records = [
        make_record("Zoë", findings={"Edema": "present", "Éclat": "absent"}, report="a\tb", doubt="odd", age=None)
    ]
    copies = [Copy(name, "Zoë", "folder", 10, False) for name in ("b", "A", "á", "_", "B")]
    found = set()
    for made in (Catalogue(tmp_path / "catalogue.db"), Catalogue("catalogue", schema="icbir_one")):
        made.add([*records, make_record("a")], copies, [("a", "q"), ("Zoë", "p"), ("A", "p"), ("a", "q")])
        made.add([], [Copy("b", "Zoë", "folder", 11, True)])
        found.add((made.sha256(), made.sha256_of_rest()))
        assert made.copies.find(["b"])["b"].source_bytes == 11 and made.get("Zoë").other_patients == ("p",)
    assert len(found) == 1


def test_every_change_is_a_new_revision_for_whoever_looks(make_catalogue):
    writer, reader = make_catalogue(), make_catalogue()
    seen = [reader.read_revision()]
    for change in (lambda: writer.add([make_record("a")]), lambda: writer.remove("a"), lambda: writer.restore("a")):
        change()
        seen.append(reader.read_revision())
    assert seen == sorted(set(seen))
    writer.count(), writer.get("a"), writer.sha256()
    assert reader.read_revision() == seen[-1], "to look is no change"


def test_writers_at_once_give_no_row_twice(make_catalogue):
    writers = [make_catalogue() for _ in range(4)]

    def add(number: int) -> list[int]:
        return [row for part in range(10) for row in writers[number].add([make_record(f"w{number}-{part}")])]

    with ThreadPoolExecutor(4) as pool:
        rows = [row for found in pool.map(add, range(4)) for row in found]
    assert sorted(rows) == list(range(40)) and writers[0].count() == 40


def test_workspaces_in_one_database_know_nothing_of_each_other(database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    one, other = (Catalogue("catalogue", schema=name) for name in ("icbir_one", "icbir_other"))
    one.add([make_record("a")])
    assert (one.count(), other.count()) == (1, 0)
    assert one.read_version() == other.read_version() == VERSION


def test_a_newer_catalogue_in_a_database_is_refused_and_one_that_is_away_is_told(database_url, monkeypatch):
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    Catalogue("catalogue", schema="icbir_one")
    with find_engine("icbir_one").begin() as connection:
        connection.exec_driver_sql("UPDATE state SET number = 99 WHERE name = 'version'")
    with pytest.raises(CatalogueError, match="newer version"):
        Catalogue("catalogue", schema="icbir_one")
    monkeypatch.setenv("ICBIR_DATABASE_URL", "postgresql://icbir:secret-word@127.0.0.1:9/none")
    with pytest.raises(DatabaseAway, match="does not answer") as told:
        Catalogue("catalogue", schema="icbir_one")
    assert "secret-word" not in str(told.value)


def write_earlier_catalogue(path) -> str:
    """A catalogue of two cases as it was before the columns that came later; returns the hash that it had."""
    made = Catalogue(path)
    made.add([make_record("a", findings={"Effusion": "present"}), make_record("b")])
    digest = made.sha256()
    made.close()
    with sqlite3.connect(path) as connection:
        for name in ("orientation_verified", "doubt"):
            connection.execute(f"ALTER TABLE cases DROP COLUMN {name}")
    return digest


def test_an_earlier_catalogue_opens_and_keeps_its_hash(tmp_path):
    digest = write_earlier_catalogue(tmp_path / "catalogue.db")
    opened = Catalogue(tmp_path / "catalogue.db")
    assert [case.orientation_verified for case in opened.cases()] == [False, False]
    assert opened.sha256() == digest and opened.get("a").present == ("Effusion",)
    opened.add([make_record("c", orientation_verified=True)])
    again = Catalogue(tmp_path / "catalogue.db")
    assert [case.orientation_verified for case in again.cases()] == [False, False, True]


def test_an_earlier_catalogue_may_be_opened_by_many_at_once(tmp_path):
    for number in range(10):
        path = tmp_path / f"{number}.db"
        write_earlier_catalogue(path)
        start = threading.Barrier(8)

        def open_one(_, path=path, start=start) -> int:
            start.wait(30)
            return len(Catalogue(path).cases())

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(open_one, range(8))) == [2] * 8


def test_an_earlier_catalogue_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    write_earlier_catalogue(tmp_path / "catalogue.db")

    execute = Connection.exec_driver_sql

    def refuse(connection, statement, *rest, **more):
        if statement.startswith("BEGIN"):
            raise OperationalError(statement, None, sqlite3.OperationalError("attempt to write a readonly database"))
        return execute(connection, statement, *rest, **more)

    monkeypatch.setattr(Connection, "exec_driver_sql", refuse)
    with pytest.raises(CatalogueError, match="read-only.*Open it once where it can"):
        Catalogue(tmp_path / "catalogue.db")
