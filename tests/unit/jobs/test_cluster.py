"""Indexing on a Dask cluster: the same unit of work as a worker's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from distributed import LocalCluster

from icbir_core.catalogue import record_catalogue
from icbir_core.cli import main
from icbir_core.errors import WorkspaceError
from icbir_core.jobs.cluster import index_on_cluster
from icbir_core.jobs.units import Bench, IndexPlan, fill_chunk, list_chunks
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.target_files import TargetFiles
from tests.helpers import fake_work, fakes


def test_a_cluster_computes_what_is_lacking_and_only_that(tmp_path, monkeypatch, capsys):
    fake_work.use(monkeypatch.setattr)
    workspace, plan, told = fakes.make_workspace(tmp_path / "w", 18), IndexPlan("Effusion"), []
    record_catalogue(workspace)
    list_chunks(bench := Bench(workspace), plan)
    fill_chunk(bench, plan, 1)
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        report = index_on_cluster(workspace, plan, address, progress=lambda *one: told.append(one[:2]))
        assert (report.embedded, report.already) == (10, 8)
        assert index_on_cluster(workspace, plan, address).embedded == 0
        unreadable = replace(report, unreadable=(("case_001", "The file is gone."),))
        monkeypatch.setattr("icbir_core.jobs.cluster.build_indexes", lambda *_: unreadable)
        assert main(["index", str(workspace.path), "--target", "Effusion", "--dask", address]) == 1
        told_by_command = capsys.readouterr()
        assert "Not indexed: case_001: The file is gone." in told_by_command.err
        assert "Effusion: 0 cases embedded, 18 there before." in told_by_command.out
    assert told == [(1, 2), (2, 2)] and sorted(fake_work.read_notes(workspace, "written")) == list(range(18))
    assert len(Index.open(TargetFiles(workspace, "Effusion").get_index("cnn"))) == 18


def test_a_scheduler_that_does_not_answer_is_told_in_one_sentence(tmp_path, monkeypatch):
    fake_work.use(monkeypatch.setattr)
    monkeypatch.setattr("icbir_core.jobs.cluster.PATIENCE", 0.2)
    with pytest.raises(WorkspaceError, match="No Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        index_on_cluster(fakes.make_workspace(tmp_path / "w", 1), IndexPlan("Effusion"), "tcp://127.0.0.1:9")
