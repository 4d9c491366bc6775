"""What Prometheus is told of this server, gathered from the parts that know it."""

from __future__ import annotations

import hashlib

from streamlit import runtime
from streamlit.runtime.app_session import AppSessionState

from icbir_core.errors import IcbirError
from icbir_core.radiograph.decoding_process import get_pool
from icbir_ui import holding, metrics, shared


def watch_server() -> None:
    """Register what is measured whenever the figures are asked for."""
    metrics.watch("icbir_ready", "1 while searches are answered", _is_ready)
    metrics.watch("icbir_queue_length", "Questions that wait for their turn", _count_waiting)
    metrics.watch("icbir_sessions", "Browser windows that are open", _count_sessions)
    metrics.watch("icbir_films_held", "Films that readers hold in memory", lambda: holding.count_films())
    metrics.watch("icbir_films_held_pixels", "Pixels of the films that readers hold", lambda: holding.count_held())
    metrics.watch("icbir_decoding_processes", "Processes that decode films", lambda: get_pool().count_children())
    metrics.watch_index(_describe_index)


def _open() -> shared.SearchService | None:
    try:
        return shared.open_service()
    except IcbirError:
        return None


def _is_ready() -> float:
    service = _open()
    return float(service is not None and service.ready)


def _count_waiting() -> float:
    service = _open()
    return service.turns.length if service else 0


def _count_sessions() -> float:
    return runtime.get_instance()._session_mgr.num_active_sessions() if runtime.exists() else 0


def is_drawing() -> bool:
    """Whether a page is being drawn for somebody."""
    sessions = runtime.get_instance()._session_mgr.list_active_sessions() if runtime.exists() else []
    return any(one.session._state == AppSessionState.APP_IS_RUNNING for one in sessions)


def _describe_index() -> dict[str, str]:
    service = _open()
    if service is None:
        return {"revision": "", "cases": ""}
    revision = hashlib.sha256(repr(service.index_state).encode()).hexdigest()[:12]
    return {"revision": revision, "cases": str(service.workspace.catalogue.count())}
