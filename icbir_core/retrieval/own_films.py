"""The cases that a search leaves out: the query itself, its patient, and copies of its film."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.errors import IcbirError
from icbir_core.radiograph.same_picture import is_same_picture
from icbir_core.retrieval.case_keys import CaseKeys
from icbir_core.retrieval.neighbours import VERY_CLOSE
from icbir_core.retrieval.search_index import Found
from icbir_core.settings import SearchSettings
from icbir_core.types import Query


class OwnFilms:
    """What must not come back for one query under its settings. copies : rows int64, as far as a search found them."""

    def __init__(self, workspace: Workspace, keys: CaseKeys, query: Query, settings: SearchSettings):
        self._catalogue, self._workspace, self._keys = workspace.catalogue, workspace, keys
        self._query, self._settings = query, settings
        same = np.union1d(
            keys.find_image(query.radiograph.pixel_sha256, query.radiograph.stored_sha256),
            # some exporters give all films one instance, so the pictures decide
            self._keep_pictures(keys.find_instance(query.instance)),
        )
        self._same = same if query.case_id is None else np.union1d(same, [self._catalogue.get(query.case_id).row])
        self.copies = np.empty(0, np.int64)

    def take_copies(self, found: Found, percentiles: Sequence[float]) -> bool:
        """Whether some of what was found very close to the query shows its very picture; such rows join the copies."""
        if self._settings.identical_image:
            return False
        close = [row for row, one in zip(found.rows, percentiles, strict=True) if not one > VERY_CLOSE]
        copies = self._keep_pictures(close)
        self.copies = np.union1d(self.copies, copies)
        return len(copies) > 0

    def list_rows(self) -> np.ndarray:
        """Rows int64 (n,), ascending, that are left out."""
        same = np.union1d(self._same, self.copies)
        parts = [np.empty(0, np.int64)] if self._settings.identical_image else [same]
        if not self._settings.same_patient:
            # a film that the catalogue holds tells its patient, even if the query does not; whether that very film may
            # come back is for the other option to say
            patients = (self._keys.find_same_patient(int(row)) for row in same)
            known = [self._keys.find_patient(self._query.patient), *patients]
            parts.append(np.setdiff1d(np.concatenate(known), same))
        return np.unique(np.concatenate(parts))

    def _keep_pictures(self, rows: Iterable[int]) -> np.ndarray:
        return np.array([row for row in rows if self._shows_query(int(row))], np.int64)

    def _shows_query(self, row: int) -> bool:
        try:
            film = read_case_radiograph(self._workspace, self._catalogue.get_row(row))
        except IcbirError:  # a film that is missing is told where it would be shown
            return False
        return is_same_picture(self._query.radiograph.pixels, film.pixels)
