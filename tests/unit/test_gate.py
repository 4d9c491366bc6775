"""What stands before Streamlit: headers of a proxy that is not believed, films for people who are signed in."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import pytest

from icbir_core.access import Role
from icbir_core.keeping.kept_films import SECRET
from icbir_core.pacs.opening import StudyRequest
from icbir_core.server_settings import Monitoring, OpenIdConnect, ProxyHeader, ServerSettings
from icbir_ui import links
from icbir_ui.gate import HEADERS, Gate

PROXY = ServerSettings(
    header=ProxyHeader("X-Remote-User", ("10.0.0.5", "192.168.7.0/24"), "X-Remote-Groups"), roles={Role.READER: ("*",)}
)
OIDC = ServerSettings(oidc=OpenIdConnect("a/oauth2callback", "c" * 32, "i", "s", "https://p"), roles=PROXY.roles)


class Answer:
    """What an application behind the gate saw, and what the client got."""

    def __init__(
        self, settings: ServerSettings, path: str, client: str, headers=(), kind: str = "http", ready=True, question=""
    ):
        self.seen, self.status, self.headers, self.body = None, 0, {}, b""
        gate = Gate(self._app, settings, lambda: (ready, "word"), "icbir")
        named = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope = {"type": kind, "path": f"/icbir{path}", "headers": named, "client": (client, 1), "method": "GET"}
        scope["query_string"] = question.encode()
        asyncio.run(gate(scope, None, self._send))

    async def _app(self, scope, receive, send):
        self.seen = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAME")]})
            await send({"type": "http.response.body", "body": b"film"})

    async def _send(self, message):
        self.status = message.get("status", self.status)
        self.headers |= {name.decode(): value.decode() for name, value in message.get("headers", ())}
        self.body += message.get("body", b"")


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("client", ["10.0.0.5", "192.168.7.9", "::ffff:10.0.0.5"])
def test_an_allowed_proxy_is_believed(kind, client):
    answer = Answer(PROXY, "/", client, [("X-Remote-User", "ada"), ("X-Remote-Groups", "a,b"), ("X-Other", "1")], kind)
    assert answer.seen == {"x-remote-user": "ada", "x-remote-groups": "a,b", "x-other": "1"}


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("client", ["10.0.0.6", "127.0.0.1", "192.168.8.1", "::1", "testclient"])
def test_nobody_else_is(kind, client):
    headers = [("X-Remote-User", "ada"), ("X-REMOTE-GROUPS", "operators"), ("X-Forwarded-For", "10.0.0.5"), ("A", "b")]
    answer = Answer(PROXY, "/", client, headers, kind)
    assert answer.seen == {"x-forwarded-for": "10.0.0.5", "a": "b"}


def test_a_header_that_is_there_twice_is_not_the_proxys_word_alone():
    answer = Answer(PROXY, "/", "10.0.0.5", [("X-Remote-User", "mallory"), ("x-remote-user", "ada")])
    assert answer.seen == {}


@pytest.mark.parametrize("path", ["/media/0123.png", "/_stcore/upload_file/a/b"])
def test_films_are_for_people_who_are_signed_in(path):
    assert Answer(PROXY, path, "10.0.0.9", [("X-Remote-User", "ada")]).status == 403
    assert Answer(PROXY, path, "10.0.0.5").status == 403
    assert Answer(PROXY, path, "10.0.0.5", [("X-Remote-User", "ada")]).body == b"film"
    assert Answer(OIDC, path, "10.0.0.5").status == 403
    forged = Answer(OIDC, path, "10.0.0.5", [("Cookie", "_streamlit_user=2|1:0|10:1|15:x|4:eyJ9|abc")])
    assert forged.status == 403 and forged.seen is None
    assert Answer(ServerSettings(), path, "127.0.0.1").body == b"film"


@pytest.mark.parametrize("path", ["/", "/media/x", "/health", "/static/a.js"])
def test_every_answer_carries_the_headers_that_protect_a_browser(path):
    answer = Answer(ServerSettings(), path, "127.0.0.1")
    assert set(HEADERS) <= set(answer.headers)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"


def test_alive_and_ready_are_two_questions():
    assert Answer(PROXY, "/health", "127.0.0.1", ready=False).status == 200
    answer = Answer(PROXY, "/ready", "127.0.0.1", ready=False)
    assert answer.status == 503 and json.loads(answer.body) == {"ready": False, "word": "word"}
    assert Answer(PROXY, "/ready", "127.0.0.1").status == 200


def test_figures_that_streamlit_gives_to_anybody_are_shut():
    answer = Answer(ServerSettings(), "/_stcore/metrics", "127.0.0.1")
    assert answer.status == 404 and answer.seen is None


UID = "1.2.276.0.7230010.3.1.2.8323329"


@pytest.mark.parametrize("settings", [ServerSettings(), OIDC, PROXY], ids=["one person", "provider", "proxy"])
@pytest.mark.parametrize("path", ["/search", "/", "//evil.example/search"])
def test_a_study_in_an_address_is_taken_out_before_a_page_is_sent(settings, path):
    answer = Answer(settings, path, "127.0.0.1", question=f"StudyInstanceUIDs={UID}&film=a&reader=R1")
    assert answer.seen is None and answer.status == 303 and answer.headers["cache-control"] == "no-store"
    place, _, question = answer.headers["location"].partition("?")
    assert place in ("", "./", "../"), "no host and no path from the root, so that no address can lead away"
    cookie = answer.headers["set-cookie"]
    assert UID not in f"{answer.headers} {answer.body}" and {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    named = {name: values[0] for name, values in parse_qs(question).items()}
    assert named["reader"] == "R1" and set(named) == {"reader", "link"}
    key = cookie.split(";")[0].partition("=")[2]
    assert links.WAITING.take("0" * 32, named["link"]) is None, "another browser"
    assert links.WAITING.take(key, named["link"]) == StudyRequest(UID)
    assert links.WAITING.take(key, named["link"]) is None, "once"


def test_a_browser_keeps_its_key_and_a_made_up_one_is_not_taken():
    first = Answer(OIDC, "/search", "127.0.0.1", question="AccessionNumber=A1").headers["set-cookie"].split(";")[0]
    for brought, same in ((first, True), (f"{links.COOKIE}=guess", False), ("a=b; =;\x01", False)):
        again = Answer(OIDC, "/search", "127.0.0.1", [("Cookie", brought)], question="AccessionNumber=A1")
        assert (again.headers["set-cookie"].split(";")[0] == first) is same
    secure = ServerSettings(oidc=OpenIdConnect("https://a/oauth2callback", "c" * 32, "i", "s", "https://p"))
    assert "; Secure" in Answer(secure, "/", "127.0.0.1", question="AccessionNumber=A1").headers["set-cookie"]


def test_of_two_links_that_of_the_window_where_she_signed_in_is_opened(monkeypatch):
    waiting = links.WaitingLinks()
    key, first = waiting.keep("", StudyRequest("1.1"))
    same, second = waiting.keep(key, StudyRequest("1.2"))
    assert same == key and waiting.take(key, "") is None, "nobody signed in from a link"
    waiting.go_to_sign_in(key, second)
    waiting.go_to_sign_in(key, first)
    waiting.go_to_sign_in(key, "unknown")
    assert waiting.take(key, "") == StudyRequest("1.1") and waiting.take(key, "") is None
    clock = links.time.monotonic
    monkeypatch.setattr(links.time, "monotonic", lambda: clock() + links.SECONDS + 1)
    assert waiting.take(key, second) is None, "it waited too long"


def test_links_that_wait_are_bounded_and_no_other_page_is_moved():
    waiting = links.WaitingLinks()
    key, first = waiting.keep("", StudyRequest("1.1"))
    for _ in range(links.MOST):
        waiting.keep(key, StudyRequest("1.2"))
    assert waiting.take(key, first) is None
    assert Answer(OIDC, "/compare", "127.0.0.1", question="film=a&search=b").status == 200
    wrong = Answer(OIDC, "/search", "127.0.0.1", question="StudyInstanceUIDs=..%2Fadmin")
    named = parse_qs(wrong.headers["location"].partition("?")[2])["link"][0]
    held = links.WAITING.take(wrong.headers["set-cookie"].split(";")[0].partition("=")[2], named)
    assert held == StudyRequest(), "told on the page"


def test_the_first_page_by_its_name_is_found_at_the_root():
    for path, place in (("/search", "./"), ("/search/", "../")):
        answer = Answer(ServerSettings(), path, "127.0.0.1", question="film=a%20b&search=%7B%7D")
        assert (answer.status, answer.headers["location"]) == (303, f"{place}?film=a%20b&search=%7B%7D")
        assert Answer(ServerSettings(), path, "127.0.0.1").headers["location"] == place
    for path in ("/", "/search/_stcore/health", "/research", "/rate"):
        assert Answer(ServerSettings(), path, "127.0.0.1").status == 200


def test_the_figures_are_for_the_addresses_that_the_operator_named_alone():
    open_to = ServerSettings(monitoring=Monitoring(metrics=("10.0.0.5", "::1")))
    answer = Answer(open_to, "/metrics", "10.0.0.5")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"icbir_questions_total" in answer.body and b"process_resident_memory_bytes" in answer.body
    for asked in (
        Answer(ServerSettings(), "/metrics", "127.0.0.1"),
        Answer(open_to, "/metrics", "10.0.0.6"),
        Answer(open_to, "/metrics", "10.0.0.5", [("X-Forwarded-For", "203.0.113.9")]),  # a reader, through the proxy
        Answer(open_to, "/metrics", "::1", [("Via", "1.1 proxy")]),
    ):
        assert asked.status == 404 and b"icbir_" not in asked.body and asked.seen is None


def test_the_server_is_told_once_that_it_runs():
    told = []

    async def app(scope, receive, send):
        pass

    gate = Gate(app, ServerSettings(), lambda: (True, ""), on_start=lambda: told.append(1))
    asyncio.run(gate({"type": "lifespan"}, None, None))
    asyncio.run(gate({"type": "websocket", "path": "/", "headers": []}, None, None))
    assert told == [1]


@pytest.mark.parametrize("settings", [PROXY, OIDC])
def test_with_a_page_a_browser_gets_a_secret_once_that_no_script_can_read(settings, monkeypatch):
    page = ("accept", "text/html,*/*")
    first, second = (Answer(settings, "/catalogue", "10.0.0.5", [page]) for _ in range(2))
    name, _, rest = first.headers["set-cookie"].partition("=")
    secret, *marks = rest.split("; ")
    assert name == links.KEPT_COOKIE and SECRET.fullmatch(secret) and secret not in second.headers["set-cookie"]
    assert marks == ["Path=/", "HttpOnly", "SameSite=Lax"]
    again = Answer(settings, "/catalogue", "10.0.0.5", [page, ("cookie", f"{name}={secret}")])
    assert "set-cookie" not in again.headers, "it stays"
    made_up = Answer(settings, "/catalogue", "10.0.0.5", [page, ("cookie", f"{name}=1")])
    assert "set-cookie" in made_up.headers
    assert "set-cookie" not in Answer(settings, "/static/a.js", "10.0.0.5", [("accept", "*/*")]).headers
    monkeypatch.setenv("ICBIR_KEEP_FILMS", "off")
    assert "set-cookie" not in Answer(settings, "/catalogue", "10.0.0.5", [page]).headers
