"""Which cases are the same patient or the same image, for a whole catalogue, in 40 bytes a case."""

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
    """rows int64 (N,) ascending, removed cases included; patients, pixels, instances and stored (values before any
    window) uint64 (N,). others : pairs of a row and another patient of it, int64 (M,) and uint64 (M,)."""

    def __init__(
        self,
        rows: np.ndarray,
        patients: np.ndarray,
        pixels: np.ndarray,
        instances: np.ndarray | None = None,
        others: tuple[np.ndarray, np.ndarray] | None = None,
        stored: np.ndarray | None = None,
    ):
        self.rows, self.patients, self.pixels = rows, patients, pixels
        self.instances = np.zeros(len(rows), np.uint64) if instances is None else instances
        self.stored = np.zeros(len(rows), np.uint64) if stored is None else stored
        self.others = others or (np.empty(0, np.int64), np.empty(0, np.uint64))

    @classmethod
    def read(cls, catalogue: Any) -> CaseKeys:
        """Read from a catalogue, batch by batch."""
        keys, others = [], []
        for batch in catalogue.iterate(batch=1024, include_removed=True):
            for case in batch:
                texts = (case.patient, case.pixel_sha256, case.instance, case.stored_sha256)
                keys.append((case.row, *(shorten(text) for text in texts)))
                others += [(case.row, shorten(patient)) for patient in case.other_patients]
        rows, patients, pixels, instances, stored = np.array(keys, np.uint64).reshape(-1, 5).T.copy()
        known_as = np.array(others, np.uint64).reshape(-1, 2).T.copy()
        rows, where = rows.astype(np.int64), known_as[0].astype(np.int64)
        return cls(rows, patients, pixels, instances, (where, known_as[1]), stored)

    def _place(self, row: int) -> int | None:
        place = int(np.searchsorted(self.rows, row))
        return place if place < len(self.rows) and self.rows[place] == row else None

    def find_patient(self, patient: str | None) -> np.ndarray:
        """Rows of a patient (hashed text), also those that are known under that name besides; empty for an unknown
        one."""
        return self.rows[:0] if patient is None else self._find(shorten(patient))

    def find_image(self, pixel_sha256: str, stored_sha256: str | None = None) -> np.ndarray:
        """Rows whose decoded grey levels, or stored values where they are known, are identical."""
        same = self.pixels == shorten(pixel_sha256)
        return np.asarray(self.rows[same | (self.stored == shorten(stored_sha256)) if stored_sha256 else same])

    def find_instance(self, instance: str | None) -> np.ndarray:
        """Rows that come from a DICOM instance (hashed text); empty for an unknown one."""
        return self.rows[:0] if instance is None else self.rows[self.instances == shorten(instance)]

    def find_same_patient(self, row: int) -> np.ndarray:
        """Rows of the same known patient as a row, under any of its names, itself included; empty if its patient is not
        known."""
        place = self._place(row)
        if place is None:
            return self.rows[:0]
        keys = {int(self.patients[place]), *self.others[1][self.others[0] == row].tolist()} - {0}
        found = [self._find(np.uint64(key)) for key in sorted(keys)]
        return np.unique(np.concatenate([self.rows[:0], *found]))

    def find_identical(self, row: int) -> np.ndarray:
        """Rows with the same grey levels as a row, itself included."""
        place = self._place(row)
        return self.rows[:0] if place is None else self.rows[self.pixels == self.pixels[place]]

    def _find(self, patient: np.uint64) -> np.ndarray:
        own = self.rows[self.patients == patient]
        return np.union1d(own, self.others[0][self.others[1] == patient]) if len(self.others[0]) else own
