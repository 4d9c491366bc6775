"""Readers with known bias, noise and lapses: they prove that statistics find what was put in; never mixed with real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from icbir_core.study.design import Study
from icbir_core.study.session import ReadingSession
from icbir_core.study.store import RatingsStore


@dataclass(frozen=True)
class ReaderModel:
    """score = round(similarity + bias + noise · N(0, 1)) clipped to 1 … 5; with probability `lapse` any of the five.

    cannot_judge : probability of refusing; map_effect : added to the similarity in stage 2; seconds : median time.
    """

    bias: float = 0.0
    noise: float = 0.5
    lapse: float = 0.0
    cannot_judge: float = 0.0
    map_effect: float = 0.0
    seconds: float = 8.0

    def score(self, similarity: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """int64 scores 1 … 5 for similarities on the same scale, any shape."""
        values = np.asarray(similarity, dtype=np.float64)
        felt = values + self.bias + generator.normal(0, 1, values.shape) * self.noise
        scores = np.clip(np.rint(felt), 1, 5).astype(np.int64)
        return np.where(generator.random(values.shape) < self.lapse, generator.integers(1, 6, values.shape), scores)


def simulate_reader(
    store: RatingsStore, study: Study, reader: str, model: ReaderModel, similarity: Callable[[str, str], float],
    seed: int = 0,
) -> int:  # fmt: skip
    """Answer a whole study through the same session as a real reader; the number of answers. All marked simulated."""
    generator = np.random.default_rng(seed)
    session = ReadingSession(store, study, reader, simulated=True)
    answered = 0
    for item in session.remaining_items():
        query, cases = session.find_cases(item.token)
        felt = np.array([similarity(query, case) for case in cases]) + model.map_effect * item.with_maps
        time_ms = int(1000 * model.seconds * np.exp(generator.normal(0, 0.3)))
        if generator.random() < model.cannot_judge:
            session.answer(item.token, cannot_judge=True, time_ms=time_ms)
        elif item.task == "similarity":
            session.answer(item.token, score=int(model.score(felt, generator)[0]), time_ms=time_ms)
        else:
            seen = felt + generator.normal(0, 1, len(felt)) * model.noise
            if generator.random() < model.lapse:
                seen = generator.permutation(seen)
            order = [item.case_tokens[i] for i in np.argsort(-seen, kind="stable")]
            if item.task == "ranking":
                session.answer(item.token, order=order, time_ms=time_ms)
            else:
                session.answer(item.token, chosen=order[0], time_ms=time_ms)
        answered += 1
    return answered
