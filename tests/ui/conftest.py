"""Pages under AppTest, over a drawn workspace and the stand-in retriever."""

from __future__ import annotations

import gc
import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.scriptrunner import script_runner
from streamlit.testing.v1 import AppTest

from icbir_core.errors import WorkspaceError
from icbir_ui import shared
from icbir_ui.frame.notice import COOKIE
from icbir_ui.search import gate
from tests.helpers import fakes
from tests.helpers.stores import copy_workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A drawn workspace, made once; each test gets a copy."""
    return fakes.make_workspace(tmp_path_factory.mktemp("drawn") / "workspace").path


@pytest.fixture(scope="session", autouse=True)
def installed_components():
    """Each page under test looks through all installed packages for Streamlit's components: once is enough."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """What is nothing beside one server's life, and most of the time of many short tests in one process: Keras is
    cleared after each run of a page (a server prevents it), and a new service frees what the former one held."""
    monkeypatch.setattr(script_runner, "_clean_problem_modules", lambda: None)
    yield
    gc.unfreeze()


@pytest.fixture
def workspace(drawn, tmp_path, monkeypatch):
    """A drawn workspace that the pages serve, with the stand-in retriever."""
    made = copy_workspace(drawn, tmp_path / "workspace")
    monkeypatch.setenv("ICBIR_WORKSPACE", str(made.path))
    monkeypatch.setattr(shared, "open_retriever", fakes.FakeRetriever)
    monkeypatch.setattr(shared, "list_map_methods", lambda: fakes.MAPS)
    monkeypatch.setattr(gate, "WITHHELD", frozenset())  # the drawn films are no chest films
    st.cache_resource.clear()
    yield made
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def browser(monkeypatch) -> dict[str, str]:
    """The cookies that the reader's browser sends."""
    held: dict[str, str] = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda context: held))
    return held


class PageTest:
    """One page as a reader uses it."""

    def __init__(self, name: str, **parameters: str):
        self.app = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=250)
        for key, value in parameters.items():
            self.app.query_params[key] = value

    def run(self) -> PageTest:
        self.app.run()
        while "networks are loading" in self.text():
            with suppress(WorkspaceError):  # the page says why
                assert shared.open_service().retriever is not None, "waits until the networks are there"
            self.app.run()
        assert not self.app.exception, self.app.exception
        return self

    def turn_to(self, part: str) -> PageTest:
        """Open a part of the page Catalogue."""
        self.app.session_state["catalogue_part"] = part
        return self.run()

    @property
    def component(self):
        return next(one.proto for one in self.app.get("bidi_component"))

    @property
    def data(self) -> dict:
        """What the viewer was given."""
        return json.loads(self.component.json)

    @property
    def case_ids(self) -> list[str]:
        return [pane["key"] for pane in self.data["panes"] if not pane["lead"]]

    def decide(self, name: str, number: int, about: str | None = None, **value) -> PageTest:
        """As if the reader had decided something in the viewer. about : what she had before her, if it was another."""
        states = self.app._tree.get_widget_states()
        made = {"number": number, "name": name, **value, "about": about or self.data["about"]}
        held = json.dumps({"decisions": [made]})
        states.widgets.append(WidgetState(id=self.component.id, json_value=held))
        self.app._run(states)
        assert not self.app.exception, self.app.exception
        return self

    def widget(self, kind: str, key: str):
        """The widget ("selectbox", …) that shows the value which the session keeps under `key`."""
        return next(one for one in getattr(self.app, kind) if re.fullmatch(rf"{key}_\d+", one.key or ""))

    def press(self, label: str) -> PageTest:
        next(button for button in self.app.button if label in fakes.read_plain(button.label)).click()
        return self.run()

    def text(self) -> str:
        """What the page says, as it is read: without what keeps the text of others from being taken for Markdown."""
        return fakes.read_plain(self.markdown())

    def markdown(self) -> str:
        """What the page says, as it is sent to the browser."""
        kinds = ("markdown", "caption", "warning", "error", "success", "subheader")
        said = [one.value for kind in kinds for one in getattr(self.app, kind)]
        return "\n".join([*said, *(one.proto.help for one in self.app.caption)])


@pytest.fixture
def make_page(workspace, browser):
    """make_page("search", film="effusion_1") is a page that has not run: its `PageTest`.

    reader : under which pseudonym this browser has accepted the notice, "" for a first visit.
    """

    def make(name: str, reader: str = "tester", **parameters: str) -> PageTest:
        browser[COOKIE] = quote(reader)
        return PageTest(name, **parameters)

    return make


@pytest.fixture
def open_page(make_page):
    """open_page("search", film="effusion_1") runs a page until the networks are there and returns its `PageTest`."""
    return lambda name, **parameters: make_page(name, **parameters).run()


@pytest.fixture
def searched(open_page):
    """The page Search after the search with the demonstration film."""
    return open_page("search", film="effusion_1")
