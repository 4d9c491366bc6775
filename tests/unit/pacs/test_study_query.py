"""What can be asked of an archive, and how it is written."""

from __future__ import annotations

import datetime

import pytest

from icbir_core.errors import PacsError
from icbir_core.pacs.studies import FilmReference, Study, StudyQuery, is_uid, read_date, read_texts


def test_a_query_is_written_in_words():
    query = StudyQuery.parse("patient=12 3, name=Miller, date=20260101-20260131, modality=dx+cr")
    assert query.list_filters("DX") == {
        "PatientID": "12 3",
        "PatientName": "Miller*",
        "StudyDate": "20260101-20260131",
        "ModalitiesInStudy": "DX",
    }
    assert StudyQuery.parse("date=2026-01-31").list_filters("") == {"StudyDate": "20260131"}
    assert StudyQuery.parse("date=20260131-").list_filters("") == {"StudyDate": "20260131-"}
    assert StudyQuery.parse("date=-20260131").list_filters("") == {"StudyDate": "-20260131"}
    assert StudyQuery.parse("name=M?ller*").list_filters("") == {"PatientName": "M?ller*"}
    names = {"Müller": "M?ller*", "Miller, Anna": "Miller*Anna*", "Miller^Anna": "Miller*Anna*", "O'Neil": "O'Neil*"}
    assert {name: StudyQuery(name=name).list_filters("")["PatientName"] for name in names} == names
    assert StudyQuery(name=" ").list_filters("") == {}
    assert StudyQuery.parse("") == StudyQuery()


@pytest.mark.parametrize(
    "text", ["patient", "patient=", "age=4", "date=yesterday", "date=20261301", "modality=CT", "name=a=b, x"]
)
def test_a_query_that_cannot_be_read_is_refused_without_its_values(text):
    with pytest.raises(PacsError) as caught:
        StudyQuery.parse(text)
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(patient="1*"),
        StudyQuery(accession="?"),
        StudyQuery(study="1.2&x=3"),
        StudyQuery(patient="1\\2"),
        StudyQuery(name="a\nb"),
        StudyQuery(name="a" * 300),
    ],
)
def test_what_would_ask_for_everybody_or_for_something_else_is_refused(query):
    with pytest.raises(PacsError):
        query.list_filters("DX")


def test_an_answer_is_compared_with_the_question():
    day = datetime.date(2026, 1, 31)
    query = StudyQuery(patient="1", first=day, last=day, modalities=("DX",))
    right = Study("1.2", patient="1", date="20260131", modalities=("DX", "SR"))
    assert query.fits(right)
    for wrong in (
        Study("1.2", patient="10", date="20260131", modalities=("DX",)),
        Study("1.2", patient="1", date="20260130", modalities=("DX",)),
        Study("1.2", patient="1", date="20260131", modalities=("CT",)),
    ):
        assert not query.fits(wrong)


@pytest.mark.parametrize("text", ["", "1.2.3/../4", "1..2", ".1", "1.2 ", "1" * 65, "١.٢", "1.2\n"])
def test_what_is_no_uid(text):
    assert not is_uid(text)


def test_what_is_a_uid_and_a_date():
    assert is_uid("1.2.840.10008") and is_uid("2.25." + "1" * 39)
    assert read_date("20260229") is None and read_date("2026") is None
    assert read_date("20240229") == datetime.date(2024, 2, 29)


def test_names_and_odd_values_become_plain_text():
    record = {"00100010": {"Value": [{"Alphabetic": "A^B\x00\n"}, {"Ideographic": "名"}, None, {"x": 1}, [2]]}}
    assert read_texts(record, "00100010") == ["A^B", "名"]
    assert read_texts({"00100010": {"Value": ["x" * 5000]}}, "00100010") == ["x" * 256]


def test_a_film_of_another_part_of_the_body_is_known_by_its_name():
    parts = {"CHEST": True, "": True, "THORAX": True, "HAND": False, "ABDOMEN": False}
    assert {part: FilmReference("1", "1", "1", body_part=part).may_be_chest for part in parts} == parts
