"""A small indexed workspace for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from icbir_core.catalogue import Workspace
from icbir_core.retrieval.model_choice import Models
from tests.helpers.small_workspace import CASES, FINDINGS, ingest_films, make_classifier, make_encoder, write_films


@pytest.fixture(scope="session")
def models() -> Models:
    classifier = make_classifier(FINDINGS, 1)
    saliency = make_classifier(("Effusion",), 2, classifier=classifier.sha256)
    return Models(classifier, saliency, "Effusion", starter=False, encoders=(make_encoder("other", 3),))


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> Path:
    """30 films of 15 patients."""
    return write_films(tmp_path_factory.mktemp("films"), range(CASES), patients=15)


@pytest.fixture(scope="session")
def indexed(tmp_path_factory, films, models) -> Workspace:
    from icbir_core.retrieval.index_workspace import index_workspace

    workspace = Workspace.create(tmp_path_factory.mktemp("workspace") / "w")
    ingest_films(workspace, films)
    report = index_workspace(workspace, models=models)
    assert report.embedded == CASES and not report.unreadable
    return workspace
