"""Tables as text, in the encoding that their bytes show: what spreadsheets of every system write."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO, cast

from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The first bytes of .xlsx and .ods, and of .xls.
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_HEAD, _CHUNK, _SAMPLE = 4096, 1 << 15, 1 << 18
# Of text decoded with "surrogateescape": bytes that are no UTF-8, and letters that are.
_BROKEN, _WHOLE = re.compile("[\udc80-\udcff]"), re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")

# Windows, Mac and DOS (the letters of 437 lie at the same places as those of 850).
_ENCODINGS = ("cp1252", "mac_roman", "cp850")
# The benefit of doubt for the one that nearly all such tables are written in.
_LIKELY = 3.0
_FOREIGN = re.compile(r"[\x80-\U0010ffff]")
# Letters beyond a to z of western European languages, the usual ones first; those that words begin with; signs.
_LETTERS = "éüäöèßóáíñàçãêôøúåâëïîæûùœòìõ"
_FIRST = frozenset("äöüéáåøàâ")
_SIGNS = frozenset("’‘“”–—…•°±²³µ§€«»·½")
_ELIDED, _SHORTENED = re.compile(r"\b\w{1,2}$"), re.compile(r"(?:s|t|d|m|re|ve|ll)\b")


def open_table(table: PathLike) -> TextIO:
    """A table opened as text, plain or .gz, in the encoding that its bytes show.

    Raises OSError, EOFError, zlib.error.
    """
    path = Path(table)
    encoding = _find_encoding(path)
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding=encoding, newline=""))
    return path.open(encoding=encoding, newline="")


def refuse_spreadsheet(table: PathLike) -> None:
    """Raises `CatalogueError` for a file in a spreadsheet's own format."""
    path = Path(table)
    with path.open("rb") as handle:
        if handle.read(len(_SPREADSHEETS[1])).startswith(_SPREADSHEETS):
            raise CatalogueError(f"The table '{path.name}' is a spreadsheet's own file; save it as csv in UTF-8.")


def _find_encoding(path: Path) -> str:
    """UTF-32 or UTF-16 by their mark or their zeros; else UTF-8, unless every byte above 127 speaks against it. A table
    that is UTF-8 for the most part is a damaged one."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
        head = handle.read(_HEAD)
        for mark, encoding in _MARKS:
            if head.startswith(mark):
                return encoding
        if head.count(0) > len(head) // 4:
            return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        decoder, whole, broken = codecs.getincrementaldecoder("utf-8")("surrogateescape"), False, False
        chunk, sample = head, b""
        while chunk:
            text = decoder.decode(chunk)
            if not text.isascii():
                broken = broken or _BROKEN.search(text) is not None
                whole = whole or _WHOLE.search(text) is not None
                sample += chunk if len(sample) < _SAMPLE else b""
            chunk = handle.read(_CHUNK)
    return guess_code_page(sample) if broken and not whole else "utf-8"


def guess_code_page(sample: bytes) -> str:
    """Whichever of Windows-1252, Mac Roman and DOS 850 makes the most likely words of western Europe."""
    scores: dict[str, float] = {}
    for encoding in _ENCODINGS:
        try:
            scores[encoding] = _score(sample.decode(encoding)) + (_LIKELY if encoding == _ENCODINGS[0] else 0.0)
        except UnicodeDecodeError:
            continue
    return max(scores, key=lambda encoding: scores[encoding])


def _score(text: str) -> float:
    places: Iterable[re.Match[str]] = _FOREIGN.finditer(text)
    return sum(
        _judge(text[max(0, place.start() - 3) : place.start()], place[0], text[place.end() : place.end() + 3])
        for place in places
    )


def _judge(before: str, sign: str, after: str) -> float:
    """How likely a sign is between the three that stand before it and the three that follow."""
    left, right = before[-1:], after[:1]
    if not sign.isalpha() or sign in "µªº":
        if not (left.isalpha() and right.isalpha()):
            return 4.0 if sign in _SIGNS else -3.0
        return 7.0 if sign == "’" and (_ELIDED.search(before) or _SHORTENED.match(after)) else -6.0
    value = 9.0 - _LETTERS.index(sign.lower()) / 4 if sign.lower() in _LETTERS else -3.0
    if left.isdigit() or right.isdigit() or (sign == "õ" and right != "e"):
        return -6.0
    if not left.isalpha():
        value -= 0.0 if sign.lower() in _FIRST else 6.0
        return value - (3.0 if right.isalpha() and sign.isupper() == right.isupper() else 0.0)
    if left.islower() if sign.isupper() else left.isupper() and (right.isupper() or before[-2:-1].isupper()):
        return -6.0
    return value
