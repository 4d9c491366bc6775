"""Films are received by DIMSE: C-STORE and C-ECHO, from allowed senders alone, in every transfer syntax."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    XRayRadiofluoroscopicImageStorage,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.transport import ThreadedAssociationServer

from icbir_core.audit import Action, Subject, open_audit
from icbir_core.audit.entries import make_word
from icbir_core.audit.log import record_command
from icbir_core.errors import IcbirError, PacsError, RadiographError
from icbir_core.pacs.inbox import Inbox
from icbir_core.pacs.moving import VERIFY
from icbir_core.pacs.silence import DIMSE, silence
from icbir_core.radiograph.facts import MODALITIES
from icbir_core.radiograph.identity import read_film_header
from icbir_core.settings import FILM_LIMITS
from icbir_core.types import FilmHeader

SUCCESS, NOT_ALLOWED, FULL, MISMATCH, UNREADABLE = 0x0000, 0x0124, 0xA700, 0xA900, 0xC000
"""Statuses of PS3.4 B.2.3 and PS3.7 C."""
FILM_CLASSES = (
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ComputedRadiographyImageStorage,
    XRayRadiofluoroscopicImageStorage,
)
_ASSOCIATIONS = 8
_SECONDS = 60.0
_AGAIN, _MOST_TOLD = 60.0, 300


@dataclass(frozen=True)
class Sender:
    """Who may send: an AE title, from an address of the network."""

    ae_title: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Sender:
        """Read "PACS@10.0.0.5". Raises `PacsError`."""
        title, sign, address = text.strip().partition("@")
        if not sign or not 0 < len(title) <= 16 or not address or not title.isascii():
            raise PacsError(f"A sender is written as AE-TITLE@ADDRESS, such as PACS@10.0.0.5; '{text}' is not.")
        return cls(title, address)


@dataclass(frozen=True)
class ReceiverSettings:
    """Where films are received, and from whom. host : the address to listen on."""

    ae_title: str = "ICBIR"
    port: int = 11112
    host: str = "127.0.0.1"
    senders: tuple[Sender, ...] = ()


class Receiver:
    """Takes films into an inbox until it is stopped; one that the audit log cannot record is refused. The log holds who
    was refused too. received : called with the name of each film that came."""

    def __init__(self, settings: ReceiverSettings, inbox: Inbox, received: Callable[[str], None] = lambda name: None):
        if not settings.senders:
            raise PacsError("Nobody may send here; name at least one sender with --allow AE-TITLE@ADDRESS.")
        silence(DIMSE)
        self.settings, self._inbox, self._received = settings, inbox, received
        self._server: ThreadedAssociationServer | None = None
        self._told: TTLCache[tuple[str, str, str], bool] = TTLCache(_MOST_TOLD, _AGAIN)
        self._telling = threading.Lock()

    def start(self) -> None:
        """Listen, in the background. Raises `PacsError` where the port cannot be had."""
        entity = AE(self.settings.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = sorted({one.ae_title for one in self.settings.senders})
        entity.maximum_associations = _ASSOCIATIONS
        entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = _SECONDS
        entity.add_supported_context(VERIFY)
        for one in FILM_CLASSES:
            entity.add_supported_context(one, ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._take), (evt.EVT_C_ECHO, self._answer)]
        handlers.append((evt.EVT_REJECTED, lambda event: self._record_refused(event, self._find_reason(event))))
        try:
            self._server = entity.start_server(
                (self.settings.host, self.settings.port), block=False, evt_handlers=handlers
            )
        except OSError as error:
            raise PacsError(
                f"The port {self.settings.port} cannot be had ({error.strerror}); choose another."
            ) from None

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _is_allowed(self, event: evt.Event) -> bool:
        asking = event.assoc.requestor
        return Sender(str(asking.ae_title).strip(), str(asking.address)) in self.settings.senders

    def _answer(self, event: evt.Event) -> int:
        if self._is_allowed(event):
            return SUCCESS
        self._record_refused(event, "address")
        return NOT_ALLOWED

    def _take(self, event: evt.Event) -> int:
        if not self._is_allowed(event):
            self._record_refused(event, "address")
            return NOT_ALLOWED
        data = event.encoded_dataset()
        if len(data) > FILM_LIMITS.max_bytes:
            return FULL
        try:
            header = read_film_header(data)
        except RadiographError:
            return UNREADABLE
        if header is None or not header.has_picture or header.modality not in (*MODALITIES, ""):
            return UNREADABLE
        if not header.instance or header.instance != str(getattr(event.request, "AffectedSOPInstanceUID", "")):
            return MISMATCH
        try:
            self._record(header, str(event.assoc.requestor.ae_title))
            name = self._inbox.put(data, header.instance)
        except IcbirError:
            return FULL
        self._received(name)
        return SUCCESS

    def _find_reason(self, event: evt.Event) -> str:
        """Why an association was not accepted, as a word."""
        if str(event.assoc.requestor.ae_title).strip() not in {one.ae_title for one in self.settings.senders}:
            return "title"
        asked = event.assoc.requestor.primitive
        called = str(asked.called_ae_title).strip() if asked is not None else ""
        return "called_title" if called != self.settings.ae_title else "busy"

    def _record_refused(self, event: evt.Event, reason: str) -> None:
        """Who was refused and why; the same within a minute once, and no more than a few hundred in a minute, so that a
        stranger cannot fill the disk. What cannot be recorded is refused all the same."""
        asking = event.assoc.requestor
        who = make_word(str(asking.ae_title)), make_word(str(asking.address)), reason
        with self._telling:
            if who in self._told or len(self._told) >= self._told.maxsize:
                return
            self._told[who] = True
        by, address, _ = who
        workspace = self._inbox.workspace
        if word := record_command(workspace, Action.REFUSED, by=by, address=address, reason=reason, right="send"):
            logging.getLogger("icbir").warning("%s", word)

    def _record(self, header: FilmHeader, sender: str) -> None:
        """Raises `AuditError`."""
        log = open_audit(self._inbox.workspace)
        named = (("examination", header.study), ("patient", header.number))
        about = [Subject(kind, name) for kind, name in named if name]
        log.record(log.name_account(), Action.RECEIVED, *about, by=make_word(sender))
