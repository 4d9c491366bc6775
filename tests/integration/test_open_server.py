"""A server that is open while the command line ingests films and indexes them: it says that it lags, then follows."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.runtime.scriptrunner import script_runner

from icbir_core.catalogue import Workspace
from icbir_core.cli import main
from icbir_core.model.classifier import save_classifier
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.retrieval.target_files import TargetFiles, get_classifier_path
from icbir_core.settings import SearchSettings
from icbir_core.types import Query
from icbir_ui import shared
from tests.helpers.small_workspace import FINDINGS, ingest_films, make_classifier, write_films

FILMS, TARGET = 12, "Effusion"


@pytest.fixture
def workspace(tmp_path) -> Path:
    """Films and both networks, as `train` leaves them, indexed by the command line."""
    made = Workspace.create(tmp_path / "w")
    ingest_films(made, write_films(tmp_path / "films", range(FILMS)))
    classifier = make_classifier(FINDINGS, 1)
    classifier = save_classifier(classifier.model, get_classifier_path(made), classifier.manifest)
    made.record_artefact("classifier", {"path": get_classifier_path(made), "findings": list(FINDINGS)})
    files = TargetFiles(made, TARGET)
    saliency = make_classifier((TARGET,), 2, classifier=classifier.sha256, target=TARGET)
    save_classifier(saliency.model, files.saliency_classifier, saliency.manifest)
    made.record_artefact(
        files.saliency_name,
        {"path": files.saliency_classifier, "made_from": {"classifier": classifier.sha256}, "order": 0},
    )
    assert main(["index", str(made.path), "--device", "cpu"]) == 0
    return made.path


def test_an_open_server_follows_an_ingest_and_an_index(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_WORKSPACE", str(workspace))
    monkeypatch.setenv("ICBIR_DEVICE", "cpu")
    # the service replaces it
    monkeypatch.setattr(script_runner, "_clean_problem_modules", script_runner._clean_problem_modules)
    service = shared.open_service()
    assert len(service.retriever.get_target().get_index("cnn").rows) == FILMS
    more = write_films(tmp_path / "more", range(900, 902))
    command = ["ingest", str(workspace), "--layout", "folder", "--images", str(more / "images")]
    assert main([*command, "--labels", str(more / "labels.csv")]) == 0
    assert shared.open_service() is service and TARGET in service.describe_lag()
    assert main(["index", str(workspace), "--device", "cpu"]) == 0
    followed = shared.open_service()
    assert len(followed.retriever.get_target().get_index("cnn").rows) == FILMS + 2 and followed.describe_lag() == ""
    assert len(service.retriever.get_target().get_index("cnn").rows) == FILMS, "what still runs keeps what it had"
    film = next((more / "images").iterdir())
    settings = SearchSettings(top_k=3, identical_image=True)
    ranking = followed.retriever.search(Query(film.stem, read_radiograph(film)), settings)
    assert ranking.hits[0].case.case_id == film.stem
    assert main(["verify", str(workspace)]) == 0
