"""The one rule for ages: whole years, from the ways in which tables and DICOM headers write them."""

from __future__ import annotations

import re
from datetime import date

OLDEST = 120
"""An age above it is a typing error and taken as unknown."""
_AGE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:([YMWD])|(Y)(?:RS?|EARS?|O)|(M)(?:O|OS|ONTHS?)|(W)(?:KS?|EEKS?)|(D)AYS?)?")
_DAYS = {"Y": 365.25, "M": 365.25 / 12, "W": 7.0, "D": 1.0}
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
# What is written for "date of birth not known".
_NO_BIRTH = {date(1900, 1, 1), date(1800, 1, 1), date(1111, 11, 11), date(1, 1, 1)}


def parse_age(text: str | None) -> int | None:
    """Whole years from "57", "057Y", "018M", "3 weeks" or "57.0"; None if blank, unreadable or beyond `OLDEST`."""
    found = _AGE.fullmatch((text or "").strip().upper())
    if found is None:
        return None
    unit = next((letter for letter in found.groups()[1:] if letter), "Y")
    years = int(float(found[1].replace(",", ".")) * _DAYS[unit] / _DAYS["Y"] + 1e-9)
    return years if years <= OLDEST else None


def compute_age(birth: str, study: str) -> int | None:
    """Whole years between two dates ("19500101"); None if one is missing, no date, or the age cannot be."""
    born, seen = _parse_date(birth), _parse_date(study)
    if born is None or seen is None or born in _NO_BIRTH:
        return None
    years = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    return years if 0 <= years <= OLDEST else None


def _parse_date(text: str) -> date | None:
    found = _DATE.match(text.strip())
    try:
        return date(*(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None
