"""The objects of a result: valid by two foreign programs, of the right patient, and with the same numbers."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import timedelta

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from icbir_core.annotation.drawing import COLOUR, Marks
from icbir_core.annotation.records import Annotation
from icbir_core.annotation.turning import Turn
from icbir_core.errors import DicomExportError
from icbir_core.pacs import capture_page
from icbir_core.pacs.capture_page import draw_pictures
from icbir_core.pacs.drawn import convert_marks
from icbir_core.pacs.presentation_state import make_presentation_state
from icbir_core.pacs.result import RESEARCH, Note, find_map_regions
from icbir_core.pacs.result_objects import BURNED_IN, make_result_objects, pack_objects
from icbir_core.pacs.source_header import read_source_header
from icbir_core.radiograph import read_radiograph
from icbir_core.types import NOT_SHOWN
from tests.helpers.search_results import MADE, make_film, make_map, make_ranking, make_result

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
FILMS = {
    "common": {},
    "nothing but UIDs": dict.fromkeys((*PATIENT, *STUDY[1:], "PatientAge", "StudyDescription", "PatientOrientation")),
    "wrong values": {
        "PatientAge": "62", "PatientBirthDate": "1950", "StudyTime": "noon", "PatientSex": "W", "WindowCenter": "5",
        "WindowWidth": "0", "RescaleSlope": "2", "TimezoneOffsetFromUTC": "CET", "StudyID": "S" * 40,
    },
    "other letters": {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jürgen", "StudyDescription": "Thorax für später",
    },
    "groups of a name": {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    },
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": "60", "WindowWidth": "100"},
    "lossy, burned in": {
        "LossyImageCompression": "01", "LossyImageCompressionRatio": "11.5", "BurnedInAnnotation": "YES",
        "LossyImageCompressionMethod": "ISO_10918_1", "TimezoneOffsetFromUTC": "+0530", "RescaleIntercept": "-1024",
        "RescaleSlope": "2",
    },
    "identity removed": {"PatientIdentityRemoved": "YES", "PatientName": "", "PatientID": "x"},
}  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return make_result()


@pytest.fixture(scope="module")
def objects(result):
    return {one.kind: pydicom.dcmread(io.BytesIO(one.data)) for one in make_result_objects(result).objects}


pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")  # the tests write wrong values on purpose


def find_faults(data: bytes, folder) -> list[str]:
    """The errors that dciodvfy, and of a report dsrdump, finds in an object."""
    missing = [name for name in ("dciodvfy", "dsrdump") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' or '.join(missing)} here: apt-get install dicom3tools dcmtk")
    path = folder / "object.dcm"
    path.write_bytes(data)
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
    faults = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Error", "Abort"))]
    if b"126000" in data:
        read = subprocess.run(["dsrdump", path], capture_output=True, text=True, timeout=60)
        faults += [line for line in read.stderr.splitlines() if line.startswith(("E:", "F:"))]
        faults += [] if read.returncode == 0 and "Imaging Measurements" in read.stdout else ["dsrdump reads no report"]
    return faults


@pytest.mark.parametrize("kind", FILMS)
def test_two_foreign_validators_find_no_error(kind, tmp_path):
    made = make_result_objects(make_result(make_film(**FILMS[kind])))
    assert [one.kind for one in made.objects] == ["capture", "report", "presentation"]
    assert {one.kind: find_faults(one.data, tmp_path) for one in made.objects} == {
        "capture": [], "report": [], "presentation": [],
    }  # fmt: skip


def test_the_validators_can_fail(result, tmp_path):
    for one in make_result_objects(result).objects:
        broken = pydicom.dcmread(io.BytesIO(one.data))
        del broken.StudyInstanceUID
        stream = io.BytesIO()
        broken.save_as(stream)
        assert find_faults(stream.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", FILMS)
def test_patient_and_study_are_those_of_the_query(kind):
    source = pydicom.dcmread(io.BytesIO(make_film(**FILMS[kind])))
    for one in make_result_objects(make_result(make_film(**FILMS[kind]))).objects:
        made = pydicom.dcmread(io.BytesIO(one.data))
        for keyword in (*PATIENT, *STUDY):
            expected = str(source.get(keyword) or "")
            wrong = kind == "wrong values" and keyword in ("PatientBirthDate", "StudyTime", "PatientSex", "StudyID")
            assert str(made.get(keyword) or "") == ("" if wrong else expected), keyword
        assert made.get("PatientAge", "") == ("076Y" if source.get("PatientAge") == "076Y" else "")


def test_each_object_has_a_new_series_and_says_what_it_is_for(objects, result):
    series = {one.SeriesInstanceUID for one in objects.values()}
    instances = {one.SOPInstanceUID for one in objects.values()}
    assert len(series) == len(instances) == 3
    assert not {str(result.source.dataset.SeriesInstanceUID), result.source.instance} & (series | instances)
    assert all(RESEARCH in one.SeriesDescription for one in objects.values())
    assert all(one.Manufacturer == "ICBIR" for one in objects.values())
    assert RESEARCH in objects["presentation"].ContentDescription
    assert objects["report"].PreliminaryFlag == "PRELIMINARY" and objects["report"].VerificationFlag == "UNVERIFIED"


def test_the_same_result_gives_the_same_bytes_and_another_moment_other_uids():
    first, again = (make_result_objects(make_result()).objects for _ in range(2))
    assert [one.data for one in first] == [one.data for one in again]
    later = make_result_objects(make_result(made=MADE + timedelta(seconds=1))).objects
    assert not {one.sop_instance for one in first} & {one.sop_instance for one in later}
    assert not {one.sop_instance for one in first} & {
        one.sop_instance for one in make_result_objects(make_result(region=None)).objects
    }


def test_a_finding_that_is_not_shown_to_be_told_is_named_in_report_and_picture(result):
    ranking = make_ranking()
    ranking = replace(ranking, prediction=replace(ranking.prediction, at_chance=("Effusion", "Cardiomegaly")))
    before, made = (
        {one.kind: one.data for one in make_result_objects(given).objects}
        for given in (result, make_result(ranking=ranking))
    )
    assert f"{NOT_SHOWN}=Effusion, Cardiomegaly".encode() in made["report"] and b"chance" not in before["report"]
    pictures = [pydicom.dcmread(io.BytesIO(one["capture"])).pixel_array for one in (before, made)]
    assert len({picture.tobytes() for picture in pictures}) == 2


def read_groups(report: Dataset) -> dict[str, dict]:
    """Tracking identifier → numbers by the meaning of their name, and coordinates, of each measurement group."""
    found: dict[str, dict] = {}
    (measured,) = (one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "126010")
    for group in measured.ContentSequence:
        numbers, lines, name = {}, [], ""
        for item in group.ContentSequence:
            meaning = item.ConceptNameCodeSequence[0].CodeMeaning
            if item.ValueType == "NUM":
                value = item.MeasuredValueSequence[0]
                numbers[meaning] = float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue
                lines += [one.GraphicData for one in item.get("ContentSequence", []) if one.ValueType == "SCOORD"]
            elif item.ValueType == "SCOORD":
                lines.append(item.GraphicData)
                image = item.ContentSequence[0].ReferencedSOPSequence[0]
                numbers["image"] = image.ReferencedSOPInstanceUID
            elif meaning == "Tracking Identifier":
                name = item.TextValue
        found[name] = numbers | {"lines": [np.reshape(line, (-1, 2)) for line in lines]}
    return found


def find_numbers(report: Dataset, code: str, tracked: str) -> list[Dataset]:
    """The numbers of a code in the measurement group of that tracking identifier."""
    (measured,) = (one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "126010")
    for group in measured.ContentSequence:
        if tracked in [one.get("TextValue") for one in group.ContentSequence]:
            items = [one for one in group.ContentSequence if one.ValueType == "NUM"]
            return [one for one in items if one.ConceptNameCodeSequence[0].CodeValue == code]
    return []


def test_the_report_holds_the_same_numbers(objects, result):
    report, ranking = objects["report"], result.ranking
    assert highdicom.sr.srread(io.BytesIO(make_result_objects(result).objects[1].data)).content
    groups = read_groups(report)
    assert ranking.prediction is not None
    for name, value in ranking.prediction.probabilities.items():
        assert groups[f"finding {name}"]["Probability"] == (pytest.approx(value, rel=1e-9), "1")
    assert groups["finding Effusion"]["Operating point on the probability"] == (0.3125, "1")
    assert "Operating point on the probability" not in groups["finding Cardiomegaly"]
    for hit, percentile in zip(ranking.hits, ranking.percentiles, strict=True):
        group = groups[hit.case.case_id]
        assert group["Distance to the query in the metric of the search"][0] == pytest.approx(hit.distance, rel=1e-9)
        assert group["Rank in the search, 1 is nearest"][0] == hit.rank
        assert group["Share of the catalogue's nearest pairs that are nearer"][0] == pytest.approx(percentile, abs=1e-9)
    assert groups["search for Effusion"]["Number of cases that were searched"][0] == 20
    assert groups["search for Effusion"]["Share of the eligible cases that carry the finding"][0] == 0.16
    assert groups["heart"]["Length"] == (71.25, "mm")
    assert groups["angle 2"]["Angle"] == (41.5, "deg")
    assert groups["ratio 3"]["Ratio of two lengths, such as heart to chest"] == (0.57, "1")
    for name, count, one in zip(("heart", "angle 2", "ratio 3"), (1, 1, 2), result.measurements, strict=False):
        lines = groups[name]["lines"]
        assert len(lines) == count and np.allclose(np.vstack(lines), one.points, atol=1e-4)
    for name, area, one in (("nodule", (471.0, "mm2"), 3), ("rectangle 5", (600.0, "{pixels}"), 4)):
        assert groups[name]["Area"] == area and len(groups[name]["lines"]) == 3
        assert np.allclose(groups[name]["lines"][0][:4], result.measurements[one].points, atol=1e-4)
        greys = [
            (item.MeasuredValueSequence[0].NumericValue, part.ConceptCodeSequence[0].CodeMeaning)
            for item in find_numbers(report, "GREY_LEVEL", name)
            for part in item.ContentSequence
            if part.ConceptNameCodeSequence[0].CodeMeaning == "Derivation"
        ]
        told = result.measurements[one]
        assert greys == [(told.value, "Mean"), (told.deviation, "Standard Deviation")]
    texts = {element.value for element in report.iterall() if element.keyword == "TextValue"}
    assert {f"model={'a' * 64}", "ICBIR=1.2.3"} <= texts


def test_regions_lie_where_the_map_is_strong_and_the_lines_of_both_objects_agree(objects, result):
    groups = read_groups(objects["report"])
    regions = find_map_regions(result.query, result.style, result.scale)
    assert len(regions) == 2 and regions[0].share > regions[1].share
    assert sum(region.share for region in regions) == pytest.approx(1.0)
    drawn = [
        np.reshape(one.GraphicData, (-1, 2))
        for one in objects["presentation"].GraphicAnnotationSequence[0].GraphicObjectSequence
    ]
    rows, columns = result.query.pixels.shape
    for number, centre in ((1, (22, 30)), (2, (44, 20))):
        group = groups[f"map region {number}"]
        (line,) = group["lines"]
        assert group["image"] == result.source.instance
        assert np.array_equal(line[0], line[-1])
        # The square of the map is as high as the film; on either side of it lies padding.
        middle = (line.min(axis=0) + line.max(axis=0)) / 2
        expected = np.array([(centre[0] + 0.5 - (64 - 53) / 2) / 53 * columns, (centre[1] + 0.5) / 64 * rows])
        assert np.abs(middle - expected).max() < 2.0
        assert any(one.shape == line.shape and np.allclose(one, line, atol=1e-3) for one in drawn)
    (box,) = groups["searched region"]["lines"]
    assert np.array_equal(box, [(10, 20), (40, 20), (40, 60), (10, 60), (10, 20)])
    assert any(np.array_equal(one, box) for one in drawn)


def test_a_map_that_marks_nothing_has_no_region():
    empty = make_map()
    faint = make_result(found=type(empty)(empty.values * 0.1, "gradient", "Effusion", False))
    for result in (faint, make_result(found=None)):
        assert find_map_regions(result.query, result.style, result.scale) == ()
        assert "map region 1" not in read_groups(
            pydicom.dcmread(io.BytesIO(make_result_objects(result).objects[1].data))
        )


def test_a_signed_map_says_which_regions_speak_against():
    result = make_result(found=make_map(signed=True))
    assert {region.sign for region in find_map_regions(result.query, result.style, result.scale)} == {1, -1}
    text = str(pydicom.dcmread(io.BytesIO(make_result_objects(result).objects[1].data)))
    assert "Speaks for the finding" in text and "Speaks against the finding" in text


def test_the_presentation_shows_the_film_as_it_is_stored():
    for grey, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        film = make_film(PhotometricInterpretation=grey, WindowCenter="60", WindowWidth="100")
        made = pydicom.dcmread(io.BytesIO(make_result_objects(make_result(film)).objects[2].data))
        assert made.PresentationLUTShape == shape
        assert made.SoftcopyVOILUTSequence[0].WindowCenter == 60
        words = [one.UnformattedTextValue for one in made.GraphicAnnotationSequence[0].TextObjectSequence]
        assert RESEARCH in words and "Effusion, map 1" in words


def test_the_notice_is_in_the_pixels_of_the_page_and_of_every_picture(objects, monkeypatch):
    page = objects["capture"].pixel_array
    gold = np.all(np.abs(page.astype(int) - (255, 212, 121)) < 40, axis=-1)
    assert gold[: capture_page.BAND].sum() > 500 and gold[-capture_page.BAND :].sum() > 500
    film = capture_page.draw_pictures(make_result().query, make_result(region=None), True)
    monkeypatch.setattr(capture_page, "stamp", lambda picture: picture)
    without = capture_page.draw_pictures(make_result().query, make_result(region=None), True)
    assert len(film) == 2
    for marked, plain in zip(film, without, strict=True):
        assert (marked != plain).any(axis=-1)[: marked.shape[0] // 8].sum() > 200


def test_what_was_compared_with_the_region_is_marked_on_a_case():
    result = make_result()
    case = replace(result.cases[0], place=(10.0, 20.0, 20.0, 10.0))  # of 50 × 40 pixels
    bare, marked = (capture_page.draw_pictures(one, result, False)[-1].astype(int) for one in (result.cases[0], case))
    changed = np.argwhere((bare != marked).any(axis=-1)) * 50 / len(bare)
    assert np.allclose([changed.min(0), changed.max(0)], [(20, 10), (30, 30)], atol=1)


def test_no_word_on_the_page_is_of_another_patient(monkeypatch):
    written = []
    real = capture_page.ImageDraw.ImageDraw.text

    def listen(self, place, text, *more, **named):
        written.append(text)
        return real(self, place, text, *more, **named)

    monkeypatch.setattr(capture_page.ImageDraw.ImageDraw, "text", listen)
    capture_page.draw_page(make_result())
    told = "\n".join(written)
    assert "case_0001" in told and "Effusion 0.12" in told
    for secret in ("hash", "83", "a report", "a diagnosis", "Doe", "4711", "19500102"):
        assert secret not in told
    everything = b"".join(one.data for one in make_result_objects(make_result()).objects)
    assert b"a report" not in everything and b"a diagnosis" not in everything


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"StudyInstanceUID": None}, "no valid StudyInstanceUID"),
        ({"SOPInstanceUID": "4"}, "no valid SOPInstanceUID"),
        ({"PatientID": "9" * 65}, "number"),
    ],
)
def test_a_film_that_cannot_be_referred_to_says_why(elements, words):
    with pytest.raises(DicomExportError, match=words):
        make_result(make_film(**elements))


def test_a_film_that_is_no_dicom_says_why():
    with pytest.raises(DicomExportError, match="no DICOM file"):
        read_source_header(b"\x89PNG\r\n\x1a\n" + bytes(200))


def test_a_film_in_colour_has_no_presentation_state_and_the_zip_says_so():
    from tests.helpers.dicom_files import make_dicom

    colour = np.repeat(np.arange(96 * 80, dtype=np.uint16).reshape(96, 80, 1) // 31, 3, axis=2).astype(np.uint8)
    film = make_dicom(colour, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    made = make_result_objects(make_result(film))
    assert [one.kind for one in made.objects] == ["capture", "report"]
    with zipfile.ZipFile(io.BytesIO(pack_objects(made))) as archive:
        assert sorted(archive.namelist()) == sorted([*(one.name for one in made.objects), "READ_ME.txt"])
        assert "colour" in archive.read("READ_ME.txt").decode()
        assert archive.read(made.objects[0].name) == made.objects[0].data


@pytest.mark.parametrize(
    ("elements", "warned"),
    [
        ({"BurnedInAnnotation": "YES"}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, True),
        ({"SOPClassUID": MultiFrameGrayscaleByteSecondaryCaptureImageStorage, "BurnedInAnnotation": ""}, True),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "BurnedInAnnotation": "NO"}, False),
        ({}, False),
    ],
)
def test_text_that_may_be_burned_in_is_warned_of_before_the_capture_leaves(elements, warned):
    film = make_film(**elements)
    made = make_result_objects(make_result(film))
    assert made.warnings == ((BURNED_IN,) if warned else ())
    assert (not {"burned_in", "capture"}.isdisjoint(read_radiograph(film).facts)) is warned
    with zipfile.ZipFile(io.BytesIO(pack_objects(made))) as archive:
        assert ("READ_ME.txt" in archive.namelist()) is warned


def test_a_name_is_in_no_warning_and_no_log():
    """In a process of its own, because pytest keeps warnings from the screen."""
    program = (
        "from tests.helpers.search_results import make_film, make_result\n"
        "from icbir_core.pacs.result_objects import make_result_objects\n"
        "assert len(make_result_objects(make_result(make_film(PatientName='Onename'))).objects) == 3"
    )
    run = subprocess.run([sys.executable, "-W", "default", "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "Onename" not in run.stdout + run.stderr


def test_a_ranking_without_probabilities_or_cases_is_written_too(tmp_path):
    ranking = replace(make_ranking(0), prediction=None, base_rate=None)
    for one in make_result_objects(make_result(ranking=ranking, found=None, region=None, measurements=())).objects:
        assert find_faults(one.data, tmp_path) == []


@pytest.mark.slow
def test_real_films_give_objects_without_an_error(dicom_directory, cases_directory, tmp_path):
    films = sorted([*dicom_directory.glob("*.dcm"), *cases_directory.rglob("films/**/*.dcm")])
    assert len(films) > 20
    made = 0
    for path in films:
        try:
            result = make_result(path.read_bytes(), region=None, measurements=())
        except DicomExportError:
            continue  # a header without UIDs
        for one in make_result_objects(result).objects:
            made += 1
            assert find_faults(one.data, tmp_path) == [], (path.name, one.kind)
    assert made > 20


def test_what_was_drawn_becomes_measurements_and_notes():
    film = np.linspace(0, 1, 80 * 60, dtype=np.float32).reshape(80, 60)
    chest = ((30, 5), (30, 75), (20, 50), (42, 50), (5, 40), (55, 41))
    drawn = (
        Annotation("length", ((0, 0), (30, 40)), "node"),
        Annotation("angle", ((1, 1), (1, 1), (5, 5))),
        Annotation("ratio", chest),
        Annotation("ellipse", ((40, 60), (20, 20))),
        Annotation("rectangle", ((10, 10), (20, 30))),
        Annotation("arrow", ((1, 1), (9, 9)), "line"),
        Annotation("text", ((5, 5),), "old"),
    )
    measured, notes = convert_marks(Marks(drawn, film, (0.2, 0.2)))
    assert [(one.kind, one.unit, one.label) for one in measured] == [
        ("length", "mm", "node"), ("ratio", "1", "Heart to chest"), ("ellipse", "%", "Ellipse"),
        ("rectangle", "%", "Rectangle"),
    ], "an angle of nothing is none"  # fmt: skip
    assert measured[0].value == pytest.approx(10) and measured[1].value == pytest.approx(22 / 50)
    assert measured[1].points == ((20, 50), (42, 50), (5, 40), (55, 40))
    assert measured[2].points == ((30, 20), (30, 60), (20, 40), (40, 40)), "the long axis first"
    assert measured[2].area == pytest.approx(np.pi * 10 * 20 * 0.04) and measured[2].area_unit == "mm"
    assert notes == (Note(((1, 1), (9, 9)), "line"), Note(((5, 5),), "old"))


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_presentation_state_turns_the_film_as_it_was_seen(quarters, mirrored):
    """PS3.3 C.10.6: turned clockwise by the rotation first, then flipped."""
    turn, film = Turn(quarters, mirrored), np.arange(12).reshape(3, 4)
    made = make_presentation_state(make_result(turn=turn))
    told = pydicom.dcmread(io.BytesIO(made.data))
    shown = np.rot90(film, -int(told.get("ImageRotation", 0)) // 90)
    shown = shown[:, ::-1] if told.get("ImageHorizontalFlip", "N") == "Y" else shown
    assert np.array_equal(shown, turn.turn_picture(film))


def test_the_capture_shows_the_film_as_it_was_seen_with_what_was_drawn():
    plain = make_result(turn=Turn())
    marks = Marks((Annotation("length", ((5, 5), (60, 70))),), plain.query.pixels)
    (first, *_), (drawn, *_), (turned, *_) = (
        draw_pictures(one.query, one, True)
        for one in (plain, make_result(turn=Turn(), marks=marks), make_result(turn=Turn(1), marks=marks))
    )
    green = [((one == COLOUR).all(-1)).sum() for one in (first, drawn, turned)]
    assert green[0] == 0 and min(green[1:]) > 20
    rows, columns = plain.query.pixels.shape
    assert (turned.shape[0] < turned.shape[1]) == (rows > columns) and first.shape == drawn.shape
