"""What a reader, a study lead, an operator and nobody find on the pages, and what each may do behind them."""

from __future__ import annotations

import time

import pytest

from icbir_core.access import Person, Right, Role
from icbir_core.audit import open_audit
from icbir_core.errors import AccessRefused, AuditError
from icbir_core.pacs.opening import StudyRequest
from icbir_core.pacs.studies import StudyQuery
from icbir_core.study.creating import open_store
from icbir_ui import access
from icbir_ui.catalogue import ingest_job, removing
from icbir_ui.export import carrying, dicom
from icbir_ui.frame.notice import COOKIE
from icbir_ui.pacs import jobs
from tests.helpers import fakes

SERVER = """
[openid_connect]
redirect_uri = "http://localhost:1/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "icbir"
client_secret = "s"
server_metadata_url = "http://localhost:2/.well-known/openid-configuration"

[roles]
reader = ["reader@hospital.example"]
study_lead = ["lead@hospital.example"]
operator = ["operator@hospital.example"]

[films]
folders = ["FOLDER"]
"""
PAGES = ("search", "compare", "rate", "results", "catalogue", "pacs", "about")


@pytest.fixture
def signed(workspace, tmp_path, monkeypatch, make_page, browser):
    """signed("reader", "catalogue") is a page as somebody of that role sees it; "" for nobody."""
    file = tmp_path / "server.toml"
    (tmp_path / "films").mkdir()
    file.write_text(SERVER.replace("FOLDER", str(tmp_path / "films")))
    file.chmod(0o600)
    monkeypatch.setenv("ICBIR_SERVER", str(file))

    def open_as(role: str, name: str, accepted: bool = True, **claims):
        page = make_page(name)
        browser.clear()
        if role:
            page.app.user = make_claims(role, **claims)
            if accepted:
                browser[COOKIE] = access.make_pseudonym("https://provider", role)
        page.app.run()
        while "networks are loading" in page.text():
            assert access.shared.open_service().retriever is not None, "waits until the networks are there"
            page.app.run()
        return page

    return open_as


def make_claims(role: str, **more) -> dict:
    held = {"is_logged_in": True, "iss": "https://provider", "sub": role, "email": f"{role}@hospital.example"}
    return held | {"email_verified": True, "iat": time.time()} | more


def as_person(monkeypatch, role: Role | None) -> None:
    monkeypatch.setattr(access, "get_person", lambda: Person("somebody", role, signed_in=True))


@pytest.mark.parametrize("name", PAGES)
def test_nobody_sees_nothing_of_any_page(signed, name):
    page = signed("", name)
    assert "for people who are signed in" in page.text() and not page.app.exception
    assert [one.label for one in page.app.button] == ["Sign in"] and not page.app.get("bidi_component")


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email": "else@hospital.example"}, {"email": None}])
def test_one_without_a_role_sees_nothing_and_that_is_recorded(signed, workspace, claims):
    page = signed("reader", "catalogue", **claims)
    assert "have no role" in page.text() and not page.app.tabs
    assert [entry.action for entry in open_audit(workspace).entries()] == ["refused"]


def test_settings_that_cannot_be_read_let_nobody_in(signed, tmp_path):
    (tmp_path / "server.toml").write_text("[roles")
    page = signed("operator", "catalogue")
    assert "is no TOML" in page.text() and not page.app.tabs


def test_a_pseudonym_comes_from_the_sign_in_and_cannot_be_chosen(signed, workspace, browser):
    page = signed("reader", "search", accepted=False)
    assert not page.app.text_input and "made from your sign-in" in page.text()
    page.press("I understand")
    reader = page.app.session_state["reader"]
    assert reader == access.make_pseudonym("https://provider", "reader") and "hospital" not in reader
    assert reader != access.make_pseudonym("https://provider", "lead")
    entry = next(open_audit(workspace).entries())
    assert (entry.who, entry.action) == (reader, "signed_in") and entry.details["role"] == "reader"
    browser[COOKIE] = "operator"
    again = signed("reader", "search", accepted=False)
    assert "I understand" in [one.label for one in again.app.button], "a cookie of another name accepts nothing"


def test_a_reader_finds_neither_adding_nor_removing_and_a_lead_does(signed):
    reader = signed("reader", "catalogue").turn_to("Remove or restore")
    assert "removed and restored by" in reader.text() and not reader.app.text_input
    assert "Films are added by a study lead" in reader.turn_to("Add films").text()
    assert not [one for one in reader.app.text_input if "Folder" in one.label or "remove" in one.label]
    for role in ("lead", "operator"):
        page = signed(role, "catalogue").turn_to("Add films")
        assert [one for one in page.app.text_input if "Folder" in one.label]


def test_a_reader_may_not_make_import_unblind_or_download_a_study(signed, workspace):
    fakes.make_study(workspace)
    reader, lead = signed("reader", "results"), signed("lead", "results")
    assert "New study" not in [one.label for one in signed("reader", "rate").app.expander]
    assert not [one.label for one in reader.app.expander if "Import" in one.label]
    assert [one.label for one in lead.app.expander if "Import" in one.label]


@pytest.mark.parametrize("role", [Role.READER, None])
def test_what_is_done_asks_for_the_right_whoever_draws_the_button(signed, workspace, tmp_path, monkeypatch, role):
    study = fakes.make_study(workspace)
    store = open_store(workspace)
    as_person(monkeypatch, role)
    (tmp_path / "films" / "a").mkdir()
    options = ingest_job.guess_options("folder", str(tmp_path / "films" / "a"), "")
    with pytest.raises(AccessRefused):
        ingest_job.start_growth(workspace, options, ())
    with pytest.raises(AccessRefused):
        carrying.take_in(store, b"")
    with pytest.raises(AccessRefused):
        carrying.pack(store, study, Person("somebody", role, True), access.Recorder("somebody", True))
    with pytest.raises(AccessRefused):
        access.require(Right.UNBLIND)
    name = workspace.catalogue.cases()[0].case_id
    removing.change_case(access.shared.open_service(), workspace.catalogue.remove, name)
    assert not workspace.catalogue.get(name).removed
    assert [entry.action for entry in open_audit(workspace).entries()] == ["refused"] * 4


def test_the_archive_asks_for_its_rights(signed, workspace, monkeypatch):
    as_person(monkeypatch, None)
    monkeypatch.setenv("ICBIR_DICOMWEB", "http://127.0.0.1:9/dicom-web")
    with pytest.raises(AccessRefused, match="open films"):
        jobs.start_opening(workspace, StudyRequest("1.2.3"))
    with pytest.raises(AccessRefused, match="search the archive"):
        jobs.start_finding(StudyQuery())
    assert dicom.send_objects(None, lambda: pytest.fail("nothing may be made"), None, []) is None
    assert [(one.action, one.details["right"]) for one in open_audit(workspace).entries()] == [
        ("refused", "open_study"), ("refused", "search_archive"), ("refused", "send"),
    ]  # fmt: skip


def test_what_the_operator_keeps_from_readers_is_said_on_the_pages(signed, workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("ICBIR_DICOMWEB", "http://127.0.0.1:9/dicom-web")
    with (tmp_path / "server.toml").open("a") as file:
        file.write('\n[rights]\nsearch_archive = "operator"\nopen_study = "study_lead"\n')
    page = signed("reader", "pacs")
    assert "searched by others" in page.text() and "Find" not in [one.label for one in page.app.button]
    page.app.session_state["study_asked_for"] = StudyRequest("1.2.3")
    page.app.run()
    assert "You may not open films of the archive" in page.text()
    assert [one.action for one in open_audit(workspace).entries()] == ["signed_in", "refused"]


def test_paths_outside_the_allowed_folders_are_refused_before_anything_is_told_of_them(signed, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("root:x:0:0\n")
    for folder, labels in (("/etc", ""), ("", str(secret)), (str(tmp_path / "films" / ".."), ""), ("/no/such", "")):
        with pytest.raises(AccessRefused, match="no folder that the operator") as caught:
            ingest_job.guess_options("folder", folder, labels)
        assert "root" not in str(caught.value)
    ingest_job.guess_options("folder", str(tmp_path / "films" / "new"), "")


def test_a_visit_ends_with_time_and_its_films_are_closed(signed, monkeypatch, workspace):
    page = signed("reader", "search")
    page.app.session_state["films"], page.app.session_state["language"] = {"a": "film"}, "en"
    clock = time.monotonic
    monkeypatch.setattr(access.time, "monotonic", lambda: clock() + 31 * 60)
    page.app.run()
    assert "This visit has ended" in page.text() and "films" not in page.app.session_state
    assert page.app.session_state["language"] == "en", "what she chose at the foot is the window's"
    monkeypatch.setattr(access.time, "monotonic", clock)
    page.app.run()
    assert "This visit has ended" in page.text(), "the same sign-in is over for good"
    assert "I understand" not in [one.label for one in signed("reader", "search", iat=1.0).app.button], "hours ago"
    assert [entry.action for entry in open_audit(workspace).entries()].count("signed_out") == 1


def test_what_cannot_be_recorded_is_not_done(signed, workspace, monkeypatch):
    as_person(monkeypatch, Role.OPERATOR)
    monkeypatch.setattr(access, "open_log", lambda *_: (_ for _ in ()).throw(AuditError("disk full")))
    name = workspace.catalogue.cases()[0].case_id
    removing.change_case(access.shared.open_service(), workspace.catalogue.remove, name)
    assert not workspace.catalogue.get(name).removed


def test_searching_and_rating_are_recorded_without_the_name_of_a_case(open_page, workspace):
    page = open_page("search", film=workspace.catalogue.cases()[0].case_id)
    page.decide("rated", 1, pane=page.case_ids[0], rating=4)
    page.run()
    entries = list(open_audit(workspace).entries())
    actions = [entry.action for entry in entries]
    assert actions == ["saw", "saw", "searched", "rated"], "the film, and the patient's other films in the strip"
    assert {entry.who for entry in entries} == {"tester"} and entries[-1].details == {"score": 4}
    held = b"".join(open_audit(workspace).place.read_lines()).decode()
    assert not [case.case_id for case in workspace.catalogue.cases() if case.case_id in held]
