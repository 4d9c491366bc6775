"""What is drawn on a film: records from a browser, numbers derived again slowly, lines in the pixels of a picture."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydicom.dataset import Dataset

from icbir_core.annotation.drawing import COLOUR, Marks, draw_marks
from icbir_core.annotation.measuring import (
    NO_SPACING,
    describe_spacing,
    find_width_lines,
    format_number,
    measure,
    select_pixels,
)
from icbir_core.annotation.records import MOST, POINTS, Annotation, FilmAnnotations
from icbir_core.annotation.turning import Turn
from icbir_core.errors import AnnotationError
from icbir_core.radiograph.dicom_header import describe_header

FILM = (np.random.default_rng(17).integers(0, 4096, (90, 120)) / 4095).astype(np.float32)
CHEST = ((60, 5), (58, 85), (40.5, 60), (88, 55.25), (12, 40), (110, 42))
TURNS = [Turn(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


def make(kind: str, *points: tuple[float, float], text: str = "") -> Annotation:
    return Annotation(kind, points, text)


@pytest.mark.parametrize("spacing", [None, (0.2, 0.2), (0.3, 0.14)])
def test_a_length_is_pythagoras_in_millimetres_of_each_direction(spacing):
    (value,) = measure(make("length", (10, 20), (70.5, 65)), spacing, FILM)
    down, across = spacing or (1, 1)
    assert value.number == pytest.approx(((60.5 * across) ** 2 + (45 * down) ** 2) ** 0.5)
    assert value.unit == ("mm" if spacing else "px")


@pytest.mark.parametrize("spacing", [None, (0.3, 0.14)])
def test_an_angle_is_that_of_the_law_of_cosines_and_not_of_pixels_that_are_no_squares(spacing):
    one = make("angle", (10, 20), (70, 65), (100, 10))
    down, across = spacing or (1, 1)
    first, corner, last = ((x * across, y * down) for x, y in one.points)
    a, b, c = math.dist(corner, first), math.dist(corner, last), math.dist(first, last)
    (value,) = measure(one, spacing, FILM)
    assert value.number == pytest.approx(math.degrees(math.acos((a * a + b * b - c * c) / (2 * a * b))))
    assert math.isnan(measure(make("angle", (1, 1), (1, 1), (5, 5)), None, FILM)[0].number)


@pytest.mark.parametrize("spacing", [None, (0.2, 0.2), (0.3, 0.14)])
def test_a_cardiothoracic_ratio_adds_both_distances_from_the_midline(spacing):
    """Slowly: the distance of a point from a line is the shortest to any of its points."""
    down, across = spacing or (1, 1)
    (x0, y0), (x1, y1) = ((x * across, y * down) for x, y in CHEST[:2])

    def walk(point):
        steps = np.linspace(-1, 2, 300_001)
        return np.hypot(point[0] * across - x0 - steps * (x1 - x0), point[1] * down - y0 - steps * (y1 - y0)).min()

    ratio, heart, chest = measure(make("ratio", *CHEST), spacing, FILM)
    assert heart.number == pytest.approx(walk(CHEST[2]) + walk(CHEST[3]), rel=1e-6)
    assert chest.number == pytest.approx(walk(CHEST[4]) + walk(CHEST[5]), rel=1e-6)
    assert ratio.number == pytest.approx(heart.number / chest.number) and ratio.unit == ""
    for line, value in zip(find_width_lines(make("ratio", *CHEST), spacing), (heart, chest), strict=True):
        (ax, ay), (bx, by) = line
        assert math.hypot((bx - ax) * across, (by - ay) * down) == pytest.approx(value.number)
        assert (bx - ax) * across * (x1 - x0) + (by - ay) * down * (y1 - y0) == pytest.approx(0, abs=1e-9)


def test_a_heart_on_one_side_of_the_midline_is_as_wide_as_it_is():
    moved = ((5, 5), (5, 85), *CHEST[2:])
    assert measure(make("ratio", *moved), None, FILM)[1].number == pytest.approx(88 - 40.5)
    assert math.isnan(measure(make("ratio", (5, 5), (5, 5), *CHEST[2:]), None, FILM)[0].number)


@pytest.mark.parametrize("kind", ["ellipse", "rectangle"])
@pytest.mark.parametrize("corners", [((10, 20), (60.5, 47)), ((60.5, 47), (10, 20)), ((100, 70), (140, 95))])
def test_a_region_holds_the_pixels_whose_centre_it_holds(kind, corners):
    one = make(kind, *corners)
    (x0, y0), (x1, y1) = one.points
    (left, right), (top, bottom) = sorted((x0, x1)), sorted((y0, y1))
    found = []
    for row in range(90):
        for column in range(120):
            x, y = column + 0.5, row + 0.5
            across, down = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
            round_ = across**2 + down**2 <= 1
            if round_ if kind == "ellipse" else (left <= x < right and top <= y < bottom):
                found.append(float(FILM[row, column]))
    mean, deviation, area = measure(one, (0.5, 0.25), FILM)
    assert select_pixels(one, FILM.shape).sum() == len(found) > 30
    assert mean.number == pytest.approx(100 * sum(found) / len(found))
    spread = sum((grey - sum(found) / len(found)) ** 2 for grey in found) / len(found)
    assert deviation.number == pytest.approx(100 * spread**0.5, rel=1e-5)
    whole = (right - left) * 0.25 * (bottom - top) * 0.5
    assert area.number == pytest.approx(whole * (math.pi / 4 if kind == "ellipse" else 1)) and area.unit == "mm²"


def test_a_region_beside_the_film_has_no_grey():
    values = measure(make("ellipse", (300, 300), (320, 320)), None, FILM)
    assert [value.words for value in values] == ["mean –", "SD –", "area 314 px²"]


def test_numbers_are_written_as_the_browser_writes_them():
    told = [format_number(*one) for one in ((84.25, "mm"), (0.5, "px²"), (41.0, "°"), (0.525, ""), (2.5, "px²"))]
    assert told == ["84.3 mm", "1 px²", "41.0°", "0.53", "3 px²"], "halves go up; 0.525 lies above its half"


def test_millimetres_say_what_they_are_worth():
    assert describe_spacing(None) == NO_SPACING
    assert "the beam magnifies" in describe_spacing((0.1, 0.1), "at the detector")
    assert describe_spacing((0.1, 0.1), "corrected for magnification, as the header says").startswith(
        "Millimetres corr"
    )


ALL = FilmAnnotations(
    tuple(
        Annotation(kind, tuple((number + 0.126, 2.0) for number in range(count)), "ä b")
        for kind, count in POINTS.items()
    ),
    7,
    undo=((), (Annotation("text", ((1.0, 2.0),), "first"),)),
    redo=((Annotation("text", ((3.0, 4.0),)),),),
    turn=Turn(3, True),
)


def test_a_state_comes_back_from_json():
    assert FilmAnnotations.from_record(json.loads(json.dumps(ALL.as_record()))) == ALL
    assert ALL.items[0].points[0] == (0.13, 2.0)
    plain = FilmAnnotations.from_record({"number": 2, "items": []})
    assert plain == FilmAnnotations((), 2), "as it was written before steps and turn were kept"
    many = {"number": 2, "items": [], "undo": [[]] * 40 + [spoil()["items"]]}
    assert len(FilmAnnotations.from_record(many).undo) == 30 and FilmAnnotations.from_record(many).undo[-1]


def spoil(**more) -> dict:
    return {"number": 1, "items": [{"kind": "length", "points": [[1, 1], [2, 2]], "text": "", **more}]}


FOREIGN = {
    "no mapping": [],
    "no list": {"number": 1, "items": {}},
    "a number that is none": {"number": True, "items": []},
    "a number below zero": {"number": -1, "items": []},
    "no number": {"items": []},
    "an item that is none": {"number": 1, "items": ["length"]},
    "an unknown kind": spoil(kind="script"),
    "a kind that is none": spoil(kind=["length"]),
    "too few points": spoil(points=[[1, 1]]),
    "points that are none": spoil(points="ab"),
    "a point of words": spoil(points=[["1", 1], [2, 2]]),
    "a point of truth": spoil(points=[[True, 1], [2, 2]]),
    "a point of three": spoil(points=[[1, 1, 1], [2, 2]]),
    "not a number": spoil(points=[[math.nan, 1], [2, 2]]),
    "without end": spoil(points=[[math.inf, 1], [2, 2]]),
    "before the film": spoil(points=[[-1, 1], [2, 2]]),
    "far beyond": spoil(points=[[1e9, 1], [2, 2]]),
    "words that are none": spoil(text=5),
    "a field too many": spoil(more=1),
    "too many": {"number": 1, "items": spoil()["items"] * (MOST + 1)},
    "steps that are none": {"number": 1, "items": [], "undo": {}},
    "a step that is none": {"number": 1, "items": [], "redo": [5]},
    "an unknown kind in a step": {"number": 1, "items": [], "undo": [spoil(kind="script")["items"]]},
}


@pytest.mark.parametrize("told", FOREIGN)
def test_what_is_no_annotation_is_refused(told):
    with pytest.raises(AnnotationError):
        FilmAnnotations.from_record(FOREIGN[told])


def test_words_are_one_line_of_visible_signs():
    one = make("text", (1, 1), text="  a\x00\n\u202eb\t" + "c" * 300)
    assert one.text.startswith("a b ccc") and len(one.text) == 120


@pytest.mark.parametrize("turn", TURNS)
def test_a_point_stays_on_its_pixel_when_the_film_is_turned(turn):
    film = np.arange(12).reshape(3, 4)
    seen = turn.turn_picture(film)
    for row in range(3):
        for column in range(4):
            x, y = turn.turn_point((column + 0.5, row + 0.5), film.shape)
            assert seen[int(y), int(x)] == film[row, column]
    assert Turn.from_view({"quarters": turn.quarters, "mirrored": turn.mirrored}) == turn


def test_the_sides_turn_with_the_film():
    told = {turn.words: turn.turn_sides(("R", "L")) for turn in TURNS}
    assert told[""] == ("R", "L") and told["mirrored"] == ("L", "R") and told["turned by 180°"] == ("L", "R")
    assert told["turned by 90° clockwise"] == ("R above", "L below")
    assert told["mirrored, turned by 270° clockwise"] == ("R above", "L below")
    assert told["mirrored, turned by 90° clockwise"] == told["turned by 270° clockwise"] == ("L above", "R below")
    assert Turn(1).turn_sides(("orientation unverified",)) == ("orientation unverified",)
    for nonsense in (None, {}, {"quarters": "1", "mirrored": 1}, {"quarters": 7}, {"quarters": [1]}):
        assert Turn.from_view(nonsense) == Turn()


@pytest.mark.parametrize("turn", TURNS)
def test_lines_lie_where_they_were_drawn_on_a_picture_of_any_size(turn):
    film = np.zeros((90, 120), np.float32)
    marks = Marks((make("length", (20, 30), (80, 30)),), film)
    picture = turn.turn_picture(np.zeros((180, 240, 3), np.uint8))
    drawn = draw_marks(picture, marks, turn)
    for column in (25, 50, 75):
        x, y = turn.turn_point((column, 30), film.shape)
        assert (drawn[int(2 * y) - 1 : int(2 * y) + 2, int(2 * x) - 1 : int(2 * x) + 2] == COLOUR).all(-1).any()
    x, y = turn.turn_point((50, 60), film.shape)
    assert not drawn[int(2 * y), int(2 * x)].any()
    warned = ((drawn == (0xFF, 0xD4, 0x79)).all(-1)).any()
    assert warned == turn.mirrored, "a mirrored film says so"


def test_a_list_says_each_value_and_what_millimetres_are_worth():
    marks = Marks((make("length", (0, 0), (100, 0), text="node"), make("arrow", (1, 1), (2, 2))), FILM, (0.2, 0.2))
    assert marks.list_lines() == ("Length · node: 20.0 mm", "Arrow", "Millimetres as the file states them.")


@pytest.mark.parametrize(
    ("header", "spacing", "origin"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.17, 0.17]}, (0.2, 0.2), "at the detector"),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.17, 0.17], "PixelSpacingCalibrationType": "GEOMETRY"},
            (0.17, 0.17),
            "corrected for magnification, as the header says",
        ),
        (
            {"PixelSpacing": [0.17, 0.16], "PixelSpacingCalibrationType": "fiducial "},
            (0.17, 0.16),
            "measured on an object of known size, as the header says",
        ),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.2, 0.2), "at the detector"),
        ({"PixelSpacing": [0.17, 0.17]}, (0.17, 0.17), "PixelSpacing, perhaps corrected for magnification"),
    ],
)
def test_a_size_that_the_header_calls_corrected_is_preferred(header, spacing, origin):
    dataset = Dataset()
    for name, value in header.items():
        setattr(dataset, name, value)
    fields, facts = describe_header(dataset)
    assert fields["spacing"] == spacing and facts["spacing"] == origin
