"""Films of readers are held in half the memory, within a budget of a session and of the server."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from icbir_core.errors import RadiographError
from icbir_core.radiograph.levels import hash_levels, levels_to_pixels
from icbir_core.settings import count_held_megapixels
from icbir_core.types import Query, Radiograph
from icbir_ui import films, holding


def make_query(seed: int = 0, shape: tuple[int, int] = (500, 400)) -> Query:
    levels = np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)
    return Query("film", Radiograph(levels_to_pixels(levels), "f" * 64, hash_levels(levels), "PNG", 16, age=57))


def test_a_held_film_is_equal_and_half_as_large():
    query = make_query()
    held = holding.hold(query)
    assert np.array_equal(held.radiograph.pixels, query.radiograph.pixels)
    assert held.radiograph.pixels.dtype == np.float32 and held.radiograph.shape == (500, 400)
    assert held.radiograph.levels.nbytes * 2 == query.radiograph.pixels.nbytes
    assert (held.radiograph.age, held.radiograph.pixel_sha256) == (57, query.radiograph.pixel_sha256)
    assert replace(held.radiograph, view="PA").view == "PA"


def test_the_server_holds_so_much_and_what_is_let_go_counts_no_more(monkeypatch):
    gc.collect()
    before = holding.count_held()  # films of other tests may be held still
    monkeypatch.setenv("ICBIR_HELD_MEGAPIXELS", str(1 + -(-before // 1_000_000)))
    kept = [holding.hold(make_query(number)) for number in range(4)]
    with pytest.raises(RadiographError, match="as many films as it may"):
        for number in range(4, 16):
            kept.append(holding.hold(make_query(number)))
    assert holding.count_held() <= 1_000_000 * count_held_megapixels()
    kept.clear()
    gc.collect()
    assert holding.count_held() <= before
    holding.hold(make_query())


def test_a_session_lets_go_its_oldest_films_and_never_the_current_one(monkeypatch):
    monkeypatch.setattr(films, "SESSION_MEGAPIXELS", 1)
    held = {str(number): films.make_film(make_query(number), "upload", file_name=str(number)) for number in range(8)}
    assert films.drop_oldest(held, "0") == ["1", "2", "3"]
    assert list(held) == ["0", "4", "5", "6", "7"] and sum(film.size for film in held.values()) == 1_000_000
    assert films.drop_oldest(held, "0") == []


def test_a_file_that_is_held_for_its_results_counts_in_both_budgets(monkeypatch):
    monkeypatch.setenv("ICBIR_RESULTS", "download")
    monkeypatch.setattr(films, "read_source", lambda data, pixels: {"original": data})
    gc.collect()
    before = holding.count_held()
    film = films.make_film(make_query(), "upload", b"1" * 1_000_000)
    assert film.size == holding.count_held() - before == 500 * 400 + 500_000
    monkeypatch.setenv("ICBIR_HELD_MEGAPIXELS", str(2 + before // 1_000_000))
    with pytest.raises(RadiographError, match="as many films as it may"):
        films.make_film(make_query(1), "upload", b"1" * 3_600_000)
    assert holding.count_held() - before == film.size
