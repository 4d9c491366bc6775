"""The protocols find a signal that was planted, none where there is none, and say what the controls mean."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.errors import EvaluationError, UnknownNameError
from icbir_core.evaluation import controls, running
from icbir_core.evaluation.films import find_allowed
from icbir_core.evaluation.methods import find_method, measure_distances, measure_euclidean, rank_cases, require_methods
from icbir_core.evaluation.protocols import EvaluationResult, evaluate_held_out, evaluate_paper, evaluate_simulated
from icbir_core.evaluation.report import render_html, to_json, to_text
from icbir_core.model.device import choose_device


def draw_labels(count, seed, share=0.3):
    generator = np.random.default_rng(seed)
    effusion = (generator.random(count) < share).astype(float)
    mass = (generator.random(count) < 0.2).astype(float)
    return np.stack([effusion, mass, ((effusion + mass) == 0).astype(float)], axis=1)


def by_label(strength, seed):
    """Vectors that hold the label with this strength, and noise."""

    def make(films):
        generator = np.random.default_rng([seed, len(films)])
        return strength * films.labels[:, :1] + generator.normal(0, 1, (len(films), 4))

    return make


@pytest.fixture
def sets(films):
    return films(draw_labels(50, 1), prefix="query"), films(draw_labels(160, 2), prefix="case", rows=True)


def test_a_planted_signal_is_found_and_noise_is_chance(sets, planted):
    source = planted({"ig_cbir": by_label(6, 0), "cnn": by_label(0, 1), "random_maps": by_label(0, 2)})
    result = evaluate_held_out(*sets, source, "Effusion", ["ig_cbir", "cnn", "random_maps"], permutations=100)
    table = result.tables["methods"]
    assert table["ig_cbir"]["metrics"]["average_precision"]["value"] > 0.9
    assert table["ig_cbir"]["p_against_chance"]["average_precision"] < 0.02
    assert table["ig_cbir"]["vote"]["auroc"]["value"] > 0.95
    chance = result.tables["chance"]["average_precision"]["value"]
    assert table["cnn"]["metrics"]["average_precision"]["value"] == pytest.approx(chance, abs=0.08)
    assert table["cnn"]["p_against_chance"]["average_precision"] > 0.01
    assert any("better than every control" in line for line in result.summary)
    assert any("Not shown to be better than random order: cnn" in line for line in result.summary)


def test_a_control_that_is_as_good_is_said_in_the_summary(sets, planted):
    source = planted({"ig_cbir": by_label(3, 0), "cnn": by_label(0, 1), "edge_maps": by_label(3, 5)})
    result = evaluate_held_out(*sets, source, "Effusion", ["ig_cbir", "cnn", "edge_maps"], permutations=50)
    (line,) = [line for line in result.summary if "NOT shown to be better than edge_maps" in line]
    assert "not shown to be interpretability" in line
    assert line in to_text(result) and line in render_html(result).replace("&#39;", "'")
    assert result.tables["methods"]["edge_maps"]["saliency_classifier_retrained"] is False


def test_patients_and_identical_films_are_never_on_both_sides(films):
    queries = films([[1, 0, 0]] * 3, patients=["a", None, "c"], prefix="same")
    catalogue = films([[1, 0, 0]] * 4, patients=["a", None, "x", "c"], prefix="case")
    catalogue = replace(catalogue, films=("case0", "same1", "case2", "case3"))
    expected = [[False, True, True, True], [True, False, True, True], [True, True, True, False]]
    np.testing.assert_array_equal(find_allowed(queries, catalogue), expected)


def test_unknown_states_are_neither_hits_nor_misses(films, planted):
    labels = draw_labels(120, 3)
    source = planted({"cnn": by_label(6, 0)})
    whole = films(labels, prefix="case")
    hidden = labels.copy()
    hidden[::2, 0] = np.nan  # every other state is unknown: what is known is ranked as before
    holed = replace(whole, labels=hidden)
    queries = films(draw_labels(30, 4), prefix="query")
    values = []
    for catalogue in (whole, holed):
        vectors = planted({"cnn": lambda f, c=catalogue: by_label(6, 0)(whole if f is c else f)})
        result = evaluate_held_out(queries, catalogue, vectors, "Effusion", ["cnn"], permutations=30)
        values.append(result.tables["methods"]["cnn"]["metrics"]["precision_at_10"]["value"])
    assert values[0] > 0.95 and values[1] > 0.95
    assert source.get(queries, "cnn").shape == (30, 4)


def test_the_splits_of_the_paper_and_their_chance(films, planted):
    pool = films(draw_labels(160, 5, share=0.4), prefix="film")
    strong = evaluate_paper(pool, planted({"ig_cbir": by_label(6, 0)}), "Effusion", ["ig_cbir"])
    noise = evaluate_paper(pool, planted({"ig_cbir": by_label(0, 0)}), "Effusion", ["ig_cbir"])
    sizes = {split["fraction"]: split["catalogue"] for split in strong.tables["splits"]}
    assert sizes == {0.055: 9, 0.115: 19, 0.175: 28} and len(strong.tables["splits"]) == 15
    for fraction, chance in strong.tables["chance"].items():
        assert strong.tables["methods"]["ig_cbir"][fraction]["value"] > 0.85
        assert noise.tables["methods"]["ig_cbir"][fraction]["value"] == pytest.approx(chance, abs=0.12)
    single = evaluate_paper(pool, planted({"ig_cbir": by_label(6, 0)}), "Effusion", ["ig_cbir"], single_query=True)
    assert all(split["queries"] == 1 for split in single.tables["splits"])
    assert "fraction 0.055" in to_text(single) and "<table>" in render_html(single)


def test_simulated_films_are_graded_by_their_truth(films, planted):
    from icbir_core.phantom import SimulatedFinding, SimulatedTruth

    def make_truth(seed):
        side, severity = ("left", "right")[seed % 2], (seed % 5) / 4
        finding = SimulatedFinding("Effusion", side, severity, 100.0, "mL", np.zeros((1, 1), bool))
        return SimulatedTruth(seed, "PA", 50, "F", 0.2, (finding,) if seed % 3 else (), 0.5)

    truths = {seed: make_truth(seed) for seed in range(90)}
    split = {"query": range(60, 90), "case": range(60)}
    sets = [
        films([[0, 0, 0]] * len(seeds), prefix=prefix, names=[f"sim_{seed}" for seed in seeds])
        for prefix, seeds in split.items()
    ]

    def describe(film_set):
        found = []
        for name in film_set.names:
            truth = truths[int(name[4:])]
            finding = truth.finding("Effusion")
            found.append([9.0, 0, 0] if finding is None else [0, 3 * (finding.side == "left"), finding.severity])
        return np.array(found)

    source = planted({"cnn": describe, "ig_cbir": by_label(0, 0)})
    result = evaluate_simulated(*sets, source, "Effusion", ["cnn", "ig_cbir"], truths, permutations=30)
    table = result.tables["methods"]
    assert table["cnn"]["metrics"]["ndcg_truth"]["value"] > 0.97
    assert table["cnn"]["metrics"]["ndcg_side"]["value"] > 0.97
    assert table["ig_cbir"]["metrics"]["ndcg_truth"]["value"] < 0.7
    with pytest.raises(EvaluationError, match="--truth"):
        evaluate_simulated(*sets, source, "Effusion", ["cnn"], {}, permutations=30)


def test_the_report_is_strict_json_and_a_page_that_calls_nobody(sets, planted):
    source = planted({"ig_cbir": by_label(3, 0), "cnn": by_label(0, 1)})
    result = evaluate_held_out(*sets, source, "Effusion", ["ig_cbir", "cnn"], permutations=30, ks=(1, 10, 500))
    text = json.dumps(to_json(result), allow_nan=False)
    assert json.loads(text)["methods"]["cnn"]["metrics"]["precision_at_500"]["value"] is None
    page = render_html(result)
    assert 'role="img" aria-label="Precision by k: ' in page
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert "Worst queries" in body and body.count("data:image/png") == 6
    assert 'src="http' not in body and "not for diagnosis" in body


def test_a_target_that_nobody_names_is_one_sentence(sets, planted):
    with pytest.raises(EvaluationError, match="another target"):
        evaluate_held_out(*sets, planted({}), "Hernia", ["cnn"])
    with pytest.raises(UnknownNameError, match="ig_cbir"):
        require_methods(["guess"])


def test_distances_are_those_of_a_slow_loop(sets, planted):
    queries, catalogue = sets
    source = planted({"ig_cbir": by_label(1, 0), "cnn": by_label(1, 1), "ssim": lambda f: _pictures(f)})
    one, other = source.get(queries, "cnn"), source.get(catalogue, "cnn")
    slow = np.array([[np.linalg.norm(a - b) for b in other] for a in one])
    np.testing.assert_allclose(measure_euclidean(one, other), slow, atol=1e-6)
    np.testing.assert_allclose(measure_distances(find_method("cnn"), source, queries, catalogue), slow, atol=1e-6)
    spread = {k: np.sqrt(source.get(catalogue, k).var(axis=0).sum()) for k in ("cnn", "ig_cbir")}
    a, b = (np.concatenate([source.get(f, k) / spread[k] for k in ("cnn", "ig_cbir")], axis=1) for f in sets)
    hybrid = measure_distances(find_method("hybrid"), source, queries, catalogue)
    assert hybrid[3, 7] == pytest.approx(np.linalg.norm(a[3] - b[7]))
    cosine = replace(find_method("cnn"), metric="cosine")
    expected = np.sqrt(2 - 2 * one[3] @ other[7] / np.linalg.norm(one[3]) / np.linalg.norm(other[7]))
    assert measure_distances(cosine, source, queries, catalogue)[3, 7] == pytest.approx(expected)


def _pictures(films):
    return np.random.default_rng(len(films)).random((len(films), 64, 64)).astype(np.float32)


def test_structural_similarity_is_that_of_scikit_image(films, planted):
    from skimage.metrics import structural_similarity

    source = planted({"ssim": _pictures})
    queries, catalogue = films([[0, 0, 0]] * 2), films([[0, 0, 0]] * 5)
    found = measure_distances(find_method("ssim"), source, queries, catalogue)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0)
    expected = 1 - structural_similarity(_pictures(queries)[1], _pictures(catalogue)[4], **options)
    assert found[1, 4] == pytest.approx(expected, abs=1e-4)


def test_ranking_keeps_to_the_allowed_cases_and_to_the_order_of_equals():
    orders = rank_cases(np.array([[2.0, 1.0, 1.0, 0.0]]), np.array([[True, True, True, False]]))
    np.testing.assert_array_equal(orders[0], [1, 2, 0])


def test_controls_look_at_edges_or_at_nothing_of_the_film():
    image = np.zeros((1, 32, 32), np.float32)
    image[:, :, 16:] = 1
    edges = controls.make_control("edge_maps", None, "Effusion")(image)
    assert edges[0, 16, 15:17].min() > 0.3 and edges[0, 16, 4] == 0
    lungs = controls.make_control("lung_prior", None, "Effusion")
    np.testing.assert_allclose(lungs(np.ones((2, 32, 32), np.float32))[0], controls.shape_of_lungs(32))
    shape = controls.shape_of_lungs(101)
    assert shape[47, 30] > 0.95 and shape[47, 50] < 0.05 and shape[0, 0] < 1e-6
    np.testing.assert_allclose(shape, shape[:, ::-1], atol=1e-6)
    with pytest.raises(UnknownNameError, match="random_maps"):
        controls.make_control("guess", SimpleNamespace(), "Effusion")


def test_the_device_is_written_down(tmp_path, monkeypatch):
    nobody = SimpleNamespace(skipped=())
    result = EvaluationResult(
        "silva2020", "Effusion", {"methods": {}, "chance": {}, "comparisons": []}, (), (), nobody, nobody
    )
    monkeypatch.setattr(running, "run_protocol", lambda *_: result)
    found = running.run_evaluation(Workspace.create(tmp_path / "w"), running.EvaluationOptions(device="auto"))
    name = choose_device("auto").name
    assert json.loads(json.dumps(to_json(found)))["device"]["name"] == name
    assert f"Computed on {name}" in render_html(found)
    assert "Computed on" not in render_html(result)
