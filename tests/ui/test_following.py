"""A running server follows what the command line does to its workspace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.workspace import MANIFEST
from icbir_core.cli import main
from icbir_core.errors import WorkspaceError
from icbir_core.radiograph.writing import write_lossless
from icbir_core.retrieval.target_files import IndexState
from icbir_ui import shared
from tests.helpers import fakes

NEW = 50


def index(workspace: Workspace, target: str, model: str = "a") -> None:
    """What `index` writes into the manifest at its end."""
    catalogue = workspace.read_manifest()["artefacts"]["catalogue"]["sha256"]
    entry = {"catalogue": catalogue, "models": {"classifier": model}, "methods": {"cnn": "b"}, "order": 0}
    workspace.record_artefact(f"index:{target}", entry)


def ingest(workspace: Workspace, folder, seed: int) -> None:
    folder.mkdir()
    write_lossless(fakes.make_radiograph(seed), folder / f"new_{seed}.png")
    assert main(["ingest", str(workspace.path), "--layout", "folder", "--images", str(folder)]) == 0


@pytest.fixture
def indexed(workspace, tmp_path):
    """A served workspace whose two targets are indexed."""
    ingest(workspace, tmp_path / "first", 49)
    for target in ("Effusion", "Cardiomegaly"):
        index(workspace, target)
    return workspace


def test_a_search_after_ingest_and_index_finds_the_new_film(indexed, open_page, tmp_path):
    page = open_page("search", film="effusion_1")
    service, before = shared.open_service(), page.case_ids
    ingest(indexed, tmp_path / "new", NEW)
    page.run()
    assert shared.open_service() is service and page.case_ids == before, "a session goes on over what is indexed"
    told = fakes.read_plain(" ".join(one.value for one in page.app.warning))
    assert "not searched yet" in told and "must index them" in told and "Cardiomegaly, Effusion" in told
    index(indexed, "Effusion")
    page.run()
    assert shared.open_service() is service and "for Cardiomegaly." in fakes.read_plain(page.app.warning[0].value)
    index(indexed, "Cardiomegaly")
    page.run()
    assert shared.open_service() is not service
    assert not any("not searched yet" in one.value for one in page.app.warning)
    row = indexed.catalogue.get(f"new_{NEW}").row
    assert row in shared.open_service().retriever.vectors and row not in service.retriever.vectors


def test_what_changes_no_answer_opens_nothing_anew(indexed, monkeypatch):
    service = shared.open_service()
    read = []
    found = IndexState.read(indexed)
    monkeypatch.setattr(IndexState, "read", lambda workspace: read.append(1) or found)
    for _ in range(5):
        assert shared.open_service() is service
    assert read == [], "the manifest is not read again before it was written"
    indexed.record_artefact("report/1", {"made_from": {}})
    assert shared.open_service() is service and read == [1]


def test_a_case_that_another_process_takes_out_leaves_the_answers(indexed):
    service = shared.open_service()
    service.ask("question", lambda retriever: "answer")
    assert shared.open_service().knows("question")
    assert main(["remove", str(indexed.path), f"new_{NEW - 1}"]) == 0
    assert shared.open_service() is service and not service.knows("question")


def write_with_old_dates(manifest: Path, change: Callable[[], None]) -> None:
    """Change the manifest as a shared folder shows it that still knows its former length, dates and number."""
    former, held = manifest.stat(), manifest.with_name("held")
    os.link(manifest, held)
    change()
    held.write_bytes(manifest.read_bytes())
    os.replace(held, manifest)
    os.utime(manifest, ns=(former.st_atime_ns, former.st_mtime_ns))
    assert manifest.stat()[:8] == former[:8], "the test shows something else"


def test_the_revision_tells_of_an_index_that_another_machine_built(either_database, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "open_retriever", fakes.FakeRetriever)
    made = fakes.make_workspace(tmp_path / "w", 2)
    record_catalogue(made)
    index(made, "Effusion")
    service = shared.SearchService(Workspace.open(made.path))
    service.ask("question", lambda retriever: "answer")
    assert not service.outdated and service.knows("question")
    write_with_old_dates(made.path / MANIFEST, lambda: index(Workspace.open(made.path), "Effusion", "c"))
    assert service.outdated and not service.knows("question")


def test_an_index_of_other_networks_is_followed(indexed):
    service = shared.open_service()
    index(indexed, "Effusion")
    assert shared.open_service() is service, "the same again"
    index(indexed, "Effusion", "another")
    assert shared.open_service() is not service


def test_a_service_that_could_not_open_is_tried_again_after_index(indexed, monkeypatch, tmp_path):
    def refuse(workspace):
        if IndexState.read(workspace).behind:
            raise shared.WorkspaceError("The index is from before the last ingest.")
        return fakes.FakeRetriever(workspace)

    monkeypatch.setattr(shared, "open_retriever", refuse)
    ingest(indexed, tmp_path / "new", NEW)
    service = shared.open_service()
    with pytest.raises(WorkspaceError):
        assert service.retriever is not None
    assert service.error and service.describe_lag() == "", "one sentence, not two"
    for target in ("Effusion", "Cardiomegaly"):
        index(indexed, target)
    assert shared.open_service().retriever is not None


def test_a_manifest_that_is_gone_is_told_on_the_page(indexed, open_page):
    page = open_page("search", film="effusion_1")
    os.rename(indexed.path / "manifest.json", indexed.path / "kept.json")
    page.run()
    assert any("manifest.json" in fakes.read_plain(one.value) for one in page.app.error)
    os.rename(indexed.path / "kept.json", indexed.path / "manifest.json")
    page.run()
    assert not page.app.error and page.case_ids
