"""Whether results may leave as DICOM objects, and where to: off until the operator says so in the environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from icbir_core.errors import PacsError
from icbir_core.files import PathLike
from icbir_core.pacs.outbox import Outbox
from icbir_core.pacs.sending import Carrier
from icbir_core.settings import PacsSettings, get_environment, read_pacs_settings

OFF, DOWNLOAD, DICOMWEB, DIMSE = "off", "download", "dicomweb", "dicom://"
_CHOICES = f"{OFF}, {DOWNLOAD}, {DICOMWEB} or {DIMSE}TITLE@host:port"


@dataclass(frozen=True)
class Destination:
    """What `ICBIR_RESULTS` allows. choice : "off", "download" (objects are made, none is sent), "dicomweb" or an
    address "dicom://TITLE@host:port". web : the archive of "dicomweb".
    """

    choice: str = OFF
    web: PacsSettings | None = None

    @property
    def makes_objects(self) -> bool:
        return self.choice != OFF

    @property
    def sends(self) -> bool:
        return self.choice not in (OFF, DOWNLOAD)

    def get_opener(self) -> Callable[[], Carrier]:
        """What opens a line to the archive. Raises `PacsError` where nothing may be sent."""
        from icbir_core.pacs.storing_dimse import DimseCarrier, parse_store_address
        from icbir_core.pacs.storing_web import WebCarrier

        if not self.sends:
            raise PacsError(f"Nothing is sent, because ICBIR_RESULTS is '{self.choice}'.")
        web = self.web
        if web is not None:
            return lambda: WebCarrier(web)
        address = parse_store_address(self.choice)
        return lambda: DimseCarrier(address)


def read_destination() -> Destination:
    """What the operator allows. Raises `PacsError` for a value that cannot be used."""
    choice = (get_environment("RESULTS") or OFF).strip()
    if choice in (OFF, DOWNLOAD):
        return Destination(choice)
    if choice == DICOMWEB:
        web = read_pacs_settings()
        if web is None:
            raise PacsError("ICBIR_RESULTS is dicomweb, and ICBIR_DICOMWEB names no archive.")
        return Destination(choice, web)
    if choice.startswith(DIMSE):
        from icbir_core.pacs.storing_dimse import parse_store_address

        parse_store_address(choice)
        return Destination(choice)
    raise PacsError(f"ICBIR_RESULTS must be {_CHOICES}.")


def open_outbox(workspace: PathLike) -> Outbox:
    """The outbox of a workspace: the folder `ICBIR_OUTBOX`, else one beside the workspace. It names patients, which a
    workspace does not."""
    place = Path(workspace).absolute()
    return Outbox(get_environment("OUTBOX") or place.with_name(f"{place.name}.outbox"))
