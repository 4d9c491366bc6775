"""Libraries that must not write a log: theirs holds addresses, names of patients and what was sent."""

from __future__ import annotations

import logging

WEB = ("dicomweb_client", "requests", "retrying", "urllib3")
DIMSE = ("pynetdicom", "pydicom")
OBJECTS = ("highdicom",)


def silence(libraries: tuple[str, ...]) -> None:
    """From here on, these libraries of this process log nothing below the level "critical"."""
    for name in libraries:
        logging.getLogger(name).setLevel(logging.CRITICAL)
