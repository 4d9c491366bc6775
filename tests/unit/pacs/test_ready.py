"""A result that was ready is the one that a search gives, and is used only while nothing has changed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from icbir_core.catalogue import Workspace, read_query
from icbir_core.errors import CatalogueError
from icbir_core.pacs import auto_search, inbox, ready
from icbir_core.pacs.auto_search import AutoSearch, choose_settings, search_received
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.ready import find_change, read_ready, write_ready
from icbir_core.settings import SearchSettings
from icbir_core.types import Prediction
from tests.helpers import fakes
from tests.helpers.search_results import make_film


@pytest.fixture(scope="module")
def retriever(tmp_path_factory):
    return fakes.FakeRetriever(fakes.make_workspace(tmp_path_factory.mktemp("ready") / "workspace"))


@pytest.fixture
def searched(retriever):
    """(workspace, query, ranking, what the inbox holds of it)."""
    query = read_query(retriever.workspace, "query", make_film())
    settings = choose_settings(retriever, query)
    found = retriever.search(query, settings)
    told = Prediction({"Effusion": 0.5}, {"Effusion": 0.25}, ("a network",), ("Edema",))
    ranking = replace(
        found, prediction=told, percentiles=(0.25, math.nan), copies=("case_009",), base_rates={"Edema": 0.5}
    )
    revision = retriever.workspace.catalogue.read_revision()
    return retriever.workspace, query, ranking, json.loads(json.dumps(write_ready(query, settings, ranking, revision)))


def test_what_is_read_again_is_what_was_found(searched, retriever):
    workspace, query, ranking, result = searched
    assert find_change(workspace, result, query) == ""
    settings, again = read_ready(workspace, result)
    assert repr(settings) == repr(choose_settings(retriever, query)) == repr(SearchSettings(8, "ig_cbir", "Effusion"))
    assert math.isnan(again.percentiles[1])
    assert replace(again, percentiles=()) == replace(ranking, percentiles=())


@pytest.mark.parametrize("change", ["film", "program", "revision"])
def test_a_change_is_a_reason_to_search_anew(searched, monkeypatch, change):
    workspace, query, _, result = searched
    if change == "film":
        query = read_query(
            workspace, "query", make_film(RescaleIntercept="0", RescaleSlope="1", WindowCenter="50", WindowWidth="20")
        )
    elif change == "program":
        monkeypatch.setattr(ready, "__version__", "99.0")
    else:
        workspace.catalogue.raise_revision()
    assert "searched anew" in find_change(workspace, result, query)


def test_a_case_that_is_gone_and_a_foreign_result_are_no_ranking(searched):
    workspace, _, _, result = searched
    gone = json.loads(json.dumps(result).replace(result["answer"]["hits"][0][0], "gone"))
    with pytest.raises(CatalogueError):
        read_ready(workspace, gone)
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_ready(workspace, {**result, "answer": {**result["answer"], "hits": [["case_000"]]}})


def test_the_one_who_searches_what_comes_follows_a_new_index(retriever, monkeypatch, tmp_path):
    inbox, opened, states = Inbox(retriever.workspace), [], [1, 1, 2]

    class State:
        behind = ()

        def __init__(self, number):
            self.number = number

        def __eq__(self, other):
            return self.number == other.number

        @classmethod
        def read(cls, workspace):
            return cls(states.pop(0))

    monkeypatch.setattr(auto_search, "IndexState", State)
    names = [inbox.put(make_film(SOPInstanceUID=f"1.2.3.{number}"), f"1.2.3.{number}") for number in range(3)]
    searching = AutoSearch(inbox, lambda: opened.append(len(states)) or retriever, lambda word: None)
    searching.stop(60)
    assert opened == [2, 0]
    results = {one.name: one.result for one in inbox.list_films()}
    assert set(results) == set(names) and all("answer" in one for one in results.values())
    assert search_received(retriever, inbox, names[0]) == results[names[0]]


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_film_that_is_dropped_during_its_search_leaves_no_result(tmp_path, monkeypatch, moment):
    held = Inbox(Workspace.create(tmp_path / "w"))
    name, write = held.put(make_film(), "1.2.3"), inbox.write_json_atomically

    def drop_and_write(*arguments, **more):
        (held.folder / f"{name}.dcm").unlink()
        write(*arguments, **more)

    if moment == "while":
        monkeypatch.setattr(inbox, "write_json_atomically", drop_and_write)
    else:
        (held.folder / f"{name}.dcm").unlink()
    held.put_result(name, {"study": "a"})
    assert not list(held.folder.iterdir())
