"""Objects stored by DICOMweb (STOW-RS, PS3.18 10.5), each as the very bytes that were made."""

from __future__ import annotations

import secrets
from typing import Any

from icbir_core.errors import PacsMismatch, PacsUnreachable
from icbir_core.pacs.connection import Connection
from icbir_core.pacs.outbox import Consigned
from icbir_core.settings import PacsSettings

_INSTANCE, _STORED, _FAILED, _REASON = "00081155", "00081199", "00081198", "00081197"
_NEVER = (400, 406, 413, 415)
_FULL = range(0xA700, 0xA800)
"""Failure reasons that pass: the archive has no room (PS3.4 Table B.2-1)."""


class WebCarrier:
    """A line to the archive's DICOMweb; see `sending.Carrier`."""

    def __init__(self, settings: PacsSettings):
        self._settings = settings
        self._connection = Connection(settings)

    def holds(self, one: Consigned) -> bool:
        with self._connection.calling():
            found = self._connection.client.search_for_instances(
                one.study, limit=2, search_filters={"SOPInstanceUID": one.sop_instance}
            )
        return any(one.sop_instance in _read_values(record, "00080018") for record in found)

    def send(self, one: Consigned, data: bytes) -> None:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        with self._connection.calling():
            answer = self._connection.session.post(
                f"{self._settings.address}/studies/{one.study}",
                data=head + data + f"\r\n--{boundary}--\r\n".encode(),
                headers={"Content-Type": kind, "Accept": "application/dicom+json"},
            )
            if answer.status_code in _NEVER:
                raise PacsMismatch(f"The archive (PACS) does not take this object ({answer.status_code}).")
            if answer.status_code != 409:
                answer.raise_for_status()
            told = answer.json() if answer.content else {}
        _check_answer(told, one, answer.status_code)

    def close(self) -> None:
        self._connection.close()


def _check_answer(told: Any, one: Consigned, status: int) -> None:
    """Raises `PacsMismatch` for an object that was refused, `PacsUnreachable` where that may pass or is not said."""
    for item in _list_items(told, _FAILED):
        if one.sop_instance in _read_values(item, _INSTANCE):
            reasons = [value for value in _read_values(item, _REASON) if isinstance(value, int)]
            if any(reason in _FULL for reason in reasons):
                raise PacsUnreachable("The archive (PACS) has no room for the object now; it is tried again.")
            shown = f" ({', '.join(f'{reason:04X}' for reason in reasons)})" if reasons else ""
            raise PacsMismatch(f"The archive (PACS) refuses the object{shown}.")
    if any(one.sop_instance in _read_values(item, _INSTANCE) for item in _list_items(told, _STORED)):
        return
    if status == 409:
        raise PacsMismatch("The archive (PACS) refuses the object and does not say why.")
    raise PacsUnreachable("The archive (PACS) does not say that the object is stored; it is tried again.")


def _list_items(told: Any, tag: str) -> list[Any]:
    held = told[0] if isinstance(told, list) and told else told
    return _read_values(held, tag)


def _read_values(record: Any, tag: str) -> list[Any]:
    element = record.get(tag) if isinstance(record, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
