"""The line to the archive: who asks, how long and how much, and one named error for whatever goes wrong.

No message and no log line of it holds a UID, a number of a patient, a password or an address below the base address.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ReadTimeoutError

from icbir_core.errors import PacsError, PacsMismatch, PacsNotFound, PacsRefused, PacsStopped, PacsUnreachable
from icbir_core.pacs.silence import WEB, silence
from icbir_core.settings import PacsSettings
from icbir_core.types import Progress

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is a list."""
CONNECT_SECONDS = 5.0
_CHUNK = 1 << 16
# Signs that may stand in the question of an address as they are.
_ESCAPED = re.compile(r"%(?:21|24|27|28|29|2A|2C|2F|3A|3B|3F|40)", re.IGNORECASE)
_FORBIDDEN, _ABSENT = (401, 403), (404, 410)


@dataclass
class Watch:
    """What an answer may cost, and who is told of it.

    limit : bytes. progress : told the bytes that came and those that were announced, 0 where that is not known.
    stopped : asked between two pieces whether to stop.
    """

    limit: int = MAX_ANSWER
    progress: Progress = lambda done, total, text: None
    stopped: Callable[[], bool] = lambda: False


class WatchedSession(requests.Session):
    """A session whose answers are read piece by piece under the `watch` of the moment, and which follows no redirect:
    the archive's address comes from the settings alone."""

    def __init__(self, settings: PacsSettings):
        super().__init__()
        self.settings = settings
        self.watch = Watch()
        self.headers["Accept-Encoding"] = "identity"
        self.trust_env = False  # neither proxies nor passwords of the environment
        self.auth = _make_auth(settings)
        self.cert = settings.certificate or None
        self.verify = settings.authority or True
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=0))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: whatever the answer says."""
        return None

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """With no more escapes in the question than an address needs: Orthanc's plug-in 1.7 does not undo them."""
        prepared = super().prepare_request(request)
        path, sign, question = (prepared.url or "").partition("?")
        prepared.url = path + sign + _ESCAPED.sub(lambda found: unquote(found[0]), question)
        return prepared

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        """The answer with its whole body, read here. Raises `PacsError` and what `requests` raises."""
        watch, started = self.watch, time.monotonic()
        if watch.stopped():
            raise PacsStopped("The transfer was stopped.")
        more |= {"stream": True, "timeout": (CONNECT_SECONDS, self.settings.seconds)}
        response = super().send(request, **more)
        if 300 <= response.status_code < 400:
            response.close()
            raise PacsMismatch("The archive (PACS) points to another address; put that one into the settings.")
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdigit() else 0
        if total > watch.limit:
            response.close()
            raise PacsMismatch(_TOO_MUCH.format(watch.limit >> 20))
        body = bytearray()
        for piece in response.iter_content(_CHUNK):
            body += piece
            if len(body) > watch.limit:
                response.close()
                raise PacsMismatch(_TOO_MUCH.format(watch.limit >> 20))
            if watch.stopped():
                response.close()
                raise PacsStopped("The transfer was stopped.")
            if time.monotonic() - started > self.settings.transfer_seconds:
                response.close()
                raise PacsUnreachable(
                    f"The archive (PACS) had not finished its answer after {self.settings.transfer_seconds:.0f} s; "
                    "try again later."
                )
            watch.progress(len(body), total, "")
        response._content = bytes(body)
        return response


_TOO_MUCH = "The archive (PACS) sends more than {} MB where less was expected; nothing was taken."


class Connection:
    """A line to the archive. client : of the library, for questions and for storing; session : for all else. One thread
    uses a connection at a time. Raises `PacsError` where the settings cannot be used."""

    def __init__(self, settings: PacsSettings):
        _check_address(settings.address)
        silence(WEB)
        self.settings = settings
        self.session = WatchedSession(settings)
        self.client = DICOMwebClient(settings.address, session=self.session)
        self.client.set_http_retry_params(retry=False)

    @contextmanager
    def calling(self, watch: Watch | None = None) -> Iterator[None]:
        """Call the archive in the block, under a watch; whatever fails there becomes a `PacsError`."""
        self.session.watch = watch or Watch()
        try:
            yield
        except PacsError:
            raise
        except Exception as error:
            raise _name_error(error) from None  # its text holds the address that was asked
        finally:
            self.session.watch = Watch()

    def close(self) -> None:
        """Give the line back."""
        self.session.close()


class _Bearer(AuthBase):
    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _make_auth(settings: PacsSettings) -> AuthBase | tuple[str, str] | None:
    if settings.token:
        return _Bearer(settings.token)
    return (settings.user, settings.password) if settings.user else None


def _check_address(address: str) -> None:
    """Raises `PacsError` for an address that cannot be a base address, or that holds a password."""
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        named = "@" in parts.netloc
        _ = parts.port
    except ValueError:
        right, named = False, False
    if named:
        raise PacsError(
            "The address of the archive (PACS) holds a user or a password; put them into ICBIR_DICOMWEB_USER and "
            "ICBIR_DICOMWEB_PASSWORD."
        )
    if not right or re.search(r"\s", address):
        raise PacsError(
            "The address of the archive (PACS) is no base address of DICOMweb; write one like "
            "https://pacs.example/dicom-web."
        )


def _name_error(error: Exception) -> PacsError:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _name_status(error.response.status_code)
    if isinstance(error, requests.exceptions.SSLError):
        return PacsRefused(
            "No safe connection to the archive (PACS): its certificate or ours was not accepted; see the settings."
        )
    # A body that stops coming is not told as a time-out.
    if isinstance(error, requests.Timeout) or any(isinstance(one, ReadTimeoutError) for one in error.args):
        return PacsUnreachable("The archive (PACS) does not answer in time; try again later.")
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return PacsMismatch("The archive's (PACS) answer cannot be read; is the address the base of its DICOMweb?")
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return PacsUnreachable("The archive (PACS) broke off in the middle of its answer; try again.")
    if isinstance(error, requests.ConnectionError):
        return PacsUnreachable("The archive (PACS) cannot be reached; check that it runs, and its address.")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return PacsError(f"The certificate for the archive (PACS) cannot be read ({error.strerror}); see the settings.")
    return PacsMismatch(f"The archive's (PACS) answer cannot be used ({type(error).__name__}).")


def _name_status(status: int) -> PacsError:
    if status in _FORBIDDEN:
        return PacsRefused("The archive (PACS) does not accept the user, password or certificate of the settings.")
    if status in _ABSENT:
        return PacsNotFound("The archive (PACS) does not have it (any more), or its address in the settings is wrong.")
    return PacsUnreachable(f"The archive (PACS) reports an error of its own ({status}); try again later.")
