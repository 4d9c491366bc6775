"""Why a hit is near: the distance of the ranking, shared out over both films, from the retriever and the command."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import read_case_radiograph
from icbir_core.cli import main
from icbir_core.errors import UnknownNameError
from icbir_core.retrieval import opened_target
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import SearchSettings
from icbir_core.types import Query


@pytest.fixture
def retriever(indexed, models, monkeypatch) -> Retriever:
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    return Retriever.open(indexed)


@pytest.mark.parametrize("method", SEARCH_METHODS)
def test_both_maps_sum_to_the_distance_of_the_ranking(retriever, method):
    film = retriever.workspace.catalogue.get_row(3)
    query = Query("film", read_case_radiograph(retriever.workspace, film))
    hit = retriever.search(query, SearchSettings(method=method, top_k=5)).hits[-1]
    pair = retriever.explain_pair(query, hit.case, method)
    distance = hit.distance if method == "ssim" else hit.distance**2
    assert pair.explained == pytest.approx(distance, rel=0.01) and abs(pair.residual) < 0.01 * pair.total
    assert (pair.first.method, pair.first.finding) == ("similarity", "")
    with pytest.raises(UnknownNameError, match="magic"):
        retriever.explain_pair(query, hit.case, "magic")


def test_the_command_writes_both_films_and_says_what_is_left(retriever, tmp_path, capsys):
    workspace, out = retriever.workspace, tmp_path / "why.npy"
    film = str(workspace.path / workspace.catalogue.get_row(3).path)
    words = ["explain", str(workspace.path), film, "--method", "similarity", "--out", str(out), "--json"]
    assert main(words) == 1 and "--hit" in capsys.readouterr().err
    assert main([*words, "--hit", workspace.catalogue.get_row(8).case_id, "--search-method", "cnn"]) == 0
    told = json.loads(capsys.readouterr().out)
    total = np.load(out).sum() + np.load(tmp_path / "why_hit.npy").sum()
    assert np.load(out).shape == (128, 128) and abs(told["residual"]) < 0.01 * told["total"]
    # the files lie on the films' own pixels, four for one of the network's
    assert total / 4 == pytest.approx(told["total"], rel=0.05)
    assert main([*words[:-1], "--hit", "nobody"]) == 1 and "nobody" in capsys.readouterr().err


def test_it_is_listed_apart_from_the_maps_of_a_finding(capsys):
    assert main(["explain", "--list"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("similarity")]
    assert "no map of a finding" in line


@pytest.mark.parametrize("method", SEARCH_METHODS)
def test_a_film_of_the_catalogue_has_distance_0_to_itself_and_an_empty_picture(retriever, tmp_path, capsys, method):
    """The index computed it in a batch, the query alone, and the pair side by side: three orders of the same sums."""
    film = retriever.workspace.catalogue.get_row(3)
    path, out = str(retriever.workspace.path / film.path), tmp_path / "self.png"
    query = Query("film", read_case_radiograph(retriever.workspace, film))
    first = retriever.search(query, SearchSettings(method=method, identical_image=True)).hits[0]
    assert (first.case.case_id, first.distance) == (film.case_id, 0.0)
    words = ["--method", "similarity", "--hit", film.case_id, "--search-method", method, "--out", str(out), "--json"]
    assert main(["explain", str(retriever.workspace.path), path, *words]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["state"], found["total"], found["explained"]) == ("zero", 0.0, 0.0) and "marks no place" in told.err
    bare = np.rint(255 * query.radiograph.pixels).astype(np.uint8)
    for file in (out, tmp_path / "self_hit.png"):
        picture = cv2.imread(str(file))[-bare.shape[0] :, : bare.shape[1]]
        np.testing.assert_array_equal(picture, np.repeat(bare[..., None], 3, axis=2), "the film alone, no colour")
