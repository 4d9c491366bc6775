"""Several networks' features as one description: each less its catalogue's mean and at unit length, side by side.

Networks that were trained differently know different things; side by side, films are near each other when all of them
find so. The squared distance is the mean of those by each network alone: it falls apart over networks and places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from icbir_core.model.encoders import Encoder
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.methods import ENCODERS, FEATURES, SearchMethod

_PREFIX = "encoder/"


def name_field(encoder: str) -> str:
    """How an encoder's features are called among what is stored of a film."""
    return _PREFIX + encoder


def list_fields(method: SearchMethod, encoders: Iterable[Encoder]) -> tuple[str, ...]:
    """The values that a method compares with these encoders: "encoders" stands for those of each."""
    own = tuple(name_field(encoder.name) for encoder in encoders)
    return tuple(name for field in method.fields for name in (own if field == ENCODERS else (field,)))


def name_centre(field: str) -> str:
    """The file of a field's centre."""
    return "centre.npz" if field == FEATURES else f"centre-{field.removeprefix(_PREFIX)}.npz"


def join(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Unit vectors (N, D) of several networks as one of unit length, float32 (N, sum of all D)."""
    if len(parts) == 1:
        return parts[0]
    found: np.ndarray = np.concatenate(parts, axis=1, dtype=np.float32)
    return found * np.float32(1 / np.sqrt(len(parts)))


class JoinedView:
    """Several arrays (R, D) with slices as one; computed when it is sliced."""

    def __init__(self, parts: Sequence[Any]):
        self.parts = tuple(parts)
        self.shape = (len(self.parts[0]), sum(part.shape[1] for part in self.parts))

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, part: slice) -> np.ndarray:
        return join([one[part] for one in self.parts])


def hash_encoders(encoders: Iterable[Encoder]) -> Mapping[str, str]:
    """Name → hash, for the manifests of what was made with them."""
    return {name_field(encoder.name): encoder.sha256 for encoder in encoders}


def name_origin(
    method: SearchMethod, centres: Mapping[str, Centre], encoders: Sequence[Encoder] = ()
) -> dict[str, str]:
    """What an index of that method is made from beside models and catalogue. centres : by the field."""
    origin = {"method_version": method.version} if method.version else {}
    if method.centred:
        origin |= {
            "centre" if field == FEATURES else f"centre of {field}": centres[field].sha256
            for field in list_fields(method, encoders)
        }
    if not method.needs_encoders:
        return origin
    # all of them by one name as well: an index of more encoders holds the hashes of fewer too
    return origin | dict(hash_encoders(encoders)) | {"encoders": ",".join(one.name for one in encoders)}


def name_centre_identity(field_name: str, encoders: Sequence[Encoder]) -> dict[str, str]:
    """What the centre and the store of an encoder's field are made by."""
    return {"encoder": next(one.sha256 for one in encoders if name_field(one.name) == field_name)}
