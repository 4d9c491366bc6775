"""Overlays: the right colour in the right channel at the right place, one scale, legend, signs, contours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from icbir_core.errors import UnknownNameError
from icbir_core.radiograph.overlay import (
    DIVERGING_MAPS,
    OUTLIER,
    SEQUENTIAL_MAPS,
    OverlayStyle,
    attach_legend,
    colour_table,
    legend,
    render_overlay,
    shared_scale,
)

FILM = np.full((60, 40), 0.5, np.float32)
SOLID = OverlayStyle(opacity=1.0)


def test_a_hot_pixel_is_red_green_blue_and_not_the_reverse():
    values = np.zeros(FILM.shape, np.float32)
    values[10, 20], values[30, 5] = 1.0, 0.6
    picture = render_overlay(FILM, values, SOLID, scale=1.0)
    assert picture.dtype == np.uint8 and picture.shape == (60, 40, 3)
    assert tuple(picture[10, 20]) == (252, 255, 164)  # inferno's last colour, a pale yellow
    red, green, blue = (int(part) for part in picture[30, 5])
    assert red > green > blue  # inferno at 0.6 is orange; swapped channels would make it blue
    assert tuple(picture[0, 0]) == (128, 128, 128)


def test_a_map_at_the_network_size_lands_on_the_right_place_of_the_film():
    values = np.zeros((30, 30), np.float32)
    values[3:6, 5:8] = 1.0  # the film fills columns 5 … 25 of the square
    picture = render_overlay(FILM, values, SOLID, scale=1.0).astype(int)
    rows, columns = np.nonzero(np.abs(picture - 128).sum(axis=2) > 60)
    assert 5 <= rows.min() <= 7 and 10 <= rows.max() <= 13
    assert columns.min() == 0 and 4 <= columns.max() <= 7


def test_one_scale_for_all_maps():
    strong, weak = np.zeros((30, 30)), np.zeros((30, 30))
    strong[:5], weak[:5] = 4.0, 1.0
    scale = shared_scale([strong, weak])
    assert scale == pytest.approx(4.0)
    hot = render_overlay(np.zeros((30, 30)), strong, SOLID, scale)[2, 2].astype(int)
    cool = render_overlay(np.zeros((30, 30)), weak, SOLID, scale)[2, 2].astype(int)
    assert tuple(hot) == tuple(colour_table("inferno")[255]) and tuple(cool) == tuple(colour_table("inferno")[64])
    assert shared_scale([np.zeros((4, 4))]) == 0.0
    lonely = np.zeros((100, 100))
    lonely[0, 0] = -3.0
    assert shared_scale([lonely]) == 3.0


def test_one_outlier_does_not_darken_all_maps():
    values = np.random.default_rng(0).random((100, 100))
    values[0, 0] = 1000.0
    assert shared_scale([values]) < 1.01


def test_one_vivid_case_does_not_make_the_map_of_the_query_invisible():
    query, usual, outlier = (np.tile(np.linspace(0, top, 40, dtype=np.float32), (60, 1)) for top in (1.0, 0.8, 50.0))
    maps = [query, usual, usual, outlier]
    scale = shared_scale(maps, lead=query)
    assert scale == pytest.approx(OUTLIER * shared_scale([query])) and shared_scale(maps) > 45
    assert shared_scale([query, outlier], lead=query) == scale, "one case beside the query, too"
    black = np.zeros(query.shape, np.float32)
    panes = [render_overlay(black, one, SOLID, scale) for one in maps]
    assert panes[0].max() > 100 and tuple(panes[3][0, -1]) == tuple(colour_table("inferno")[255])
    # the axiom holds below the scale: the same value has the same colour in every pane
    outlier[0, 5] = query[0, 39]
    assert tuple(render_overlay(black, outlier, SOLID, scale)[0, 5]) == tuple(panes[0][0, 39])


def test_a_faint_query_stays_faint_where_most_cases_are_vivid():
    faint, vivid = np.full((30, 30), 0.01), np.full((30, 30), 1.0)
    assert shared_scale([faint, vivid, vivid, vivid], lead=faint) == 1.0
    assert shared_scale([0 * faint, 0 * faint, vivid], lead=0 * faint) == 1.0, "nothing else is there to be seen"


def test_zero_map_and_zero_opacity_leave_the_film():
    film = np.linspace(0, 1, 2400, dtype=np.float32).reshape(60, 40)
    grey = np.repeat(np.rint(film * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.array_equal(render_overlay(film, np.zeros_like(film)), grey)
    assert np.array_equal(render_overlay(film, film, OverlayStyle(opacity=0.0), 1.0), grey)


def test_opacity_and_threshold():
    values = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (60, 1))
    half = render_overlay(FILM, values, OverlayStyle(opacity=0.5), 1.0)[0, -1]
    assert np.abs(half.astype(float) - (128 + colour_table("inferno")[255].astype(float)) / 2).max() <= 1
    shown = np.abs(render_overlay(FILM, values, OverlayStyle(opacity=1.0, threshold=0.7), 1.0).astype(int) - 128).sum(2)
    assert np.array_equal(shown[0] > 0, values[0] >= 0.7)


def test_negative_parts_only_where_signed():
    values = np.zeros(FILM.shape, np.float32)
    values[10, 10], values[20, 20] = -1.0, 1.0
    unsigned = render_overlay(FILM, values, SOLID, 1.0)
    assert tuple(unsigned[10, 10]) == (128, 128, 128) and tuple(unsigned[20, 20]) == (252, 255, 164)
    signed = render_overlay(FILM, values, OverlayStyle(opacity=1.0, signed=True), 1.0)
    assert tuple(signed[10, 10]) == (158, 176, 255)  # blue
    assert tuple(signed[20, 20]) == (255, 173, 173)  # red
    assert tuple(signed[0, 0]) == (128, 128, 128)


def test_contours_enclose_and_do_not_fill():
    values = np.zeros((120, 120), np.float32)
    values[40:80, 30:90] = 1.0
    style = OverlayStyle(opacity=1.0, threshold=0.5, contour=True)
    changed = (render_overlay(np.full((120, 120), 0.5, np.float32), values, style, 1.0) != 128).any(axis=2)
    assert changed[40, 30:90].all() and changed[79, 30:90].all() and changed[40:80, 30].all()
    assert not changed[45:75, 35:85].any() and not changed[:38].any()
    signed = OverlayStyle(opacity=1.0, threshold=0.5, contour=True, signed=True)
    line = render_overlay(np.zeros((120, 120), np.float32), -values, signed, 1.0)[40, 60].astype(int)
    assert line[2] > line[0]


@pytest.mark.parametrize("name", SEQUENTIAL_MAPS + DIVERGING_MAPS)
def test_colour_maps_are_perceptually_ordered_also_for_the_colour_blind(name):
    table = colour_table(name)
    assert table.shape == (256, 3) and table.dtype == np.uint8
    lightness = rgb2lab(table[None] / 255.0)[0, :, 0]
    halves = [lightness] if name in SEQUENTIAL_MAPS else [lightness[127::-1], lightness[128:]]
    for half in halves:
        # Lightness alone, which every eye sees, orders the values; steps are even.
        assert np.all(np.convolve(np.diff(half), np.ones(8) / 8, "valid") > 0)
        assert half[-1] - half[0] > 55
    if name in DIVERGING_MAPS:
        assert abs(lightness[0] - lightness[255]) < 6


def test_legend_states_its_range():
    parts = legend(OverlayStyle(threshold=0.25), 0.04)
    assert parts.bar.shape == (256, 24, 3)
    assert tuple(parts.bar[0, 0]) == (252, 255, 164) and tuple(parts.bar[255, 0]) == (96, 96, 96)
    assert parts.ticks == ((0.0, "0"), (0.5, "0.02"), (1.0, "0.04")) and "negative" in parts.note
    signed = legend(OverlayStyle(signed=True), 2.0)
    assert [text for _, text in signed.ticks] == ["-2", "0", "2"] and "negative" not in signed.note
    lines = legend(OverlayStyle(contour=True), 2.0)
    assert lines.ticks == ((0.25, "0.5"), (0.5, "1"), (0.75, "1.5"))
    assert {tuple(row) for row in lines.bar[:, 0].tolist()} > {(96, 96, 96)} and len(np.unique(lines.bar, axis=0)) > 1
    picture = attach_legend(np.zeros((224, 200, 3), np.uint8), OverlayStyle(), 0.04)
    assert picture.shape[0] == 224 and picture.shape[1] > 200 and picture[:, 200:].max() > 200
    assert not picture[:, :200].any()
    titled = attach_legend(np.zeros((224, 200, 3), np.uint8), OverlayStyle(), 0.04, "Deep Taylor, map of Effusion " * 3)
    head = titled[: len(titled) - 224]
    assert np.array_equal(titled[len(head) :], picture)
    assert head.max() > 150 and not head[:, -3:].any(), "the title stands above, and fits"


def test_wrong_styles_and_values_are_refused():
    with pytest.raises(UnknownNameError, match="jet"):
        OverlayStyle(colour_map="jet")
    with pytest.raises(ValueError, match="diverging"):
        OverlayStyle(colour_map="viridis", signed=True)
    with pytest.raises(ValueError, match="opacity"):
        OverlayStyle(opacity=1.5)
    with pytest.raises(ValueError, match="NaN"):
        render_overlay(FILM, np.full(FILM.shape, np.nan), SOLID, 1.0)
    with pytest.raises(ValueError, match="shape"):
        render_overlay(FILM, np.zeros((5, 6)), SOLID, 1.0)
    with pytest.raises(ValueError, match="scale"):
        render_overlay(FILM, np.zeros(FILM.shape), SOLID, -1.0)


def test_saved_with_opencv_the_colours_must_be_swapped_once(tmp_path):
    values = np.ones(FILM.shape, np.float32)
    picture = render_overlay(FILM, values, SOLID, 1.0)
    cv2.imwrite(str(tmp_path / "overlay.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert np.array_equal(cv2.imread(str(tmp_path / "overlay.png"))[..., ::-1], picture)
