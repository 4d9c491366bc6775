"""Indexing a workspace: growth becomes a tail, a second run does nothing, other models start anew, bad films named."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import create_engine

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import IndexMismatch, UnknownNameError, WorkspaceError
from icbir_core.jobs.units import Bench, IndexPlan, build_indexes, fill_chunk, list_chunks
from icbir_core.retrieval import filling, opened_target
from icbir_core.retrieval.devices import OTHER_TOLERANCES, TOLERANCE, measure_differences
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.index_workspace import index_workspace
from icbir_core.retrieval.methods import SEARCH_METHODS
from icbir_core.retrieval.neighbours import write_neighbours
from icbir_core.retrieval.opened_target import OpenedTarget
from icbir_core.retrieval.retriever import Retriever
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles, verify_stores
from icbir_core.settings import SearchSettings
from icbir_core.types import Query
from tests.helpers.small_workspace import CASES, ingest_films, make_classifier, write_films


@pytest.fixture
def copied(tmp_path, indexed) -> Workspace:
    shutil.copytree(indexed.path, tmp_path / "w")
    return Workspace.open(tmp_path / "w")


def test_growth_is_a_tail_and_stale_indexes_are_refused_until_then(copied, tmp_path, models, monkeypatch):
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    before = copied.read_manifest()["artefacts"]["index:Effusion"]["methods"]
    again = index_workspace(copied, models=models)
    assert (again.embedded, again.already) == (0, CASES) and again.indexes["cnn"]["sha256"] == before["cnn"]["sha256"]

    ingest_films(copied, write_films(tmp_path / "more", range(700, 702)))
    with pytest.raises(IndexMismatch, match=f"run `icbir index {copied.path} --target Effusion`"):
        OpenedTarget.open(copied, "Effusion")
    grown = index_workspace(copied, models=models)
    assert (grown.embedded, grown.already) == (2, CASES) and grown.indexes["ig_cbir"]["tail"] == 2
    retriever = Retriever.open(copied)
    case = copied.catalogue.get("sim_701")
    query = Query("film", read_case_radiograph(copied, case))
    ranking = retriever.search(query)
    assert ranking.route == "annoy+tail" and ranking.total == CASES + 2 and ranking.eligible == CASES + 1


def test_units_of_work_in_any_order_give_the_index_of_one_run(copied, models, monkeypatch):
    monkeypatch.setattr(filling, "load_with_encoders", lambda *_: models)
    files, plan, bench = TargetFiles(copied, "Effusion"), IndexPlan("Effusion"), Bench(copied)
    former = {name: Index.open(files.get_index(name)) for name in ("cnn", "ig_cbir")}
    expected = {name: index.get_vectors(index.rows).copy() for name, index in former.items()}
    shutil.rmtree(files.store)
    chunks = list_chunks(bench, plan)
    assert chunks == list(range(-(-CASES // 8)))
    assert sum(fill_chunk(bench, plan, one) for one in reversed(chunks)) == CASES
    assert list_chunks(bench, plan) == [] and fill_chunk(bench, plan, 0) == 0
    differences = measure_differences(copied, bench.open(plan).parts[0])
    assert set(differences) > {"maps", "cnn"} and max(differences.values()) < TOLERANCE
    build_indexes(bench, plan)
    for name, index in former.items():
        found = Index.open(files.get_index(name)).get_vectors(index.rows)
        assert np.allclose(found, expected[name], rtol=1e-3, atol=1e-4)


def test_values_of_another_device_are_compared_before_an_indexing_adds_to_them(copied, tmp_path, models):
    store = CaseStore.open(TargetFiles(copied, "Effusion").store)
    assert list(store.read_devices().values()) == [0.0], "an indexing notes what computed"
    ingest_films(copied, write_films(tmp_path / "more", range(700, 702)))
    store.note_device("another", 0.0, first=True)
    rows = np.arange(8)
    stored = {name: store.read(name, rows) for name in store.names}
    store.write(rows, {name: 1.1 * values for name, values in stored.items()})
    with pytest.raises(IndexMismatch, match="differ from those that are stored by 0.09"):
        index_workspace(copied, methods=["cnn"], models=models)
    assert len(store.get_completed()) == CASES and list(store.read_devices()) == ["another"]
    store.write(rows, stored | {"cnn": 1.005 * stored["cnn"]})
    with pytest.raises(IndexMismatch, match=r"stored by 0.005 of their length, more than 0\.001"):
        index_workspace(copied, methods=["cnn"], models=models)
    # rounding may lead relevance to another pixel of a window, so that a map differs by more than features do
    store.write(rows, stored | {"maps": 1.005 * stored["maps"]})
    report = index_workspace(copied, methods=["cnn"], models=models)
    noted = copied.read_manifest()["artefacts"]["index:Effusion"]["device"]["mixed"]
    assert report.embedded == 2 and noted["another"] == 0.0
    assert TOLERANCE < noted[report.device["kind"]] < OTHER_TOLERANCES["maps"]


def test_vectors_in_a_database_rank_alike_and_leave_with_a_case_or_another_engine(
    copied, models, vector_url, monkeypatch
):
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    monkeypatch.setenv("ICBIR_DATABASE_URL", vector_url)
    case = copied.catalogue.cases()[4]
    query = Query("film", read_case_radiograph(copied, case))
    former = Retriever.open(copied).search(query, SearchSettings(search="exact"))
    methods = ["cnn_centred", "ssim"]
    report = index_workspace(copied, methods=methods, models=models, engine="pgvector")
    assert report.indexes["cnn_centred"]["kind"] == "pgvector" and report.indexes["ssim"]["kind"] == "ssim"
    again = index_workspace(copied, methods=methods, models=models)
    assert again.indexes["cnn_centred"] == report.indexes["cnn_centred"], "an index stays what it is unless asked"
    found = Retriever.open(copied).search(query, SearchSettings(method="cnn_centred", search="exact"))
    exact = Retriever.open(copied).search(query, SearchSettings(method="cnn_centred"))
    assert [hit.case.case_id for hit in found.hits] == [hit.case.case_id for hit in exact.hits]
    assert former.total == found.total and not list(copied.path.glob("targets/*/index/cnn_centred/*.ann"))

    def count_tables() -> int:
        with create_engine(vector_url).connect() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM icbir_vectors.indexes").scalar_one()

    assert count_tables() == 1
    index_workspace(copied, methods=["cnn_centred"], models=models, engine="annoy")
    assert count_tables() == 0
    index_workspace(copied, methods=["cnn_centred"], models=models, engine="pgvector")
    assert count_tables() == 1
    assert main(["erase", str(copied.path), "--case", case.case_id, "--sure"]) == 0
    assert count_tables() == 0


def test_other_models_start_anew(copied, models):
    other = make_classifier(models.classifier.findings, 9)
    report = index_workspace(copied, methods=["cnn"], models=replace(models, classifier=other))
    assert report.started_anew and report.embedded == CASES and set(report.indexes) == {"cnn"}
    entry = copied.read_manifest()["artefacts"]["index:Effusion"]
    assert set(entry["methods"]) == {"cnn"}
    assert report.device == entry["device"] and entry["device"]["kind"] in ("cpu", "gpu")


def test_a_new_saliency_classifier_replaces_the_vectors_of_the_former_one(copied, models, monkeypatch):
    target = models.target
    saliency = make_classifier((target,), 8, classifier=models.classifier.sha256)
    retrained = replace(models, saliency_classifier=saliency)
    report = index_workspace(copied, models=retrained)
    assert report.started_anew and report.embedded == CASES
    monkeypatch.setattr(opened_target, "load_models", lambda *_: retrained)
    opened = OpenedTarget.open(copied, target)
    for method in ("ig_cbir", "cnn"):
        rows = opened.indexes[method].rows
        np.testing.assert_array_equal(opened.indexes[method].get_vectors(rows), opened.store.read(method, rows))


def test_another_map_method_replaces_the_vectors_of_the_former_one(copied, models):
    before = copied.read_manifest()["artefacts"]["index:Effusion"]["methods"]["ig_cbir"]["sha256"]
    report = index_workspace(copied, methods=["ig_cbir"], map_method="grad_cam", models=models)
    assert report.started_anew and report.indexes["ig_cbir"]["sha256"] != before


def test_neighbour_distances_of_a_former_index_are_measured_anew(copied, models, monkeypatch):
    """What a run leaves that is killed when the index has been published and its distances have not."""
    folder = copied.target_directory("Effusion") / "index" / "cnn"
    write_neighbours(folder, "0" * 64, np.zeros(3))
    index_workspace(copied, models=models)
    monkeypatch.setattr(opened_target, "load_models", lambda *_: models)
    assert len(OpenedTarget.open(copied, "Effusion").get_neighbours("cnn")) == CASES


def test_verify_names_what_another_classifier_or_a_new_film_leaves_behind(copied, tmp_path, models):
    def list_wrong() -> set[str]:
        return {
            check.name for checks in (verify_workspace, verify_stores) for check in checks(copied) if not check.passed
        }

    copied.record_artefact("classifier", {"sha256": models.classifier.sha256})
    index_workspace(copied, models=models)
    assert not list_wrong()
    behind = {"index:Effusion", *(f"index/Effusion/{method}" for method in SEARCH_METHODS)}
    copied.record_artefact("classifier", {"sha256": "0" * 64})
    assert list_wrong() == behind
    copied.record_artefact("classifier", {"sha256": models.classifier.sha256})
    ingest_films(copied, write_films(tmp_path / "more", range(800, 801)))
    assert list_wrong() == behind


def test_verify_finds_one_flipped_bit_in_the_stored_maps(copied, capsys):
    assert main(["verify", str(copied.path)]) == 0
    assert f"maps and embeddings/Effusion: {CASES} cases unchanged" in capsys.readouterr().out
    chunk = copied.target_directory("Effusion") / "store.zarr" / "maps" / "c" / "2" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    assert main(["verify", str(copied.path)]) == 1
    assert "WRONG  maps and embeddings/Effusion: 1 of " in capsys.readouterr().out


def test_a_damaged_film_is_named_and_the_others_are_indexed(tmp_path, films, models):
    workspace = Workspace.create(tmp_path / "w")
    ingest_films(workspace, films)
    spoilt = workspace.catalogue.get_row(4)
    (workspace.path / spoilt.path).write_bytes(b"damaged")
    report = index_workspace(workspace, methods=["cnn"], models=models)
    assert [case_id for case_id, _ in report.unreadable] == [spoilt.case_id] and report.embedded == CASES - 1
    assert report.indexes["cnn"]["count"] == CASES - 1


def test_refusals(tmp_path, models):
    workspace = Workspace.create(tmp_path / "w")
    with pytest.raises(WorkspaceError, match="ingest"):
        index_workspace(workspace, models=models)
    with pytest.raises(UnknownNameError, match="magic"):
        index_workspace(workspace, methods=["magic"], models=models)
    ingest_films(workspace, write_films(tmp_path / "one", range(1)))
    with pytest.raises(WorkspaceError, match="saliency"):
        index_workspace(workspace, methods=["ig_cbir"], models=replace(models, saliency_classifier=None))
    report = index_workspace(workspace, models=replace(models, saliency_classifier=None))
    assert set(report.indexes) == {"encoders_centred", "cnn_centred", "cnn", "ssim"}
    assert np.isfinite(report.indexes["cnn"]["recall_at_10"])
