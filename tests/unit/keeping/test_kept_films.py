"""Kept films: nothing readable lies on the disk, only the same browser and reader open it, and its time ends."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icbir_core.errors import WorkspaceError
from icbir_core.keeping import kept_films
from icbir_core.keeping.kept_films import KeepingRules, KeptFilm, KeptFilms, read_keeping_rules, sweep_kept

SECRET = secrets.token_hex(32)
FACTS = {"file_name": "SMITH_JANE.dcm", "view": "PA"}


def make_film(number: int = 0, side: int = 120) -> KeptFilm:
    levels = np.random.default_rng(number).integers(0, 65536, (side, side + 10), dtype=np.uint16)
    levels[:20] = 0x4D4D  # "MMMM…": bytes that would be seen
    return KeptFilm(f"film{number}", FACTS, levels)


def open_kept(folder: Path, secret: str = SECRET, reader: str = "anna", **rules) -> KeptFilms:
    return KeptFilms(folder, secret, reader, replace(KeepingRules(), **rules))


def keep_and_find(kept: KeptFilms, film: KeptFilm) -> Path:
    """The file in which a film is kept that was not before."""
    before = set(kept.folder.glob("*"))
    kept.keep(film)
    (path,) = set(kept.folder.iterdir()) - before
    return path


def test_a_film_and_what_was_done_with_it_come_back(tmp_path):
    kept, films = open_kept(tmp_path), [make_film(1), make_film(2)]
    for film in (*films, films[0]):
        kept.keep(film)
    kept.write_state({"current": "film2", "marks": {"case_1": "more"}})
    again = open_kept(tmp_path)
    found = again.read_films()
    assert [(one.name, dict(one.facts)) for one in found] == [("film1", FACTS), ("film2", FACTS)]
    assert all(np.array_equal(one.levels, film.levels) for one, film in zip(found, films, strict=True))
    assert again.read_state() == {"current": "film2", "marks": {"case_1": "more"}} and again.count() == 2
    again.drop("film1")
    assert [one.name for one in kept.read_films()] == ["film2"]
    again.forget()
    assert not kept.read_films() and not kept.read_state() and not any(tmp_path.rglob("*.film"))


def test_nothing_that_lies_there_can_be_read_and_only_its_owner_may_look(tmp_path):
    kept = open_kept(tmp_path / "kept", reader="reader-anna")
    kept.keep(make_film())
    kept.write_state({"case": "case_SECRET", "note": "SMITH"})
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(files) == 2
    needles = [b"SMITH_JANE", b"file_name", b"MMMMMMMM", b"case_SECRET", b"film0", b"reader-anna", SECRET.encode()]
    needles += [bytes.fromhex(SECRET), make_film().levels[30].tobytes()[:16]]
    for path in files:
        data = path.read_bytes()
        assert not [needle for needle in needles if needle in data], path
        assert not [
            1 for needle in (b"SMITH", b"reader-anna", b"film0") if needle in str(path.relative_to(tmp_path)).encode()
        ]
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_neither_another_browser_nor_another_reader_opens_it(tmp_path):
    kept = open_kept(tmp_path)
    kept.keep(make_film())
    kept.write_state({"current": "film0"})
    for other in (open_kept(tmp_path, secrets.token_hex(32)), open_kept(tmp_path, reader="ben")):
        assert not other.read_films() and not other.read_state() and other.folder != kept.folder
        other.folder.mkdir()
        for path in kept.folder.iterdir():  # even where somebody puts the files into his folder
            (other.folder / path.name).write_bytes(path.read_bytes())
        assert not other.read_films() and not other.read_state()
    for wrong in ("", "x" * 64, SECRET.upper(), SECRET[:-2]):
        with pytest.raises(WorkspaceError, match="no secret"):
            open_kept(tmp_path, wrong)


@pytest.mark.parametrize("place", [0, 10, 25, -1])
def test_a_byte_that_was_changed_is_a_film_that_is_left_out(tmp_path, place):
    kept = open_kept(tmp_path)
    first, second = (keep_and_find(kept, make_film(number)) for number in (1, 2))
    data = bytearray(first.read_bytes())
    data[place] ^= 1
    first.write_bytes(data)
    assert [one.name for one in kept.read_films()] == ["film2"]
    first.write_bytes(second.read_bytes())
    assert [one.name for one in kept.read_films()] == ["film2"], "a file under another's name is none"
    first.write_bytes(b"")
    assert len(kept.read_films()) == 1


def test_its_time_ends_whatever_the_clock_of_the_file_says(tmp_path, monkeypatch):
    kept = open_kept(tmp_path, hours=2.0)
    kept.keep(make_film())
    kept.write_state({"current": "film0"})
    now = time.time()
    monkeypatch.setattr(kept_films.time, "time", lambda: now + 7300)
    for path in kept.folder.iterdir():
        os.utime(path, (now + 7300, now + 7300))
    assert not kept.read_films() and not kept.read_state() and not list(kept.folder.glob("*.film"))


def test_a_sweep_takes_what_is_over_and_what_a_crash_left_and_nothing_else(tmp_path):
    kept, rules, now = open_kept(tmp_path), KeepingRules(hours=2.0), time.time()
    for number, age in ((1, 7300), (2, 7100)):
        os.utime(keep_and_find(kept, make_film(number)), (now - age, now - age))
    half = kept.folder / "x.1234.partial"
    half.write_bytes(b"half a film")
    os.utime(half, (now - 400, now - 400))
    fresh = kept.folder / "y.1234.partial"
    fresh.write_bytes(b"being written")
    (tmp_path / "not ours").mkdir()
    (tmp_path / "not ours" / "a.film").write_bytes(b"of somebody")
    os.utime(tmp_path / "not ours" / "a.film", (0, 0))
    assert sweep_kept(tmp_path, rules, now) == 2
    assert [one.name for one in kept.read_films()] == ["film2"] and fresh.is_file()
    assert (tmp_path / "not ours" / "a.film").is_file()
    assert sweep_kept(tmp_path, KeepingRules("off", 0.0)) == 2 and not kept.folder.exists()
    assert sweep_kept(tmp_path / "nowhere", rules) == 0


def test_what_is_kept_is_bounded(tmp_path):
    size = make_film().levels.nbytes
    kept = open_kept(tmp_path, own_bytes=int(2.5 * size))
    for number in range(4):
        path = keep_and_find(kept, make_film(number))
        os.utime(path, (number + 1, number + 1))
    assert [one.name for one in kept.read_films()] == ["film2", "film3"], "the oldest give way"
    with pytest.raises(WorkspaceError, match="keep no more"):
        kept.keep(make_film(9, 400))
    full = open_kept(tmp_path, reader="ben", all_bytes=3 * size)
    with pytest.raises(WorkspaceError, match="gone after a reload"):
        for number in range(4):
            full.keep(make_film(number))


def test_where_it_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(WorkspaceError, match="cannot be kept"):
        open_kept(tmp_path / "kept").keep(make_film())


@pytest.mark.parametrize(
    ("mode", "hours", "expected"),
    [
        (None, None, ("on", 12.0)), ("ask", "3", ("ask", 3.0)), ("off", "3", ("off", 0.0)), ("of", None, ("off", 0.0)),
        ("on", "0", ("off", 0.0)), ("on", "nan", ("off", 0.0)),
        ("on", "many", ("off", 0.0)), ("on", "1e9", ("off", 0.0)),
    ],
)  # fmt: skip
def test_a_setting_that_means_nothing_keeps_nothing(monkeypatch, mode, hours, expected):
    for name, value in (("ICBIR_KEEP_FILMS", mode), ("ICBIR_KEEP_HOURS", hours)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    found = read_keeping_rules()
    assert (found.mode, found.hours) == expected


def test_files_that_go_while_they_are_looked_at_disturb_nobody(tmp_path, monkeypatch):
    """Another visit writes its state aside and renames it, or its films are dropped."""
    kept = open_kept(tmp_path)
    kept.keep(make_film())
    walk = os.walk

    def walk_and_lose(folder):
        for root, folders, names in walk(folder):
            yield root, folders, [".state.0123.partial", *names]

    monkeypatch.setattr(kept_films.os, "walk", walk_and_lose)
    kept.keep(make_film(1))
    assert kept.count() == 2 and sweep_kept(tmp_path, KeepingRules()) == 0
