"""One indexing of a large archive on a Dask cluster that is there already: the same unit of work as a worker's."""

from __future__ import annotations

import importlib
import os
import threading
from dataclasses import replace
from typing import Any

from icbir_core.catalogue import Workspace
from icbir_core.errors import WorkspaceError
from icbir_core.files import PathLike
from icbir_core.jobs.units import Bench, IndexPlan, build_indexes, fill_chunk, list_chunks
from icbir_core.retrieval.index_report import IndexReport
from icbir_core.types import Progress

_BENCHES: dict[tuple[str, str], Bench] = {}
_TURN = threading.Lock()
PATIENCE = 30.0
"""Seconds in which the scheduler must answer."""


def index_on_cluster(
    workspace: Workspace, plan: IndexPlan, address: str, device: str = "auto", progress: Progress | None = None
) -> IndexReport:
    """Compute on the cluster whose scheduler answers at `address` what the stores lack, then build the indexes here;
    what was done. The cluster's machines share the workspace's folder under the same path.

    A chunk whose worker is lost is computed by another. Raises `WorkspaceError` where the cluster cannot be reached.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ModuleNotFoundError:
        raise WorkspaceError("Dask is not installed; run `pip install icbir[dask]`.") from None
    bench = Bench(workspace, device)
    plan = bench.settle(plan)
    opened = bench.open(plan)
    already = len(opened.stores[0].get_completed())
    chunks, tell = list_chunks(bench, plan), progress or (lambda done, total, text: None)
    if chunks:
        try:
            client = distributed.Client(address, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise WorkspaceError(f"No Dask scheduler answers at '{address}' ({type(error).__name__}).") from None
        with client:
            values = plan.as_dict()
            waiting = [
                client.submit(fill_there, str(workspace.path), values, one, device, pure=False) for one in chunks
            ]
            for number, ended in enumerate(distributed.as_completed(waiting), start=1):
                ended.result()
                tell(number, len(chunks), "chunks")
    report = build_indexes(bench, plan)
    embedded = report.already + report.embedded - already
    return replace(report, embedded=embedded, already=already, started_anew=opened.started_anew or report.started_anew)


def fill_there(path: PathLike, plan: dict[str, Any], chunk: int, device: str) -> int:
    """What a worker of the cluster does; its networks are loaded once for each planning."""
    with _TURN:
        key = (os.fspath(path), device)
        if key not in _BENCHES:
            _BENCHES[key] = Bench(Workspace.open(path), device)
        return fill_chunk(_BENCHES[key], IndexPlan.from_dict(plan), chunk)
