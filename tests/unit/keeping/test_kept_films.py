"""Kept films: nothing readable lies on the disk, only the same browser and reader open it, and its time ends."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.database import draw_schema, find_engine
from icbir_core.errors import WorkspaceError
from icbir_core.keeping import kept_films, kept_places
from icbir_core.keeping.kept_films import KeepingRules, KeptFilm, KeptFilms, read_keeping_rules
from icbir_core.keeping.kept_places import (
    KeptFolder,
    KeptPlace,
    KeptTable,
    find_kept_folder,
    open_kept_place,
    sweep_kept,
)

SECRET = secrets.token_hex(32)
FACTS = {"file_name": "SMITH_JANE.dcm", "view": "PA"}


def make_film(number: int = 0, side: int = 120) -> KeptFilm:
    levels = np.random.default_rng(number).integers(0, 65536, (side, side + 10), dtype=np.uint16)
    levels[:20] = 0x4D4D  # "MMMM…": bytes that would be seen
    return KeptFilm(f"film{number}", FACTS, levels)


@pytest.fixture
def place(either_database, tmp_path) -> KeptPlace:
    """Where films are kept: a folder, and a table in a database server."""
    return KeptTable(draw_schema()) if either_database == "postgresql" else KeptFolder(tmp_path / "kept")


def open_kept(place: KeptPlace | Path, secret: str = SECRET, reader: str = "anna", **rules) -> KeptFilms:
    found = KeptFolder(place) if isinstance(place, Path) else place
    return KeptFilms(found, secret, reader, replace(KeepingRules(), **rules))


def list_sealed(place: KeptPlace) -> list[tuple[str, str, bytes]]:
    """(owner, name, bytes) of all that lies there."""
    if isinstance(place, KeptTable):
        query = "SELECT owner, name, sealed FROM kept_films ORDER BY written"
        with find_engine(place.schema).connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]
    files = sorted((path for path in place.root.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    return [(path.parent.name, path.name, path.read_bytes()) for path in files]


def set_time(place: KeptPlace, name: str, seconds: float) -> None:
    """When it was written, by the clock that the sweep goes by."""
    if isinstance(place, KeptTable):
        with find_engine(place.schema).begin() as connection:
            change = "UPDATE kept_films SET written = to_timestamp(%s) WHERE name = %s"
            connection.exec_driver_sql(change, (seconds, name))
        return
    (path,) = place.root.rglob(name)
    os.utime(path, (seconds, seconds))


def keep_and_find(kept: KeptFilms, film: KeptFilm) -> str:
    """The name under which a film is kept that was not before."""
    before = set(kept.place.list_films(kept.owner))
    kept.keep(film)
    ((name, _),) = set(kept.place.list_films(kept.owner)) - before
    return name


def test_a_film_and_what_was_done_with_it_come_back(place):
    kept, films = open_kept(place), [make_film(1), make_film(2)]
    for film in (*films, films[0]):
        kept.keep(film)
    kept.write_state({"current": "film2", "marks": {"case_1": "more"}})
    again = open_kept(place)
    found = again.read_films()
    assert [(one.name, dict(one.facts)) for one in found] == [("film1", FACTS), ("film2", FACTS)]
    assert all(np.array_equal(one.levels, film.levels) for one, film in zip(found, films, strict=True))
    assert again.read_state() == {"current": "film2", "marks": {"case_1": "more"}} and again.count() == 2
    again.write_state({"current": "film1"})
    assert kept.read_state() == {"current": "film1"}
    again.drop("film1")
    assert [one.name for one in kept.read_films()] == ["film2"]
    again.forget()
    assert not kept.read_films() and not kept.read_state() and not list_sealed(place)


def test_nothing_that_lies_there_can_be_read(place):
    kept = open_kept(place, reader="reader-anna")
    kept.keep(make_film())
    kept.write_state({"case": "case_SECRET", "note": "SMITH"})
    held = list_sealed(place)
    assert len(held) == 2
    needles = [b"SMITH_JANE", b"file_name", b"MMMMMMMM", b"case_SECRET", b"reader-anna", SECRET.encode()]
    needles += [bytes.fromhex(SECRET), make_film().levels[30].tobytes()[:16]]
    for owner, name, data in held:
        assert not [needle for needle in needles if needle in data], name
        assert not [one for one in ("SMITH", "reader-anna", "film0") if one in f"{owner} {name}"]


def test_only_its_owner_may_look_into_a_folder(tmp_path):
    kept = open_kept(tmp_path / "kept")
    kept.keep(make_film())
    kept.write_state({})
    for path in (tmp_path / "kept" / kept.owner).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_neither_another_browser_nor_another_reader_opens_it(place):
    kept = open_kept(place)
    kept.keep(make_film())
    kept.write_state({"current": "film0"})
    for other in (open_kept(place, secrets.token_hex(32)), open_kept(place, reader="ben")):
        assert not other.read_films() and not other.read_state() and other.owner != kept.owner
        for owner, name, data in list_sealed(place):
            if owner == kept.owner:  # even where somebody puts them under his name
                place.write(other.owner, name, data)
        assert not other.read_films() and not other.read_state() and other.count() == 1
    for wrong in ("", "x" * 64, SECRET.upper(), SECRET[:-2]):
        with pytest.raises(WorkspaceError, match="no secret"):
            open_kept(place, wrong)


def test_a_byte_that_was_changed_is_a_film_that_is_left_out(place):
    kept = open_kept(place)
    first, second = (keep_and_find(kept, make_film(number)) for number in (1, 2))
    whole = place.read(kept.owner, first)
    for number in (0, 10, 25, -1):
        data = bytearray(whole)
        data[number] ^= 1
        place.write(kept.owner, first, bytes(data))
        assert [one.name for one in kept.read_films()] == ["film2"], number
    place.write(kept.owner, first, place.read(kept.owner, second))
    assert [one.name for one in kept.read_films()] == ["film2"], "what lies under another's name is none"
    place.write(kept.owner, first, b"")
    assert len(kept.read_films()) == 1


def test_its_time_ends_whatever_the_clock_of_its_place_says(place, monkeypatch):
    kept = open_kept(place, hours=2.0)
    name = keep_and_find(kept, make_film())
    kept.write_state({"current": "film0"})
    now = time.time()
    monkeypatch.setattr(kept_films.time, "time", lambda: now + 7300)
    for one in (name, "state"):
        set_time(place, one, now + 7300)
    assert not kept.read_films() and not kept.read_state() and not kept.count()


def test_a_sweep_takes_what_is_over(place):
    kept, now = open_kept(place), time.time()
    for number, age in ((1, 7300), (2, 7100)):
        set_time(place, keep_and_find(kept, make_film(number)), now - age)
    assert place.sweep(2.0, now) == 1
    assert [one.name for one in kept.read_films()] == ["film2"]
    assert place.sweep(0.0) == 1 and not list_sealed(place)


def test_a_sweep_takes_what_a_crash_left_and_nothing_else(tmp_path):
    place, now = KeptFolder(tmp_path), time.time()
    kept = open_kept(place)
    kept.keep(make_film(2))
    own = tmp_path / kept.owner
    half = own / "x.1234.partial"
    half.write_bytes(b"half a film")
    os.utime(half, (now - 400, now - 400))
    fresh = own / "y.1234.partial"
    fresh.write_bytes(b"being written")
    (tmp_path / "not ours").mkdir()
    (tmp_path / "not ours" / "a.film").write_bytes(b"of somebody")
    os.utime(tmp_path / "not ours" / "a.film", (0, 0))
    assert place.sweep(2.0, now) == 1
    assert [one.name for one in kept.read_films()] == ["film2"] and fresh.is_file()
    assert (tmp_path / "not ours" / "a.film").is_file()
    assert place.sweep(0.0) == 2 and not own.exists()
    assert KeptFolder(tmp_path / "nowhere").sweep(2.0) == 0


def test_what_is_kept_is_bounded(place):
    size = make_film().levels.nbytes
    kept = open_kept(place, own_bytes=int(2.5 * size))
    for number in range(4):
        set_time(place, keep_and_find(kept, make_film(number)), number + 1)
    assert [one.name for one in kept.read_films()] == ["film2", "film3"], "the oldest give way"
    with pytest.raises(WorkspaceError, match="keep no more"):
        kept.keep(make_film(9, 400))
    full = open_kept(place, reader="ben", all_bytes=3 * size)
    with pytest.raises(WorkspaceError, match="gone after a reload"):
        for number in range(4):
            full.keep(make_film(number))


def test_where_it_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(WorkspaceError, match="cannot be kept"):
        open_kept(tmp_path / "kept").keep(make_film())


def test_a_workspace_in_a_database_server_keeps_films_there_and_in_a_folder_only_where_one_is_named(
    either_database, tmp_path, monkeypatch
):
    monkeypatch.delenv("ICBIR_KEPT", raising=False)
    workspace = Workspace.create(tmp_path / "w")
    place = open_kept_place(workspace)
    assert isinstance(place, KeptTable) == (either_database == "postgresql")
    kept, former = open_kept(place), open_kept(find_kept_folder(workspace.path))
    kept.keep(make_film())
    assert former.count() == (0 if isinstance(place, KeptTable) else 1)
    former.keep(make_film(1))
    assert sweep_kept(workspace.path, 1.0) == 0 and sweep_kept(workspace.path, 0.0) == 2
    assert not kept.count() and not former.count()
    kept.keep(make_film())
    monkeypatch.setenv("ICBIR_KEPT", str(tmp_path / "named"))
    assert open_kept_place(workspace).root == tmp_path / "named"
    open_kept(tmp_path / "named").keep(make_film())
    assert sweep_kept(tmp_path / "not there", 0.0) == 1, "also where the workspace is away"


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

    monkeypatch.setattr(kept_places.os, "walk", walk_and_lose)
    kept.keep(make_film(1))
    assert kept.count() == 2 and kept.place.sweep(12.0) == 0
