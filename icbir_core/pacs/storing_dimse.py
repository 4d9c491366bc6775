"""Objects stored by DIMSE (C-STORE, PS3.4 B), for an archive without DICOMweb. The data set goes as it was made; the
archive writes the file's own first lines (group 2) anew.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
)

from icbir_core.errors import PacsError, PacsMismatch, PacsRefused, PacsUnreachable
from icbir_core.pacs.outbox import Consigned
from icbir_core.pacs.silence import DIMSE, silence

AE_TITLE = "ICBIR"
_ADDRESS = re.compile(r"dicom://(?P<title>[^@\s\\]{1,16})@(?P<host>[^:@/\s]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})/?")
_KINDS = (SecondaryCaptureImageStorage, ComprehensiveSRStorage, GrayscaleSoftcopyPresentationStateStorage)
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model, FIND."""
_SECONDS = 30.0
_PENDING = (0xFF00, 0xFF01)
_NO_RIGHT = 0x0124


@dataclass(frozen=True)
class StoreAddress:
    """Where objects are sent: the archive's AE title, host and port; own_title : this program's."""

    title: str
    host: str
    port: int
    own_title: str = AE_TITLE


def parse_store_address(text: str) -> StoreAddress:
    """The address in `dicom://TITLE@host:port`. Raises `PacsError`."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise PacsError("The archive's address for storing is not right; write dicom://TITLE@host:port.")
    return StoreAddress(found["title"], found["host"].strip("[]"), int(found["port"]))


class DimseCarrier:
    """An association with the archive; see `sending.Carrier`."""

    def __init__(self, address: StoreAddress, seconds: float = _SECONDS):
        from pynetdicom import AE

        silence(DIMSE)
        entity = AE(ae_title=address.own_title)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = seconds
        for kind in _KINDS:
            entity.add_requested_context(kind, ExplicitVRLittleEndian)
        entity.add_requested_context(_FIND)
        self._line: Any = entity.associate(address.host, address.port, ae_title=address.title)
        if not self._line.is_established:
            if self._line.is_rejected:
                raise PacsRefused("The archive (PACS) does not accept the AE title of this program or of the settings.")
            raise PacsUnreachable("The archive (PACS) cannot be reached; check that it runs, and its address.")

    def holds(self, one: Consigned) -> bool:
        from pydicom.dataset import Dataset

        if not any(context.abstract_syntax == _FIND for context in self._line.accepted_contexts):
            return False
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID, asked.SOPInstanceUID = one.study, "", one.sop_instance
        answers = self._line.send_c_find(asked, _FIND)
        return any(
            status
            and status.Status in _PENDING
            and found is not None
            and found.get("SOPInstanceUID") == one.sop_instance
            for status, found in answers
        )

    def send(self, one: Consigned, data: bytes) -> None:
        from pydicom import dcmread

        try:
            status = self._line.send_c_store(dcmread(io.BytesIO(data)))
        except ValueError:  # no accepted context
            raise PacsMismatch("The archive (PACS) does not take objects of this kind.") from None
        except (RuntimeError, AttributeError):
            raise PacsUnreachable("The archive (PACS) broke off; the object is tried again.") from None
        if not status:
            raise PacsUnreachable("The archive (PACS) broke off; the object is tried again.")
        _check_status(int(status.Status))

    def close(self) -> None:
        if self._line.is_established:
            self._line.release()


def _check_status(status: int) -> None:
    """Raises `PacsError` for a status (PS3.4 Table B.2-1) that is neither success nor a warning."""
    if status == 0 or status >> 12 == 0xB:
        return
    if status >> 8 == 0xA7:
        raise PacsUnreachable("The archive (PACS) has no room for the object now; it is tried again.")
    if status == _NO_RIGHT:
        raise PacsRefused("The archive (PACS) does not let this program store objects.")
    raise PacsMismatch(f"The archive (PACS) refuses the object ({status:04X}).")
