"""Films that were pushed here are searched one after another, so that their results wait for the reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from icbir_core.audit import Action, Subject, open_audit
from icbir_core.catalogue.asking import read_query
from icbir_core.errors import IcbirError
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.opening import FILM_NAME
from icbir_core.pacs.ready import write_ready
from icbir_core.pacs.searched import name_study, record_searched
from icbir_core.radiograph.identity import read_film_header
from icbir_core.retrieval.question import find_question
from icbir_core.retrieval.target_files import IndexState
from icbir_core.settings import FIRST_COUNT, SearchSettings
from icbir_core.types import Prediction, Query, Ranking


class Searcher(Protocol):
    """What ranks a film: the `Retriever` of a workspace."""

    @property
    def default_target(self) -> str:
        """The finding in question where none stands out."""
        ...

    def methods(self, target: str | None = None) -> tuple[str, ...]:
        """The search methods for a finding, the first one first."""
        ...

    def predict(self, query: Query) -> Prediction:
        """The probabilities of a film."""
        ...

    def search(self, query: Query, settings: SearchSettings) -> Ranking:
        """The ranking of a film."""
        ...


def search_received(searcher: Searcher, inbox: Inbox, name: str) -> dict[str, Any]:
    """Search with a film of the inbox as a page does at first, and keep the result beside it: `Ranking.as_record`, the
    probabilities of the findings, the study's name (see `name_study`) and what `write_ready` gives, or {"error":
    sentence} where the film cannot be searched. Returns what was kept.
    """
    try:
        data = inbox.read(name)
        query = read_query(inbox.workspace, FILM_NAME, data)
        revision = inbox.workspace.catalogue.read_revision()
        settings = choose_settings(searcher, query)
        ranking = searcher.search(query, settings)
        _record(inbox, query, ranking)
        result: dict[str, Any] = {"ranking": ranking.as_record()} | write_ready(query, settings, ranking, revision)
        if ranking.prediction is not None:
            result["probabilities"] = {key: float(one) for key, one in ranking.prediction.probabilities.items()}
        header = read_film_header(data)
        if header is not None and header.study:
            record_searched(inbox.workspace, header.study)
            result["study"] = name_study(inbox.workspace, header.study)
    except IcbirError as error:
        result = {"error": str(error)}
    inbox.put_result(name, result)
    return result


def choose_settings(searcher: Searcher, query: Query) -> SearchSettings:
    """What a page asks a film at first: the finding that stands out, by the first method."""
    target = find_question(searcher.predict(query)) or searcher.default_target
    return SearchSettings(FIRST_COUNT, searcher.methods(target)[0], target)


def _record(inbox: Inbox, query: Query, ranking: Ranking) -> None:
    """Raises `AuditError`: a result that cannot be recorded does not wait for anybody."""
    log = open_audit(inbox.workspace)
    found = (Subject("case", hit.case.case_id) for hit in ranking.hits)
    film = Subject("film", query.radiograph.pixel_sha256[:24])
    log.record(log.name_account(), Action.SEARCHED, film, *found, by="received")


class AutoSearch:
    """A thread that searches what comes, the films that already wait first.

    open_searcher : called in that thread before the first film, and again once the workspace was indexed anew. told :
    called with a word of each film that was searched, which names nobody.
    """

    def __init__(self, inbox: Inbox, open_searcher: Callable[[], Searcher], told: Callable[[str], None]):
        self._inbox, self._open, self._told = inbox, open_searcher, told
        self._names: queue.Queue[str | None] = queue.Queue()
        for film in reversed(inbox.list_films()):
            if film.result is None:
                self._names.put(film.name)
        self._thread = threading.Thread(target=self._work, name="icbir-auto-search", daemon=True)
        self._thread.start()

    def add(self, name: str) -> None:
        """Search with one more film when its turn comes."""
        self._names.put(name)

    def stop(self, seconds: float | None = None) -> None:
        """End after the films that were added; wait so long for that."""
        self._names.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        searcher, opened = None, None
        while (name := self._names.get()) is not None:
            try:
                now = IndexState.read(self._inbox.workspace)
                if searcher is None or (now != opened and not now.behind):  # indexed anew since
                    searcher, opened = self._open(), now
                result = search_received(searcher, self._inbox, name)
            except Exception as error:  # the next film may be searched all the same
                reason = str(error) if isinstance(error, IcbirError) else type(error).__name__
                self._told(f"A film could not be searched: {reason}")
            else:
                refused = result.get("error")
                self._told(f"A film cannot be searched: {refused}" if refused else "A film was searched.")
