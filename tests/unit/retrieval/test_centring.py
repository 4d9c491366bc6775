"""Centred features: what they are, what they are good for, their file, their life in a workspace."""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.errors import IndexMismatch
from icbir_core.files import sha256_of_file
from icbir_core.retrieval.centring import FILE, Centre
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.pair_explanation import share_distance
from icbir_core.retrieval.retriever import Retriever
from tests.helpers.small_workspace import CASES, ingest_films, write_films


def test_vectors_are_the_unit_directions_from_the_mean_of_all_pieces():
    features = np.random.default_rng(0).random((50, 8)).astype(np.float32) + 3
    centre = Centre.measure((features[at : at + 7] for at in range(0, 50, 7)), {"model": "a"})
    assert centre.cases == 50
    np.testing.assert_allclose(centre.mean, features.mean(0), rtol=1e-6)
    for film, vector in zip(features, centre.transform(features), strict=True):
        slow = [float(x) - float(m) for x, m in zip(film, centre.mean, strict=True)]
        length = sum(x * x for x in slow) ** 0.5
        np.testing.assert_allclose(vector, [x / length for x in slow], atol=1e-5)
    assert not centre.transform(centre.mean[None]).any(), "the mean itself has no direction"


def test_neither_what_all_films_share_nor_how_strongly_they_drive_the_network_decides():
    features = np.random.default_rng(1).random((40, 8))
    centre = Centre.measure([features], {})
    vectors = centre.transform(features)
    shifted = features + np.arange(8) * 7.0
    np.testing.assert_allclose(Centre.measure([shifted], {}).transform(shifted), vectors, atol=1e-4)
    stronger = centre.mean + 3.0 * (features - centre.mean)
    np.testing.assert_allclose(centre.transform(stronger), vectors, atol=1e-5)


def test_the_squared_distance_of_centred_features_is_shared_out_without_a_rest():
    maps = np.random.default_rng(2).random((2, 5, 5, 16))
    centre = Centre(np.full(16, 0.4), 9, {})
    units = [(f - centre.mean) / np.linalg.norm(f - centre.mean) for f in maps.mean(axis=(1, 2))]
    shares = share_distance(centre.transform_maps(maps))
    assert shares.sum() == pytest.approx(((units[0] - units[1]) ** 2).sum(), rel=1e-9)
    assert shares[0].sum() == pytest.approx(shares[1].sum(), rel=1e-9), "half on each film"
    np.testing.assert_allclose(share_distance(centre.transform_maps(maps[::-1])), shares[::-1])


def test_a_file_that_another_python_wrote_keeps_the_hash_that_indexes_carry(tmp_path):
    """The same values in other bytes, as another version's archive has them."""
    measured = Centre.measure([np.ones((3, 4))], {"model": "a"})
    measured.save(tmp_path)
    path = tmp_path / FILE
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 0, 0, 0)), data)
    found = Centre.open(tmp_path, {"model": "a"})
    assert found.sha256 == sha256_of_file(path) != measured.sha256 and np.array_equal(found.mean, measured.mean)


def test_a_file_of_other_models_is_refused(tmp_path):
    centre = Centre.measure([np.ones((3, 4))], {"model": "a"})
    centre.save(tmp_path)
    assert Centre.open(tmp_path, {"model": "a"}).sha256 == centre.sha256
    with pytest.raises(IndexMismatch, match="other models"):
        Centre.open(tmp_path, {"model": "b"})
    with pytest.raises(IndexMismatch, match="missing"):
        Centre.open(tmp_path / "elsewhere", {"model": "a"})


def test_it_stays_while_the_catalogue_grows_a_little_and_is_measured_anew_when_it_grows_much(
    tmp_path, indexed, models, monkeypatch
):
    from icbir_core.retrieval import opened_target

    shutil.copytree(indexed.path, tmp_path / "w")
    workspace = Workspace.open(tmp_path / "w")
    methods = workspace.read_manifest()["artefacts"]["index:Effusion"]["methods"]
    assert set(methods) == set(SEARCH_METHODS)
    ingest_films(workspace, write_films(tmp_path / "more", range(700, 702)))
    grown = index_workspace(workspace, models=models)
    assert grown.indexes["cnn_centred"]["tail"] == 2, "two more cases lie about the same centre"
    ingest_films(workspace, write_films(tmp_path / "many", range(710, 720)))
    anew = index_workspace(workspace, models=models)
    assert anew.indexes["cnn_centred"]["tail"] == 0 and anew.indexes["cnn_centred"]["count"] == CASES + 12
    identity = models.identity | {"map_method": "deep_taylor", "target": "Effusion"}
    folder = workspace.target_directory("Effusion")
    assert Centre.open(folder, identity).cases == CASES + 12
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    assert Retriever.open(workspace).methods() == tuple(SEARCH_METHODS), "the preferred method first"
    Centre.measure([np.ones((3, 80))], identity).save(folder)
    with pytest.raises(IndexMismatch, match="centre"):
        Retriever.open(workspace)
