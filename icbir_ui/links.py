"""A link of the PACS that names a study: taken out of the address before a page is sent, and held until its reader is
let in.

The browser carries a random key in a cookie that no script can read. What the link named lies in this server's memory
under that key, so that it outlives the way to a provider of sign-ins and back.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Mapping

from icbir_core.pacs.opening import StudyRequest
from icbir_core.pacs.studies import is_uid
from icbir_ui.state import PARAMETER_FILM, PARAMETER_SEARCH

PARAMETER_STUDY_UIDS = "StudyInstanceUIDs"
PARAMETER_ACCESSION = "AccessionNumber"
PARAMETER_LINK = "link"
NAMES_A_FILM = (PARAMETER_STUDY_UIDS, PARAMETER_ACCESSION, PARAMETER_FILM, PARAMETER_SEARCH)
"""What a link takes the place of in an address."""
COOKIE = "icbir_link"
KEPT_COOKIE = "icbir_kept"
"""Holds the secret that opens the films which this browser's reader keeps; no script can read it."""
LONGEST_ACCESSION = 64
SECONDS = 600.0
"""How long a link waits for its reader."""
MOST = 1000
"""Links that wait at a time; the oldest gives way."""
_KEY = re.compile(r"[0-9a-f]{32}")


def read_link(parameters: Mapping[str, str]) -> StudyRequest | None:
    """The study that the parameters of an address name; an empty request where what they say is no name of a study,
    None where they say nothing of one."""
    uids, accession = (parameters.get(name, "") for name in (PARAMETER_STUDY_UIDS, PARAMETER_ACCESSION))
    if not uids and not accession:
        return None
    # The form of OHIF: several UIDs stand between commas, and the first is the study to read.
    uid, accession = uids.split(",")[0].strip(), accession.strip()
    if uid:
        return StudyRequest(study=uid if is_uid(uid) else "")
    right = len(accession) <= LONGEST_ACCESSION and accession.isprintable()
    return StudyRequest(accession=accession if right else "")


class WaitingLinks:
    """Links that wait, each given once. Safe for several threads."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[StudyRequest, float]] = {}
        self._signing_in: dict[str, str] = {}
        self._lock = threading.Lock()

    def keep(self, browser: str, request: StudyRequest) -> tuple[str, str]:
        """Hold a request: (the browser's key, the link's own name). browser : the key that it brought, or ""."""
        key = browser if _KEY.fullmatch(browser) else secrets.token_hex(16)
        name = secrets.token_hex(8)
        with self._lock:
            self._drop_old()
            self._held[key, name] = (request, time.monotonic())
            while len(self._held) > MOST:
                self._held.pop(next(iter(self._held)))
        return key, name

    def go_to_sign_in(self, browser: str, name: str) -> None:
        """Her way to the provider begins at this link, of several in one browser; she comes back without its name."""
        with self._lock:
            if (browser, name) in self._held:
                self._signing_in[browser] = name

    def take(self, browser: str, name: str) -> StudyRequest | None:
        """The request of that browser and name, or without a name that from which she went to sign in; None where it
        was taken before or has waited too long."""
        with self._lock:
            self._drop_old()
            found = self._held.pop((browser, name or self._signing_in.get(browser, "")), None)
            if found:
                self._signing_in.pop(browser, None)
        return found[0] if found else None

    def _drop_old(self) -> None:
        limit = time.monotonic() - SECONDS
        for one in [key for key, (_, moment) in self._held.items() if moment < limit]:
            self._held.pop(one)
        waiting = set(self._held)
        self._signing_in = {browser: name for browser, name in self._signing_in.items() if (browser, name) in waiting}


WAITING = WaitingLinks()
"""Those of this server."""
