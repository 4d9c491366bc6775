"""What each method compares: a vector for each film, computed in batches, kept on disk, or read from the index."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from icbir_core.errors import EvaluationError, IndexMismatch
from icbir_core.evaluation.controls import CONTROL_MAPS, make_control
from icbir_core.evaluation.films import FilmSet
from icbir_core.evaluation.retraining import SUFFIX
from icbir_core.files import PathLike, read_arrays, reading_own, write_bytes_atomically
from icbir_core.retrieval.methods import ENCODERS, FEATURES, REDUCED, SALIENCY_FEATURES, SEARCH_METHODS, SearchMethod
from icbir_core.retrieval.side_by_side import name_field
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import get_encoder_store
from icbir_core.types import Progress

if TYPE_CHECKING:
    from icbir_core.model.classifier import Classifier
    from icbir_core.model.encoders import Encoder
    from icbir_core.retrieval.opened_target import OpenedTarget

BATCH = 32
_EMBEDDED = (FEATURES, SALIENCY_FEATURES, REDUCED)
"""What one embedding of a film gives; kept together under the name "base"."""


class VectorSource:
    """Vectors of one opened target. kinds: the fields of search methods (from the store, for catalogue rows), the
    controls, and what `retrained` names with the ending of a retrained one.

    Everything computed is kept under `folder` by the film's grey levels, in parts of a batch, so that a second protocol
    or a killed run computes nothing twice.
    """

    def __init__(
        self,
        opened: OpenedTarget,
        folder: PathLike,
        progress: Progress | None = None,
        retrained: Mapping[str, Classifier] | None = None,
    ):
        self.opened, self.folder, self._progress = opened, Path(folder), progress
        self.retrained = dict(retrained or {})
        self.encoders: tuple[Encoder, ...] = opened.models.encoders
        """Those that a search compares."""
        models = opened.models.identity | {"target": opened.target, "map": opened.map_method}
        self._identity = hashlib.sha256(repr(sorted(models.items())).encode()).hexdigest()[:16]
        self._known: dict[str, dict[str, Any]] = {}

    def get(self, films: FilmSet, kind: str) -> np.ndarray:
        """float32 (N, …) of the films: "cnn", "ig_cbir" (N, D), "ssim" (N, 64, 64), a control.

        "encoder/NAME" gives the features of one of the target's encoders. Raises `EvaluationError` for ig_cbir or a
        control where the target has no saliency classifier.
        """
        if kind.endswith(SUFFIX) and kind.removesuffix(SUFFIX) not in self.retrained:
            raise EvaluationError(f"No network was retrained for {kind}; add --retrain {kind.removesuffix(SUFFIX)}.")
        if kind in (*CONTROL_MAPS, "ig_cbir") and self.opened.models.saliency_classifier is None:
            raise EvaluationError(
                f"There is no saliency classifier for {self.opened.target}; train it or leave out {kind}."
            )
        if kind in _EMBEDDED and films.rows is not None and kind in self.opened.store.names:
            return np.asarray(self.opened.store.read(kind, films.rows), dtype=np.float32)
        encoder = self._find_encoder(kind)
        if encoder is not None and films.rows is not None:
            stored = self._read_stored(encoder, films.rows)
            if stored is not None:
                return stored
        known = self._load("base" if kind in _EMBEDDED else kind)
        missing = [i for i, film in enumerate(films.films) if film not in known]
        unique = list({films.films[i]: i for i in missing}.values())
        if unique:
            self._compute(films, unique, kind)
        if kind not in _EMBEDDED:
            return np.stack([known[film] for film in films.films])
        return np.stack([known[film][kind] for film in films.films])

    def predict(self, films: FilmSet) -> np.ndarray:
        """The probabilities float32 (N, F) of the films, as a search shows them."""
        predictor = self.opened.models.predictor
        beside = (self.get(films, name_field(one.name)) for one in predictor.encoders)
        return predictor.predict([self.get(films, FEATURES), *beside])

    def _find_encoder(self, kind: str) -> Encoder | None:
        known = (*self.encoders, *self.opened.models.predictor.encoders)
        return next((one for one in known if name_field(one.name) == kind), None)

    def _read_stored(self, encoder: Encoder, rows: np.ndarray) -> np.ndarray | None:
        """What the index holds of the encoder; None where it lacks a case."""
        path = get_encoder_store(self.opened.workspace, encoder.name)
        with suppress(IndexMismatch):
            store = CaseStore.open(path, {"encoder": encoder.sha256})
            if np.isin(rows, store.get_completed()).all():
                return np.asarray(store.read(ENCODERS, rows), np.float32)
        return None

    def _compute(self, films: FilmSet, numbers: list[int], kind: str) -> None:
        encoder = self._find_encoder(kind)
        name = "base" if kind in _EMBEDDED else kind
        settings = self.opened.models.classifier.input_settings
        own = next((method for method in SEARCH_METHODS.values() if method.describe and method.field == kind), None)
        compute: Callable[[np.ndarray], dict[str, np.ndarray]]
        if encoder is not None:
            settings, features = encoder.input_settings, encoder.features
            compute = lambda images: {kind: features(images)}  # noqa: E731
        elif name == "base":
            compute = self._embed
        else:
            compute = self._make_control(kind) if own is None else self._make_own(own)
        for start in range(0, len(numbers), BATCH):
            part = numbers[start : start + BATCH]
            if self._progress:
                self._progress(start, len(numbers), f"computing {name}")
            values = compute(films.load_images(part, settings))
            self._store(name, [films.films[i] for i in part], values)

    def _embed(self, images: np.ndarray) -> dict[str, np.ndarray]:
        found = self.opened.embedder.embed(images).to_fields()
        return {name: found[name] for name in _EMBEDDED if name in found}

    def _make_own(self, method: SearchMethod) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        """What a method computes by itself."""
        from icbir_core.retrieval.embedding import describe_films

        return lambda images: {method.field: describe_films(method, images, self.opened.embedder.embed(images))}

    def _make_control(self, kind: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        from icbir_core.saliency.encoding import encode_map

        models = self.opened.models
        name = kind.removesuffix(SUFFIX)
        reader = self.retrained[name] if kind.endswith(SUFFIX) else models.saliency_classifier
        if reader is None:
            raise EvaluationError(f"There is no saliency classifier for {kind}; train it or leave {kind} out.")
        make_maps = make_control(name, models.classifier, self.opened.target)
        read = reader.features
        return lambda images: {kind: read(encode_map(make_maps(images)))}

    def _folder_of(self, name: str) -> Path:
        encoder = self._find_encoder(name)
        if encoder is not None:
            return self.folder / f"encoder-{encoder.name}-{encoder.sha256[:12]}"
        if name.endswith(SUFFIX):
            return self.folder / f"{name}-{self._identity}-{self.retrained[name.removesuffix(SUFFIX)].sha256[:12]}"
        return self.folder / f"{name}-{self._identity}"

    def _load(self, name: str) -> dict[str, Any]:
        """film → values; "base" holds a dictionary of kinds for each film."""
        if name not in self._known:
            self._known[name] = {}
            for path in sorted(self._folder_of(name).glob("*.npz")):
                with reading_own(f"'{path.name}'", EvaluationError, f"delete '{path}', it is computed again"):
                    part = read_arrays(path, EvaluationError, f"delete '{path}', it is computed again")
                    self._take(name, part.pop("films").tolist(), part)
        return self._known[name]

    def _take(self, name: str, films: list[str], values: dict[str, np.ndarray]) -> None:
        for i, film in enumerate(films):
            if name == "base":
                self._known[name][film] = {key: np.asarray(array[i], np.float32) for key, array in values.items()}
            else:
                self._known[name][film] = np.asarray(values[name][i], np.float32)

    def _store(self, name: str, films: list[str], values: dict[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        arrays = {"films": np.array(films), **values}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]  # no kind of vector is named like an option of savez
        digest = hashlib.sha256("".join(films).encode()).hexdigest()[:16]
        write_bytes_atomically(self._folder_of(name) / f"{digest}.npz", buffer.getvalue())
        self._take(name, films, values)
