"""A workspace whose films, maps and embeddings lie in an S3 server."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.film_places import CHUNKS, RemoteFilms
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.errors import FilmLost
from icbir_core.jobs.units import Bench, IndexPlan, fill_chunk, list_chunks
from icbir_core.keeping.moving import move_films
from icbir_core.keeping.repairing import repair_workspace
from icbir_core.pipeline.erasing import erase_from_workspace, plan_erasure
from icbir_core.retrieval.chunk_objects import ADDRESS
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles, verify_stores
from tests.helpers import fake_work, fakes


def find_faults(workspace: Workspace) -> list[str]:
    return [one.text for one in (*verify_workspace(workspace), *verify_stores(workspace)) if not one.passed]


@pytest.mark.slow
def test_indexing_reading_erasing_and_mending_with_an_s3_server(store, tmp_path, monkeypatch):
    fake_work.use(monkeypatch.setattr)
    workspace, plan = fakes.make_workspace(tmp_path / "w", 10), IndexPlan("Effusion")
    record_catalogue(workspace)
    move_films(workspace, store)
    bench, rows = Bench(workspace), np.arange(10)
    for chunk in list_chunks(bench, plan):
        fill_chunk(bench, plan, chunk)
    fake_work.build(bench, plan)
    filling = bench.open(plan)
    np.testing.assert_allclose(filling.store.read("cnn", rows), filling.compute(rows)["cnn"], atol=1e-6)
    folder = TargetFiles(workspace, "Effusion").store
    place = RemoteFilms((folder / ADDRESS).read_text())
    assert len(place.list_all(CHUNKS)) == 2 and find_faults(workspace) == []

    erase_from_workspace(workspace, plan_erasure(workspace, [workspace.catalogue.cases()[9].case_id], []))
    assert (CaseStore.open(folder).read("cnn", rows[9:]) == 0).all() and find_faults(workspace) == []
    names = place.list_all(CHUNKS)
    assert len(names) == 2
    place.delete(names[0])
    with pytest.raises(FilmLost, match="is missing at its URL"):
        CaseStore.open(folder).read("cnn", rows[:1])
    assert [one.text for one in repair_workspace(workspace.path)] == ["8 cases thrown away, to be computed again."]
