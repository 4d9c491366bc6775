"""Uploads: what is taken apart, and what is refused."""

from __future__ import annotations

import io
import zipfile

import pytest

from icbir_core.errors import RadiographError
from icbir_core.settings import ReadLimits
from icbir_ui.films import MAX_MEMBERS, expand_upload


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


def test_too_many_members_are_refused():
    with pytest.raises(RadiographError, match=f"at most {MAX_MEMBERS}"):
        list(expand_upload("many.zip", pack(**{f"f{number}": b"" for number in range(MAX_MEMBERS + 1)})))


def test_a_damaged_zip_is_one_sentence():
    with pytest.raises(RadiographError, match="unpacked"):
        list(expand_upload("broken.zip", pack(film=b"1")[:20]))
