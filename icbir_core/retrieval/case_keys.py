"""Which cases are the same patient or the same image, for a whole catalogue, in 24 bytes a case."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def shorten(text: str | None) -> np.uint64:
    """64 bits that stand for a text; 0 for None (two unknown patients are never the same)."""
    if text is None:
        return np.uint64(0)
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1)


class CaseKeys:
    """rows int64 (N,) ascending, removed cases included; patients and pixels uint64 (N,)."""

    def __init__(self, rows: np.ndarray, patients: np.ndarray, pixels: np.ndarray):
        self.rows, self.patients, self.pixels = rows, patients, pixels

    @classmethod
    def read(cls, catalogue: Any) -> CaseKeys:
        """Read from a catalogue, batch by batch."""
        rows, patients, pixels = [], [], []
        for batch in catalogue.iterate(batch=1024, include_removed=True):
            rows.extend(case.row for case in batch)
            patients.extend(shorten(case.patient) for case in batch)
            pixels.extend(shorten(case.pixel_sha256) for case in batch)
        return cls(np.array(rows, np.int64), np.array(patients, np.uint64), np.array(pixels, np.uint64))

    def _place(self, row: int) -> int | None:
        place = int(np.searchsorted(self.rows, row))
        return place if place < len(self.rows) and self.rows[place] == row else None

    def find_patient(self, patient: str | None) -> np.ndarray:
        """Rows of a patient (hashed text); empty for an unknown one."""
        return self.rows[:0] if patient is None else self.rows[self.patients == shorten(patient)]

    def find_image(self, pixel_sha256: str) -> np.ndarray:
        """Rows whose decoded grey levels are identical."""
        return self.rows[self.pixels == shorten(pixel_sha256)]

    def find_same_patient(self, row: int) -> np.ndarray:
        """Rows of the same known patient as a row, itself included; empty if its patient is not known."""
        place = self._place(row)
        if place is None or self.patients[place] == 0:
            return self.rows[:0]
        return self.rows[self.patients == self.patients[place]]

    def find_identical(self, row: int) -> np.ndarray:
        """Rows with the same grey levels as a row, itself included."""
        place = self._place(row)
        return self.rows[:0] if place is None else self.rows[self.pixels == self.pixels[place]]
