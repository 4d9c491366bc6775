"""The one rule for ages, in whole years, and for sexes, from the ways in which tables and DICOM headers write them."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from icbir_core.types import UNKNOWN

OLDEST = 120
"""An age above it is a typing error and taken as unknown."""
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([^\W\d_]*)(?:\s*\d+\s*[MWD])?")
_DAYS = {
    word: days
    for days, words in {
        365.25: " Y YR YRS YO YEAR YEARS A AN ANS ANO ANOS JAHR JAHRE ANNI ANNO",
        365.25 / 12: "M MO MOS MTH MTHS MONTH MONTHS MONAT MONATE MOIS MES MESES MESI",
        7.0: "W WK WKS WEEK WEEKS WOCHE WOCHEN SEMAINE SEMAINES SEMANA SEMANAS",
        1.0: "D DAY DAYS TAG TAGE JOUR JOURS DIA DIAS",
    }.items()
    for word in words.split(" ")
}
_SEXES = {
    word: sex
    for sex, words in {
        "M": "M MALE MAN MASC MASCULIN MASCULINO MANNLICH MAENNLICH HOMME HOMBRE HOMEM",
        "F": "F FEMALE WOMAN FEM FEMININ FEMININO FEMENINO FEMENINA W WEIBLICH FEMME MUJER MULHER",
    }.items()
    for word in words.split()
}
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
_EUROPEAN_DATE = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})")
# What is written for "date of birth not known".
_NO_BIRTH = {date(1900, 1, 1), date(1800, 1, 1), date(1111, 11, 11), date(1, 1, 1)}


def parse_age(text: str | None) -> int | None:
    """Whole years from "57", "057Y", "018M", "3 weeks", "57 Jahre" or "57.0"; None if blank, unreadable or beyond
    `OLDEST`."""
    found = _AGE.fullmatch(_fold(text).replace("Y/O", "YO"))
    if found is None or found[2] not in _DAYS:
        return None
    years = int(float(found[1].replace(",", ".")) * _DAYS[found[2]] / _DAYS["Y"] + 1e-9)
    return years if years <= OLDEST else None


def parse_sex(text: str | None) -> str:
    """ "M", "F" or "unknown"."""
    return _SEXES.get(_fold(text), UNKNOWN)


def _fold(text: str | None) -> str:
    """In capitals, without accents and what databases fill up with."""
    plain = unicodedata.normalize("NFKD", (text or "").replace("\0", "")).strip().upper()
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def compute_age(birth: str, study: str) -> int | None:
    """Whole years between two dates ("19500101"); None if one is missing, no date, or the age cannot be."""
    born, seen = _parse_date(birth), _parse_date(study)
    if born is None or seen is None or born in _NO_BIRTH:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return years if 0 <= years <= OLDEST else None


def _parse_date(text: str) -> date | None:
    found = _DATE.match(_EUROPEAN_DATE.sub(r"\3-\2-\1", text.strip()))
    try:
        return date(*(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None
