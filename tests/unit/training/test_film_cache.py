"""The training cache goes on where it was killed, and starts anew for other films."""

from __future__ import annotations

import numpy as np
import pytest

from icbir_core.training.film_cache import cache_rows


def fill(start: int, stop: int) -> np.ndarray:
    return np.stack([np.full((4, 4), row / 255, np.float32) for row in range(start, stop)])


def test_goes_on_after_a_kill(tmp_path):
    calls = []

    def dies(start, stop):
        calls.append((start, stop))
        if start >= 20:
            raise KeyboardInterrupt
        return fill(start, stop)

    with pytest.raises(KeyboardInterrupt):
        cache_rows(tmp_path, "films", {"a": 1}, 35, 4, dies, batch=10)
    assert calls == [(0, 10), (10, 20), (20, 30)]
    calls.clear()

    def counts(start, stop):
        calls.append((start, stop))
        return fill(start, stop)

    steps = []
    values = cache_rows(tmp_path, "films", {"a": 1}, 35, 4, counts, lambda done, total, _: steps.append(done), batch=10)
    assert calls == [(20, 30), (30, 35)] and steps == [30, 35]
    np.testing.assert_array_equal(values[:, 0, 0], np.arange(35))
    assert values.dtype == np.uint8 and not values.flags.writeable


def test_other_films_start_anew(tmp_path):
    cache_rows(tmp_path, "films", {"a": 1}, 8, 4, fill)
    values = cache_rows(tmp_path, "films", {"a": 2}, 5, 4, lambda start, stop: 1 - fill(start, stop))
    np.testing.assert_array_equal(values[:, 0, 0], 255 - np.arange(5))
    assert len(cache_rows(tmp_path, "none", {}, 0, 4, fill)) == 0
