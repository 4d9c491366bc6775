"""Encoders beside the classifier: what is compared, what is computed again, what is refused, and what a pair shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import pytest

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import (
    IndexMismatch,
    ManifestMismatch,
    ModelError,
    RetrievalError,
    UnknownNameError,
    WorkspaceError,
)
from icbir_core.evaluation.films import collect_catalogue
from icbir_core.evaluation.vectors import VectorSource
from icbir_core.files import read_json
from icbir_core.model.encoders import Encoder, list_encoders, load_encoder, save_encoder
from icbir_core.model.network import build_network
from icbir_core.model.prediction import CLASSIFIER, Predictor
from icbir_core.radiograph.network_input import fit_to_network
from icbir_core.retrieval import model_choice, opened_target
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.pair_explanation import FilmPair, explain_pair
from icbir_core.retrieval.retriever import Retriever
from icbir_core.retrieval.target_files import verify_stores
from icbir_core.settings import SearchSettings
from icbir_core.types import SEARCH_NOT_SHOWN, Query
from icbir_ui.words import describe_cautions
from tests.helpers.small_workspace import CASES, FINDINGS, ingest_films, make_encoder
from tests.helpers.tiny_network import tiny_networks

METHOD = "encoders_centred"


@pytest.fixture
def opened(indexed, models, monkeypatch) -> Retriever:
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    return Retriever.open(indexed)


def ask(workspace: Workspace, number: int) -> Query:
    case = workspace.catalogue.cases()[number]
    return Query(case.case_id, read_case_radiograph(workspace, case), case.patient, case.case_id)


def derive(workspace: Workspace, models) -> np.ndarray:
    """The vectors of all cases, in double precision and one by one: float64 (N, 128)."""
    films = [read_case_radiograph(workspace, case).pixels for case in workspace.catalogue.cases()]
    sides = []
    for network in (models.classifier, *models.encoders):
        images = [fit_to_network(film, network.input_settings) for film in films]
        features = np.stack([network.features(image[None])[0] for image in images]).astype(np.float64)
        less = features - features.mean(axis=0)
        sides.append(less / np.linalg.norm(less, axis=1, keepdims=True))
    return np.concatenate(sides, axis=1) / np.sqrt(len(sides))


def test_distances_are_those_of_both_networks_centred_side_by_side(opened, indexed, models):
    assert opened.methods()[0] == METHOD, "it is the default where it is indexed"
    vectors = derive(indexed, models)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    query = ask(indexed, 4)
    ranking = opened.search(query, SearchSettings(top_k=40, same_patient=True))
    slow = np.linalg.norm(vectors - vectors[4], axis=1)
    assert [hit.case.row for hit in ranking.hits] == [row for row in np.argsort(slow) if row != 4]
    np.testing.assert_allclose([hit.distance for hit in ranking.hits], np.sort(slow)[1:], atol=1e-4)
    assert ranking.versions["encoder/other"] == models.encoders[0].sha256
    entry = indexed.read_manifest()["artefacts"]["index:Effusion"]
    assert entry["encoders"] == {"other": models.encoders[0].sha256}
    made_from = opened.get_target().get_index(METHOD).manifest["made_from"]
    assert made_from["encoder/other"] == models.encoders[0].sha256 and "centre of encoder/other" in made_from


def test_each_network_sees_the_film_in_its_own_way(opened, indexed, models):
    embedded = opened.embed_query(ask(indexed, 2))
    assert list(embedded.images) == [models.classifier.input_settings, models.encoders[0].input_settings]
    first, second = embedded.images.values()
    assert np.array_equal(embedded.image, first) and np.abs(first - second).mean() > 0.01


def test_a_pair_is_explained_over_both_networks(opened, indexed):
    query, case = ask(indexed, 4), indexed.catalogue.cases()[9]
    pair = opened.explain_pair(query, case, METHOD)
    distance = next(
        hit.distance
        for hit in opened.search(query, SearchSettings(40, METHOD)).hits
        if hit.case.case_id == case.case_id
    )
    assert pair.total == pytest.approx(distance**2, rel=1e-4) and abs(pair.residual) < 1e-5
    swapped = opened.explain_pair(ask(indexed, 9), indexed.catalogue.cases()[4], METHOD)
    np.testing.assert_allclose(swapped.first.values, pair.second.values, atol=1e-6)
    itself = opened.explain_pair(query, indexed.catalogue.cases()[4], METHOD)
    assert itself.total == 0 and itself.first.state == "zero"


def test_an_encoder_without_places_says_so(opened, indexed, models):
    target = opened.get_target()
    images, centre = np.zeros((2, 64, 64), np.float32), target.centres["encoder/other"]
    for one in (replace(models.encoders[0], map_features=None), make_encoder("cut", 5, crop=True)):
        beside = ((one, images, centre),)
        pair = FilmPair(images, SEARCH_METHODS[METHOD], target.embedder, target.centres["cnn"], beside)
        with pytest.raises(RetrievalError, match="cannot explain its distances"):
            explain_pair(pair)


def test_the_networks_of_a_card_predict_together_and_each_runs_once(indexed, models, monkeypatch):
    """Query and catalogue alike: the calibrated mean of logits, whatever the search compares."""
    calls: list[int] = []
    other = count(models.encoders[0], calls)
    hashes = {CLASSIFIER: models.classifier.sha256, "other": other.sha256}
    point, fit = {"Effusion": 0.2}, {"Effusion": {"temperature": 0.7, "offset": -1.0, "fitted": True}}
    card = {"findings": list(FINDINGS), "networks": hashes, "calibration": fit, "operating_points": point}
    card["search_at_chance"] = {METHOD: ["Effusion"]}
    predictor = Predictor(models.classifier, [other], card)
    together = replace(models, encoders=(other,), together=predictor)
    monkeypatch.setattr(opened_target, "load_models", lambda *_: together)
    retriever, query = Retriever.open(indexed), ask(indexed, 4)
    ranking = retriever.search(query)
    assert calls == [1], "its features serve the prediction and the search"
    films = [fit_to_network(query.radiograph.pixels, one.input_settings)[None] for one in (models.classifier, other)]
    logits = (models.classifier.compute(films[0])[0] + models.encoders[0].features.__self__.compute(films[1])[0])[0] / 2
    expected = 1 / (1 + np.exp(-logits[0] / 0.7 + 1.0))
    assert ranking.prediction.probabilities["Effusion"] == pytest.approx(expected, abs=1e-5)
    assert dict(ranking.prediction.operating_points) == point and len(ranking.prediction.networks) == 2
    assert ranking.at_chance and SEARCH_NOT_SHOWN.format("Effusion") in describe_cautions(ranking)
    assert not retriever.search(query, SearchSettings(target="Cardiomegaly")).at_chance
    with monkeypatch.context() as patched:
        patched.setitem(predictor.card, "networks", hashes | {"other": "0" * 64})
        assert not retriever.search(query).at_chance, "of such networks nothing is known"
    assert ranking.versions["prediction"] == predictor.sha256 != ranking.versions["model"]
    assert retriever.map_of(query).network == models.classifier.title, "the map says whose it is"
    alone = Retriever.open(indexed)
    monkeypatch.setattr(alone.get_target(), "models", models)
    found = alone.search(query)
    assert "prediction" not in found.versions
    own = models.classifier.predict(films[0])[0]
    assert list(found.prediction.probabilities.values()) == pytest.approx(own.tolist(), abs=1e-5)
    kept = collect_catalogue(indexed, np.array([4]))
    source = VectorSource(retriever.get_target(), indexed.path / "none")
    assert source.predict(kept)[0, 0] == pytest.approx(expected, abs=1e-5), "of the case, from what is stored"
    assert calls == [1] and found.prediction.source == models.classifier.title


@pytest.fixture
def copied(indexed, tmp_path) -> Workspace:
    shutil.copytree(indexed.path, tmp_path / "copy")
    return Workspace.open(tmp_path / "copy")


def count(encoder: Encoder, calls: list[int], fail_after: int | None = None) -> Encoder:
    """The encoder, noting how many films it is asked for; it is killed at the film of that number."""

    def features(images: np.ndarray) -> np.ndarray:
        if fail_after is not None and sum(calls) + len(images) > fail_after:
            raise KeyboardInterrupt
        calls.append(len(images))
        return encoder.features(images)

    return replace(encoder, features=features)


def test_a_killed_indexing_goes_on_and_computes_nothing_twice(tmp_path, films, models, indexed):
    workspace = Workspace.create(tmp_path / "w")
    ingest_films(workspace, films)
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        index_workspace(workspace, models=replace(models, encoders=(count(models.encoders[0], calls, 17),)))
    report = index_workspace(workspace, models=replace(models, encoders=(count(models.encoders[0], calls),)))
    assert sum(calls) == CASES and report.already == sum(calls[:2]) + 8, "the classifier was one batch ahead"
    whole = [Workspace.open(one.path).path / "targets/effusion/index" / METHOD for one in (workspace, indexed)]
    first, second = (load_vectors(folder) for folder in whole)
    np.testing.assert_allclose(first, second, atol=1e-6)


def load_vectors(folder) -> np.ndarray:
    files = read_json(folder / "manifest.json")["files"]
    order = np.argsort(np.load(folder / files["rows"]["name"]))
    return np.load(folder / files["vectors"]["name"])[order]


def test_another_encoder_is_computed_alone_and_the_former_index_is_refused(copied, models, monkeypatch):
    calls: list[int] = []
    other = replace(models, encoders=(count(make_encoder("other", 8), calls),))
    monkeypatch.setattr(opened_target, "load_models", lambda *_: other)
    with pytest.raises(IndexMismatch, match="encoder other has changed"):
        Retriever.open(copied)
    report = index_workspace(copied, models=other)
    assert (report.embedded, report.already, sum(calls)) == (0, CASES, CASES)
    hits = Retriever.open(copied).search(ask(copied, 4), SearchSettings(top_k=3)).hits
    slow = np.linalg.norm(derive(copied, other) - derive(copied, other)[4], axis=1)
    assert hits[0].distance == pytest.approx(np.sort(slow[[row for row in range(CASES) if row % 15 != 4]])[0], abs=1e-4)


def test_verify_finds_damage_in_what_an_encoder_computed(copied):
    checks = [*verify_workspace(copied), *verify_stores(copied)]
    assert all(check.passed for check in checks)
    assert any(check.name == "maps and embeddings/encoder/other" for check in checks)
    chunk = copied.path / "encoders" / "other.zarr" / "encoders" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    failed = [check for check in verify_stores(copied) if not check.passed]
    assert [check.name for check in failed] == ["maps and embeddings/encoder/other"] and "1 of" in failed[0].text


def test_without_encoders_the_method_is_left_out_or_refused(copied, models):
    alone = replace(models, encoders=())
    assert METHOD not in index_workspace(copied, models=alone).indexes
    with pytest.raises(WorkspaceError, match="compares the features of encoders, and this workspace has none"):
        index_workspace(copied, methods=[METHOD], models=alone)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Also the networks that are read from a file."""
    with tiny_networks():
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two encoders on disk, of small networks with random weights."""
    folder = tmp_path_factory.mktemp("encoders")
    for seed, name in ((1, "first"), (2, "second")):
        keras.utils.set_random_seed(seed)
        manifest = {"network": "densenet_small", "findings": list(FINDINGS), "input": {"size": 64, "equalise": False}}
        save_encoder(build_network("densenet_small", 2, 64), folder / f"{name}.npz", manifest | {"title": name.title()})
    return folder


def test_an_encoder_is_read_as_it_was_saved(saved):
    known = list_encoders(saved)
    assert list(known) == ["first", "second"]
    one, other = (load_encoder(path) for path in known.values())
    assert (one.name, one.title, one.width, one.input_settings.equalise) == ("first", "First", 64, False)
    images = np.random.default_rng(0).random((3, 64, 64)).astype(np.float32)
    assert one.features(images).shape == (3, 64) and np.abs(one.features(images) - other.features(images)).max() > 0.01
    assert one.map_features is not None
    np.testing.assert_allclose(one.map_features(images).mean(axis=(1, 2)), one.features(images), atol=1e-5)


@pytest.mark.parametrize("damage", ["weights", "missing", "entry", "width", "text"])
def test_a_damaged_encoder_is_refused_by_name(saved, tmp_path, damage):
    for file in saved.glob("first.*"):
        shutil.copy(file, tmp_path)
    weights, manifest = tmp_path / "first.npz", tmp_path / "first.json"
    facts = json.loads(manifest.read_text())
    if damage == "weights":
        weights.write_bytes(weights.read_bytes() + b"0")
    if damage == "missing":
        weights.unlink()
    if damage == "entry":
        del facts["embedding"]
    if damage == "width":
        facts["embedding"]["width"] = 65
    manifest.write_text("{" if damage == "text" else json.dumps(facts))
    with pytest.raises((ModelError, ManifestMismatch), match="first"):
        load_encoder(manifest)


def test_which_encoders_an_indexing_takes(tmp_path, films, models, saved, monkeypatch, capsys):
    """The workspace's own and, with the starter models, the shipped ones; else those that are named."""
    monkeypatch.setattr("icbir_core.model.encoders.get_shipped_folder", lambda: saved)
    alone = replace(models, encoders=(), saliency_classifier=None)
    for starter, words, expected in (
        (True, [], ["first", "own", "second"]),
        (False, [], ["own"]),
        (False, ["--encoders", "second,own"], ["own", "second"]),
        (True, ["--encoders", "none"], []),
    ):
        workspace = Workspace.create(tmp_path / "w")
        (workspace.models / "encoders").mkdir(exist_ok=True)
        if not workspace.catalogue.count():
            ingest_films(workspace, films)
            for file in saved.glob("first.*"):
                shutil.copy(file, workspace.models / "encoders" / f"own{file.suffix}")
            text = (workspace.models / "encoders" / "own.json").read_text()
            (workspace.models / "encoders" / "own.json").write_text(text.replace('"first.npz"', '"own.npz"'))
        monkeypatch.setattr(model_choice, "load_models", lambda *_, kind=starter: replace(alone, starter=kind))
        monkeypatch.setattr(opened_target, "load_models", lambda *_: alone)
        assert main(["index", str(workspace.path), *words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (METHOD in told["indexes"]) == bool(expected)
        assert list(workspace.read_manifest()["artefacts"]["index:Effusion"]["encoders"]) == expected
        retriever = Retriever.open(workspace)
        assert [one.name for one in retriever.get_target().models.encoders] == expected
        assert retriever.search(ask(workspace, 1)).method == (METHOD if expected else "cnn_centred")
    assert main(["index", str(workspace.path), "--encoders", "nobody", "--json"]) == 1
    assert "unknown encoder 'nobody'" in json.loads(capsys.readouterr().out)["error"].lower()
    assert model_choice.find_encoders(workspace)["own"].parent == workspace.models / "encoders"


def test_one_index_serves_every_finding_that_the_classifier_knows(opened, indexed, monkeypatch):
    """Only Effusion is indexed; Cardiomegaly is searched by what does not depend on a target."""
    assert opened.targets == ("Effusion",) and opened.questions == FINDINGS
    assert "ig_cbir" in opened.methods("Effusion") and "ig_cbir" not in opened.methods("Cardiomegaly")
    query = ask(indexed, 4)
    own, other = (opened.search(query, SearchSettings(top_k=5, target=target)) for target in FINDINGS)
    assert [hit.case.row for hit in own.hits] == [hit.case.row for hit in other.hits], "the films are as near as before"
    assert (other.target, other.method) == ("Cardiomegaly", METHOD)
    states = [case.findings["Cardiomegaly"].as_number() for case in indexed.catalogue.cases() if case.row % 15 != 4]
    assert other.base_rate == pytest.approx(np.mean(states)) != own.base_rate
    assert opened.map_of(query, target="Cardiomegaly").finding == "Cardiomegaly"
    assert opened.explain_pair(query, other.hits[0].case, target="Cardiomegaly").total == pytest.approx(
        other.hits[0].distance ** 2, rel=1e-3
    )
    with pytest.raises(UnknownNameError, match="ig_cbir"):
        opened.search(query, SearchSettings(target="Cardiomegaly", method="ig_cbir"))
    with pytest.raises(UnknownNameError, match="Nodule"):
        opened.search(query, SearchSettings(target="Nodule"))
    with pytest.raises(UnknownNameError, match="indexed target"):
        opened.get_target("Cardiomegaly")


def test_the_command_searches_for_a_finding_without_an_index_of_its_own(indexed, models, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    film = indexed.path / indexed.catalogue.cases()[4].path
    words = ["query", str(indexed.path), str(film), "--target", "Cardiomegaly", "--top-k", "2", "--json"]
    assert main([*words, "--save-overlays", str(tmp_path / "maps")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == "Cardiomegaly" and told["method"] == METHOD
    assert len(list((tmp_path / "maps").glob("*.png"))) == 3
