"""The checks themselves: each measure on a case worked out by hand, each control blind, nothing that cannot fail."""

from __future__ import annotations

import json

import numpy as np
import pytest

from icbir_core.errors import SaliencyError
from icbir_core.pipeline.saliency_checks import collect_boxed, read_boxes, simulate_marked
from icbir_core.radiograph.network_input import standardise
from icbir_core.saliency.checks import (
    CheckOptions,
    CheckRow,
    MarkedFilms,
    bootstrap,
    render_table,
    run_checks,
    to_plain,
)
from icbir_core.saliency.faithfulness import measure_faithfulness
from icbir_core.saliency.localisation import make_control_maps, measure_mass, measure_overlap, point_into
from icbir_core.saliency.randomisation import cascade, compare_pairs, make_random_heads, measure_cosine
from icbir_core.settings import InputSettings


def test_localisation_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = True
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[3, 3], values[2, 2] = 3.0, 1.0, -9.0
    assert point_into(values, mask) == 1.0
    assert measure_mass(values, mask) == pytest.approx(0.75)
    inside = np.where(mask, 1.0, 0.0)
    assert measure_overlap(inside, mask) == 1.0
    assert measure_overlap(1.0 - inside, mask) == 0.0
    half = np.zeros((4, 4))
    half[:2, 1:3] = 1.0
    assert measure_overlap(half, mask) == pytest.approx(2 / 6)


@pytest.mark.parametrize("values", [np.zeros((4, 4)), -np.ones((4, 4))], ids=["zero", "negative"])
def test_a_map_without_evidence_scores_nothing(values):
    mask = np.ones((4, 4), bool)
    assert (point_into(values, mask), measure_mass(values, mask), measure_overlap(values, mask)) == (0.0, 0.0, 0.0)


def test_a_flat_map_points_only_by_chance():
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    assert point_into(np.ones((4, 4)), mask) == pytest.approx(0.25)


def test_controls_are_blind(films):
    prior = make_control_maps("lung_bases", films)
    assert prior.shape == films.shape and (prior[0] == prior[1]).all()
    noise = make_control_maps("random", films)
    assert (noise == make_control_maps("random", films[::-1])).all() and (noise[0] != noise[1]).any()
    assert make_control_maps("edges", np.ones((1, 16, 16), np.float32)).max() < 1e-6


def test_faithfulness_tells_the_right_map_from_the_wrong_one():
    """A score that is the sum of the upper left corner: a map of that corner must win all three measures."""

    def score(films: np.ndarray) -> np.ndarray:
        return films[:, :16, :16].sum(axis=(1, 2, 3)) / 100 - 12

    film = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32) - 0.5
    film[:16, :16] += 2.0
    right, wrong = np.zeros((64, 64)), np.zeros((64, 64))
    right[:16, :16], wrong[16:, 16:] = 1.0, 1.0
    good, bad = measure_faithfulness(score, film, right), measure_faithfulness(score, film, wrong)
    assert good["PixelFlipping"] > bad["PixelFlipping"] + 1
    assert good["Deletion"] < bad["Deletion"]
    assert good["Insertion"] > bad["Insertion"]


def test_cascade_goes_from_the_head_down_and_leaves_the_network_alone(small_model, films):
    inputs = standardise(films)
    before = small_model(inputs).numpy()
    stages = list(cascade(small_model))
    assert [name for name, _ in stages] == ["head", "block 4", "block 2", "whole network"]
    head = stages[0][1]
    assert (head.get_layer("conv1_conv").kernel == small_model.get_layer("conv1_conv").kernel).numpy().all()
    assert (head.get_layer("logits").kernel != small_model.get_layer("logits").kernel).numpy().any()
    whole = stages[-1][1].get_layer("conv1_conv").kernel.numpy()
    original = small_model.get_layer("conv1_conv").kernel.numpy()
    assert (whole != original).any()
    np.testing.assert_array_equal(np.sort(whole.ravel()), np.sort(original.ravel()))
    np.testing.assert_allclose(small_model(inputs).numpy(), before, rtol=1e-5)


def test_random_heads_share_the_features(small_model, films):
    drawn = make_random_heads(small_model, count=2)
    assert drawn.output.shape[-1] == 2
    assert drawn.get_layer("avg_pool") is small_model.get_layer("avg_pool")
    assert (drawn(standardise(films)).numpy()[:, 0] != drawn(standardise(films)).numpy()[:, 1]).all()


def test_cosine_and_pairs():
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
    assert measure_cosine(one, one * 3) == pytest.approx(1.0) and measure_cosine(one, other) == 0.0
    assert measure_cosine(one, np.zeros((1, 2))) == 0.0
    assert compare_pairs([one[None], other[None], one[None]]) == pytest.approx([1 / 3])


def test_bootstrap_resamples_patients_not_films():
    values, groups = [0.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10
    mean, low, high = bootstrap(values, groups)
    assert (mean, low, high) == (0.5, 0.0, 1.0)
    _, low, high = bootstrap(values, [str(one) for one in range(20)])
    assert 0.2 < low < 0.5 < high < 0.8
    assert np.isnan(bootstrap([1.0, 1.0], ["a", "a"])[1])


def test_the_whole_table(small_classifier, films):
    masks = np.zeros(films.shape, bool)
    masks[:, 20:28, 4:12] = True
    marked = MarkedFilms("made up", "Edema", films, masks, ("a", "b", "c"))
    options = CheckOptions(("deep_taylor", "grad_cam"), ("deep_taylor",))
    rows = run_checks(small_classifier, [marked], options)
    found = {(row.check, row.method) for row in rows}
    for check in ("PointingGame", "RelevanceMassAccuracy", "IoU at Otsu", "PixelFlipping", "Deletion", "Insertion"):
        assert {(check, name) for name in ("deep_taylor", "grad_cam", "random", "edges", "lung_bases")} <= found
    assert {("MPRT", "deep_taylor"), ("independent heads", "deep_taylor"), ("leak", "integrated_gradients")} <= found
    area = next(row for row in rows if row.check == "area")
    assert area.value == pytest.approx(64 / 1024)
    by_random = next(row for row in rows if (row.check, row.method) == ("RelevanceMassAccuracy", "random"))
    assert by_random.value == pytest.approx(64 / 1024, abs=0.02)
    table = render_table(rows)
    assert table.count("\n") == len(rows) + 1 and "nan" not in table
    json.dumps(to_plain(rows), allow_nan=False)


def test_an_interval_that_does_not_exist_is_null_in_json():
    """One patient: no interval, neither of the value nor of its difference from noise."""
    nan = float("nan")
    row = CheckRow("PointingGame", "grad_cam", "Effusion", 1.0, nan, nan, 1, "higher", (0.5, nan, nan))
    (plain,) = json.loads(json.dumps(to_plain([row]), allow_nan=False))
    assert (plain["value"], plain["low"], plain["beyond_random"]) == (1.0, None, [0.5, None, None])


def test_simulated_films_come_with_masks_on_the_network_frame():
    marked = simulate_marked("Effusion", 2, InputSettings(size=64))
    assert marked.images.shape == marked.masks.shape == (2, 64, 64)
    assert 0 < marked.masks.mean() < 0.5
    assert simulate_marked("Hernia", 2, InputSettings(size=64)) is None


def test_boxes_land_where_they_were_drawn(tmp_path, monkeypatch):
    """A box on the original 1024 frame, a film stored at 384, a network of 96: the same quarter of the film."""
    from types import SimpleNamespace

    table = tmp_path / "boxes.csv"
    table.write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\na_1.png,Infiltrate,512,0,512,512\nb.png,Odd,1,1,1,1\n"
    )
    assert read_boxes(table)["a_1"] == {"Infiltration": [(512.0, 0.0, 512.0, 512.0)]}
    saved = table.read_text().replace(",", ";")
    (tmp_path / "saved.csv").write_bytes(saved.replace("a_1.png;", "\n\ufeffa_1.png;").encode("utf-16"))
    assert read_boxes(tmp_path / "saved.csv")["a_1"]["Infiltration"] == [(512.0, 0.0, 512.0, 512.0)], "by a spreadsheet"
    case = SimpleNamespace(case_id="a_1", patient=None)
    workspace = SimpleNamespace(catalogue=SimpleNamespace(cases=lambda: [case]))
    film = SimpleNamespace(pixels=np.random.default_rng(0).random((384, 384)).astype(np.float32))
    monkeypatch.setattr("icbir_core.pipeline.saliency_checks.read_case_radiograph", lambda *_: film)
    (marked,) = collect_boxed(workspace, table, ("Infiltration",), InputSettings(size=96))
    expected = np.zeros((96, 96), bool)
    expected[:48, 48:] = True
    np.testing.assert_array_equal(marked.masks[0], expected)
    assert collect_boxed(workspace, table, ("Effusion",), InputSettings(size=96)) == []
    table.write_text("a,b\n")
    with pytest.raises(SaliencyError, match="Image Index"):
        read_boxes(table)


def test_the_command_lists_the_methods(capsys):
    from icbir_core.cli import main

    assert main(["explain", "--list", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"deep_taylor", "lrp_composite", "grad_cam", "occlusion"} <= {line["name"] for line in lines}
    assert main(["explain"]) == 1
    assert "--out with a file" in capsys.readouterr().err
