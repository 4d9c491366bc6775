"""Settings, as frozen dataclasses passed down. The environment is read here and nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from icbir_core.errors import FilterError


@dataclass(frozen=True)
class ReadLimits:
    """Limits against decompression bombs: bytes of a file, pixels of a film, scans of a progressive JPEG (cameras write
    about ten, each a pass over the film); and the pixels that a side must have."""

    max_bytes: int = 200 * 1024 * 1024
    max_pixels: int = 64_000_000
    min_side: int = 1
    max_scans: int = 64


@dataclass(frozen=True)
class DecodingLimits:
    """What one film may cost the process that decodes it.

    processor_seconds : of computing, and one more for each `bytes_a_second` of the file, because the cost of JPEG 2000
    grows with its bytes (64 megapixels of 16 bits: 16 s); seconds : in all, for a decoder that waits; memory : bytes
    above what the process holds before the film (enforced on Linux). films : after so many a fresh process takes over.
    """

    processor_seconds: int = 20
    bytes_a_second: int = 4 << 20
    seconds: float = 90.0
    memory: int = 1 << 30
    films: int = 2000

    def allow_seconds(self, size: int) -> int:
        """Seconds of computing for a film of `size` bytes."""
        return self.processor_seconds + size // self.bytes_a_second


@dataclass(frozen=True)
class PacsSettings:
    """Where the archive (PACS) is asked by DICOMweb, and as whom.

    address : the base address, such as https://pacs.example/dicom-web. user, password : for basic authentication;
    token : for bearer. certificate : PEM file with this program's certificate and key; authority : PEM file of the
    authorities that sign the archive's certificate, instead of the common ones. seconds : of silence after which the
    archive counts as unreachable; transfer_seconds : that one answer may take in all. studies : most that a query
    gives.
    """

    address: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate: str = ""
    authority: str = ""
    seconds: float = 30.0
    transfer_seconds: float = 300.0
    studies: int = 2000


# Of films that are searched with or for: no chest can be seen in fewer pixels.
FILM_LIMITS = ReadLimits(min_side=32)


@dataclass(frozen=True)
class InputSettings:
    """How a radiograph becomes the network's input; stored in the model's manifest, so that query and catalogue agree.

    size : side in pixels; equalise : local contrast equalisation (CLAHE) before the network. crop : the middle square
    of the film fills the input, and what lies beside it is not seen; otherwise the whole film, with its aspect kept.
    """

    size: int = 224
    equalise: bool = True
    crop: bool = False


@dataclass(frozen=True)
class SearchFilter:
    """Which cases may be returned; empty means no restriction. Ages in years, inclusive; findings: name → state.

    Examples
    --------
    >>> import icbir_core as icbir
    >>> icbir.SearchFilter.parse("view=PA, age=40-60").age_max
    60
    """

    view: str | None = None
    sex: str | None = None
    age_min: int | None = None
    age_max: int | None = None
    findings: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return self == SearchFilter()

    @classmethod
    def parse(cls, text: str | None) -> SearchFilter:
        """Read "view=AP, sex=F, age=40-60, Effusion=present". Raises `FilterError`, which names what it is about."""
        from icbir_core.findings import find_canonical_name

        values: dict[str, Any] = {"findings": {}}
        named: set[str] = set()
        for part in text.split(",") if text and text.strip() else ():
            key, separator, value = (piece.strip() for piece in part.partition("="))
            name = key.lower() if key.lower() in ("view", "sex", "age") else find_canonical_name(key)
            if name is None or not separator or not value:
                raise FilterError(f"'{part.strip()}' is no filter; write 'view=AP, sex=F, age=40-60, Mass=present'.")
            if name in named:
                raise FilterError(f"'{part.strip()}' is a second filter for {name}; keep one of them.")
            named.add(name)
            if name == "age":
                values["age_min"], values["age_max"] = _parse_ages(value)
            elif name in _FILTER_WORDS:
                values[name] = _find_word(name, value, _FILTER_WORDS[name])
            else:
                values["findings"][name] = _find_word(name, value, _STATE_WORDS)
        return cls(**values)


_FILTER_WORDS: Mapping[str, Mapping[str, str]] = {
    "view": {"pa": "PA", "ap": "AP", "lateral": "LATERAL", "unknown": "unknown"},
    "sex": {"f": "F", "m": "M", "unknown": "unknown", "female": "F", "male": "M"},
}
_STATE_WORDS = {word: word for word in ("present", "absent", "uncertain", "unknown")}


def _find_word(name: str, value: str, words: Mapping[str, str]) -> str:
    if value.lower() not in words:
        known = ", ".join(dict.fromkeys(words.values()))
        raise FilterError(f"{name} cannot be '{value}'; choose one of {known}.")
    return words[value.lower()]


def _parse_ages(value: str) -> tuple[int | None, int | None]:
    """Smallest and largest age of "40-60", "40-", "-60" or "50", ends included; None is no limit."""
    found = re.fullmatch(r"(\d*)(?:\s*(-)\s*(\d*))?", value, re.ASCII)
    if found is None or not (found[1] or found[3]):
        raise FilterError(f"'age={value}' is no age in years; write it as 40-60, 40-, -60 or 50.")
    low, high = (int(digits) if digits else None for digits in (found[1], found[3] if found[2] else found[1]))
    if low is not None and high is not None and low > high:
        raise FilterError(f"In 'age={value}' the larger age comes first; write age={high}-{low}.")
    return low, high


FIRST_COUNT = 8
"""Cases that a page shows at first."""


@dataclass(frozen=True)
class SearchSettings:
    """What a search returns. method: None is the target's default. search: "auto", "exact", or "annoy" or "hnsw".

    Examples
    --------
    >>> import icbir_core as icbir
    >>> settings = icbir.SearchSettings(top_k=5, filter=icbir.SearchFilter(view="PA"))
    >>> settings.same_patient
    False
    """

    top_k: int = 10
    method: str | None = None
    target: str | None = None
    search: str = "auto"
    filter: SearchFilter = field(default_factory=SearchFilter)
    same_patient: bool = False
    identical_image: bool = False


def count_decoders() -> int:
    """How many films may be decoded at once, each in a process of its own: `ICBIR_DECODERS`, else one for each
    processor, but at least 2 and at most 4."""
    asked = get_environment("DECODERS") or ""
    return int(asked) if asked.isdigit() and int(asked) > 0 else min(4, max(2, os.cpu_count() or 1))


def count_held_megapixels() -> int:
    """Megapixels of films that all readers of a server may hold together, 2 MB each: `ICBIR_HELD_MEGAPIXELS`, else
    1,000.
    """
    asked = get_environment("HELD_MEGAPIXELS") or ""
    return int(asked) if asked.isdigit() and int(asked) > 0 else 1000


def read_pacs_settings(address: str | None = None) -> PacsSettings | None:
    """The archive that `ICBIR_DICOMWEB` names (or `address`, in its place), with the credentials of the variables
    beside it; None where none is named."""
    address = address or get_environment("DICOMWEB")
    if not address:
        return None
    return PacsSettings(
        address=address.rstrip("/"),
        user=get_environment("DICOMWEB_USER") or "",
        password=get_environment("DICOMWEB_PASSWORD") or "",
        token=get_environment("DICOMWEB_TOKEN") or "",
        certificate=get_environment("DICOMWEB_CERTIFICATE") or "",
        authority=get_environment("DICOMWEB_AUTHORITY") or "",
    )


def get_environment(name: str) -> str | None:
    """The value of the environment variable `ICBIR_<name>`, or None."""
    return os.environ.get(f"ICBIR_{name}") or None


def make_app_environment(workspace: os.PathLike[str] | str, device: str = "auto") -> dict[str, str]:
    """This process's environment for the web page: `ICBIR_WORKSPACE` set to the absolute path of a workspace, and
    `ICBIR_DEVICE` to "auto", "cpu" or "gpu"."""
    return dict(os.environ) | {"ICBIR_WORKSPACE": os.path.abspath(workspace), "ICBIR_DEVICE": device}
