"""What stands before Streamlit in the server: headers of a proxy that is not believed, pictures for people who are
signed in, links of the PACS whose study must not stay in an address, headers that protect the browser, the two
questions of a service manager, and the figures for Prometheus.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from icbir_core.keeping.kept_films import SECRET, read_keeping_rules
from icbir_core.pacs.opening import StudyRequest
from icbir_core.server_settings import ServerSettings
from icbir_ui import links
from icbir_ui.metrics import CONTENT_TYPE, write_metrics
from icbir_ui.theme import SCRIPT

Message = MutableMapping[str, Any]
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Streamlit starts its components from text and from blobs; nothing comes from another host.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "frame-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # an address may name a case
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
FIRST_PAGE = "/search"
"""The page at the root of the address. Asked for it by its name, Streamlit says that there is no such page."""
HEALTH, READINESS, METRICS = "/health", "/ready", "/metrics"
_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"via"}
"""Headers of a request that somebody's proxy passes on: the address it comes from is not that of who asks."""
_SHUT = ("/_stcore/metrics", "/_stcore/script-health-check")
_FILMS = ("/media/", "/_stcore/upload_file")
"""Where films lie: whoever knows an address is given them by Streamlit, whoever he is."""


class Gate:
    """The ASGI application in front of Streamlit's.

    describe_readiness : (whether searches are answered, a word), called in a thread of its own. on_start : called in
    the main thread once the server runs.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        describe_readiness: Callable[[], tuple[bool, str]],
        base_path: str = "",
        on_start: Callable[[], None] = lambda: None,
    ):
        self._app = app
        self._settings = settings
        self._describe_readiness = describe_readiness
        self._on_start = on_start
        self._base = f"/{base_path.strip('/')}" if base_path.strip("/") else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._on_start()
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        believed = self._drop_foreign_headers(scope)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(self._base)
        guarded = _add_headers(send)
        if path in (HEALTH, READINESS):
            ready, word = (True, "alive") if path == HEALTH else await run_in_threadpool(self._describe_readiness)
            await _answer(
                guarded, 200 if ready else 503, {"ready" if path == READINESS else "alive": ready, "word": word}
            )
        elif path == METRICS and self._may_measure(scope):
            await _answer(guarded, 200, await run_in_threadpool(write_metrics))
        elif path.startswith(_SHUT) or path == METRICS:
            await _answer(guarded, 404, {"error": "There is nothing here."})
        elif path.startswith(_FILMS) and self._settings.asks_to_sign_in and not self._is_signed_in(scope, believed):
            await _answer(guarded, 403, {"error": "Sign in first."})
        elif scope["method"] == "GET" and (moved := self._find_place(scope, path)):
            await _send(guarded, 303, [*moved, (b"cache-control", b"no-store"), (b"content-length", b"0")])
        else:
            if asks := _asks_for_a_page(scope):  # unpacked, so that a line can be put into it
                scope["headers"] = [one for one in scope["headers"] if one[0].lower() != b"accept-encoding"]
            await self._app(scope, receive, _put_first(self._give_secret(scope, guarded)) if asks else guarded)

    def _give_secret(self, scope: Scope, send: Send) -> Send:
        """With a page, a browser that has no secret of its own gets one: it opens the films that its reader keeps."""
        held = SECRET.fullmatch(_read_cookie(scope, links.KEPT_COOKIE))
        if held or read_keeping_rules().mode == "off":
            return send
        # Without a time: it goes with the browser. Lax and not strict, or a link of the PACS would exchange it.
        cookie = f"{links.KEPT_COOKIE}={secrets.token_hex(32)}; Path=/; HttpOnly; SameSite=Lax"
        header = (b"set-cookie", f"{cookie}{'; Secure' if self._is_safe(scope) else ''}".encode("ascii"))

        async def giving(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return giving

    def _is_safe(self, scope: Scope) -> bool:
        """Whether the browser reaches this server by HTTPS, as far as is known here."""
        oidc = self._settings.oidc
        return scope.get("scheme") == "https" or (oidc is not None and oidc.redirect_uri.startswith("https:"))

    def _may_measure(self, scope: Scope) -> bool:
        """Whether one of the operator's addresses asks for the figures, and asks itself."""
        passed_on = any(name.lower() in _FORWARDED for name, _ in scope["headers"])
        return not passed_on and _is_among(scope.get("client"), self._settings.monitoring.metrics)

    def _drop_foreign_headers(self, scope: Scope) -> bool:
        """Take away who somebody claims to be unless an allowed proxy says so; whether one does. A header that is there
        twice is no word of the proxy alone."""
        proxy = self._settings.header
        if proxy is None:
            return False
        names = {name.lower().encode() for name in (proxy.header, proxy.groups) if name}
        held = [one for one in scope["headers"] if one[0].lower() in names]
        doubled = len({one[0].lower() for one in held}) < len(held)
        if not doubled and _is_among(scope.get("client"), proxy.proxies):
            return any(one[0].lower() == proxy.header.lower().encode() and one[1].strip() for one in held)
        scope["headers"] = [one for one in scope["headers"] if one[0].lower() not in names]
        return False

    def _find_place(self, scope: Scope, path: str) -> list[tuple[bytes, bytes]]:
        """The headers that lead a browser to the address under which a page is sent; none where it asked for that."""
        question = scope.get("query_string", b"").decode("latin-1")
        asked, first = dict(parse_qsl(question, keep_blank_values=True)), path.rstrip("/") == FIRST_PAGE
        request = links.read_link(asked)
        # Without a host and a path from its root, so that it can lead to no other host.
        place = ("./" if path == FIRST_PAGE else "../") if first else ""
        if request is None:
            return [(b"location", (f"{place}?{question}" if question else place).encode("latin-1"))] if first else []
        return self._keep_link(scope, request, asked, place)

    def _keep_link(
        self, scope: Scope, request: StudyRequest, asked: dict[str, str], place: str
    ) -> list[tuple[bytes, bytes]]:
        """The study that an address names waits for its reader, whoever is signed in; the headers of a redirect to
        `place` and of a cookie."""
        key, name = links.WAITING.keep(_read_cookie(scope, links.COOKIE), request)
        kept = {one: text for one, text in asked.items() if one not in links.NAMES_A_FILM}
        cookie = f"{links.COOKIE}={key}; Path=/; Max-Age={links.SECONDS:.0f}; HttpOnly; SameSite=Lax"
        return [
            (b"location", f"{place}?{urlencode({**kept, links.PARAMETER_LINK: name})}".encode("ascii")),
            (b"set-cookie", f"{cookie}{'; Secure' if self._is_safe(scope) else ''}".encode("ascii")),
        ]

    def _is_signed_in(self, scope: Scope, believed: bool) -> bool:
        if self._settings.oidc is None:
            return believed
        from streamlit.web.server.starlette.starlette_auth_routes import _get_cookie_value_from_request
        from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

        request: Any = HTTPConnection(scope)
        return bool(_get_cookie_value_from_request(request, USER_COOKIE_NAME))


def _asks_for_a_page(scope: Scope) -> bool:
    return scope["method"] == "GET" and b"text/html" in dict(scope["headers"]).get(b"accept", b"")


def _put_first(send: Send) -> Send:
    """What a page must know before its program runs, put into its head: which theme the browser chose."""
    held: dict[str, Any] = {}

    async def putting(message: Message) -> None:
        if message["type"] == "http.response.start":
            kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
            if message["status"] == 200 and kinds and kinds[0].startswith(b"text/html"):
                held.update(start=message, body=b"")
                return
        elif "start" in held:
            held["body"] += message.get("body", b"")
            if message.get("more_body"):
                return
            body = held["body"].replace(b"<head>", b"<head>" + SCRIPT.encode(), 1)
            headers = [one for one in held["start"]["headers"] if one[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await send({**held.pop("start"), "headers": headers})
            message = {**message, "body": body}
        await send(message)

    return putting


def _is_among(client: tuple[str, int] | None, addresses: tuple[str, ...]) -> bool:
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in ipaddress.ip_network(one) for one in addresses)


def _add_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.encode(): value.encode() for name, value in HEADERS.items()}
            others = [one for one in message.get("headers", ()) if one[0].lower() not in own]
            message = {**message, "headers": [*others, *own.items()]}
        await send(message)

    return guarded


def _answer(send: Send, status: int, value: dict[str, Any] | bytes) -> Awaitable[None]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = CONTENT_TYPE if isinstance(value, bytes) else "application/json"
    head = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
    return _send(send, status, [*head, (b"content-length", str(len(body)).encode())], body)


async def _send(send: Send, status: int, head: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _read_cookie(scope: Scope, name: str) -> str:
    """The value of a cookie that the browser sent, "" without it."""
    try:
        held = SimpleCookie(HTTPConnection(scope).headers.get("cookie", ""))
    except CookieError:
        return ""
    return held[name].value if name in held else ""
