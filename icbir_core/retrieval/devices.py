"""No store mixes the values of devices that differ: whoever computes compares itself with what is stored, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.errors import IndexMismatch
from icbir_core.model.device import TENSORFLOW
from icbir_core.retrieval.store import BATCH, CaseStore

TOLERANCE = 1e-3
"""Most by which the values of two devices may differ, as a share of the stored values' length. Rounding in another
order gives a few millionths."""
OTHER_TOLERANCES = {"maps": 1e-2}
"""The same of fields that differ more. Half precision, in which maps are kept, takes half a thousandth; and of two
pixels under one window of the max pooling that are equal but for rounding, either may be the largest and takes all the
relevance there: by TensorFlow and by ONNX Runtime the maps of 64 real films were up to a thousandth apart."""
SHIPPED = "shipped"
"""In place of a device: values that came with the program. They belong to films that are drawn almost alike on every
machine, so that they may differ by more."""
PATIENCE = 300.0
"""Seconds in which another process must have computed the first chunk of a store."""


@dataclass(frozen=True, eq=False)
class Part:
    """A store, and what computes its values: compute(rows) gives (the rows that can be read, values by field). engine :
    the library that runs the network, "" where it does not matter."""

    store: CaseStore
    compute: Callable[[np.ndarray], tuple[np.ndarray, Mapping[str, np.ndarray]]]
    engine: str = ""

    def name_kind(self, kind: str) -> str:
        """What computes the values, as it is noted: a kind of device, with the library where that is not TensorFlow."""
        return kind if self.engine in ("", TENSORFLOW) else f"{kind}, {self.engine}"


@contextmanager
def checking_device(workspace: Workspace, kind: str, parts: Sequence[Part]) -> Iterator[None]:
    """Compute and write in this block what the stores lack, on a device of this kind.

    A kind that did not compute here before computes eight stored cases again; the largest difference is kept in the
    store. While a store is empty, one process at a time is in the block, so that the others find values to compare
    with. Raises `IndexMismatch` beyond the tolerance, `WorkspaceBusy` where another process is in the block for long.
    """
    with ExitStack() as held:
        if not all(_is_known(one.store, one.name_kind(kind)) for one in parts):
            held.enter_context(workspace.lock("devices", PATIENCE))
            if all([_compare(workspace, one, one.name_kind(kind)) for one in parts]):
                held.close()
        yield


def _is_known(store: CaseStore, kind: str) -> bool:
    return store.has_values() and kind in store.read_devices()


def _compare(workspace: Workspace, part: Part, kind: str) -> bool:
    """Whether the store has values, which this device's then resemble; False where this device begins it."""
    store = part.store
    if _is_known(store, kind):
        return True
    differences = measure_differences(workspace, part)
    if not differences:
        store.note_device(kind, 0.0, first=True)
        return False
    for name, difference in differences.items():
        most = OTHER_TOLERANCES.get(name, TOLERANCE)
        if difference > most and SHIPPED not in store.read_devices():
            raise IndexMismatch(
                f"The embeddings of this {kind.replace(', ', ' with ')} differ from those that are stored by "
                f"{difference:.1g} of their length, more than {most:g}; use the same device for all, or remove "
                f"'{store.path}' and index anew."
            )
    store.note_device(kind, max(differences.values()))
    return True


def measure_differences(workspace: Workspace, part: Part) -> dict[str, float]:
    """By field the largest difference between the stored values of a case and those computed now, as a share of the
    length of what is stored; of the first stored cases whose films can be read, eight at most. Empty without any."""
    done = np.intersect1d(part.store.get_completed(), workspace.catalogue.eligible_rows())
    for start in range(0, len(done), BATCH):
        rows, computed = part.compute(done[start : start + BATCH])
        if len(rows):
            return {name: _measure(part.store.read(name, rows), values) for name, values in computed.items()}
    return {}


def _measure(stored: np.ndarray, computed: np.ndarray) -> float:
    former = stored.astype(np.float64).reshape(len(stored), -1)
    apart = np.linalg.norm(np.asarray(computed, np.float64).reshape(len(stored), -1) - former, axis=1)
    return float((apart / np.maximum(np.linalg.norm(former, axis=1), 1e-9)).max())


def describe_mixture(stores: Sequence[CaseStore]) -> dict[str, dict[str, float]]:
    """For a manifest: {"mixed": {kind of device: the largest difference that it was found to make}}; empty where one
    device computed all."""
    known: dict[str, float] = {}
    for store in stores:
        for kind, difference in store.read_devices().items():
            known[kind] = max(difference, known.get(kind, 0.0))
    return {"mixed": known} if len(known) > 1 or any(known.values()) else {}
