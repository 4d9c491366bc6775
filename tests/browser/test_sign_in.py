"""Signing in at a real provider of OpenID Connect on this machine, in a real browser."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from icbir_core.audit import open_audit
from icbir_core.catalogue import Workspace
from scripts.chromium import find_port
from tests.browser.conftest import find_log, start_server, watch
from tests.helpers import fakes
from tests.helpers.fake_archive import answer_from, run_fake_archive

pytestmark = pytest.mark.browser

SERVER = """
[openid_connect]
redirect_uri = "http://localhost:{port}/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "icbir"
client_secret = "secret"
server_metadata_url = "http://localhost:{provider}/.well-known/openid-configuration"

[roles]
reader = ["@hospital.example"]
operator = ["ada@hospital.example"]
"""


STYLES = "cdn.jsdelivr.net"


@pytest.fixture(scope="module")
def provider():
    """The port of a provider that knows two readers; skips with a word where none is installed."""
    if importlib.util.find_spec("oidc_provider_mock") is None:
        pytest.skip("no provider of OpenID Connect here: pip install -r requirements.txt")
    port, known = find_port(), []
    for name in ("ada", "grace"):
        claims = {"sub": f"sub-{name}", "email": f"{name}@hospital.example", "email_verified": True}
        known += ["--user-claims", json.dumps(claims)]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port), *known]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://localhost:{port}/.well-known/openid-configuration", process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            assert process.poll() is None, "the provider ended"
            time.sleep(0.1)
    raise AssertionError("the provider did not answer")


@pytest.fixture(scope="module")
def films():
    """What the archive holds: prior, frontal and lateral film of one patient."""
    from scripts.archive_films import make_archive_films

    return make_archive_films(patients=1, size=96)


@pytest.fixture(scope="module")
def signed(chromium, provider, films, tmp_path_factory):
    """(address, workspace) of a server at which one signs in, beside an archive."""
    folder = tmp_path_factory.mktemp("signed")
    workspace = fakes.make_workspace(folder / "workspace", 6)
    port = find_port()
    file = folder / "server.toml"
    file.write_text(SERVER.format(port=port, provider=provider))
    file.chmod(0o600)
    os.environ["ICBIR_SERVER"] = str(file)
    with run_fake_archive(answer_from(films)) as archive:
        os.environ["ICBIR_DICOMWEB"] = archive.address
        try:
            process, address = start_server(workspace.path, "--fake", port=port)
        finally:
            del os.environ["ICBIR_SERVER"], os.environ["ICBIR_DICOMWEB"]
        yield address.replace("127.0.0.1", "localhost"), workspace
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def open_signed(chromium):
    """open_signed() is a window that is watched; the provider's own page wants a style sheet from outside, which it
    does not get."""
    held = []

    def open_one():
        context = chromium.new_context(viewport={"width": 1280, "height": 720})
        held.append((context, watch(context, STYLES)))
        context.route(f"**/*{STYLES}*/**", lambda route: route.fulfill(status=200, body="", content_type="text/css"))
        return context.new_page()

    yield open_one
    for context, _ in held:
        context.close()
    faults = [fault for _, found in held for fault in found if STYLES not in fault]
    assert not faults, faults


def sign_in(page, address: str, name: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=re.compile(f"sub-{name}")).click()
    page.wait_for_url(f"{address}/**")


def accept(page) -> str:
    """The pseudonym under which she accepts the notice."""
    page.get_by_text("made from your sign-in").wait_for()
    page.get_by_role("button", name="I understand").click()
    foot = page.get_by_role("button", name="sign out")
    foot.wait_for()
    return re.search(r"reader-[0-9a-f]{10}", foot.inner_text())[0]


def test_two_readers_sign_in_and_out_and_share_nothing(signed, open_signed):
    address, workspace = signed
    first, second = open_signed(), open_signed()
    first.goto(address)
    first.get_by_text("for people who are signed in").wait_for()
    assert first.get_by_text("Upload").count() == 0
    sign_in(first, address, "grace")
    grace = accept(first)
    sign_in(second, address, "ada")
    ada = accept(second)
    assert grace != ada and not {"ada", "grace"} & {grace, ada}
    for page, offered in ((first, 0), (second, 1)):
        page.goto(f"{address}/results")
        page.get_by_text("There is no reading study yet").wait_for()
        page.get_by_role("button", name="sign out").wait_for()
        assert page.get_by_text("Import a study").count() == offered
    first.reload()
    first.get_by_role("button", name="sign out").wait_for()  # a reload keeps the sign-in
    first.get_by_role("button", name="sign out").click()
    first.wait_for_timeout(1000)
    first.goto(address)
    first.get_by_role("button", name="Sign in").wait_for()
    entries = [(entry.who, str(entry.action)) for entry in open_audit(Workspace.open(workspace.path)).entries()]
    assert {(grace, "signed_in"), (ada, "signed_in"), (grace, "signed_out")} <= set(entries)
    held = open_audit(Workspace.open(workspace.path)).place.path.read_text()
    assert "hospital.example" not in held and "sub-" not in held


def test_a_film_is_given_to_nobody_who_is_not_signed_in(signed, open_signed):
    address, workspace = signed
    page = open_signed()
    films: list[str] = []
    page.on("response", lambda one: films.append(one.url) if one.url.startswith(f"{address}/media/") else None)
    sign_in(page, address, "ada")
    accept(page)
    page.goto(f"{address}/?film={workspace.catalogue.cases()[0].case_id}")
    for _ in range(300):
        if films:
            break
        page.wait_for_timeout(100)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(films[0], timeout=5)
    assert refused.value.code == 403
    policy = urllib.request.urlopen(address, timeout=5).headers["content-security-policy"]
    assert "default-src 'self'" in policy


def test_a_link_of_the_archive_waits_until_she_has_signed_in(signed, open_signed, films):
    address, workspace = signed
    _, frontal, _ = films
    page = open_signed()
    page.goto(f"{address}/search?StudyInstanceUIDs={frontal.study}")
    page.get_by_role("button", name="Sign in").wait_for()
    assert frontal.study not in page.url and frontal.study not in page.content()
    (cookie,) = (one for one in page.context.cookies() if one["name"] == "icbir_link")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=re.compile("sub-grace")).click()
    grace = accept(page)
    for _ in range(300):
        entries = list(open_audit(Workspace.open(workspace.path)).entries())
        if any(entry.action == "searched" for entry in entries):
            break
        page.wait_for_timeout(100)
    assert [str(entry.action) for entry in entries if entry.who == grace].count("opened") == 2
    page.get_by_text("Lateral").first.wait_for()
    assert frontal.study not in page.url and frontal.patient not in page.content()
    assert frontal.study not in find_log(address.rsplit(":", 1)[1]).read_text(errors="replace")
