"""Uploads: what is taken apart, and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import pytest

from icbir_core.errors import RadiographError
from icbir_core.settings import ReadLimits
from icbir_ui.uploads import MAX_MEMBERS, expand_upload


def pack(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_file_is_itself_whatever_its_name():
    assert list(expand_upload("IM0001", b"bytes")) == [("IM0001", b"bytes")]


def test_a_zip_is_its_films_without_the_rest():
    data = pack(**{"a/IM1": b"1", "__MACOSX/a/IM1": b"x", ".hidden": b"x", "DICOMDIR": b"x", "b.png": b"2"})
    assert list(expand_upload("all.zip", data)) == [("IM1", b"1"), ("b.png", b"2")]


def test_a_bomb_is_refused_before_it_is_unpacked():
    with pytest.raises(RadiographError, match="split it"):
        list(expand_upload("bomb.zip", pack(film=b"0" * 5000), ReadLimits(max_bytes=1000)))


@pytest.mark.parametrize("data", [pack(), pack(**{".hidden": b"x", "__MACOSX/a": b"x"})])
def test_a_zip_without_films_says_so(data):
    with pytest.raises(RadiographError, match=r"There is no film in 'x\.zip'\."):
        list(expand_upload("x.zip", data))


def test_too_many_members_are_refused():
    with pytest.raises(RadiographError, match=f"at most {MAX_MEMBERS}"):
        list(expand_upload("many.zip", pack(**{f"f{number}": b"" for number in range(MAX_MEMBERS + 1)})))


def test_a_damaged_zip_is_one_sentence():
    with pytest.raises(RadiographError, match="unpacked"):
        list(expand_upload("broken.zip", pack(film=b"1")[:20]))


def damage(data: bytes, name: str, change: Callable[[bytearray, int], None]) -> bytes:
    """A zip in which `change` has been done to one member, whose header lies at the place that it is given."""
    packed = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        change(packed, archive.getinfo(name).header_offset)
    return bytes(packed)


def break_stream(packed: bytearray, at: int) -> None:
    start = at + 30 + int.from_bytes(packed[at + 26 : at + 28], "little")
    packed[start] = 0xFF  # no block of a deflate stream begins so


def encrypt(packed: bytearray, at: int) -> None:
    packed[packed.rindex(b"PK\x01\x02", 0, packed.rindex(b"bad")) + 8] |= 1
    packed[at + 6] |= 1


def make_unknown(packed: bytearray, at: int) -> None:
    packed[packed.rindex(b"PK\x01\x02", 0, packed.rindex(b"bad")) + 10] = 97
    packed[at + 8] = 97


@pytest.mark.parametrize("change", [break_stream, encrypt, make_unknown])
def test_a_member_that_cannot_be_unpacked_is_one_sentence_after_all_the_others(change):
    data = damage(pack(**{"a.png": b"1", "x/bad.png": b"2" * 50, "c.png": b"3"}), "x/bad.png", change)
    films = expand_upload("all.zip", data)
    assert [next(films), next(films)] == [("a.png", b"1"), ("c.png", b"3")]
    with pytest.raises(RadiographError, match=r"'bad\.png' in 'all\.zip'.*upload"):
        next(films)


@pytest.mark.parametrize("error", [EOFError("cut short"), OSError("Invalid data stream")])
def test_a_stream_that_ends_too_early_is_one_sentence(error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(RadiographError, match="IM1"):
        list(expand_upload("all.zip", pack(IM1=b"1")))
