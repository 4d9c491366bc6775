"""What an encoder makes of a film, explained by covering parts of it: the only map that any network can have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icbir_core.errors import SaliencyError, UnknownNameError
from icbir_core.radiograph.network_input import IMAGENET_MEAN
from icbir_core.saliency.encoding import name_state, require_maps
from icbir_core.saliency.occlusion import occlude
from icbir_core.types import SaliencyMap

if TYPE_CHECKING:
    from icbir_core.model.encoders import Encoder

METHOD = "occlusion"
_GREY = float(IMAGENET_MEAN.mean())


def explain_encoder(encoder: Encoder, image: np.ndarray, finding: str | None, method: str = METHOD) -> SaliencyMap:
    """How far an encoder's score of a finding falls when a square of the film is covered, signed; of an encoder without
    findings, how far its features turn: 1 − the cosine between those of the film and of the covered film, not signed,
    in [0, 2].

    image : float32 (S, S) in [0, 1], as the encoder sees it. finding : None takes its first, if it has any. Raises
    `SaliencyError` for another method and for a finding of an encoder that has none, `UnknownNameError` for a finding
    that it does not know.
    """
    if method != METHOD:
        raise SaliencyError(f"{encoder.title} has no rules for {method}; use --method {METHOD}.")
    film, scores = np.asarray(image, np.float32), encoder.scores
    if scores is None:
        if finding is not None:
            raise SaliencyError(f"{encoder.title} finds nothing, it only describes films; leave --target out.")
        whole = _make_unit(encoder.features(film[None]))[0]
        values = np.maximum(occlude(film, lambda films: _make_unit(encoder.features(films)) @ whole, _GREY), 0)
    else:
        finding = finding or encoder.findings[0]
        if finding not in encoder.findings:
            raise UnknownNameError("finding of this encoder", finding, encoder.findings)
        column = encoder.findings.index(finding)
        values = occlude(film, lambda films: scores(films)[:, column], _GREY)
    values = require_maps(values[None])[0]
    return SaliencyMap(values, METHOD, finding or "", scores is not None, "", name_state(values), encoder.title)


def _make_unit(features: np.ndarray) -> np.ndarray:
    """Features (N, D) at length 1, float64; zeros stay."""
    found = np.asarray(features, np.float64)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    unit: np.ndarray = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return unit
