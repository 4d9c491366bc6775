"""Each layout from a small made-up table with the published header."""

from __future__ import annotations

import gzip
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from icbir_core.catalogue import LAYOUTS, IngestOptions, RawCase, iterate_layout
from icbir_core.catalogue.layouts import IgnoredLabel, SkippedRow, read_rows
from icbir_core.catalogue.layouts.fields import apply_no_finding, parse_state
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.errors import CatalogueError, UnknownNameError
from icbir_core.findings import FindingState
from tests.helpers.made_data_sets import write_dicom, write_film, write_table

PRESENT, ABSENT, UNCERTAIN, UNKNOWN = (
    FindingState.PRESENT,
    FindingState.ABSENT,
    FindingState.UNCERTAIN,
    FindingState.UNKNOWN,
)
CHEXPERT_HEADER = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
MIMIC_LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,labelCUIS"
)
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def read(layout: str, images: Path, labels: Path | None = None, **more) -> tuple[dict[str, RawCase], dict[str, str]]:
    """(cases by identifier, reasons by item)."""
    rows = list(read_rows(IngestOptions(layout, images, labels, **more)))
    return (
        {row.case_id: row for row in rows if isinstance(row, RawCase)},
        {row.item: row.reason for row in rows if isinstance(row, SkippedRow)},
    )


def test_nih_lists_every_finding_and_survives_commas_in_the_header(tmp_path):
    write_film(tmp_path / "images_001" / "images" / "00000001_000.png")
    write_film(tmp_path / "images_002" / "images" / "00000002_000.png")
    table = write_table(
        tmp_path / "Data_Entry_2017.csv",
        f"""{NIH_HEADER}
        00000001_000.png,Cardiomegaly|Pleural_Thickening,0,1,058Y,M,PA,2682,2749,0.143,0.143,
        00000002_000.png,No Finding,0,2,411,F,AP,2682,2749,0.143,0.143,
        00000003_000.png,Effusion,0,3,60,F,AP,2682,2749,0.143,0.143,""",
    )
    cases, reasons = read("nih", tmp_path, table)
    first, second = cases["00000001_000"], cases["00000002_000"]
    assert (first.patient, first.age, first.sex, first.view) == ("nih:1", 58, "M", "PA")
    assert first.findings["Pleural Thickening"] is first.findings["Cardiomegaly"] is PRESENT
    assert first.findings["Effusion"] is first.findings["No Finding"] is ABSENT
    assert len(first.findings) == 15 and UNKNOWN not in first.findings.values()
    assert second.age is None, "an age of 411 years is a typing error"
    assert [name for name, state in second.findings.items() if state is PRESENT] == ["No Finding"]
    assert reasons == {"00000003_000.png": "the film is not in the images folder"}


@pytest.mark.parametrize("unpacked", ["CheXpert-v1.0-small", "renamed", "."])
def test_chexpert_keeps_uncertain_apart_from_blank(tmp_path, unpacked):
    study = "patient00001/study1"
    write_film(tmp_path / unpacked / "train" / study / "view1_frontal.jpg")
    write_film(tmp_path / unpacked / "train" / study / "view2_lateral.jpg")
    images = tmp_path if unpacked == "CheXpert-v1.0-small" else tmp_path / unpacked
    folder = f"CheXpert-v1.0-small/train/{study}"
    table = write_table(
        tmp_path / "train.csv",
        f"""{CHEXPERT_HEADER}
        {folder}/view1_frontal.jpg,Female,0,Frontal,AP,,,0.0,,,-1.0,,,,,1.0,,,1.0
        {folder}/view2_lateral.jpg,Female,68,Lateral,,1.0,,,,,,,,,0.0,,,,1.0
        CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Male,68,Frontal,PA,1.0,,,,,,,,,0.0,,,,1.0""",
    )
    cases, reasons = read("chexpert", images, table)
    frontal, lateral = cases[f"train_{study.replace('/', '_')}_view1_frontal"], list(cases.values())[1]
    assert (frontal.patient, frontal.age, frontal.sex, frontal.view) == ("chexpert:patient00001", None, "F", "AP")
    assert frontal.findings["Effusion"] is PRESENT and frontal.findings["Edema"] is UNCERTAIN
    assert frontal.findings["Cardiomegaly"] is ABSENT and frontal.findings["Pneumonia"] is UNKNOWN
    assert lateral.view == "LATERAL"
    assert lateral.findings["Edema"] is ABSENT and lateral.findings["Support Devices"] is PRESENT
    assert list(reasons.values()) == ["the film is not in the images folder"]


def test_mimic_joins_labels_and_metadata(tmp_path):
    folder = tmp_path / "files" / "p10" / "p10000032"
    write_film(folder / "s50414267" / "02aa804e-bde0afdd.jpg")
    write_film(folder / "s50414267" / "174413ec-4ec4c1f7.jpg")
    (folder / "s50414267.txt").write_text("FINAL REPORT\n No effusion.")
    labels = f"{MIMIC_LABELS}\n10000032,50414267,,,,,,,,,1.0,,,,,\n"
    (tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz").write_bytes(gzip.compress(labels.encode()))
    metadata = (
        f"{MIMIC_METADATA}\n"
        '02aa804e-bde0afdd,10000032,50414267,"CHEST (PA AND LAT)",PA,3056,2544,21800506,213014.531,x,y,Erect\n'
        '174413ec-4ec4c1f7,10000032,50414267,"CHEST (PA AND LAT)",LATERAL,3056,2544,21800506,213014.531,x,y,Erect\n'
        '99999999-00000000,10000032,50000000,"CHEST",AP,3056,2544,21800506,213014.531,x,y,Erect\n'
    )
    (tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress(metadata.encode()))
    cases, reasons = read("mimic", tmp_path, tmp_path / "mimic-cxr-2.0.0-chexpert.csv.gz")
    film = cases["02aa804e-bde0afdd"]
    assert (film.patient, film.view, film.age, film.sex) == ("mimic:10000032", "PA", None, "unknown")
    assert film.findings["No Finding"] is PRESENT and film.findings["Effusion"] is ABSENT
    assert film.findings["Support Devices"] is UNKNOWN and film.report.endswith("No effusion.")
    assert cases["174413ec-4ec4c1f7"].view == "LATERAL"
    assert reasons == {"99999999-00000000": "the study has no labels"}


def test_mimic_without_metadata_is_told(tmp_path):
    table = write_table(tmp_path / "mimic-cxr-2.0.0-chexpert.csv", MIMIC_LABELS)
    with pytest.raises(CatalogueError, match="mimic-cxr-2.0.0-metadata.csv.gz"):
        read("mimic", tmp_path, table)


def test_padchest_reads_lists_and_the_tree(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png", "e.png"):
        write_film(tmp_path / "0" / name)
    rest = "manual review of DICOM fields,,,Physician"
    table = write_table(
        tmp_path / "padchest.csv",
        f"""{PADCHEST_HEADER}
        0,a.png,0,20140915,1,22,1930.0,M,POSTEROANTERIOR,PA,{rest},"['laminar atelectasis', 'hydropneumothorax']",,,
        1,b.png,0,20140915,2,23,1990.0,F,ANTEROPOSTERIOR,AP_horizontal,{rest},['normal'],,,
        2,c.png,0,20140915,3,24,1990.0,F,LATERAL,L,{rest},['normal'],,,
        3,d.png,0,20140915,4,25,,F,POSTEROANTERIOR,PA,{rest},"['normal', 'mass']",,,
        4,e.png,0,20140915,5,26,,F,POSTEROANTERIOR,PA,{rest},['exclude'],,,
        5,f.png,0,20140915,6,27,,F,POSTEROANTERIOR,PA,{rest},nan,,,""",
    )
    cases, reasons = read("padchest", tmp_path, table)
    first = cases["a"]
    assert (first.patient, first.age, first.sex, first.view) == ("padchest:22", 84, "M", "PA")
    assert {name for name, state in first.findings.items() if state is PRESENT} == {
        "Atelectasis",
        "Effusion",
        "Pneumothorax",
    }
    assert cases["b"].view == "AP" and cases["b"].findings["No Finding"] is PRESENT
    assert cases["c"].view == "LATERAL"
    assert cases["d"].findings["Mass"] is UNKNOWN and cases["d"].findings["No Finding"] is ABSENT
    assert reasons == {"e.png": "labelled 'exclude'", "f.png": "no finding label"}


def test_vindr_counts_readers(tmp_path):
    write_dicom(tmp_path / "aaa.dicom", PatientID="")
    write_dicom(tmp_path / "bbb.dicom", PatientID="")
    table = write_table(
        tmp_path / "train.csv",
        """image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max
        aaa,Pleural effusion,10,R1,1,2,3,4
        aaa,Pleural effusion,10,R1,5,6,7,8
        aaa,Pleural effusion,10,R2,1,2,3,4
        aaa,Cardiomegaly,3,R1,1,2,3,4
        aaa,Other lesion,9,R3,1,2,3,4
        bbb,No finding,14,R1,,,,
        bbb,No finding,14,R2,,,,
        bbb,No finding,14,R3,,,,
        ccc,No finding,14,R3,,,,""",
    )
    cases, reasons = read("vindr", tmp_path, table)
    first = cases["aaa"].findings
    assert first["Effusion"] is PRESENT, "two boxes of one reader are one vote, two of three readers a majority"
    assert first["Cardiomegaly"] is UNCERTAIN and first["Pneumothorax"] is ABSENT and first["No Finding"] is ABSENT
    assert cases["bbb"].findings["No Finding"] is PRESENT and cases["bbb"].view == "PA"
    assert list(reasons) == ["ccc"]
    ignored = [row.name for row in read_rows(IngestOptions("vindr", tmp_path, table)) if isinstance(row, IgnoredLabel)]
    assert ignored == ["Other lesion"]


def test_vindr_collects_rows_of_one_film_that_lie_apart(tmp_path):
    write_dicom(tmp_path / "aaa.dicom", PatientID="")
    write_dicom(tmp_path / "bbb.dicom", PatientID="")
    rows = ["bbb,Cardiomegaly,3,R1", "aaa,No finding,14,R1", "bbb,Cardiomegaly,3,R2", "aaa,Pneumothorax,12,R2"]
    table = write_table(tmp_path / "train.csv", "\n".join(["image_id,class_name,class_id,rad_id", *rows]))
    cases, _ = read("vindr", tmp_path, table)
    assert list(cases) == ["bbb", "aaa"], "in the order in which the table names them first"
    assert cases["bbb"].findings["Cardiomegaly"] is PRESENT and cases["aaa"].findings["Pneumothorax"] is UNCERTAIN


def write_long_table(layout: str, folder: Path, count: int) -> Path:
    """A label table of `count` studies or films, none of which is in the images folder."""
    folder.mkdir()
    if layout == "vindr":
        rows = [f"image{number},Pleural effusion,10,R{reader}" for number in range(count) for reader in range(3)]
        return write_table(folder / "train.csv", "\n".join(["image_id,class_name,class_id,rad_id", *rows]))
    rows = [f"film{number},1,{number},CHEST,PA,1,1,1,1,x,y,z" for number in range(count)]
    write_table(folder / "mimic-cxr-2.0.0-metadata.csv", "\n".join([MIMIC_METADATA, *rows]))
    rows = [f"1,{number},,,,,,,,,1.0,,,,," for number in range(count)]
    return write_table(folder / "mimic-cxr-2.0.0-chexpert.csv", "\n".join([MIMIC_LABELS, *rows]))


@pytest.mark.parametrize("layout", ["mimic", "vindr"])
def test_memory_does_not_grow_with_the_table(tmp_path, layout, monkeypatch):
    # Looking for a film makes Python's own table of path names grow.
    monkeypatch.setattr(FileFinder, "find", lambda *_, **__: "not looked for")
    peaks = []
    for count in (500, 5000):
        table = write_long_table(layout, tmp_path / str(count), count)
        tracemalloc.start()
        reasons = Counter(row.reason for row in read_rows(IngestOptions(layout, tmp_path, table)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert reasons == {"not looked for": count}
    assert peaks[1] - peaks[0] < 100_000, "kept in a dictionary, 4,500 studies more take ten times as much"


def test_folder_with_a_listing_column(tmp_path):
    for number in range(3):
        write_film(tmp_path / "images" / f"film_{number}.png")
    table = write_table(
        tmp_path / "labels.csv",
        """image,finding
        film_0.png,Pleural Effusion
        film_1.png,No Finding
        film_2,Effusion|Sarcoidosis""",
    )
    cases, _ = read("folder", tmp_path / "images", table)
    assert dict(cases["film_0"].findings) == {"Effusion": PRESENT, "No Finding": ABSENT}
    assert dict(cases["film_1"].findings) == {"No Finding": PRESENT, "Effusion": ABSENT}
    assert cases["film_2"].patient is None and cases["film_2"].view == "unknown"


def test_folder_with_a_column_a_finding(tmp_path):
    write_film(tmp_path / "a" / "film.png")
    write_film(tmp_path / "b" / "film.png")
    table = write_table(
        tmp_path / "labels.csv",
        """File Name;Patient_ID;View;Age;Gender;Pleural Effusion;Edema;Cardiomegaly;Report;Proven diagnosis;Ward
        a/film.png;x1;ap;50;female;1;-1;;Fluid on the left, 3 cm.;Empyema;7
        b/film.png;;pa;;;0;1;2;;;
        film.png;;pa;;;0;1;0;;;""",
    )
    cases, reasons = read("folder", tmp_path, table)
    film = cases["a__film"]
    assert (film.patient, film.view, film.age, film.sex) == ("x1", "AP", 50, "F")
    assert (film.report, film.diagnosis) == ("Fluid on the left, 3 cm.", "Empyema")
    assert dict(film.findings) == {"Effusion": PRESENT, "Edema": UNCERTAIN, "Cardiomegaly": UNKNOWN}
    assert reasons["b/film.png"] == "column 'Cardiomegaly' holds '2' instead of 1, 0, -1 or blank"
    assert reasons["film.png"] == "2 files of the images folder have this name"
    ignored = [row.name for row in read_rows(IngestOptions("folder", tmp_path, table)) if isinstance(row, IgnoredLabel)]
    assert ignored == ["column 'Ward'"]


def test_folder_without_a_table_takes_every_film(tmp_path):
    write_film(tmp_path / "a.png")
    write_film(tmp_path / "below" / "b.jpg")
    (tmp_path / "notes.txt").write_text("no film")
    cases, _ = read("folder", tmp_path)
    assert list(cases) == ["a", "below__b"] and not cases["a"].findings


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "..\\secret.png"])
def test_a_table_cannot_lead_outside_the_folder(tmp_path, name):
    write_film(tmp_path / "secret.png")
    (tmp_path / "images").mkdir()
    table = write_table(tmp_path / "labels.csv", f"image,finding\n{name},Effusion")
    cases, reasons = read("folder", tmp_path / "images", table)
    assert not cases and "outside" in reasons[name]


def test_dicom_tree_takes_films_only(tmp_path):
    write_dicom(tmp_path / "Person, Secret" / "IM000001", seed=1)
    write_dicom(tmp_path / "b.dcm", seed=2, PatientID="  ")
    write_dicom(tmp_path / "c.dcm", seed=3, BurnedInAnnotation="YES")
    write_dicom(tmp_path / "d.dcm", seed=4, Modality="CT")
    (tmp_path / "e.txt").write_text("hello")
    cases, reasons = read("dicom", tmp_path)
    assert [case.patient for case in cases.values()] == [None, "1234567"]
    assert all(case.private and "Person" not in case.label for case in cases.values())
    assert sorted(reason.split()[0] for reason in reasons.values()) == ["modality", "not", "the"]
    assert not any("Person" in item for item in reasons)


def test_iterate_layout_filters_and_limits(tmp_path):
    for number in range(5):
        write_film(tmp_path / f"{number}.png")
    views = ("PA", "AP", "L", "AP", "AP")
    rows = "\n".join(f"{number}.png,{number},{view},1" for number, view in enumerate(views))
    table = write_table(tmp_path / "labels.csv", f"image,patient,view,Effusion\n{rows}")
    split = write_table(tmp_path / "split.csv", "Patient ID,part\n1,train\n2,train\n3,tune\n4,train")

    def names(**more) -> list[str]:
        return [raw.case_id for raw, _ in iterate_layout(IngestOptions("folder", tmp_path, table, **more))]

    assert names() == ["0", "1", "3", "4"]
    assert names(include_laterals=True, limit=3) == ["0", "1", "2"]
    assert names(view="AP") == ["1", "3", "4"]
    assert names(split=split, part="train") == ["1", "4"]
    with pytest.raises(CatalogueError, match="it has: train, tune"):
        names(split=split, part="test")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("folder", "dicom", "dicomweb")])
def test_a_wrong_table_is_named(tmp_path, layout):
    table = write_table(tmp_path / "labels.csv", "a,b\n1,2")
    with pytest.raises(CatalogueError, match=f"'labels.csv' lacks the column '.*' of the layout '{layout}'"):
        read(layout, tmp_path, table)
    with pytest.raises(CatalogueError, match=f"layout '{layout}' needs a table of labels; name its file"):
        read(layout, tmp_path)


def test_an_unknown_layout_lists_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="chexpert"):
        read("nothing", tmp_path)


def test_states():
    assert [parse_state(text) for text in ("1.0", "0", "-1", "", "nan", "perhaps")] == [
        PRESENT,
        ABSENT,
        UNCERTAIN,
        UNKNOWN,
        UNKNOWN,
        None,
    ]


def test_no_finding_denies_what_is_unknown_and_nothing_else():
    names = ("No Finding", "Effusion", "Edema", "Support Devices")
    denied = apply_no_finding({"No Finding": PRESENT, "Edema": UNCERTAIN}, names)
    assert denied == {"No Finding": PRESENT, "Edema": UNCERTAIN, "Effusion": ABSENT}
    assert apply_no_finding({"Support Devices": PRESENT}, names) == {"Support Devices": PRESENT}


SHORT = "the row is shorter than the header: cut off, or a quote left open"


@pytest.mark.parametrize("end", ["2.png,Eff", '2.png,"Effusion,0,2,50,M,PA,1,1,1,1\n3.png,Mass,0,3,50,M,PA,1,1,1,1\n'])
def test_a_row_shorter_than_the_header_is_told_and_the_others_go_in(tmp_path, end):
    for number in (1, 2, 3):
        write_film(tmp_path / f"{number}.png")
    table = tmp_path / "labels.csv"
    table.write_text(f"{NIH_HEADER}\n1.png,Effusion,0,1,50,M,PA,1,1,1,1\n\n{end}")
    cases, reasons = read("nih", tmp_path, table)
    assert list(cases) == ["1"] and reasons == {"line 4": SHORT}


@pytest.mark.parametrize(
    ("layout", "header", "row"),
    [
        ("chexpert", CHEXPERT_HEADER, "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg,Male"),
        ("padchest", PADCHEST_HEADER, "0,1.png"),
        ("vindr", "image_id,class_name,class_id,rad_id", "1"),
        ("mimic", MIMIC_METADATA, "02aa804e-bde0afdd"),
    ],
)
def test_every_layout_tells_a_short_row(tmp_path, layout, header, row):
    table = write_table(tmp_path / "labels.csv", f"{header}\n{row}")
    if layout == "mimic":
        table.rename(tmp_path / "mimic-cxr-2.0.0-metadata.csv")
        table = write_table(tmp_path / "labels.csv", f"{MIMIC_LABELS}\n10000032,50414267")
    assert read(layout, tmp_path, table) == ({}, {"line 2": SHORT})


def test_what_is_left_out_at_the_end_of_a_folders_row_is_blank(tmp_path):
    write_film(tmp_path / "1.png")
    write_film(tmp_path / "2.png")
    table = write_table(tmp_path / "labels.csv", "image,patient,Effusion\n1.png\n2.png,p2,1")
    cases, reasons = read("folder", tmp_path, table)
    assert not reasons and cases["1"].patient is None and cases["1"].findings["Effusion"] is UNKNOWN
    assert cases["2"].patient == "p2" and cases["2"].findings["Effusion"] is PRESENT
