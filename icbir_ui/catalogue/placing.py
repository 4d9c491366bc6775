"""What a map of embeddings shows: which methods have one, and its points, each computed once for all sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from icbir_core.retrieval.methods import find_method
from icbir_ui.shared import SearchService


def list_placeable_methods(service: SearchService, target: str) -> list[str]:
    """The target's methods whose cases are points, which a map can show."""
    return [name for name in service.retriever.methods(target) if find_method(name).points]


def place_catalogue(
    service: SearchService, film: Any, target: str, method: str, tell: Callable[[str], None]
) -> tuple[Any, Any]:
    """(map of the catalogue's embeddings, the film's point in it or None), each computed once."""
    from icbir_ui.catalogue.embedding_map import place_query, project_catalogue

    count = service.workspace.catalogue.count()
    key = ("embedding map", target, method, count)
    found = service.ask(key, lambda retriever: project_catalogue(retriever, target, method), tell)
    if film is None:
        return found, None
    place = service.ask(
        (*key, film.key), lambda retriever: place_query(retriever, found, film.query, target, method), tell
    )
    return found, place
