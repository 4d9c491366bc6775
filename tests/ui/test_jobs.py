"""The operator sees how far jobs are and takes back what waits; others have no such part, nor has a workspace in a
folder."""

from __future__ import annotations

import pytest

from icbir_core.access import Person, Role
from icbir_core.audit import open_audit
from icbir_core.catalogue import Workspace
from icbir_core.jobs.listing import list_work
from icbir_core.jobs.queue import Queue
from icbir_core.jobs.units import IndexPlan
from icbir_core.keeping.moving import move_to_database
from icbir_ui import access

pytestmark = pytest.mark.in_a_file  # each begins in a folder


@pytest.fixture
def moved(workspace, database_url, monkeypatch) -> Workspace:
    """The workspace that the pages serve, in a database server."""
    monkeypatch.setenv("ICBIR_DATABASE_URL", database_url)
    move_to_database(workspace)
    return Workspace.open(workspace.path)


def list_parts(page) -> list[str]:
    return [tab.label for tab in page.app.tabs]


def test_jobs_are_shown_and_one_thing_is_taken_back_alone(moved, open_page):
    queue = Queue(moved)
    queue.put_index(IndexPlan("Effusion"))
    queue.put_command(["evaluate", "WORKSPACE"])
    page = open_page("catalogue").turn_to("Jobs")
    assert [one.proto.text for one in page.app.get("progress")] == [
        "**`icbir evaluate WORKSPACE`** · commands", "**Indexing Effusion** · index",
    ]  # fmt: skip
    assert "0 of 1 job done · 1 waiting" in page.text() and "waits to be divided" in page.text()
    next(button for button in page.app.button if button.label == "Cancel").click()
    page.run()
    assert [(one.kind, one.cancelled, one.waiting) for one in list_work(moved)] == [("command", 1, 0), ("plan", 0, 1)]
    assert "1 cancelled" in page.text() and [button.label for button in page.app.button].count("Cancel") == 1
    assert [(one.action, dict(one.details)) for one in open_audit(moved).entries()][-1] == ("removed", {"jobs": 1})


def test_a_workspace_in_a_folder_and_one_who_is_no_operator_have_no_jobs(workspace, open_page, request, monkeypatch):
    assert "Jobs" not in list_parts(open_page("catalogue"))
    moved = request.getfixturevalue("moved")
    Queue(moved).put_index(IndexPlan("Effusion"))
    lead = Person("lead", Role.STUDY_LEAD, signed_in=True)
    monkeypatch.setattr(access, "get_person", lambda: lead)
    page = open_page("catalogue")
    assert "List" in list_parts(page) and "Jobs" not in list_parts(page)
