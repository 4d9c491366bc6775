"""The odd films and tables that came from outside, beside the checkout: each with its right value."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from icbir_core.catalogue import IngestOptions, IngestReport, Workspace, ingest, read_query
from icbir_core.findings import FindingState
from icbir_core.radiograph import assess_quality
from icbir_core.retrieval.case_keys import CaseKeys

PRESENT, ABSENT = FindingState.PRESENT, FindingState.ABSENT
LAYOUTS = ("dicom", "folder")


@pytest.fixture
def films(cases_directory, tmp_path):
    """Kind → a copy of its folder without the words about it."""

    def copy(kind: str) -> Path:
        folder = tmp_path / kind
        shutil.copytree(cases_directory / "films" / kind, folder)
        (folder / "README").unlink()
        return folder

    return copy


def take(
    tmp_path: Path, layout: str, images: Path, labels: Path | None = None, **more
) -> tuple[Workspace, IngestReport]:
    """A new workspace with a data set in it."""
    workspace = Workspace.create(tmp_path / f"workspace-{layout}")
    return workspace, ingest(workspace, IngestOptions(layout, images, labels, **more))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_instance_twice(films, tmp_path, layout):
    folder = films("same-instance-twice")
    (folder / "dup_query.dcm").rename(tmp_path / "query.dcm")
    workspace, report = take(tmp_path, layout, folder)
    assert (report.added, report.count_copies()) == (1, 3)
    assert workspace.catalogue.get_row(0).patients == tuple(workspace.hash_patient(one) for one in ("P0", "P0-OLD"))
    query = read_query(workspace, "q", tmp_path / "query.dcm")
    assert len(CaseKeys.read(workspace.catalogue).find_patient(query.patient)) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_patient_of_every_layout(films, tmp_path, layout):
    folder = films("patient-not-read-outside-dicom-layout")
    (folder / "dup_query_p0.dcm").rename(tmp_path / "query.dcm")
    workspace, _ = take(tmp_path, layout, folder)
    patient = read_query(workspace, "q", tmp_path / "query.dcm").patient
    assert CaseKeys.read(workspace.catalogue).find_patient(patient).tolist() == [0]


@pytest.mark.parametrize(("layout", "private"), [("dicom", False), ("folder", True), ("folder", False)])
def test_burned_in_text(films, tmp_path, layout, private):
    folder = films("burned-in-not-asked")
    workspace, report = take(tmp_path, layout, folder, private=private)
    refused = layout == "dicom" or private
    assert report.added == int(not refused)
    told = report.skipped if refused else report.doubtful
    assert "burned into the picture" in told[0][1]
    warnings = assess_quality(read_query(workspace, "q", folder / "burned.dcm").radiograph).warnings
    assert any("burned into the picture" in one.text for one in warnings)


def test_chexpert_in_full_size(films, tmp_path):
    folder = films("chexpert-full-size-folders") / "chex_full_batches"
    workspace, report = take(tmp_path, "chexpert", folder, folder / "train.csv", include_laterals=True)
    # One picture stands for all four films.
    assert report.added + report.count_copies() == 4 and len(report.skipped) == report.count_copies()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_views(films, tmp_path, layout):
    folder = films("view-in-other-words")
    views = {path.stem: read_query_view(tmp_path, path) for path in sorted(folder.iterdir())}
    assert views == {
        "v_APsup": "AP",
        "v_LLD": "LLD",
        "v_PAerect": "PA",
        "v_RLO": "RLO",
        "v_code_lat_nomeaning": "LATERAL",
        "v_series_lat": "LATERAL",
    }
    workspace, report = take(tmp_path, layout, folder)
    assert {case.view for case in workspace.catalogue.cases()} <= {"AP", "PA"}
    assert report.added + report.count_copies() == 2, "the two are one picture"


def read_query_view(tmp_path: Path, path: Path) -> str:
    """The view of a film as a query."""
    return read_query(Workspace.create(tmp_path / "asked"), "q", path).radiograph.view


def test_issuers(films, tmp_path):
    folder = films("issuer-of-patient-id")
    workspace = Workspace.create(tmp_path / "workspace")
    patients = {read_query(workspace, "q", path).patient for path in folder.iterdir()}
    assert len(patients) == 2 and workspace.hash_patient("77") not in patients


def test_ages(films, tmp_path):
    folder = films("age-limit")
    workspace = Workspace.create(tmp_path / "workspace")
    ages = {path.stem: read_query(workspace, "q", path).radiograph.age for path in folder.iterdir()}
    assert ages == {"age125": None, "age_from_birth": 70}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("kind", "count"), [("no-preamble-in-a-tree", 1), ("uid-file-name", 3)])
def test_files_without_an_ending_of_films(films, tmp_path, layout, kind, count):
    _, report = take(tmp_path, layout, films(kind))
    assert report.added + report.count_copies() == count and report.others == 0


def test_vindr_image_labels(films, tmp_path):
    folder = films("vindr-image-labels") / "vindr_labels"
    workspace, report = take(tmp_path, "vindr", folder, folder / "image_labels_train.csv")
    assert report.added == 2
    first, second = (workspace.catalogue.get(name).findings for name in ("img0", "img1"))
    assert first["Effusion"] is PRESENT and first["Cardiomegaly"] is ABSENT
    assert second["No Finding"] is PRESENT and second["Effusion"] is ABSENT


@pytest.mark.parametrize("kind", ["folder_cp1252", "folder_sep"])
def test_tables_from_a_spreadsheet(films, tmp_path, kind):
    folder = films("csv-from-excel") / kind
    workspace, report = take(tmp_path, "folder", folder / "images", folder / "l.csv")
    case = workspace.catalogue.get("a")
    assert report.added == 1 and case.findings["Effusion"] is PRESENT
    if kind == "folder_cp1252":
        assert case.patient == workspace.hash_patient("Müller") and case.report == "Erguß"


def test_a_table_in_utf_16(films, tmp_path):
    folder = films("csv-from-excel") / "nih_utf16"
    _, report = take(tmp_path, "nih", folder, folder / "Data_Entry_2017.csv", include_laterals=True)
    assert report.added + report.count_copies() == 5


@pytest.mark.parametrize("kind", ["folder_absposix", "folder_winpath", "folder_case"])
def test_paths_in_a_table(films, tmp_path, kind):
    folder = films("paths-in-the-table") / kind
    table = folder / "l.csv"
    table.write_text(table.read_text().replace("@FOLDER@", str(folder)))
    _, report = take(tmp_path, "folder", folder / "images", table)
    assert (report.added, report.skipped) == (1, [])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("renamed", [False, True])
def test_hostile_files_cost_one_row_each(cases_directory, dicom_directory, tmp_path, layout, renamed):
    folder = tmp_path / "films"
    folder.mkdir()
    hostile = sorted((cases_directory / "hostile").iterdir())
    for path in hostile:
        shutil.copy(path, folder / (path.with_suffix(".dcm").name if renamed else path.name))
    shutil.copy(dicom_directory / "RG1_J2KI.dcm", folder)
    workspace, report = take(tmp_path, layout, folder)
    assert workspace.catalogue.count() == report.added == 1
    assert len(report.skipped) == len(hostile) and all(reason for _, reason in report.skipped)
