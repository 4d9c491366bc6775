"""When a difference is only rounding: one place decides, for every map, distance and scale that rests on one.

Two numbers that should be equal and that a network has computed differ in their last digits: the order of a sum depends
on the processor, on the number of threads and on the place in the batch. Their difference is not 0, and a picture or
a ranking made from it shows noise. So a difference counts as 0 where it is a small share of what was subtracted.
"""

from __future__ import annotations

import numpy as np

DOUBLE = 1e-12
"""Share for sums in double precision."""
SINGLE = 1e-5
"""Share for what one pass through a network gives: single precision keeps seven digits, a hundred layers cost one."""
COARSE = 1e-3
"""Share for what is kept in half precision, or computed from a saliency map: the rules divide by small numbers, and a
value that two instruction sets round to either side of 0 takes another way through a network."""


def clear_rounding(differences: np.ndarray, sizes: np.ndarray | float, share: float = SINGLE) -> np.ndarray:
    """The differences, with 0 wherever one is at most `share` of its size; shape and dtype stay.

    sizes : not negative, how large the numbers are that were subtracted; broadcast. For a distance of two vectors a and
    b that is (|a|² + |b|²)^½.
    """
    differences = np.asarray(differences)
    cleared: np.ndarray = np.where(
        np.abs(differences) <= share * np.asarray(sizes), differences.dtype.type(0), differences
    )
    return cleared


def clear_distances(distances: np.ndarray, query: np.ndarray, share: float = SINGLE) -> np.ndarray:
    """Euclidean distances (N,) from one vector (D,), with 0 where only rounding separates the two. A vector so near is
    as long as the query, so that only the query's own length is needed."""
    length = np.linalg.norm(np.asarray(query, np.float64))
    return clear_rounding(distances, np.sqrt(2.0) * length, share)


def invert_lengths(vectors: np.ndarray, sizes: np.ndarray | float = 0.0) -> np.ndarray:
    """1 / |v| of each vector (N, D), float64 (N,), and 0 where a vector is zero or rounding beside `sizes`."""
    lengths = clear_rounding(np.linalg.norm(np.asarray(vectors, np.float64), axis=1), sizes)
    inverse: np.ndarray = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return inverse
