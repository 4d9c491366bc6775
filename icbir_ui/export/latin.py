"""Text in the letters that the fonts built into every PDF reader have (Latin-1)."""

from __future__ import annotations

import unicodedata

_SPELT = """
аa бb вv гg дd еe ёyo жzh зz иi йy кk лl мm нn оo пp рr сs тt уu фf хkh цts чch шsh щshch ъ' ыy ь' эe юyu яya іi
їyi єye ґg ўu јj љlj њnj ћc ђdj џdz
αa βv γg δd εe ζz ηi θth ιi κk λl μm νn ξx οo πp ρr σs ςs τt υy φf χch ψps ωo
"""
_OTHER = {
    "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "œ": "oe", "ŋ": "ng", "ẞ": "SS", "–": "-", "—": "-",
    "−": "-", "…": "...", "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "•": "·", "€": "EUR", "™": "(TM)",
}  # fmt: skip
_LETTERS = {pair[0]: pair[1:] for pair in _SPELT.split()} | _OTHER


def spell_latin(text: str) -> str:
    """The text in Latin-1: accents beyond it are dropped ("ł" is "l"), Cyrillic and Greek are transliterated, and any
    other sign becomes its code point ("[U+5F71]"), so that nothing is lost silently."""
    return "".join(_spell(letter) for letter in unicodedata.normalize("NFC", text))


def _spell(letter: str) -> str:
    if ord(letter) < 256:
        return letter
    small = letter.lower()
    if letter in _LETTERS or small in _LETTERS:
        return _LETTERS[letter] if letter in _LETTERS else _LETTERS[small].capitalize()
    parts = unicodedata.normalize("NFKD", letter)
    if parts != letter:
        return "".join(_spell(one) for one in parts if not unicodedata.combining(one))
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf":
        return ""
    return f"[U+{ord(letter):04X}]"
