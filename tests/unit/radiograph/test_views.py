"""The view, the age and the identity of a film, in the words of many headers and tables."""

from __future__ import annotations

import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from icbir_core.radiograph.ages import compute_age, parse_age, parse_sex
from icbir_core.radiograph.dicom_header import read_age, read_sex, read_view
from icbir_core.radiograph.views import parse_view

VIEWS = [
    ("PA", "PA"), ("ap", "AP"), ("AP SUPINE", "AP"), ("PA ERECT", "PA"), ("AP_horizontal", "AP"), ("CHEST PA", "PA"),
    ("P.A.", "PA"), ("p-a", "PA"), ("POSTERO-ANTERIOR", "PA"), ("Antero Posterior", "AP"), ("AP PORTABLE 1", "AP"),
    ("A→P", "AP"), ("LL", "LATERAL"), ("RL", "LATERAL"), ("LAT", "LATERAL"), ("LEFT LATERAL", "LATERAL"),
    ("XTABLE LATERAL", "LATERAL"), ("Thorax seitlich", "LATERAL"), ("PROFIL", "LATERAL"), ("LLD", "LLD"),
    ("RLD", "RLD"), ("LLO", "LLO"), ("RLO", "RLO"), ("LAO", "LAO"), ("AP LLD", "AP LLD"), ("PA LAT", "PA LAT"),
    ("AP AXIAL", "AP AXIAL"), ("LEFT LATERAL DECUBITUS", "LATERAL DECUBITUS"), ("AP LORDOTIC", "AP LORDOTIC"),
    ("SWIMMERS", "SWIMMERS"), ("APSUPINE", "AP"), ("CHESTPA", "PA"), ("CHESTLAT", "LATERAL"), ("PAPORT", "PA"),
    ("APLORDOTIC", "AP LORDOTIC"), ("AP LORD", "AP LORD"), ("APEX", "APEX"),
    ("AP DECUBITO SUPINO", "AP"), ("AP DECUBITO LATERAL", "AP DECUBITO LATERAL"), ("DORSAL DECUBITUS", "DECUBITUS"),
    ("Tórax AP décubitus dorsal", "AP"), ("Postéro-antérieur", "PA"), ("Thorax liegend", "unknown"),
    ("Thorax schräg", "THORAX SCHRÄG"), ("Lateraal", "LATERAL"),
    ("Seitenaufnahme", "LATERAL"), ("Thorax links anliegend", "LATERAL"), ("Profilo", "LATERAL"), ("L-L", "LATERAL"),
    ("KLP boczne", "LATERAL"), ("боковая", "LATERAL"), ("胸部侧位", "LATERAL"), ("胸部 側面", "LATERAL"),
    ("胸部后前位", "PA"), ("前後位", "AP"), ("正面", "unknown"), ("d-v", "PA"), ("VD", "AP"), ("Thorax dv", "PA"),
    ("Linksseitenlage", "LINKSSEITENLAGE"), ("Dekubitus", "DEKUBITUS"), ("Thorax ap in Rückenlage", "AP"),
    ("FRONTAL", "unknown"), ("CHEST", "unknown"), ("PA/AP", "unknown"), ("", "unknown"),
]  # fmt: skip


def make_header(**elements) -> Dataset:
    """A header as a file holds it: written and read again, so that its elements are still raw."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=True, little_endian=True)
    stream.seek(0)
    return dcmread(stream, force=True)


def make_code(value: str, meaning: str = "", scheme: str = "SRT") -> Dataset:
    """One item of a code sequence."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


@pytest.mark.parametrize(("text", "view"), VIEWS)
def test_one_rule_for_tables_and_headers(text, view):
    table = parse_view(text)
    # A table's own name for another projection is kept as it is; of a header's only the words that are known.
    assert table == view or (view not in ("PA", "AP", "LATERAL", "unknown") and table == text.upper())
    if text.isascii():
        assert read_view(make_header(ViewPosition=text.upper())) == view


def test_a_name_that_nobody_knows_is_kept_from_a_table_and_not_from_a_header():
    assert parse_view("costal") == "COSTAL"
    assert read_view(make_header(ViewPosition="MEIER ANNA")) == "unknown", "the field may hold a name"
    assert read_view(make_header(ViewPosition="LAO MEIER")) == "LAO"


@pytest.mark.parametrize(
    ("value", "view"),
    [
        ("R-10206", "AP"), ("399348003", "AP"), ("R-40888", "PA"), ("272479007", "PA"), ("R-10214", "PA"),
        ("R-10236", "LATERAL"), ("399173006", "LATERAL"), ("R-10232", "LATERAL"), ("399198007", "LATERAL"),
        ("R-102CD", "LATERAL"), ("399067008", "LATERAL"), ("R-10202", "unknown"), ("R-10220", "OBLIQUE"),
        ("399182000", "OBLIQUE"), ("R-10241", "AXIAL"), ("Z-99999", "unknown"),
    ],
)  # fmt: skip
def test_codes_count_by_their_value(value, view):
    assert read_view(make_header(ViewCodeSequence=[make_code(value)])) == view
    named = make_code(value, "postero-anterior")
    assert read_view(make_header(ViewCodeSequence=[named])) == ("PA" if value == "Z-99999" else view)


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"SeriesDescription": "Chest LAT"}, "LATERAL"),
        ({"ProtocolName": "CHEST LATERAL", "SeriesDescription": "Chest PA"}, "LATERAL"),
        ({"AcquisitionDeviceProcessingDescription": "THORAX p.a."}, "PA"),
        ({"PerformedProcedureStepDescription": "XR CHEST AP PORTABLE"}, "AP"),
        ({"SeriesDescription": "Chest PA and LAT"}, "unknown"),
        ({"SeriesDescription": "Chest decubitus left"}, "DECUBITUS"),
        ({"SeriesDescription": "RIBS OBL"}, "OBLIQUE"),
        ({"SeriesDescription": "bilateral"}, "unknown"),
        ({"ViewPosition": "PA", "SeriesDescription": "CHEST LAT"}, "PA"),
        ({"ViewPosition": "PA", "PatientOrientation": ["A", "F"]}, "LATERAL"),
        ({"ViewPosition": "", "PatientOrientation": ["P", "F"]}, "LATERAL"),
        ({"ViewPosition": "", "PatientOrientation": ["F", "A"]}, "LATERAL"),
        ({"ViewPosition": "AP", "PatientOrientation": ["L", "F"]}, "AP"),
        ({"ViewPosition": "", "PatientOrientation": ["LA", "F"]}, "OBLIQUE"),
        ({"ViewPosition": "", "PatientOrientation": ["L", "FP"]}, "unknown"),
        ({"ViewPosition": "AP", "ViewCodeSequence": [make_code("R-10236")]}, "LATERAL"),
        ({"ViewPosition": "AP", "PatientPosition": "HFDL"}, "DECUBITUS"),
    ],
)
def test_a_lateral_in_any_words_is_no_frontal(elements, view):
    assert read_view(make_header(**elements)) == view


@pytest.mark.parametrize(
    ("modifier", "meaning", "view"),
    [("R-10244", "cephalad", "AP"), ("R-102C1", "", "OBLIQUE"), ("X-1", "lordotic", "AXIAL")],
)
def test_modifiers_of_a_coded_view(modifier, meaning, view):
    code = make_code("R-10206")
    code.ViewModifierCodeSequence = [make_code(modifier, meaning)]
    assert read_view(make_header(ViewCodeSequence=[code])) == view


def test_a_decubitus_position_in_codes():
    position = make_code("F-10450", "recumbent")
    position.PatientOrientationModifierCodeSequence = [make_code("F-10319")]
    header = make_header(ViewPosition="AP", PatientOrientationCodeSequence=[position])
    assert read_view(header) == "DECUBITUS"


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("058Y", 58), ("18M", 1), ("012M", 1), ("011M", 0), ("010D", 0), ("104W", 1), ("57.0", 57), ("57,5", 57),
        ("18 months", 1), ("44 yrs", 44), ("120", 120), ("121Y", None), ("125Y", None), ("1500M", None), ("", None),
        ("-3", None), ("old", None), ("34 Jahre", 34), ("34 ans", 34), ("34 años", 34), ("18 Monate", 1),
        ("400 jours", 1), ("34 y/o", 34), ("18 mths", 1), ("34Y06M", 34), ("034Y\0", 34), ("89+", None),
        ("30-40", None), ("34 px", None),
    ],
)  # fmt: skip
def test_ages(text, years):
    assert parse_age(text) == years


@pytest.mark.parametrize(
    ("birth", "study", "years"),
    [
        ("19500101", "20200601", 70), ("19500602", "20200601", 69), ("19500601", "20200601", 70),
        ("1950.01.01", "20200601", 70), ("18500101", "20200601", None), ("20210101", "20200601", None),
        ("01.06.1950", "20200601", 70), ("02.06.1950", "20200601", 69), ("19500101", "29990101", None),
        ("19500101", "19490101", None),
        ("19000101", "20100601", None), ("1950", "20200601", None), ("19501350", "20200601", None), ("", "", None),
    ],
)  # fmt: skip
def test_an_age_from_two_dates(birth, study, years):
    assert compute_age(birth, study) == years


def test_a_stated_age_stands_before_the_dates():
    dates = {"PatientBirthDate": "19500101", "StudyDate": "20200601"}
    assert read_age(make_header(**dates)) == 70
    assert read_age(make_header(PatientAge="061Y", **dates)) == 61
    assert read_age(make_header(PatientAge="411Y", **dates)) == 70, "a typing error says nothing"
    assert read_age(make_header(PatientBirthDate="19500101", SeriesDate="20200601")) == 70
    assert read_age(make_header(PatientBirthDate="19500101", StudyDate="00000000", ContentDate="20200601")) == 70


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("M", "M"), ("f", "F"), ("Male", "M"), ("weiblich", "F"), ("W", "F"), ("Männlich", "M"), ("Féminin", "F"),
        ("hombre", "M"), ("F\0", "F"), ("O", "unknown"), ("", "unknown"), ("U", "unknown"), ("other", "unknown"),
    ],
)  # fmt: skip
def test_one_rule_for_sexes(text, sex):
    assert parse_sex(text) == read_sex(make_header(PatientSex=text)) == sex
