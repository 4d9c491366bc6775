"""The one rule for the view of a film: words and codes, as tables and DICOM headers write them, to the project's views.

Frontal is only what says PA or AP and nothing against it. A decubitus, oblique or axial film shows another picture,
whatever else its name says ("AP LLD"), and is never called frontal.
Codes: DICOM PS3.16, CID 4010 (DX View) and CID 20 (patient orientation modifiers), SNOMED CT and its SRT equivalents.
"""

from __future__ import annotations

import re
import unicodedata

from icbir_core.types import UNKNOWN

BLANK_WORDS = frozenset({"", "nan", "none", "null", "na", "n/a"})
FRONTAL = ("PA", "AP")
DECUBITUS, OBLIQUE, AXIAL, OTHER = "DECUBITUS", "OBLIQUE", "AXIAL", "OTHER"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LATERAL = _words(
    "LL RL LAT LATS LATERAL LLAT RLAT LATL LATR LTLAT RTLAT LATERALE LATERO SEITLICH SEITL PROFIL PROFILE PERFIL "
    "SAGITTAL SAG XTLAT LATERAAL LATERALES ZIJDELINGS ZIJWAARTS PROFILO SEITENAUFNAHME SEITAUFNAHME SEITBILD "
    "SEITENBILD SEITENANSICHT ANLIEGEND BOCZNE BOCZNA BOCZNY BOCNA BOCNI БОКОВАЯ БОКОВОИ"
)
# Words of films that are neither frontal nor plainly lateral → the kind they are of.
_SPECIAL = (
    dict.fromkeys(
        _words(
            "DECUBITUS DECUB DECUBITAL DECUBITO DECUBITE LLD RLD LDECUB RDECUB DEKUBITUS SEITENLAGE LINKSSEITENLAGE "
            "RECHTSSEITENLAGE"
        ),
        DECUBITUS,
    )
    | dict.fromkeys(
        _words("OBLIQUE OBLIQ OBL OBLIQUES OBLICUA OBLICUO OBLIQUA SCHRAG SCHRAEG LAO RAO LPO RPO LLO RLO MLO LMO"),
        OBLIQUE,
    )
    | dict.fromkeys(
        _words("AXIAL AX LORDOTIC LORDOSIS LORD LORDOTICA LORDOTISCH LORDOSE APICAL APICES APEX APICOLORDOTIC"), AXIAL
    )
    | dict.fromkeys(_words("SWIMMERS SWIMMER TANGENTIAL CRANIOCAUDAL CAUDOCRANIAL TRANSTHORACIC"), OTHER)
)
# Words that say nothing about the direction of the beam.
_NEUTRAL = _words(
    "CHEST CXR THORAX TORAX THORACIC LUNG LUNGS XR XRAY X RAY CR DX DR RADIOGRAPH FILM DIGITAL VIEW VIEWS SINGLE ONE "
    "FRONTAL FRONT FACE PORTABLE PORT MOBILE BED BEDSIDE ICU ERECT UPRIGHT STANDING SITTING SEATED SEMI SEMIERECT "
    "SUPINE PRONE LYING RECUMBENT HORIZONTAL VERTICAL GRID NO WITH WITHOUT NOT SPECIFIED UNSPECIFIED UNDEFINED UNKNOWN "
    "STANDARD DEFAULT ROUTINE NORMAL INSPIRATION EXPIRATION INSP EXP ADULT CHILD PEDIATRIC "
    "STEHEND STEHEN LIEGEND LIEGEN SITZEND SITZEN BETT IM AUFNAHME EBENE EBENEN DEBOUT COUCHE ASSIS AU LIT DE EN PIE "
    "SUPINO PRONO ACOSTADO SENTADO SEDUTO PIEDI STAAND LIGGEND TORACE THORACIQUE RX "
    "RADIOGRAFIA RADIOGRAPHIE RONTGEN PROJECTION PROYECCION INCIDENCE IN V VW PROY PROJ LAGE SUP RUCKENLAGE "
    "RUECKENLAGE BAUCHLAGE BETTLUNGE BETTTHORAX ПРЯМАЯ"
)
# "P.A.", "P-A", "P → A": letters that belong together.
_JOINED = (
    (re.compile(r"\bP\s*(?:[./\\–—-]|->|→|\s)\s*A\b"), "PA"),
    (re.compile(r"\bA\s*(?:[./\\–—-]|->|→|\s)\s*P\b"), "AP"),
    (re.compile(r"\bPOSTER(?:IO|O|IOR)?\W*(?:TO\W*)?ANTERI(?:OR|EUR)E?\b|\bD(?:ORSO)?\W*V(?:ENTRAL)?E?\b"), "PA"),
    (re.compile(r"\bANTER(?:IO|O|IOR)?\W*(?:TO\W*)?POSTERI(?:OR|EUR)E?\b|\bV(?:ENTRO)?\W*D(?:ORSAL)?E?\b"), "AP"),
    (re.compile("[后後]前位"), "PA"),
    (re.compile("前[后後]位"), "AP"),
    (re.compile("[侧側][位面]"), "LATERAL"),
    (re.compile("正[位面]"), "FRONTAL"),
    (re.compile(r"\bL\s*[./-]\s*L\b"), "LL"),
)
# French and Spanish call every lying patient "decubitus": on the back or on the belly the film is a frontal one. In
# English "dorsal decubitus" is a lateral film of a lying patient, so the order of the words decides.
_LYING = re.compile(r"\bDECUBIT(?:US|O|E)\W+(?:DORSAL|SUPINO|VENTRAL|PRONO)\b")
_WORD = re.compile(r"[^\W\d_]+")

# Words that are looked for in two words written as one: of the short ones only PA and AP.
_DIRECTED = frozenset(("PA", "AP", "LAT", "LATERAL"))
_KNOWN = _DIRECTED | {word for word in (*_LATERAL, *_SPECIAL, *_NEUTRAL) if len(word) > 3}

_CODES: dict[str, str] = (
    dict.fromkeys(("399348003", "R-10206"), "AP")
    | dict.fromkeys(("272479007", "R-40888", "R-10214"), "PA")
    # "frontal" alone does not say which of the two
    | dict.fromkeys(("399033003", "R-10202"), UNKNOWN)
    | dict.fromkeys(("399067008", "399173006", "399198007", "30730003", "399352003", "399260004"), "LATERAL")
    | dict.fromkeys(("R-102CD", "R-10236", "R-10232", "G-A145", "R-10228", "R-10224"), "LATERAL")
    | dict.fromkeys(("399312000", "399160007", "399132005", "260427002", "399099002", "399135007"), OBLIQUE)
    | dict.fromkeys(("399184004", "399006002", "260426006", "399368009", "399004004", "399225005"), OBLIQUE)
    | dict.fromkeys(("399288005", "399182000", "399059000", "399356000", "399236003", "399038007"), OBLIQUE)
    | dict.fromkeys(("399325008", "260421001", "260424009"), OBLIQUE)
    | dict.fromkeys(("R-10208", "R-10204", "R-10252", "R-40783", "R-10230", "R-10220", "R-10238"), OBLIQUE)
    | dict.fromkeys(("R-10212", "R-40782", "R-10226", "R-10246", "R-10250", "R-10248", "R-102C1"), OBLIQUE)
    | dict.fromkeys(("R-10216", "R-40985", "R-10234", "R-10210", "R-10254", "R-10222"), OBLIQUE)
    | dict.fromkeys(("R-4077D", "R-40780"), OBLIQUE)
    | dict.fromkeys(("399061009", "R-10241"), AXIAL)
    | dict.fromkeys(("399196006", "399162004", "399110001", "R-10244", "R-10242", "R-102C2"), OTHER)
    | dict.fromkeys(("102535000", "102536004", "102537008", "F-10318", "F-10319", "F-10317"), DECUBITUS)
)


def is_blank(text: str | None) -> bool:
    """True for the ways in which tables write "nothing here"."""
    return text is None or text.strip().casefold() in BLANK_WORDS


def parse_view(text: str | None) -> str:
    """ "PA", "AP", "LATERAL", "unknown" if nothing is said, or another projection's own name in capitals. "AP SUPINE"
    and "PA ERECT" are frontal; "AP LLD", "AP AXIAL" and "PA LAT" keep their own names."""
    if is_blank(text):
        return UNKNOWN
    plain = " ".join(str(text).replace("_", " ").upper().split())
    words = _split(plain)
    return ("LATERAL" if words == ["L"] else _judge(words)) or plain


def parse_header_view(text: str) -> str:
    """As `parse_view`, for a header's own field: what the vocabulary does not know is unknown, and of another
    projection's name only the words that it knows are kept, since a field may hold anything."""
    view = parse_view(text)
    if view in (*FRONTAL, "LATERAL", UNKNOWN):
        return view
    return " ".join(word for word in _split(view) if word in _SPECIAL or word in _LATERAL or word in FRONTAL) or UNKNOWN


def parse_description(text: str) -> str:
    """The view that a free description of a series or a procedure names: "PA", "AP", "LATERAL", "DECUBITUS",
    "OBLIQUE", "AXIAL", "OTHER", or "unknown", also where it names a frontal and a lateral one ("CHEST PA AND LAT")."""
    words = _split(text.upper())
    return next((_SPECIAL[word] for word in words if word in _SPECIAL), _judge(words) or UNKNOWN)


def parse_code(value: str, meaning: str) -> str:
    """The view of a coded entry, by its value; by its meaning where the value is not known."""
    known = _CODES.get(value.strip().upper())
    return parse_description(meaning) if known is None else known


def choose_view(views: list[str]) -> str:
    """One view from what several fields say: one that is not frontal outweighs a frontal one, which is a common
    default; of two that differ among the frontal ones the first is taken; "unknown" where none says anything."""
    said = [view for view in views if view != UNKNOWN]
    return next((view for view in said if view not in FRONTAL), said[0] if said else UNKNOWN)


def _split(text: str) -> list[str]:
    """Words in capitals without accents; of two words written as one ("APSUPINE") both, where the vocabulary has
    them."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    plain = _LYING.sub(" SUPINE ", plain)
    for pattern, word in _JOINED:
        plain = pattern.sub(f" {word} ", plain)
    return [part for word in _WORD.findall(plain) for part in _take_apart(word)]


def _take_apart(word: str) -> tuple[str, ...]:
    """The direction of a beam and another known word that were written as one, else the word."""
    if word not in _KNOWN:
        for place in range(2, len(word) - 1):
            first, second = word[:place], word[place:]
            if {first, second} & _DIRECTED and {first, second} <= _KNOWN and max(len(first), len(second)) > 3:
                return first, second
    return (word,)


def _judge(words: list[str]) -> str:
    """ "PA", "AP", "LATERAL", "unknown", or "" for a name of its own."""
    said = set(words)
    frontal = sorted(said.intersection(FRONTAL))
    if said.intersection(_SPECIAL):
        return ""
    if said.intersection(_LATERAL):
        return "" if frontal else "LATERAL"
    if frontal:
        return frontal[0] if len(frontal) == 1 else UNKNOWN
    return UNKNOWN if said <= _NEUTRAL else ""
