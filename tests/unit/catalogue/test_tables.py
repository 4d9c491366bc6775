"""Tables as people write them: encodings, separators, paths of other machines, names in other capitals, odd cells."""

from __future__ import annotations

import codecs
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from icbir_core.catalogue import IngestOptions, RawCase, ingest
from icbir_core.catalogue.layouts import IgnoredLabel, SkippedRow, read_rows
from icbir_core.catalogue.layouts.fields import parse_state, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.text_files import guess_code_page
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import CatalogueError
from icbir_core.findings import FindingState
from tests.helpers.made_data_sets import write_dicom, write_film, write_table

PRESENT, ABSENT, UNCERTAIN = FindingState.PRESENT, FindingState.ABSENT, FindingState.UNCERTAIN
TEXT = "image;patient;report;Effusion\r\na.png;Müller;Erguß, 3 cm;1\r\n;;;\r\n"
ROWS = [{"image": "a.png", "patient": "Müller", "report": "Erguß, 3 cm", "Effusion": "1"}]


def read(layout: str, images: Path, labels: Path | None = None, **more) -> tuple[dict[str, RawCase], dict[str, str]]:
    """(cases by identifier, reasons by item)."""
    rows = list(read_rows(IngestOptions(layout, images, labels, **more)))
    return (
        {row.case_id: row for row in rows if isinstance(row, RawCase)},
        {row.item: row.reason for row in rows if isinstance(row, SkippedRow)},
    )


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("cp1252"),
        TEXT.encode("mac_roman"),
        TEXT.replace("\r\n", "\r").encode("mac_roman"),
        TEXT.encode("cp437"),
        b"\n" + codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.replace("Müller", "\ufeffMüller\0\0").encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-32"),
        TEXT.replace(";", "\t").encode("utf-16"),
        b"sep=;\r\n" + TEXT.encode("cp1252"),
        ("SEP=;\r\n" + TEXT).encode("utf-16"),
        b'"sep=|"\r\n' + TEXT.replace(";", "|").encode(),
        TEXT.replace("\r\n", "\r").encode("cp1252"),
        TEXT.replace(";", "|").encode(),
        b"\r\n \r\n" + TEXT.encode(),
        b"\r\nsep=;\r\n\r\n" + TEXT.encode(),
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path, data):
    path = tmp_path / "labels.csv"
    path.write_bytes(data)
    assert list(read_table(path, ("image",), "folder")) == ROWS


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman", "cp850"])
@pytest.mark.parametrize(
    "text",
    [
        "Schröder,Größe normal\nWeiß,Lungenödem\nJäger,Ärztin",
        "François,épanchement à gauche\nHélène,hôpital",
        "Muñoz García,neumonía\nNúñez,corazón",
        "João,pulmão sem alterações",
        "Sørensen,højre lunge åben",
        "MÜLLER,PLEURAERGUSS\nJÄGER,RÖNTGEN",
    ],
)
def test_the_code_page_is_told_by_its_words(encoding, text):
    assert text.encode(encoding).decode(guess_code_page(text.encode(encoding))) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Wiśniewski,płyn w jamie opłucnej\nKowalczyk,powiększona sylwetka serca"),
        ("cp1250", "Dvořák,zvětšený srdeční stín\nNováková,pleurální výpotek vpravo"),
        ("cp1250", "Nagy Erzsébet,szűkület, fertőzés, őszi"),
        ("cp1250", "Šimić,pleuralni izljev lijevo, uvećano srce"),
        ("cp1251", "Иванов,пневмония справа\nПетрова,выпот в плевральной полости"),
        ("cp1251", "Шевченко,Плевральний випіт зліва"),
        ("cp1251", "ПНЕВМОТОРАКС СЛЕВА"),
        ("cp1253", "Παπαδόπουλος,πλευριτική συλλογή δεξιά"),
        ("cp1254", "Öztürk Ayşe,sağ akciğerde infiltrasyon, plevral sıvı"),
        ("cp1257", "Kazlauskas,širdis padidėjusi, plaučių uždegimas"),
        ("cp866", "Иванов,пневмония справа"),
        ("koi8_r", "Иванов,пневмония справа"),
    ],
)
def test_the_code_pages_of_eastern_europe(encoding, text):
    assert guess_code_page(text.encode(encoding)) == encoding


def test_a_guessed_code_page_is_told(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    write_film(tmp_path / "films" / "a.png")
    told = "The table 'labels.csv' was read as Windows-1252; if words came out wrong, save it as UTF-8."
    options = IngestOptions("folder", tmp_path / "films", path)
    assert ingest(Workspace.create(tmp_path / "workspace"), options).encoding == told
    path.write_bytes(TEXT.encode())
    assert ingest(Workspace.create(tmp_path / "workspace"), options).encoding == ""


def test_signs_of_windows_are_no_letters_of_another_system():
    for text in ("l’image, d’eau", "the patient’s “old” film – 5–10 cm", "37 °C ± 2 µm²"):
        assert guess_code_page(text.encode("cp1252")) == "cp1252"


def test_names_of_columns_in_quotes_hold_separators_and_line_breaks(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('"image\nof, the, film";"a;b"\nx.png;1\n\ny.png\n')
    first, second = read_table(path, ("a;b",), "folder")
    assert first == {"image\nof, the, film": "x.png", "a;b": "1"} and second.item == "line 5"


def test_the_line_is_counted_below_the_separator(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("sep=,\nimage,Effusion\na.png,1\nb.png\n")
    assert list(read_table(path, ("image",), "nih"))[1].item == "line 4"
    path.write_text("\nsep=,\n\nimage,Effusion\na.png,1\nb.png\n")
    assert list(read_table(path, ("image",), "nih"))[1].item == "line 6"


def test_a_table_in_two_encodings_is_a_damaged_one(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("image,report\na.png,Erguß\n".encode() + "b.png,Erguß\n".encode("cp1252"))
    with pytest.raises(CatalogueError, match="save it again as csv in UTF-8"):
        list(read_table(path, (), "folder"))


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_spreadsheet_itself_is_no_table(tmp_path, head):
    path = tmp_path / "labels.csv"
    path.write_bytes(head + bytes(range(256)) * 9)
    with pytest.raises(CatalogueError, match="is a spreadsheet's own file; save it as csv in UTF-8"):
        list(read_table(path, ("image",), "folder"))


@pytest.mark.parametrize(("text", "state"), [("1,0", PRESENT), ("0,0", ABSENT), ("-1,0", UNCERTAIN), ("2,0", None)])
def test_states_with_a_decimal_comma(text, state):
    assert parse_state(text) is state


@pytest.fixture
def images(tmp_path) -> Path:
    """images/A.PNG, images/ward1/b.png, images/ward2/b.png, images/Ward3/c.png and a film outside."""
    folder = tmp_path / "images"
    for seed, name in enumerate(("A.PNG", "ward1/b.png", "ward2/b.png", "Ward3/c.png", "../outside.png")):
        write_film(folder / name, seed=seed)
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.png", "A.PNG"),
        ("a", "A.PNG"),
        ("ward3/C.PNG", "Ward3/c.png"),
        ("./ward1/b.png", "ward1/b.png"),
        ("ward2/../ward1/b.png", "ward1/b.png"),
        ("images/ward1/b.png", "ward1/b.png"),
        ("{root}/ward1/b.png", "ward1/b.png"),
        ("{root}/a.png", "A.PNG"),
        ("{root}/ward1/../ward2/b.png", "ward2/b.png"),
        ("file://{root}/ward1/b.png", "ward1/b.png"),
        ("C:\\export\\images\\ward1\\b.png", "ward1/b.png"),
        ("c:/export/Images/a.png", "A.PNG"),
        ("\\\\server\\share\\images\\ward2\\b.png", "ward2/b.png"),
        ("D:\\films\\ward2\\b.png", "ward2/b.png"),
        ("/mnt/elsewhere/ward1/b.png", "ward1/b.png"),
        ("file:///C:/export/images/ward1/b.png", "ward1/b.png"),
        ("file:///C:/My%20films/images/%77ard1/b.png", "ward1/b.png"),
    ],
)
def test_paths_that_lie_in_the_folder(images, name, found):
    finder = FileFinder(images, endings=("", ".png"))
    assert finder.find(name.format(root=images)) == images / found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ward1/b.jpg", "ward1/b.png"),
        ("images/ward2/B.JPEG", "ward2/b.png"),
        ("a.dcm", "A.PNG"),
        ("c.jpg", "Ward3/c.png"),
        ("D:\\films\\ward2\\b.jpg", "ward2/b.png"),
        ("ward1/b.txt", "the film is not in the images folder"),
        ("b.jpg", "2 files of the images folder have this name"),
    ],
)
def test_a_film_that_was_saved_in_another_format(images, name, found):
    place = FileFinder(images).find(name)
    assert place == (found if " " in found else images / found)


def test_the_format_that_the_table_names_goes_first_and_of_two_others_none_is_guessed(images):
    for ending, seed in ((".jpg", 7), (".jpeg", 8)):
        write_film(images / f"ward1/b{ending}", seed=seed)
    assert FileFinder(images).find("ward1/b.jpg") == images / "ward1/b.jpg"
    reason = "2 files of the images folder have this name with another ending"
    (images / "ward1/b.jpg").unlink()
    assert FileFinder(images).find("ward1/b.jpg") == reason
    assert FileFinder(images).find("ward1/B.PNG") == images / "ward1/b.png"


@pytest.mark.parametrize(
    "name",
    [
        "{root}/../outside.png", "../outside.png", "/etc/passwd", "C:\\outside.png", "a/../../outside.png", "..", "/",
        ".", "", "x\0y", "file:///%2e%2e/outside.png", "file://{root}/%2e%2e/outside.png", "file:///x%00y",
        "{root}", "C:\\films\\b.png",
    ],
)  # fmt: skip
def test_paths_that_lead_outside(images, name):
    assert FileFinder(images).find(name.format(root=images)) == "the table's path leads outside the images folder"


def test_other_capitals_only_where_one_file_can_be_meant(images):
    write_film(images / "D.png")
    write_film(images / "d.PNG")
    finder = FileFinder(images)
    assert finder.find("d.png") == "2 files of the images folder have this name"
    assert finder.find("D.png") == images / "D.png"
    write_film(images / "WARD1" / "b.png")
    assert finder.find("ward1/b.png") == images / "ward1" / "b.png"
    assert finder.find("Ward1/b.png") == "2 files of the images folder have this name in other capitals"
    assert finder.find("ward1/c.png") == "the film is not in the images folder"


def test_letters_composed_in_another_way(tmp_path):
    write_film(tmp_path / unicodedata.normalize("NFD", "Müller") / unicodedata.normalize("NFD", "é.png"))
    for name in ("é.png", "Müller/é.png"):
        found = FileFinder(tmp_path).find(unicodedata.normalize("NFC", name))
        assert isinstance(found, Path) and found.is_file()


def test_a_path_of_another_machine_names_the_case_by_its_place_in_the_folder(images, tmp_path):
    table = write_table(tmp_path / "l.csv", f"image,Effusion\nC:\\x\\images\\ward1\\b.png,1\n{images}/ward2/b.png,0")
    assert list(read("folder", images, table)[0]) == ["ward1__b", "ward2__b"]


def test_a_long_cell_costs_its_row_only(workspace, images, tmp_path):
    table = write_table(
        tmp_path / "l.csv", f"image,Effusion\n{'x' * 300}.png,1\n{'y/' * 3000}z.png,1\nA.PNG,1\n{'/y' * 3000},1"
    )
    report = ingest(workspace, IngestOptions("folder", images, table))
    assert report.added == 1 and len(report.skipped) == 3


@pytest.mark.parametrize("layout", ["folder", "dicom"])
def test_odd_entries_of_a_folder_cost_one_row_each(workspace, tmp_path, layout):
    films = tmp_path / "films"
    good = write_dicom(films / "z.dcm", seed=1)
    outside = write_dicom(tmp_path / "outside.dcm", seed=2)
    (films / "a.dcm").symlink_to(outside)
    (films / "b.dcm").symlink_to(tmp_path / "nowhere.dcm")
    (films / "c.dcm").symlink_to("c.dcm")
    (films / "d.dcm").symlink_to(good)
    os.mkfifo(films / "e.dcm")
    (films / "f.dcm").write_bytes(b"")
    with open(os.fsencode(films) + b"/g\xff.dcm", "wb") as handle:
        handle.write(b"no film")
    (films / "loop").symlink_to(films)
    report = ingest(workspace, IngestOptions(layout, films))
    assert (report.added, len(report.skipped)) == (1, 7)
    reasons = [reason for _, reason in report.skipped]
    assert reasons.count("a link that leads outside the images folder") == 2
    doubled = "a copy of the case 'd'" if layout == "folder" else "listed twice"
    assert "not a file that holds a film" in reasons and doubled in reasons
    assert (workspace.path / "skipped.csv").read_text(encoding="utf-8").count("\n") == 8


def test_a_film_whose_name_is_no_text_is_taken(workspace, tmp_path):
    write_film(tmp_path / "films" / "a.png")
    os.rename(tmp_path / "films" / "a.png", os.fsencode(tmp_path / "films") + b"/g\xff.png")
    assert ingest(workspace, IngestOptions("folder", tmp_path / "films")).added == 1
    assert workspace.catalogue.get_row(0).case_id == "g\\xff"
    assert ingest(workspace, IngestOptions("folder", tmp_path / "films")).already == 1


def test_a_link_in_a_table_does_not_lead_outside(images, tmp_path):
    (images / "link.png").symlink_to(tmp_path / "outside.png")
    (images / "ward9").symlink_to(tmp_path)
    finder = FileFinder(images)
    for name in ("link.png", "ward9/outside.png", f"{images}/link.png"):
        assert finder.find(name) == "a link that leads outside the images folder"


CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


@pytest.mark.parametrize("names", [("CheXpert-v1.0 batch 2 (train 1)", "CheXpert-v1.0 batch 3 (train 2)"), ("2", "C")])
@pytest.mark.parametrize("nested", ["", "chexpertchestxrays-u20210408/", "unpacked/"])
def test_chexpert_in_full_size_as_it_is_downloaded(tmp_path, nested, names):
    places = {
        "CheXpert-v1.0/valid/patient64541/study1/view1_frontal.jpg": (
            "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal.jpg"
        ),
        "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg": (
            f"{names[0]}/patient00001/study1/view1_frontal.jpg"
        ),
        "CheXpert-v1.0/train/patient30000/study2/view1_frontal.jpg": (
            f"{names[1]}/patient30000/study2/view1_frontal.jpg"
        ),
    }
    for seed, place in enumerate(places.values()):
        write_film(tmp_path / "images" / (nested + place), seed=seed)
    rows = "\n".join(f"{name},Male,50,Frontal,PA{',' * 14}" for name in places)
    table = write_table(tmp_path / "train.csv", f"{CHEXPERT}\n{rows}")
    cases, reasons = read("chexpert", tmp_path / "images", table)
    assert not reasons and [str(case.file).removeprefix(str(tmp_path)) for case in cases.values()] == [
        f"/images/{nested}{place}" for place in places.values()
    ]
    assert list(cases)[0] == "valid_patient64541_study1_view1_frontal"
    one = tmp_path / "images" / (nested + names[1])
    assert list(read("chexpert", one, table)[0]) == ["train_patient30000_study2_view1_frontal"]


def test_chexpert_in_other_capitals_and_another_format(tmp_path):
    for number, name in enumerate(("view1_frontal.png", "VIEW1_FRONTAL.JPG", "view1_frontal.jpeg"), start=1):
        write_film(tmp_path / f"CHEXPERT-V1.0-SMALL/Train/Patient0000{number}/STUDY1/{name}", seed=number)
    names = [f"CheXpert-v1.0-small/train/patient0000{number}/study1/view1_frontal.jpg" for number in (1, 2, 3)]
    rows = "\n".join(f"{name},Male,50,Frontal,PA{',' * 14}" for name in names)
    table = write_table(tmp_path / "train.csv", f"{CHEXPERT}\n{rows}")
    for folder in ("", "CHEXPERT-V1.0-SMALL", "CHEXPERT-V1.0-SMALL/Train"):
        cases, reasons = read("chexpert", tmp_path / folder, table)
        assert not reasons and [case.patient for case in cases.values()] == [
            f"chexpert:patient0000{number}" for number in (1, 2, 3)
        ]


@pytest.mark.parametrize(
    "place", ["", "files/p10/p10000032/s50414267", "physionet.org/files/mimic-cxr-jpg/2.0.0/files/p10"]
)
@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".png"])
def test_mimic_is_found_at_any_depth_and_in_any_format(tmp_path, place, ending):
    write_film(tmp_path / "films" / place / f"02aa804e-bde0afdd{ending}")
    write_table(
        tmp_path / "mimic-cxr-2.1.0-metadata.csv",
        "dicom_id,subject_id,study_id,ViewPosition\n02aa804e-bde0afdd,10000032,50414267,PA",
    )
    labels = ",".join(CHEXPERT.split(",")[5:])
    table = write_table(tmp_path / "labels.csv", f"subject_id,study_id,{labels}\n10000032,50414267{',' * 14}")
    cases, reasons = read("mimic", tmp_path / "films", table)
    assert list(cases) == ["02aa804e-bde0afdd"] and not reasons


def test_vindr_with_a_column_a_finding(tmp_path):
    for seed, name in enumerate(("img0", "img1", "img2")):
        write_film(tmp_path / "train" / f"{name}.png", seed=seed)
    table = write_table(
        tmp_path / "image_labels_train.csv",
        """image_id,rad_id,Pleural effusion,Cardiomegaly,Clavicle fracture,Rib fracture,Lung cyst,No finding
        img0,R1,1,0,1,0,0,0
        img0,R2,1,1,0,0,0,0
        img0,R3,0,0,0,1,0,0
        img1,R1,0,0,0,0,0,1
        img1,R2,0.0,,0,0,0,1
        img1,R3,0,0,0,0,0,1
        img2,R1,2,0,0,0,0,0""",
    )
    cases, reasons = read("vindr", tmp_path, table)
    states = {"Effusion": PRESENT, "Cardiomegaly": UNCERTAIN, "Fracture": PRESENT, "No Finding": ABSENT}
    assert dict(cases["img0"].findings) == states, "what the table has no column of stays unknown"
    assert set(cases["img1"].findings.values()) == {ABSENT, PRESENT}
    assert cases["img1"].findings["No Finding"] is PRESENT and cases["img1"].view == "PA"
    assert reasons == {"img2": "column 'Pleural effusion' holds '2' instead of 1, 0, -1 or blank"}
    ignored = [row.name for row in read_rows(IngestOptions("vindr", tmp_path, table)) if isinstance(row, IgnoredLabel)]
    assert ignored == ["column 'Lung cyst'"]


def test_vindr_of_the_test_part_names_no_reader(tmp_path):
    write_film(tmp_path / "img0.png")
    table = write_table(tmp_path / "image_labels_test.csv", "image_id,Pneumothorax,No finding\nimg0,1,0")
    assert dict(read("vindr", tmp_path, table)[0]["img0"].findings) == {"Pneumothorax": PRESENT, "No Finding": ABSENT}
    wrong = write_table(tmp_path / "wrong.csv", "image_id,ward\nimg0,1")
    with pytest.raises(CatalogueError, match="neither the column 'class_name' nor a column a finding"):
        read("vindr", tmp_path, wrong)


def test_no_file_of_a_data_set_is_read_through_a_link_that_leads_out(tmp_path):
    outside, images = tmp_path / "outside", tmp_path / "set" / "images"
    study = images / "files" / "p10" / "p10000032"
    write_film(study / "s50414267" / "a.jpg")
    (outside / "patient00001").mkdir(parents=True)
    (outside / "secret.txt").write_text("root:x:0:0")
    (study / "s50414267.txt").symlink_to(outside / "secret.txt")
    labels = CHEXPERT.split("AP/PA,")[1]
    (tmp_path / "set" / "chexpert.csv").write_text(f"subject_id,study_id,{labels}\n10000032,50414267{',' * 14}\n")
    metadata = "dicom_id,subject_id,study_id,ViewPosition\na,10000032,50414267,PA\n"
    (outside / "metadata.csv").write_text(metadata)
    linked = tmp_path / "set" / "mimic-cxr-2.0.0-metadata.csv"
    linked.symlink_to(outside / "metadata.csv")
    with pytest.raises(CatalogueError, match="There is no"):
        read("mimic", images, tmp_path / "set" / "chexpert.csv")
    linked.unlink()
    linked.write_text(metadata)
    cases, _ = read("mimic", images, tmp_path / "set" / "chexpert.csv")
    assert [(case.case_id, case.report) for case in cases.values()] == [("a", None)]
    (study / "s50414267.txt").unlink()
    (study / "s50414267.txt").write_text("No effusion.")
    assert read("mimic", images, tmp_path / "set" / "chexpert.csv")[0]["a"].report == "No effusion."

    write_film(outside / "train" / "patient00001" / "view1_frontal.jpg")
    (images / "part 2").symlink_to(outside)
    name = "CheXpert-v1.0/train/patient00001/view1_frontal.jpg"
    table = write_table(tmp_path / "c.csv", f"{CHEXPERT}\n{name},Male,50,Frontal,PA{',' * 14}\n")
    assert read("chexpert", images, table)[0] == {}
    (images / "part 2").unlink()
    shutil.copytree(outside, images / "part 2")
    assert len(read("chexpert", images, table)[0]) == 1
