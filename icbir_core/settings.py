"""Settings, as frozen dataclasses passed down. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from icbir_core.errors import FilterError

METHODS: tuple[str, ...] = ("cnn_centred", "ig_cbir", "cnn", "ssim")
"""Search methods, the preferred first: the default of a target is the first that is indexed for it."""


@dataclass(frozen=True)
class ReadLimits:
    """Limits against decompression bombs: bytes of a file, pixels of a film."""

    max_bytes: int = 200 * 1024 * 1024
    max_pixels: int = 64_000_000


@dataclass(frozen=True)
class InputSettings:
    """How a radiograph becomes the network's input; stored in the model's manifest, so that query and catalogue agree.

    size : side in pixels; equalise : local contrast equalisation (CLAHE) before the network.
    """

    size: int = 224
    equalise: bool = True


@dataclass(frozen=True)
class SearchFilter:
    """Which cases may be returned; empty means no restriction. Ages in years, inclusive; findings: name → state."""

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
        """Read "view=AP, sex=F, age=40-60, Effusion=present". Raises `FilterError` on anything else."""
        from icbir_core.findings import FindingState, find_canonical_name
        from icbir_core.types import UNKNOWN

        if not text or not text.strip():
            return cls()
        values: dict = {"findings": {}}
        for part in text.split(","):
            key, separator, value = (piece.strip() for piece in part.partition("="))
            try:
                if not separator or not value:
                    raise ValueError
                if key in ("view", "sex"):
                    # "unknown" is the one value that is stored in small letters
                    values[key] = UNKNOWN if value.lower() == UNKNOWN else value.upper()
                elif key == "age":
                    low, dash, high = value.partition("-")
                    values["age_min"] = int(low) if low.strip() else None
                    values["age_max"] = (int(high) if high.strip() else None) if dash else int(low)
                else:
                    name = find_canonical_name(key)
                    if name is None:
                        raise ValueError
                    values["findings"][name] = FindingState(value.lower()).value
            except ValueError:
                raise FilterError(
                    f"Expected filters like 'view=AP, sex=F, age=40-60, Effusion=present', got '{part.strip()}'; "
                    "correct that part."
                ) from None
        return cls(**values)


@dataclass(frozen=True)
class SearchSettings:
    """What a search returns. method: None is the target's default. search: "auto", "annoy" or "exact"."""

    top_k: int = 10
    method: str | None = None
    target: str | None = None
    search: str = "auto"
    filter: SearchFilter = field(default_factory=SearchFilter)
    same_patient: bool = False
    identical_image: bool = False


def get_environment(name: str) -> str | None:
    """The value of the environment variable `ICBIR_<name>`, or None."""
    return os.environ.get(f"ICBIR_{name}") or None


def make_app_environment(workspace: os.PathLike[str] | str, device: str = "auto") -> dict[str, str]:
    """This process's environment for the web page: `ICBIR_WORKSPACE` set to the absolute path of a workspace, and
    `ICBIR_DEVICE` to "auto", "cpu" or "gpu".
    """
    return dict(os.environ) | {"ICBIR_WORKSPACE": os.path.abspath(workspace), "ICBIR_DEVICE": device}
