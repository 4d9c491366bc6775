"""The one door of the pages for who somebody is, what she may do, and what is recorded of it.

What only a study lead or the operator may do asks `require` where it is done, not only where its button is drawn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from icbir_core.access import Person, Right, Role, find_role
from icbir_core.audit import Action, AuditLog, Subject, open_audit
from icbir_core.errors import IcbirError
from icbir_core.server_settings import OpenIdConnect, ProxyHeader, ServerSettings, read_server_settings
from icbir_core.settings import get_environment
from icbir_ui import metrics, shared, state
from icbir_ui.logs import log_event
from icbir_ui.state import Key

_REMEMBERED = 2000


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_settings(path: str | None) -> ServerSettings:
    return read_server_settings(path)


def get_settings() -> ServerSettings:
    """What the operator of this server decided. Raises `ServerSettingsError`."""
    return _read_settings(get_environment("SERVER"))


@dataclass(frozen=True)
class SignedIn:
    """Who the provider or the proxy says somebody is. since : seconds since 1970 at which she signed in, None where
    only the proxy knows."""

    issuer: str
    subject: str
    names: tuple[str, ...]
    groups: tuple[str, ...] = ()
    since: float | None = None

    @property
    def pseudonym(self) -> str:
        """Under which ratings and the audit log name her: the same whenever she comes, and no name."""
        return make_pseudonym(self.issuer, self.subject)


def make_pseudonym(issuer: str, subject: str) -> str:
    """The pseudonym of a person in this workspace."""
    return f"reader-{shared.open_workspace().hash_secretly(f'reader:{issuer}:{subject}')[:10]}"


def find_signed_in() -> SignedIn | None:
    """Who is signed in; None for nobody, and on a server where nobody signs in."""
    settings = get_settings()
    if settings.oidc is not None:
        return read_claims(st.user.to_dict(), settings.oidc)
    if settings.header is not None:
        return read_headers(st.context.headers, settings.header)
    return None


def read_claims(claims: Mapping[str, Any], oidc: OpenIdConnect) -> SignedIn | None:
    """A person from what the provider signed; an address that it has not verified gives her no role."""
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not claims.get("is_logged_in") or not issuer or not subject:
        return None
    name = claims.get(oidc.claim)
    trusted = isinstance(name, str) and (oidc.claim != "email" or claims.get("email_verified") is not False)
    groups = claims.get(oidc.groups) or ()
    listed = tuple(map(str, groups)) if isinstance(groups, list | tuple) else (str(groups),)
    since = claims.get("iat")
    began = float(since) if isinstance(since, int | float) else None
    return SignedIn(str(issuer), str(subject), (str(name),) if trusted else (), listed, began)


def read_headers(headers: Mapping[str, str], proxy: ProxyHeader) -> SignedIn | None:
    """A person from the headers of an allowed proxy; `icbir_ui.gate` has taken those of others away."""
    name = (headers.get(proxy.header) or "").strip()
    if not name:
        return None
    groups = (headers.get(proxy.groups) or "").split(",") if proxy.groups else []
    return SignedIn("proxy", name.casefold(), (name,), tuple(one.strip() for one in groups if one.strip()))


def get_person() -> Person:
    """Who uses this page, with her role. On a server for one person: the reader as she calls herself, with every
    right."""
    if not get_settings().asks_to_sign_in:
        return Person(state.get_reader(), Role.OPERATOR, signed_in=False)
    found = find_signed_in()
    if found is None or get_visits().is_over(found):
        return Person("nobody", None, signed_in=True)
    settings = get_settings()
    role = find_role(settings.roles, found.names, found.groups)
    return Person(found.pseudonym, role, signed_in=True, least=settings.rights)


def require(right: Right) -> None:
    """Raises `AccessRefused`, and records it, where the person may not do this."""
    person = get_person()
    if not person.may(right):
        metrics.ACCESS_REFUSED.inc()
        record(Action.REFUSED, right=right.name.lower())
    person.require(right)


class Visits:
    """When each person was last seen, so that a visit ends. The cookie of a sign-in lasts longer than a visit may, and
    a copy of it outlives the signing out: what is over is remembered here."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._over: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_over(self, found: SignedIn) -> bool:
        """Whether this sign-in has ended: signed out, too old, or too long without use."""
        limits, key, now = get_settings().session, _name_visit(found), time.monotonic()
        with self._lock:
            if key in self._over:
                return True
            old = found.since is not None and time.time() - found.since > 3600 * limits.hours
            idle = now - self._seen.get(key, now) > 60 * limits.idle_minutes
            if old or idle:
                self._over[key] = now
            return old or idle

    def touch(self, found: SignedIn) -> None:
        """She did something just now."""
        now = time.monotonic()
        with self._lock:
            self._seen[_name_visit(found)] = now
            for held in (self._seen, self._over):
                while len(held) > _REMEMBERED:
                    held.pop(next(iter(held)))

    def end(self, found: SignedIn) -> None:
        """She signed out."""
        with self._lock:
            self._over[_name_visit(found)] = time.monotonic()

    def resume(self, found: SignedIn) -> None:
        """The proxy vouches for her again after a visit that ended."""
        with self._lock:
            self._over.pop(_name_visit(found), None)
            self._seen.pop(_name_visit(found), None)


def _name_visit(found: SignedIn) -> str:
    return f"{found.issuer} {found.subject} {found.since}"


@st.cache_resource(max_entries=1, show_spinner=False)
def get_visits() -> Visits:
    """The visits of this server."""
    return Visits()


@st.cache_resource(max_entries=4, show_spinner=False)
def open_log(path: str, elsewhere: str | None) -> AuditLog:
    """The audit log of the served workspace, opened once; path, elsewhere : what tells one log from another."""
    return open_audit(shared.open_workspace())


@dataclass(frozen=True)
class Recorder:
    """Writes into the audit log under one name, also where no session is at hand, as when a download is made.

    strict : whether what cannot be recorded must not be done, as on every server with sign-in.
    """

    who: str
    strict: bool

    def record(self, action: Action, *subjects: Subject, **details: int | str) -> None:
        """Write one entry. Raises `AuditError` where that fails and the recorder is strict."""
        try:
            log = open_log(str(shared.find_workspace_path()), get_environment("AUDIT"))
            log.record(self.who, action, *subjects, **details)
        except (IcbirError, OSError) as error:
            metrics.AUDIT_FAILURES.inc()
            log_event("audit_failed", logging.WARNING, self.who, error, action=str(action))
            if self.strict:
                raise


def get_recorder() -> Recorder:
    """The recorder of the person who uses this page."""
    person = get_person()
    return Recorder(person.pseudonym, person.signed_in)


def record(action: Action, *subjects: Subject, **details: int | str) -> None:
    """Write one entry under the person who uses this page."""
    get_recorder().record(action, *subjects, **details)


def record_once(action: Action, *subjects: Subject, **details: int | str) -> None:
    """As `record`, but in one session the same entry once, however often the page runs."""
    done: dict[Any, None] = state.get(Key.RECORDED) or {}
    entry = (action, subjects, tuple(details.items()))
    if entry not in done:
        record(action, *subjects, **details)
        done[entry] = None
        while len(done) > _REMEMBERED:
            done.pop(next(iter(done)))
        state.put(Key.RECORDED, done)


def name_film(film: Any) -> Subject:
    """How the log names a film that is searched with: a catalogue case by its name, else by its pixels."""
    return Subject("case", film.query.case_id) if film.query.case_id else Subject("film", film.key[:24])


def name_cases(cases: Any) -> list[Subject]:
    """How the log names cases."""
    return [Subject("case", case.case_id) for case in cases]
