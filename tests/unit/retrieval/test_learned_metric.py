"""The metric that is learned from the catalogue's labels: what it learns, its axiom, its file, its life in a
workspace."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from small_workspace import CASES, ingest_films, write_films

from icbir_core.catalogue import Workspace
from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.pipeline.index_workspace import index_workspace
from icbir_core.retrieval import learned_metric
from icbir_core.retrieval.learned_metric import LearnedMetric, fit_metric
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import METHODS

FINDINGS = ("Effusion", "Cardiomegaly", "Nodule")


def make_films(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of two networks; Effusion and Cardiomegaly each hide in one weak direction, Nodule is unknown."""
    random = np.random.default_rng(seed)
    labels = (random.random((count, 3)) < 0.3).astype(float)
    labels[:, 2] = np.nan
    cnn, ig_cbir = random.normal(size=(2, count, 24)) * np.linspace(3, 0.5, 24)
    cnn[:, 20] += 4 * labels[:, 0]
    ig_cbir[:, 21] += 4 * labels[:, 1]
    return cnn.astype(np.float32), ig_cbir.astype(np.float32), labels


def measure(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one[:, None].astype(float) - other[None], axis=2)


def test_cases_of_the_same_findings_come_nearer_also_for_films_it_has_not_seen():
    cnn, ig_cbir, labels = make_films(400)
    metric = fit_metric(cnn, ig_cbir, labels, FINDINGS, {})
    assert metric.findings == ("Effusion", "Cardiomegaly"), (
        "what is unknown is not learned, and is not taken for absent"
    )
    new_cnn, new_ig, truth = make_films(100, seed=1)

    def agree(new: np.ndarray, known: np.ndarray) -> float:
        """How much oftener than by chance the ten nearest share the state of a finding with the film."""
        nearest = np.argsort(measure(new, known), axis=1)[:, :10]
        chance = (labels[:, :2][None] == truth[:, None, :2]).mean()
        return float((labels[nearest][:, :, :2] == truth[:, None, :2]).mean() - chance)

    learned = agree(metric.transform(new_cnn, new_ig), metric.transform(cnn, ig_cbir))
    assert agree(new_cnn, cnn) < 0.15 and learned > 0.25 and learned > agree(new_cnn, cnn) + 0.1
    again = fit_metric(cnn, ig_cbir, labels, FINDINGS, {})
    assert again.sha256 == metric.sha256, "the same films give the same metric"


def test_odds_are_those_of_the_regression_done_step_by_step():
    from sklearn.linear_model import LogisticRegression

    cnn, ig_cbir, labels = make_films(300)
    metric = fit_metric(cnn, ig_cbir, labels, FINDINGS, {})
    parts = []
    for part in (cnn, ig_cbir):
        part = part.astype(np.float64)
        parts.append(part / np.sqrt(((part - part.mean(0)) ** 2).sum(1).mean()))
    joined = np.concatenate(parts, axis=1)
    centred = joined - joined.mean(0)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    kept = np.argsort(-values)[:37]
    scores = centred @ vectors[:, kept] / np.sqrt(values[kept])
    slow = LogisticRegression(C=0.03, class_weight="balanced", max_iter=2000).fit(scores, labels[:, 0])
    found = metric.transform(cnn, ig_cbir)[:, 0]
    np.testing.assert_allclose(found, slow.predict_proba(scores)[:, 1], atol=2e-4)


def test_directions_share_out_the_squared_distance_without_a_rest():
    cnn, ig_cbir, labels = make_films(200)
    metric = fit_metric(cnn, ig_cbir, labels, FINDINGS, {})
    for pair in ([3, 9], [0, 1], [5, 5]):
        ours, theirs = metric.find_directions(cnn[pair], ig_cbir[pair])
        vectors = metric.transform(cnn[pair], ig_cbir[pair]).astype(np.float64)
        shared = ours @ (cnn[pair[0]] - cnn[pair[1]]) + theirs @ (ig_cbir[pair[0]] - ig_cbir[pair[1]])
        assert shared == pytest.approx(((vectors[0] - vectors[1]) ** 2).sum(), rel=1e-4, abs=1e-9)


def test_too_few_labels_are_refused_and_another_models_metric_too(tmp_path):
    cnn, ig_cbir, labels = make_films(60)
    labels[:55] = np.nan
    with pytest.raises(RetrievalError, match="10 cases known to show it"):
        fit_metric(cnn, ig_cbir, labels, FINDINGS, {})
    metric = fit_metric(*make_films(80)[:2], make_films(80)[2], FINDINGS, {"model": "a"})
    metric.save(tmp_path)
    assert LearnedMetric.open(tmp_path, {"model": "a"}).sha256 == metric.sha256
    with pytest.raises(IndexMismatch, match="present models"):
        LearnedMetric.open(tmp_path, {"model": "b"})
    with pytest.raises(IndexMismatch, match="features"):
        metric.transform(cnn, None)


def test_it_stays_while_the_catalogue_grows_a_little_and_is_learned_anew_when_it_grows_much(
    tmp_path, indexed, models, monkeypatch
):
    shutil.copytree(indexed.path, tmp_path / "w")
    workspace = Workspace.open(tmp_path / "w")
    methods = workspace.read_manifest()["artefacts"]["index:Effusion"]["methods"]
    assert set(methods) == set(METHODS)
    ingest_films(workspace, write_films(tmp_path / "more", range(700, 702)))
    grown = index_workspace(workspace, models=models)
    assert grown.indexes["learned_metric"]["tail"] == 2, "two more cases are placed by the same metric"
    monkeypatch.setattr(learned_metric, "LEAST_CASES", 5)
    ingest_films(workspace, write_films(tmp_path / "many", range(710, 720)))
    anew = index_workspace(workspace, models=models)
    assert anew.indexes["learned_metric"]["tail"] == 0 and anew.indexes["learned_metric"]["count"] == CASES + 12
    identity = models.identity | {"map_method": "deep_taylor", "target": "Effusion"}
    assert LearnedMetric.open(workspace.target_directory("Effusion"), identity).cases == CASES + 12


def test_without_labels_the_paper_method_is_the_default_and_asking_for_the_metric_says_why(
    tmp_path, films, models, monkeypatch
):
    from icbir_core.retrieval import target_engine

    monkeypatch.setattr(learned_metric, "LEAST_CASES", CASES)
    workspace = Workspace.create(tmp_path / "w")
    ingest_films(workspace, films)
    report = index_workspace(workspace, models=models)
    assert set(report.indexes) == {"ig_cbir", "cnn", "ssim"}
    monkeypatch.setattr(target_engine, "load_models", lambda *_: models)
    assert Retriever.open(workspace).methods()[0] == "ig_cbir"
    with pytest.raises(RetrievalError, match="known to show it"):
        index_workspace(workspace, methods=["learned_metric"], models=models)
