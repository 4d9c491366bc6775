"""Colour pictures as grey: RGB as decoded, and palettes."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from icbir_core.errors import RadiographError
from icbir_core.radiograph.levels import to_levels
from icbir_core.radiograph.lookup_tables import BrokenTable, measure_depth, read_lookup_table
from icbir_core.radiograph.raster import reduce_to_grey


def read_rgb(stored: np.ndarray, bits: int, facts: dict[str, str]) -> np.ndarray:
    """uint16 levels (H, W) of RGB (H, W, 3) whose samples use `bits` bits as the header says, or clearly fewer."""
    used = _choose_depth(measure_depth(int(stored.max())), bits)
    if used < bits:
        facts["levels"] = f"{used} bits of colour, as the brightest point is, not {bits} as the header says"
    return _reduce(stored, used, facts)


def _reduce(colour: np.ndarray, bits: int, facts: dict[str, str]) -> np.ndarray:
    maximum = 2**bits - 1
    facts["window"] = "none (colour picture)"
    return to_levels(reduce_to_grey(colour, maximum, facts), maximum)


def _choose_depth(used: int, stated: int) -> int:
    """Bits of samples or a palette's entries, which need not reach full brightness: what the header says, unless all
    lie in a byte or below a quarter of what it says, or some of them beyond it."""
    if used == 8 or used <= stated - 2:
        return used
    return stated if used <= stated <= 16 else 16


def read_palette(stored: np.ndarray, dataset: Dataset, facts: dict[str, str]) -> np.ndarray:
    """uint16 levels (H, W) of stored values (H, W) through the header's three tables. Raises `RadiographError` where
    one of them is missing or broken."""
    low, high = int(stored.min()), int(stored.max())
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    try:
        tables = [read_lookup_table(dataset, low, high, f"{name}Descriptor", f"{name}Data") for name in names]
    except BrokenTable as error:
        raise RadiographError("The DICOM's palette is missing or broken; export the film again.") from error
    stated = max(table.stated for table in tables)
    bits = _choose_depth(max(table.depth for table in tables), stated)
    if bits != stated:
        facts["levels"] = f"a palette of {bits} bits, as its entries are, not {stated} as the header says"
    values = np.arange(low, high + 1)
    rows = np.stack([table.look_up(values) for table in tables], axis=1).astype(np.uint8 if bits == 8 else np.uint16)
    return _reduce(rows[stored.astype(np.int32) - low], bits, facts)
