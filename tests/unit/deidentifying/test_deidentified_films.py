"""DICOM films without identifiers: nothing planted is left, the picture is the same, and films that belong together
stay together."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from icbir_core.annotation.records import Annotation
from icbir_core.audit import Action, open_audit
from icbir_core.catalogue.workspace import SALT, Workspace
from icbir_core.cli import main
from icbir_core.deidentifying.film import LOOK, Clearance, deidentify_film, make_uid
from icbir_core.deidentifying.masking import Mask, find_masks
from icbir_core.deidentifying.profile import Step, find_step, read_table
from icbir_core.errors import DicomExportError, IcbirError, MultiFrameError
from icbir_core.radiograph import read_radiograph
from scripts.archive_films import make_archive_films
from tests.helpers.dicom_files import encode_dataset, make_dataset, make_dicom, to_words
from tests.helpers.search_results import make_film
from tests.unit.deidentifying.planted import list_planted, make_commented_jpeg, make_planted_film

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")  # the tests write wrong values on purpose
MASK = Clearance((Mask(3, 2, 20, 10),))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workspace") / "own"
    folder.mkdir()
    (folder / SALT).write_bytes(bytes(range(32)))  # so that no digits that are looked for stand in a new UID by chance
    return Workspace.create(folder)


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def encode_as(film: Dataset, uid: str) -> bytes:
    film.file_meta.TransferSyntaxUID = uid
    if uid == ExplicitVRBigEndian:
        film.PixelData = np.frombuffer(film.PixelData, "<u2").astype(">u2").tobytes()
    film["PixelData"].VR = "OW"
    if uid in (RLELossless, JPEG2000Lossless):
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        film.PixelData = film.PixelData[: 2 * film.Rows * film.Columns]
        film.PixelData = (np.frombuffer(film.PixelData, "<u2") & 0x0FFF).tobytes()
        film.compress(uid, generate_instance_uid=False)
    stream = io.BytesIO()
    film.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "uid",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
     JPEG2000Lossless],
    ids=lambda uid: pydicom.uid.UID(uid).name,
)  # fmt: skip
def test_nothing_that_was_planted_is_left_in_any_transfer_syntax(workspace, uid):
    film = make_planted_film()
    planted = list(list_planted(film))
    data = encode_as(film, uid)
    if uid in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        assert all(one in data for one in planted)  # the search can find them
    made = deidentify_film(data, workspace)
    assert [one for one in planted if one in made.data] == []
    result = read(made.data)
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result.PatientIdentityRemoved == "YES" and result.LongitudinalTemporalInformationModified == "REMOVED"
    assert [one.CodeValue for one in result.DeidentificationMethodCodeSequence] == ["113100"]
    assert read_radiograph(made.data).pixel_sha256 == read_radiograph(data).pixel_sha256


def walk(dataset: Dataset):
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from walk(item)


def test_each_attribute_of_the_table_is_treated_by_its_action_at_any_depth(workspace):
    film = make_planted_film()
    result = read(deidentify_film(encode_dataset(film), workspace).data)
    said = {"DeidentificationMethodCodeSequence", "DeidentificationMethod", "PatientIdentityRemoved"}
    places = (result, result.ViewCodeSequence[0].ViewModifierCodeSequence[0])
    counted = dict.fromkeys(Step, 0)
    for tag, step in read_table().items():
        if tag >> 16 <= 4 or pydicom.datadict.keyword_for_tag(tag) in said:
            continue
        counted[step] += 1
        for place in places:
            element = place.get(tag)
            if step is Step.REMOVE or not pydicom.datadict.dictionary_has_tag(tag):
                assert element is None, hex(tag)
            elif step is Step.EMPTY:
                assert element is not None and element.is_empty, hex(tag)
            elif step is Step.NEW_UID:
                assert str(element.value).startswith("2.25."), hex(tag)
            elif step is Step.REPLACE:
                assert element is not None and not element.is_empty, hex(tag)
    # Of the edition's 655 entries; a table that lost its entries fails here.
    assert counted[Step.REMOVE] > 400 and counted[Step.NEW_UID] > 50 and counted[Step.REPLACE] > 80


def test_no_private_unknown_or_free_attribute_is_left_and_well_known_uids_stay(workspace):
    result = read(deidentify_film(encode_dataset(make_planted_film()), workspace).data)
    tags = [element.tag for element in walk(result)]
    assert not [one for one in tags if one.is_private or one.group in (0x5000, 0x5010, 0x6000, 0x6022)]
    assert tags.count(0x7FE00010) == 1 and "IconImageSequence" not in result
    assert result.ReferencedSOPClassUID == result.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1"
    assert result.ViewCodeSequence[0].CodeMeaning in (None, "")  # it held the patient's name
    pixels = np.frombuffer(result.PixelData, "<u2")
    assert len(pixels) == result.Rows * result.Columns and pixels.max() < 4096
    assert bytes(result.preamble) == bytes(128)


@pytest.mark.parametrize("uid", [ExplicitVRBigEndian, ExplicitVRLittleEndian], ids=["big", "little"])
@pytest.mark.parametrize("kind", ["OW", "US"])
def test_a_table_of_grey_keeps_what_it_counts_and_no_byte_more(workspace, kind, uid):
    grey = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    entries, more = np.arange(2000, dtype=np.uint16)[::-1] * 20, np.frombuffer(b"SMITH^JANE", np.uint16)
    words = np.concatenate([entries, more])
    table = Dataset()
    table.LUTDescriptor = [2000, 0, 16]
    held = words.astype(">u2" if uid == ExplicitVRBigEndian else "<u2").tobytes() if kind == "OW" else words.tolist()
    table.add_new("LUTData", kind, held)
    data = make_dicom(grey, uid, BitsStored=12, VOILUTSequence=[table])
    assert b"SMITH^JANE" in data or b"MSTI" in data, "the search below can find"
    for clearance in (Clearance(), MASK):
        made = deidentify_film(data, workspace, clearance).data
        kept = read(made).VOILUTSequence[0].LUTData
        found = np.frombuffer(kept, "<u2") if isinstance(kept, bytes) else np.array(kept)
        np.testing.assert_array_equal(found, entries)
        assert b"SMITH" not in made and b"MSTI" not in made


@pytest.mark.parametrize("label", ["AP_DOE_2", "chest of Doe1", "DOE-ROE", "number 778899 of today", "v_778899"])
def test_a_label_that_holds_a_name_or_number_of_the_patient_is_emptied_and_others_stay(workspace, label):
    film = make_dataset(
        np.arange(2000, dtype=np.uint16).reshape(40, 50),
        PatientName="Doe-Roe^Jane",
        ManufacturerModelName="Doeling 7788991",
    )
    film.PatientID, film.LUTExplanation, film.DetectorManufacturerName = " 778899", label, "JANET"
    made = read(deidentify_film(encode_dataset(film), workspace).data)
    assert not made.LUTExplanation
    assert (made.ManufacturerModelName, made.DetectorManufacturerName) == ("Doeling 7788991", "JANET")


def test_known_attributes_by_the_published_table():
    expected = {
        "PatientName": Step.EMPTY, "PatientBirthDate": Step.EMPTY, "StudyDate": Step.EMPTY,
        "AccessionNumber": Step.EMPTY, "InstitutionName": Step.REMOVE, "PatientAge": Step.REMOVE,
        "StudyDescription": Step.REMOVE,
        "SOPInstanceUID": Step.NEW_UID, "FrameOfReferenceUID": Step.NEW_UID, "SOPClassUID": Step.KEEP,
        "WindowCenter": Step.KEEP, "ViewPosition": Step.KEEP, "PixelSpacing": Step.KEEP,
    }  # fmt: skip
    found = {name: find_step(pydicom.tag.Tag(name), pydicom.datadict.dictionary_VR(name)) for name in expected}
    assert found == expected


def test_comments_inside_a_compressed_picture_are_gone_and_its_loss_is_said(workspace):
    data = make_commented_jpeg()
    assert b"PLANTEDCOMMENT" in data and b"PLANTEDDESCRIPTION" in data
    made = deidentify_film(data, workspace)
    assert b"PLANTED" not in made.data and read(made.data).LossyImageCompression == "01"
    assert read_radiograph(made.data).pixel_sha256 == read_radiograph(data).pixel_sha256


def make_pictures() -> dict[str, bytes]:
    generator = np.random.default_rng(3)
    grey = generator.integers(100, 4000, (40, 50), dtype=np.uint16)
    table = np.arange(256, dtype=np.uint16) << 8
    palette = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", to_words(table)))
    }
    return {
        "grey": make_dicom(grey, BitsStored=12),
        "bone dark": make_dicom(grey, BitsStored=12, PhotometricInterpretation="MONOCHROME1"),
        "signed": make_dicom(grey.astype(np.int16) - 2000),
        "below its high bit": make_dicom(grey << 4, BitsStored=12, HighBit=15),
        "8 bits": make_dicom(grey.astype(np.uint8)),
        "colour": make_dicom(generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)),
        "palette": make_dicom(grey.astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", **palette),
        "big endian": make_dicom(grey, ExplicitVRBigEndian, BitsStored=12),
    }


@pytest.mark.parametrize("kind", make_pictures())
def test_the_picture_is_the_same_but_for_what_is_blacked_out(workspace, kind):
    data = make_pictures()[kind]
    plain = read_radiograph(data)
    assert read_radiograph(deidentify_film(data, workspace).data).pixel_sha256 == plain.pixel_sha256
    made = deidentify_film(data, workspace, MASK)
    stored, before = read(made.data).pixel_array, deidentify_film(data, workspace).data
    before = read(before).pixel_array
    outside = np.ones(stored.shape[:2], bool)
    outside[2:12, 3:23] = False
    np.testing.assert_array_equal(stored[outside], before[outside])
    hidden = stored[2:12, 3:23].reshape(200, -1)
    assert (hidden == hidden[0]).all() and not (before[2:12, 3:23] == stored[2:12, 3:23]).all()
    assert read_radiograph(made.data).pixels[2:12, 3:23].max() == read_radiograph(made.data).pixels.min()
    assert [one.CodeValue for one in read(made.data).DeidentificationMethodCodeSequence] == ["113100", "113101"]


def test_films_of_one_study_stay_together_and_another_workspace_gives_other_uids(workspace, tmp_path):
    first = make_film(SOPInstanceUID="1.2.3.1")
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3.1"
    films = [first, make_film(SOPInstanceUID="1.2.3.2", ReferencedImageSequence=[source]),
             make_film(SOPInstanceUID="1.2.3.3", PatientID="4711 ")]  # fmt: skip
    made = [read(deidentify_film(one, workspace).data) for one in films]
    again = [read(deidentify_film(one, Workspace.open(workspace.path)).data) for one in films]
    assert len({one.StudyInstanceUID for one in made}) == 1 and len({one.SOPInstanceUID for one in made}) == 3
    assert len({one.PatientID for one in made}) == 1 and made[0].PatientID not in ("", "4711")
    assert [one.SOPInstanceUID for one in made] == [one.SOPInstanceUID for one in again]
    assert made[1].ReferencedImageSequence[0].ReferencedSOPInstanceUID == made[0].SOPInstanceUID
    other = Workspace.create(tmp_path / "other")
    foreign = [read(deidentify_film(one, other).data) for one in films]
    for keyword in ("StudyInstanceUID", "SOPInstanceUID", "PatientID"):
        assert {one[keyword].value for one in made}.isdisjoint(one[keyword].value for one in foreign)
    assert all(pydicom.uid.UID(one.StudyInstanceUID).is_valid for one in made)
    assert workspace.hash_study("1.2.3") not in make_uid(workspace, "1.2.3")


def test_a_film_with_text_burned_in_is_refused_until_it_is_blacked_out(workspace):
    burned = make_film(BurnedInAnnotation="YES")
    for clearance in (Clearance(), Clearance(looked=True)):
        with pytest.raises(DicomExportError, match="black it out"):
            deidentify_film(burned, workspace, clearance)
    assert read(deidentify_film(burned, workspace, MASK).data).BurnedInAnnotation == "NO"
    capture = make_film(SOPClassUID=SecondaryCaptureImageStorage)
    with pytest.raises(DicomExportError, match="say that you have looked"):
        deidentify_film(capture, workspace)
    assert read(deidentify_film(capture, workspace, Clearance(looked=True)).data).BurnedInAnnotation == "NO"
    unnamed = read(capture)
    del unnamed.SOPClassUID  # the file's own header says it still
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, unnamed)
    with pytest.raises(DicomExportError, match="say that you have looked"):
        deidentify_film(stream.getvalue(), workspace)
    assert deidentify_film(make_film(), workspace).warnings == (LOOK,)
    assert deidentify_film(make_film(BurnedInAnnotation="NO"), workspace).warnings == ()


def test_masks_beside_the_film_or_without_area_and_several_pictures_are_refused(workspace):
    with pytest.raises(DicomExportError, match="beside the film"):
        deidentify_film(make_film(), workspace, Clearance((Mask(80, 0, 5, 5),)))
    for text in ("1,2,3", "1,2,0,4", "-1,2,3,4", "a,b,c,d", "1,2,3,4,5"):
        with pytest.raises(DicomExportError, match="region to black out"):
            Mask.parse(text)
    assert Mask.parse(" 1, 2,3 ,4") == Mask(1, 2, 3, 4)
    with pytest.raises(MultiFrameError):
        deidentify_film(make_film(NumberOfFrames="3"), workspace)
    with pytest.raises(DicomExportError, match="no DICOM"):
        deidentify_film(b"\x89PNG", workspace)


def test_rectangles_that_were_drawn_become_masks_of_whole_pixels():
    drawn = [Annotation("rectangle", ((10.6, 20.2), (4.3, 8.9))), Annotation("length", ((0.0, 0.0), (5.0, 5.0))),
             Annotation("rectangle", ((3.0, 3.0), (3.0, 9.0)))]  # fmt: skip
    assert find_masks(drawn) == (Mask(4, 8, 7, 13),)


@pytest.mark.parametrize(
    "element", [b"DS\x02\x0080", b"CS\x06\x00ADULT ", b"LO\x08\x00standard"], ids=lambda one: one[:2]
)
def test_a_text_where_a_number_or_a_code_belongs_goes(workspace, element):
    more = {"KVP": "80", "PatientOrientation": ["L", "F"], "PatientSpeciesDescription": "standard", "Grid": "ADULT"}
    data = encode_dataset(make_dataset(np.arange(2000, dtype=np.uint16).reshape(40, 50), **more))
    kind, length = element[:2], element[2]
    damaged = data.replace(element, (b"DS" if kind != b"LO" else b"KL") + element[2:4] + b"J.Doe!?!"[:length])
    assert data != damaged and b"J.Doe"[:length] in damaged
    assert b"J.Doe"[:length] not in deidentify_film(damaged, workspace).data


def test_a_number_with_a_comma_is_kept_as_a_number(workspace):
    data = make_film(RescaleSlope="2", RescaleIntercept="3.5", WindowCenter="60", WindowWidth="100")
    damaged = data.replace(b"DS\x04\x003.5 ", b"DS\x04\x003,5 ")
    made = deidentify_film(damaged, workspace).data
    assert data != damaged and read(made).RescaleIntercept == 3.5
    assert read_radiograph(made).pixel_sha256 == read_radiograph(damaged).pixel_sha256


def test_damaged_films_raise_an_error_of_ours_or_leave_nothing_that_was_planted(workspace):
    draw, whole = random.Random(7), encode_dataset(make_planted_film())
    outcomes = set()
    for _ in range(16):
        damaged = bytearray(whole)
        for _ in range(draw.choice([4, 16, 64])):
            damaged[draw.randrange(132, len(damaged) - 8000)] = draw.randrange(256)
        try:
            made = deidentify_film(bytes(damaged), workspace).data
        except IcbirError:
            outcomes.add("refused")
        else:
            outcomes.add("written")
            assert not [one for one in (b"PLANTED", b"NESTED", b"DEEPER", b"INSIDE") if one in made]
    assert "written" in outcomes


def find_faults(data: bytes, folder) -> set[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy here: apt-get install dicom3tools")
    (folder / "film.dcm").write_bytes(data)
    told = subprocess.run(["dciodvfy", folder / "film.dcm"], capture_output=True, text=True, timeout=60)
    return {line for line in (told.stdout + told.stderr).splitlines() if line.startswith(("Error", "Abort"))}


@pytest.mark.parametrize("kind", ["digital", "computed", "capture", "planted"])
def test_a_foreign_validator_finds_no_new_error(workspace, tmp_path, kind):
    films = {
        "digital": make_archive_films(patients=1, size=64)[0].data,
        "computed": make_film(SeriesInstanceUID="1.2.3", Laterality=""),
        "capture": make_film(SOPClassUID=SecondaryCaptureImageStorage, ConversionType="WSD", Modality="OT"),
        "planted": encode_dataset(make_planted_film()),
    }
    made = deidentify_film(films[kind], workspace, Clearance(looked=True)).data
    new = find_faults(made, tmp_path) - find_faults(films[kind], tmp_path)
    # The table wants a dummy for the committee's name, and the removal of what would allow it to stand there.
    assert {one for one in new if "EthicsCommitteeName" not in one} == set()


def test_the_command_writes_what_it_can_under_new_names_and_records_it(workspace, tmp_path, capsys):
    names = ("Secret_Person.dcm", "burned.dcm", "gone.dcm")
    (tmp_path / names[0]).write_bytes(make_film(BurnedInAnnotation="NO"))
    (tmp_path / names[1]).write_bytes(make_film(BurnedInAnnotation="YES"))
    paths = [str(tmp_path / name) for name in names]
    open_audit(workspace).record("lead", Action.EXPORTED)
    before = len(list(open_audit(workspace).entries()))
    assert main(["deidentify", str(workspace.path), *paths, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "burned.dcm: The header says that text is burned" in told.err and "2 films left out." in told.out
    made = list((tmp_path / "out").iterdir())
    assert [one.name for one in made] == [f"{read(one.read_bytes()).SOPInstanceUID}.dcm" for one in made]
    assert len(made) == 1 and made[0].stat().st_mode & 0o077 == 0
    entries = list(open_audit(workspace).entries())[before:]
    assert [(one.action, dict(one.details)) for one in entries] == [("exported", {"format": "deidentified"})]
    assert main(["deidentify", str(workspace.path), paths[1], "--out", str(tmp_path / "out"), "--mask", "0,0,9,9"]) == 0


def test_a_film_that_shares_its_uid_with_another_is_left_out_and_the_first_stays(workspace, tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.dcm") for name in ("first", "again", "other")]
    for path, width in zip(paths, ("80", "80", "90"), strict=True):
        Path(path).write_bytes(make_film(BurnedInAnnotation="NO", SOPInstanceUID="1.2.3.9", KVP=width))
    assert main(["deidentify", str(workspace.path), *paths, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "other.dcm: A film before it has the same UID" in told.err and "1 film left out." in told.out
    (made,) = (tmp_path / "out").iterdir()
    assert read(made.read_bytes()).KVP == 80
