"""Tables as text, in the encoding that their bytes show: what spreadsheets of every system write."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
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
_HEAD, _CHUNK, _SAMPLE = 4096, 1 << 15, 1 << 15
# Of text decoded with "surrogateescape": bytes that are no UTF-8, and letters that are.
_BROKEN, _WHOLE = re.compile("[\udc80-\udcff]"), re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")

# Letters beyond a to z, the usual ones first: of western Europe as a whole, then language by language.
_WESTERN = (
    *("éüäöèßóáíñàçãêôøúåâëïîæûùœòìõ", "äüößé", "éèàêçôâîûùëïœ", "óíáéñúü", "ãçáéíóâõêúàô"),
    *("àèìòùé", "åøæéö", "äöåé", "áðíóþæúéýö", "ëéï"),
)
_CENTRAL = ("łąęóżśćńź", "íáéěřčžýšůúťďňó", "áíéýčžšťľúôďňäóĺŕ", "áéöóőüíúű", "čšžćđ", "ăîâţş")
_TURKISH = ("ıüşğçöâ",)
_BALTIC = ("ėšųžįąūęč", "āīēšūņļķģžč", "äõüöšž")
_CYRILLIC = ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґјњљћђџ",)
_GREEK = ("αοιετσνηυρπκμλςδγωχθφβξζψόίάήέώύϊϋ",)
# Windows, Mac, DOS (the letters of 437 lie at the same places as those of 850) and KOI8-R, with the letters that each
# may hold. The first one has the benefit of doubt, since nearly all such tables are written in it.
_CODE_PAGES = (
    ("cp1252", "Windows-1252", _WESTERN),
    ("mac_roman", "Mac Roman", _WESTERN),
    ("cp850", "DOS 850", _WESTERN),
    ("cp1250", "Windows-1250", _CENTRAL),
    ("cp1251", "Windows-1251", _CYRILLIC),
    ("cp1253", "Windows-1253", _GREEK),
    ("cp1254", "Windows-1254", _TURKISH),
    ("cp1257", "Windows-1257", _BALTIC),
    ("cp866", "DOS 866", _CYRILLIC),
    ("koi8_r", "KOI8-R", _CYRILLIC),
)
_BENEFIT = 6.0
_NAMES = {encoding: name for encoding, name, _ in _CODE_PAGES}
_OTHER_SCRIPTS = frozenset(_CYRILLIC + _GREEK)
_FOREIGN = re.compile(r"[\x80-\U0010ffff]")
# Letters that words begin with; signs.
_FIRST = frozenset("äöüéáåøàâśżźćłščžřđťďňőúíşāėēīų")
_SIGNS = frozenset("’‘“”–—…•°±²³µ§€«»·½№")
_ELIDED, _SHORTENED = re.compile(r"\b\w{1,2}$"), re.compile(r"(?:s|t|d|m|re|ve|ll)\b")


def open_table(table: PathLike) -> TextIO:
    """A table opened as text, plain or .gz, in the encoding that its bytes show. Raises OSError, EOFError,
    zlib.error."""
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


def describe_code_page(table: PathLike) -> str:
    """A sentence about a table whose code page had to be guessed; "" for Unicode, and where there is none to read."""
    path = Path(table)
    try:
        name = _NAMES.get(_find_encoding(path))
    except (OSError, EOFError, zlib.error):
        return ""
    return f"The table '{path.name}' was read as {name}; if words came out wrong, save it as UTF-8." if name else ""


def guess_code_page(sample: bytes) -> str:
    """Whichever code page makes the likeliest words of one of the languages that are written in it."""
    scores: dict[str, float] = {}
    for encoding, _, languages in _CODE_PAGES:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        places = [
            (text[max(0, place.start() - 3) : place.start()], place[0], text[place.end() : place.end() + 3])
            for place in _FOREIGN.finditer(text)
        ]
        likeliest = max(sum(_judge(*place, letters) for place in places) for letters in languages)
        scores[encoding] = likeliest + (_BENEFIT if encoding == _CODE_PAGES[0][0] else 0.0)
    return max(scores, key=lambda encoding: scores[encoding])


def _judge(before: str, sign: str, after: str, letters: str) -> float:
    """How likely a sign is between the three that stand before it and the three that follow, in a language with these
    letters."""
    left, right = before[-1:], after[:1]
    if not sign.isalpha() or sign in "µªº":
        if not (left.isalpha() and right.isalpha()):
            return 4.0 if sign in _SIGNS else -3.0
        return 7.0 if sign == "’" and (_ELIDED.search(before) or _SHORTENED.match(after)) else -6.0
    place = letters.find("ı" if sign == "İ" else sign.lower())
    if left.isdigit() or right.isdigit() or (sign == "õ" and right != "e" and letters == _WESTERN[0]):
        return -6.0
    beside = [one for one in (left, right) if one.isalpha()]
    if letters in _OTHER_SCRIPTS:
        # All letters of a word are such ones.
        if any(one.isascii() for one in beside):
            return -6.0
        value = (7.0 - place / 5 if place >= 0 else -3.0) - (0.0 if beside else 4.0)
    else:
        value = 9.0 - place / 3 if place >= 0 else -3.0
        # Hardly a language has three such letters in a row.
        value -= 8.0 if len(beside) == 2 and not any(one.isascii() for one in beside) else 0.0
    if not left.isalpha():
        if letters in _OTHER_SCRIPTS:
            return value
        value -= 0.0 if sign.lower() in _FIRST else 6.0
        return value - (3.0 if right.isalpha() and sign.isupper() == right.isupper() else 0.0)
    if left.islower() if sign.isupper() else left.isupper() and (right.isupper() or before[-2:-1].isupper()):
        return -6.0
    return value
