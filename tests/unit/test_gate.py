"""What stands before Streamlit: headers of a proxy that is not believed, films for people who are signed in."""

from __future__ import annotations

import asyncio
import json

import pytest

from icbir_core.access import Role
from icbir_core.server_settings import OpenIdConnect, ProxyHeader, ServerSettings
from icbir_ui.gate import HEADERS, Gate

PROXY = ServerSettings(
    header=ProxyHeader("X-Remote-User", ("10.0.0.5", "192.168.7.0/24"), "X-Remote-Groups"), roles={Role.READER: ("*",)}
)
OIDC = ServerSettings(oidc=OpenIdConnect("a/oauth2callback", "c" * 32, "i", "s", "https://p"), roles=PROXY.roles)


class Answer:
    """What an application behind the gate saw, and what the client got."""

    def __init__(self, settings: ServerSettings, path: str, client: str, headers=(), kind: str = "http", ready=True):
        self.seen, self.status, self.headers, self.body = None, 0, {}, b""
        gate = Gate(self._app, settings, lambda: (ready, "word"), "icbir")
        named = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope = {"type": kind, "path": f"/icbir{path}", "headers": named, "client": (client, 1), "method": "GET"}
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
