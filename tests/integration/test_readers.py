"""Eight readers at once over the real service: small networks, true index, one service for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.phantom import simulate_film
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.radiograph.writing import write_lossless
from icbir_core.retrieval import opened_target
from icbir_core.retrieval.model_choice import Models
from icbir_core.settings import SearchSettings
from icbir_core.types import Query, Radiograph
from icbir_ui.shared import SearchService
from tests.helpers.small_workspace import FINDINGS, ingest_films, make_classifier, write_films

READERS, TARGET = 8, "Effusion"


@pytest.fixture(scope="module")
def models() -> Models:
    classifier = make_classifier(FINDINGS, 1)
    return Models(classifier, make_classifier((TARGET,), 2, classifier=classifier.sha256), TARGET, starter=False)


@pytest.fixture
def workspace(tmp_path, models, monkeypatch) -> Workspace:
    """Twelve indexed films; the models are handed over in memory."""
    from icbir_core.retrieval.index_workspace import index_workspace

    made = Workspace.create(tmp_path / "w")
    ingest_films(made, write_films(tmp_path / "films", range(12)))
    index_workspace(made, models=models)
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    return made


@pytest.fixture
def queries(tmp_path) -> list[Query]:
    """One film for each reader, none of them in the catalogue."""
    made = []
    for seed in range(500, 500 + READERS):
        levels = (simulate_film(seed, 128).pixels / 255).astype(np.float32)
        path = tmp_path / f"query_{seed}.png"
        write_lossless(Radiograph(levels, f"{seed:064x}", f"{seed:064x}", "png"), path)
        made.append(Query(path.stem, read_radiograph(path)))
    return made


def ask_all(service: SearchService, query: Query) -> tuple[list[tuple[str, float]], np.ndarray]:
    """What a page asks for a reader: the ranking, then the map of her film by a method that is not stored."""
    settings = SearchSettings(top_k=4, target=TARGET, method="ig_cbir")
    key = query.radiograph.pixel_sha256
    ranking = service.ask(("ranking", key), lambda retriever: retriever.search(query, settings))
    found = service.ask(("map", key), lambda retriever: retriever.map_of(query, "grad_cam", TARGET))
    return [(hit.case.case_id, hit.distance) for hit in ranking.hits], found.values


def test_eight_readers_at_once_get_the_answers_of_one_alone(workspace, queries):
    alone = SearchService(workspace)
    expected = [ask_all(alone, query) for query in queries]
    service, together = SearchService(workspace), threading.Barrier(READERS)

    def read(query: Query):
        together.wait(60)
        return ask_all(service, query)

    with ThreadPoolExecutor(READERS) as pool:
        answers = list(pool.map(read, queries))
    for (hits, values), (expected_hits, expected_values) in zip(answers, expected, strict=True):
        assert [name for name, _ in hits] == [name for name, _ in expected_hits]
        assert np.allclose([one for _, one in hits], [one for _, one in expected_hits], rtol=1e-4, atol=1e-5)
        assert np.allclose(values, expected_values, rtol=1e-3, atol=1e-5)
    assert len({tuple(name for name, _ in hits) for hits, _ in answers}) > 1, "the films have different neighbours"
