"""The letters of a PDF: DejaVu Sans, which knows Latin, Greek and Cyrillic with all their accents.

The fonts that every PDF reader has built in know Latin-1 only. A sign that DejaVu lacks, or that is written from the
right (which the layout cannot do), becomes its code point, so that nothing is lost or turned round silently.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily
from reportlab.pdfbase.ttfonts import TTFont

from icbir_core.files import find_program_folder

FONTS = find_program_folder() / "assets" / "fonts"
PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"


@lru_cache(maxsize=1)
def register_letters() -> frozenset[int]:
    """Make the fonts known to reportlab, once; the code points that both have."""
    fonts = [TTFont(name, FONTS / f"{name}.ttf") for name in (PLAIN, BOLD)]
    for font in fonts:
        registerFont(font)
    registerFontFamily(PLAIN, normal=PLAIN, bold=BOLD, italic=PLAIN, boldItalic=BOLD)
    return frozenset.intersection(*(frozenset(font.face.charToGlyph) for font in fonts))


def spell(text: str) -> str:
    """The text in signs that the fonts have; any other is its code point: "[U+5F71]"."""
    return "".join(_spell(sign) for sign in _tidy(text))


def is_spelt(text: str) -> bool:
    """True where a sign of the text stands as its code point."""
    return spell(text) != _tidy(text)


def _tidy(text: str) -> str:
    """Composed accents, lines that end alike, and a space for every other sign that is only an instruction."""
    composed = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(" " if unicodedata.category(sign) == "Cc" and sign != "\n" else sign for sign in composed)


def _spell(sign: str) -> str:
    from_right = unicodedata.bidirectional(sign) in ("R", "AL")
    if sign == "\n" or (ord(sign) in register_letters() and not from_right):
        return sign
    return f"[U+{ord(sign):04X}]"
