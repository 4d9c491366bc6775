"""The catalogue as a list: pages, filters and texts are what a walk over all rows finds, and the index stays true."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date

import numpy as np
import pytest

from icbir_core.catalogue import Workspace, table
from icbir_core.catalogue.erasing import erase_from_catalogue
from icbir_core.catalogue.listing import ListFilter, Order
from icbir_core.catalogue.schema import VERSION
from icbir_core.catalogue.text_index import AskedText, read_asked
from icbir_core.catalogue.verifying import verify_workspace

pytestmark = pytest.mark.usefixtures("either_database")

TEXTS = (
    "Small left pleural effusion. Épaississement pleural.",
    "No effusion. Heart enlarged.",
    "Pleural plaque, old effusion described before.",
    None,
    "Fifty per_cent 100% sure.",
)


def make_record(number: int, **more) -> dict:
    findings = {"Effusion": "present" if number % 2 else "absent", "Mass": "present" if number % 3 == 0 else "unknown"}
    return {
        "case_id": f"case_{number:03d}", "path": f"images/{number}.png", "sha256": f"{number:064d}",
        "pixel_sha256": f"{number:064x}", "patient": f"p{number % 4}" if number % 5 else None,
        "view": ("PA", "AP")[number % 2], "age": None if number % 7 == 0 else 20 + number,
        "sex": "FM"[number % 2], "source": ("one", "two")[number % 3 == 0], "findings": findings, "report": None,
        "diagnosis": None, **more,
    }  # fmt: skip


@pytest.fixture
def catalogue(tmp_path):
    made = Workspace.create(tmp_path / "w").catalogue
    records = [make_record(number, report=text) for number, text in enumerate(TEXTS)]
    records += [make_record(number) for number in range(len(TEXTS), 30)]
    made.add(records[:20])
    made.add([{**one, "added": "2020-05-01", "diagnosis": "proven Tuberculoma"} for one in records[20:]])
    made.remove("case_001")
    return made


def list_names(catalogue, **wanted) -> list[str]:
    found = catalogue.listing.read_page(ListFilter(**wanted), 0, 100, Order.OLDEST)
    assert catalogue.listing.count(ListFilter(**wanted)) == len(found)
    return [one.case.case_id for one in found]


@pytest.fixture(params=[True, False], ids=["indexed", "without an index"])
def either(request, catalogue):
    """The catalogue with its index of texts, and as in a database that has none."""
    if not catalogue.schema:  # a database server has none
        assert catalogue.listing.indexed
        catalogue.listing.__dict__["indexed"] = request.param
    return catalogue


@pytest.mark.parametrize(
    ("typed", "numbers"),
    [
        ("effusion", [0, 2]),
        ("EFFUS", [0, 2]),
        ('"left pleural"', [0]),
        ('"pleural left"', []),
        ("pleural -old", [0]),
        ("case_02", list(range(20, 30))),
        ("tuberculoma", list(range(20, 30))),
        ('" ( AND * - NEAR', []),
        ("100%", [4]),
        ("per_cent", [4]),
        ("nothing'); DROP TABLE cases; --", []),
    ],
)
def test_texts_and_names_are_found(either, typed, numbers):
    assert list_names(either, text=typed) == [f"case_{number:03d}" for number in numbers]


def test_what_holds_no_letter_asks_for_nothing(either):
    assert read_asked('  - "" * ( ') == AskedText() and len(list_names(either, text=" *  ")) == 29


@pytest.mark.in_a_file
def test_letters_with_accents_are_found_without_them(catalogue):
    assert list_names(catalogue, text="epaississement") == ["case_000"]


@pytest.mark.in_a_file
def test_the_excerpt_shows_the_place(catalogue):
    (found,) = catalogue.listing.read_page(ListFilter(text="plaque"))
    assert found.excerpt == "Pleural \x02plaque\x03, old effusion described before."
    assert [one.excerpt for one in catalogue.listing.read_page(ListFilter(text="case_003"))] == [""]


def test_filters_are_those_of_a_walk_over_all_rows(catalogue):
    cases = catalogue.cases()
    wanted = [case.case_id for case in cases if {"Effusion", "Mass"} <= set(case.present) and case.view == "AP"]
    assert wanted and list_names(catalogue, present=("Effusion", "Mass"), view="AP") == wanted
    assert list_names(catalogue, source="two") == [case.case_id for case in cases if case.source == "two"]
    old = date(2020, 5, 1)
    assert list_names(catalogue, until=old) == [f"case_{number:03d}" for number in range(20, 30)]
    assert len(list_names(catalogue, since=date(2020, 5, 2))) == 19 and catalogue.listing.find_days()[0] == old


@pytest.mark.parametrize("order", Order)
def test_pages_hold_every_case_once_in_order(catalogue, order):
    pages = [catalogue.listing.read_page(None, first, 7, order) for first in range(0, 35, 7)]
    cases = [one.case for page in pages for one in page]
    assert [len(page) for page in pages] == [7, 7, 7, 7, 1] and len({case.row for case in cases}) == 29
    keys = {
        Order.NEWEST: lambda case: -case.row,
        Order.OLDEST: lambda case: case.row,
        Order.NAME: lambda case: case.case_id,
        Order.YOUNGEST: lambda case: (case.age is None, case.age or 0, case.row),
    }
    assert cases == sorted(catalogue.cases(), key=keys[order])


def test_a_summary_counts_what_a_walk_counts(catalogue):
    found, cases = catalogue.listing.summarise(), catalogue.cases()
    for name in ("Effusion", "Mass"):
        assert found.findings[name] == sum(name in case.present for case in cases)
    assert found.ages == {age: sum(case.age == age for case in cases) for age in {case.age for case in cases}}
    assert found.views["PA"] == sum(case.view == "PA" for case in cases) and found.total == len(cases)
    assert found.patients == len({case.patient for case in cases} - {None})
    assert found.without_patient == sum(case.patient is None for case in cases)


@pytest.mark.in_a_file
def test_a_catalogue_of_an_earlier_version_gets_the_index(catalogue):
    with closing(sqlite3.connect(catalogue.path)) as database:
        for name in ("insert", "update", "delete"):
            database.execute(f"DROP TRIGGER case_texts_{name}")
        database.execute("DROP TABLE case_texts")
        database.execute("ALTER TABLE cases DROP COLUMN added")
        database.execute("PRAGMA user_version = 1")
    opened = Workspace.open(catalogue.path.parent).catalogue
    assert (
        opened.listing.indexed
        and opened.read_version() == VERSION
        and list_names(opened, text="plaque") == ["case_002"]
    )
    assert opened.listing.find_days() is None and opened.sha256() == catalogue.sha256()


@pytest.mark.in_a_file
def test_the_index_follows_every_change_and_verify_finds_one_that_did_not(catalogue):
    workspace = Workspace.open(catalogue.path.parent)

    def check() -> bool:
        return next(one.passed for one in verify_workspace(workspace) if one.name == "texts")

    with closing(sqlite3.connect(catalogue.path)) as database, database:
        database.execute("UPDATE cases SET report = 'calcified granuloma' WHERE row = 3")
        database.execute("DELETE FROM cases WHERE row = 2")
    assert list_names(catalogue, text="granuloma") == ["case_003"] and not list_names(catalogue, text="plaque")
    assert check()
    with closing(sqlite3.connect(catalogue.path)) as database, database:
        database.execute("DROP TRIGGER case_texts_update")
        database.execute("UPDATE cases SET report = 'another word' WHERE row = 3")
        database.execute("CREATE TRIGGER case_texts_update AFTER UPDATE OF row ON cases BEGIN SELECT 1; END")
    assert not check()
    workspace.catalogue.migrate()
    assert check() and list_names(workspace.catalogue, text="another") == ["case_003"]


@pytest.mark.in_a_file
def test_words_of_an_erased_case_are_in_no_part_of_the_index(catalogue):
    workspace = Workspace.open(catalogue.path.parent)
    case, before = workspace.catalogue.get("case_002"), workspace.catalogue.sha256()
    erase_from_catalogue(workspace, [case])
    assert workspace.catalogue.sha256() not in (before, "")
    with closing(sqlite3.connect(catalogue.path)) as database:
        database.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, case_texts, row)")
        words = {row[0] for row in database.execute("SELECT term FROM temp.words")}
        parts = b"".join(row[0] for row in database.execute("SELECT block FROM case_texts_data") if row[0])
    assert "effusion" in words and "plaque" not in words and b"laque" not in parts


def test_a_page_of_a_large_catalogue_reads_its_own_rows_alone(tmp_path, monkeypatch):
    made = Workspace.create(tmp_path / "w").catalogue
    made.add([make_record(number) for number in range(2000)])
    read: list[int] = []
    make = table.Case
    monkeypatch.setattr(table, "Case", lambda **values: read.append(values["row"]) or make(**values))
    assert np.array_equal([one.case.row for one in made.listing.read_page(None, 1000, 20)], np.arange(999, 979, -1))
    assert read == list(range(999, 979, -1))
