"""What a DICOM header says is asked at every door in the same way: every layout, the query, the page's warnings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from icbir_core.catalogue import IngestOptions, Workspace, ingest, iterate_layout, read_query
from icbir_core.radiograph import assess_quality
from tests.helpers.made_data_sets import write_dicom, write_film, write_table

DOORS = ("dicom", "folder", "private", "table", "vindr")


def open_door(door: str, films: Path, **more) -> IngestOptions:
    """The options of an ingest of the DICOM files of a folder through a layout."""
    names = sorted(path.name for path in films.iterdir())
    beside = films.parent
    if door == "table":
        table = write_table(beside / "l.csv", "image,Effusion\n" + "\n".join(f"{name},1" for name in names))
        return IngestOptions("folder", films, table, **more)
    if door == "vindr":
        rows = "\n".join(f"{Path(name).stem},Cardiomegaly,R1" for name in names)
        return IngestOptions(
            "vindr", films, write_table(beside / "v.csv", f"image_id,class_name,rad_id\n{rows}"), **more
        )
    return IngestOptions("dicom" if door == "dicom" else "folder", films, private=door == "private", **more)


@pytest.mark.parametrize("door", DOORS)
def test_the_patient_the_view_and_the_age(workspace, tmp_path, door):
    films = tmp_path / "films"
    write_dicom(films / "a.dcm", seed=1, PatientID="P0", ViewPosition="AP SUPINE", PatientAge="125Y")
    write_dicom(films / "b.dcm", seed=2, PatientID="P0", ViewPosition="LLD")
    dates = {"PatientBirthDate": "19500101", "StudyDate": "20200601", "PatientAge": None}
    write_dicom(films / "c.dcm", seed=3, PatientID="77", IssuerOfPatientID="HOSP_A", **dates)
    write_dicom(films / "d.dcm", seed=4, PatientID="77", IssuerOfPatientID="HOSP_B", ViewPosition=None)
    report = ingest(workspace, open_door(door, films))
    first, third, fourth = workspace.catalogue.cases()
    assert [reason for _, reason in report.skipped] == ["view LLD is not frontal"]
    query = write_dicom(tmp_path / "q.dcm", seed=9, PatientID="P0")
    assert first.patient == read_query(workspace, "q", query).patient == workspace.hash_patient("P0")
    assert (first.view, first.age, first.sex, third.age) == ("AP", None, "F", 70)
    assert len({first.patient, third.patient, fourth.patient, workspace.hash_patient("77")}) == 4
    assert fourth.view == ("PA" if door == "vindr" else "unknown"), "the set's own word where nobody else says it"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "OT"}, "modality OT is not a radiograph"),
        ({"Modality": "SC"}, "modality SC is not a radiograph"),
        ({"Modality": "MEIER"}, "modality of another kind is not a radiograph"),
        ({"Rows": None, "PixelData": None}, "a DICOM file without a picture"),
    ],
)
def test_what_is_no_radiograph(workspace, tmp_path, door, elements, reason):
    write_dicom(tmp_path / "films" / "a.dcm", **elements)
    report = ingest(workspace, open_door(door, tmp_path / "films"))
    assert [why for _, why in report.skipped] == [reason] and "MEIER" not in str(report)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("word", ["YES", "yes", "YES "])
def test_text_burned_into_the_picture(workspace, tmp_path, door, word):
    write_dicom(tmp_path / "films" / "a.dcm", BurnedInAnnotation=word)
    report = ingest(workspace, open_door(door, tmp_path / "films"))
    if door in ("dicom", "private"):
        assert [why for _, why in report.skipped] == [
            "the header says that text is burned into the picture; remove it first"
        ]
    else:
        ((_, doubt),) = report.doubtful
        assert "text is burned into the picture: it may name the patient." in doubt


def test_every_layout_can_be_private(workspace, tmp_path):
    films = tmp_path / "films"
    write_dicom(films / "Person1.dcm", seed=1)
    write_dicom(films / "Person2.dcm", seed=2, BurnedInAnnotation="YES")
    options = open_door("vindr", films, private=True)
    options.labels.write_text(options.labels.read_text() + "Person3,Cardiomegaly,R1\n")
    report = ingest(workspace, options)
    assert [item for item, _ in report.skipped] == ["row 3", "row 2"] or [item for item, _ in report.skipped] == [
        "row 2",
        "row 3",
    ]
    assert report.added == 1 and workspace.catalogue.get_row(0).case_id.startswith("case-")
    assert not any("Person" in path.name for path in workspace.images.iterdir())


def test_a_query_is_told_what_an_ingest_would_refuse(workspace, tmp_path):
    film = write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES", Modality="OT", ViewPosition="LLD")
    for source in (film, film.read_bytes()):
        warnings = assess_quality(read_query(workspace, "q", source).radiograph).warnings
        assert [one.kind for one in warnings][-2:] == ["modality", "burned_in"]
        told = " ".join(one.text for one in warnings)
        assert "modality OT" in told and "burned into the picture" in told and "the view is LLD" in told


def test_the_table_stands_before_the_header_and_a_contradiction_is_told(workspace, tmp_path):
    films = tmp_path / "films"
    write_dicom(films / "a.dcm", seed=1, PatientID="P1", ViewPosition="AP", PatientAge="050Y", PatientSex="M")
    write_dicom(films / "b.dcm", seed=2, PatientID="0042")
    table = write_table(
        tmp_path / "l.csv", "image,patient,view,age,sex,Effusion\na.dcm,ward-7,PA,51,F,1\nb.dcm,42,,,,0"
    )
    report = ingest(workspace, IngestOptions("folder", films, table))
    case, other = workspace.catalogue.cases()
    assert (case.view, case.age, case.sex) == ("PA", 51, "F")
    assert case.patients == (workspace.hash_patient("ward-7"), workspace.hash_patient("P1"))
    told = dict(report.doubtful)
    assert "The table names another patient than the header: the table's is kept." in told["a"]
    assert "another patient" not in told.get("b", ""), "zeros in front are no contradiction"
    assert other.patients == (workspace.hash_patient("42"), workspace.hash_patient("0042"))


def test_issuers(workspace, tmp_path):
    def add_qualifiers(name: str, seed: int, universal: str) -> None:
        path = write_dicom(tmp_path / "films" / name, seed=seed, PatientID="77")
        dataset, item = dcmread(path), Dataset()
        item.UniversalEntityID, item.UniversalEntityIDType = universal, "ISO"
        dataset.IssuerOfPatientIDQualifiersSequence = [item]
        dataset.save_as(path)

    add_qualifiers("a.dcm", 1, "1.2.3")
    add_qualifiers("b.dcm", 2, "1.2.4")
    write_dicom(tmp_path / "films" / "c.dcm", seed=3, PatientID="77")
    write_dicom(tmp_path / "films" / "d.dcm", seed=4, PatientID="77", IssuerOfPatientID=" hosp_a ")
    write_dicom(tmp_path / "films" / "e.dcm", seed=5, PatientID="77", IssuerOfPatientID="HOSP_A")
    ingest(workspace, IngestOptions("dicom", tmp_path / "films"))
    patients = {path.name: read_query(workspace, "q", path).patient for path in (tmp_path / "films").iterdir()}
    assert len(set(patients.values())) == 4 and patients["d.dcm"] == patients["e.dcm"]
    assert patients["c.dcm"] == workspace.hash_patient("77"), "as a catalogue made earlier has it"
    assert {case.patient for case in workspace.catalogue.cases()} == set(patients.values())


@pytest.mark.parametrize("number", ["", "ANONYMIZED", "000000", "XXXX", "---", "none", "no id"])
def test_what_is_no_number_makes_no_patient(workspace, tmp_path, number):
    ingest(workspace, IngestOptions("dicom", write_dicom(tmp_path / "films" / "a", PatientID=number).parent))
    assert workspace.catalogue.get_row(0).patients == ()


def test_a_split_finds_the_patients_of_headers(tmp_path):
    films = tmp_path / "films"
    write_dicom(films / "a.dcm", seed=1, PatientID="1")
    write_dicom(films / "b.dcm", seed=2, PatientID="2", IssuerOfPatientID="HOSP")
    split = write_table(tmp_path / "split.csv", "Patient ID,part\n1,train\n2,test")
    for part, name in (("train", "a"), ("test", "b")):
        options = IngestOptions("folder", films, split=split, part=part)
        assert [raw.case_id for raw, _ in iterate_layout(options)] == [name]


def write_bare(path: Path, **more) -> Path:
    """A DICOM file without preamble and file meta, as old archives keep them."""
    dataset = dcmread(write_dicom(path, **more))
    del dataset.file_meta
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    return path


def test_films_are_found_by_content(workspace, tmp_path):
    films = tmp_path / "films"
    write_bare(films / "nopreamble", seed=1)
    names = ("1.2.826.0.1.3680043.8.498.4711", "CR.1.2.392.200036", "film.ima", "film.dic", "film.xyz", "FILM.DCM")
    for seed, name in enumerate(names, start=2):
        write_dicom(films / name, seed=seed)
    os.rename(write_film(films / "picture.png", seed=20), films / "picture.tmp")
    (films / "notes.txt").write_text("notes")
    (films / "README").write_text("notes")
    folder = ingest(workspace, IngestOptions("folder", films))
    assert folder.added == 8 and folder.others == 1
    assert [item for item, _ in folder.skipped] == ["README"]
    found = {case.case_id for case in workspace.catalogue.cases()}
    assert found == {"nopreamble", "FILM", "picture.tmp", *names[:-1]}
    tree = ingest(Workspace.create(tmp_path / "tree"), IngestOptions("dicom", films))
    assert tree.added == 7 and {reason for _, reason in tree.skipped} == {"not a DICOM file"}
