"""A data set's attributes treated by the profile, in every sequence, at any depth."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID

from icbir_core.deidentifying.profile import GREY_TABLES, PATIENT_ID, Step, find_step
from icbir_core.radiograph.dicom_header import get_text, read_number
from icbir_core.radiograph.lookup_tables import BrokenTable, count_entries, read_words

REMOVED = "REMOVED"
_TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
_DUMMIES: dict[str, Any] = dict.fromkeys(_TEXTS, REMOVED) | {
    "AS": "000Y", "DA": "19000101", "TM": "000000", "DT": "19000101000000", "DS": "0", "IS": "0",
    "UR": "http://removed.invalid", "AT": 0,
} | dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"), 0)  # fmt: skip
_KEPT_TEXTS = ("LO", "SH", "CS")
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber")
_SHORTEST_NAME, _SHORTEST_NUMBER = 3, 4
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CODE = re.compile(r"[A-Za-z0-9_ ]{1,16}")


@dataclass
class Cleaner:
    """Treats data sets alike: the same UID gets the same new one, the same patient's number the same dummy.

    renew_uid : a new UID for one that stood in a film. rename : a dummy for a patient's number. known : names and
    numbers of the patient, which no text that is kept may hold.
    """

    renew_uid: Callable[[str], str]
    rename: Callable[[str], str]
    known: set[str] = field(default_factory=set)

    def clean(self, dataset: Dataset) -> None:
        """Treat every attribute of a data set in place; all pixels go, and what cannot be read or is not of
        its kind."""
        self._collect(dataset)
        self._walk(dataset)
        self._search(dataset)

    def _walk(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
                made = self._treat(element)
            except Exception:  # pydicom raises nearly anything on a malformed element
                made = None
            if made is None:
                del dataset[tag]
            else:
                dataset[tag] = made
        _cut_tables(dataset)
        if "SpecificCharacterSet" in dataset:
            del dataset.SpecificCharacterSet  # all texts are decoded now, and are written in one set

    def _treat(self, element: DataElement) -> DataElement | None:
        """The attribute as it stays; None where it goes."""
        step = find_step(element.tag, element.VR)
        if step is Step.REMOVE:
            return None
        if step is Step.EMPTY:
            return DataElement(element.tag, _find_kind(element.tag), None)
        if step is Step.REPLACE:
            return self._replace(element)
        if step is Step.NEW_UID or element.VR == "UI":
            return self._renew(element, always=step is Step.NEW_UID)
        if element.VR == "SQ":
            for item in element.value:
                self._walk(item)
        return _check_kind(element)

    def _replace(self, element: DataElement) -> DataElement:
        kind = _find_kind(element.tag)
        if element.tag == PATIENT_ID:
            text = str(element.value or "").strip()
            return DataElement(element.tag, kind, self.rename(text) if text else "")
        if kind == "SQ":
            items = [self._blank(item) for item in element.value] if element.VR == "SQ" else []
            return DataElement(element.tag, kind, Sequence(items))
        if kind == "UI":
            return self._renew(element, always=True)
        return DataElement(element.tag, kind, _DUMMIES.get(kind, b"\0\0"))

    def _blank(self, item: Dataset) -> Dataset:
        """An item of which every value is a dummy."""
        made = Dataset()
        for element in item:
            if find_step(element.tag, element.VR) is not Step.REMOVE:
                made[element.tag] = self._replace(element)
        return made

    def _renew(self, element: DataElement, always: bool) -> DataElement:
        """always : also a UID that looks as if the standard had registered it. Of the others these stay: they name
        classes, transfer syntaxes and the like."""
        values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
        texts = [str(one or "").strip().strip("\0") for one in values]
        made = [one if not one or (not always and UID(one).type) else self.renew_uid(one) for one in texts]
        return DataElement(element.tag, "UI", made if len(made) > 1 else made[0])

    def _collect(self, dataset: Dataset) -> None:
        """Remember what names the patient and other persons, and the patient's numbers."""
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
                if element.VR == "SQ":
                    for item in element.value:
                        self._collect(item)
                elif element.VR == "PN":
                    self.known.update(
                        part for part in re.split(r"[\s^=\\-]+", _join(element)) if len(part) >= _SHORTEST_NAME
                    )
                elif element.keyword in _NUMBERS:
                    numbers = (one.strip() for one in _join(element).split("\\"))
                    self.known.update(one for one in numbers if len(one) >= _SHORTEST_NUMBER)
            except Exception:  # as above; it is removed later
                continue

    def _search(self, dataset: Dataset) -> None:
        """Empty the labels that are kept and hold one of those."""
        if not self.known:
            return
        words = "|".join(map(_find_by_itself, sorted(self.known, key=len, reverse=True)))
        pattern = re.compile(words, re.IGNORECASE)
        own = {self.rename(one) for one in self.known}

        def check(holder: Dataset, element: DataElement) -> None:
            text = _join(element) if element.VR in _KEPT_TEXTS else ""
            if text and text not in own and pattern.search(text):
                element.value = None

        dataset.walk(check)


def _check_kind(element: DataElement) -> DataElement | None:
    """An attribute that is kept, where it is what the standard says: a name can stand where a number belongs, too. A
    number that is written in another way ("1,5") is written as the standard does."""
    kinds = dictionary_VR(element.tag)
    if element.VR not in (kinds, *kinds.split(" or ")):
        return None
    texts = [one.strip() for one in _join(element).split("\\")]
    if element.VR in ("DS", "IS") and not all(_NUMBER.fullmatch(one) for one in texts if one):
        numbers = [read_number(one) for one in texts]
        written = [f"{one:.10g}" for one in numbers if one is not None]
        return DataElement(element.tag, element.VR, written) if len(written) == len(numbers) else None
    fits = element.VR != "CS" or all(_CODE.fullmatch(one) for one in texts if one)
    return element if fits else None


def _cut_tables(dataset: Dataset) -> None:
    """Of the bytes that show a film what its tables count; a palette only where the picture has one."""
    has_palette = "PALETTE" in get_text(dataset, "PhotometricInterpretation").upper()
    for keyword, descriptor in GREY_TABLES.items():
        if keyword not in dataset:
            continue
        value, plain = dataset[keyword].value, keyword.removeprefix("Segmented")
        try:
            count, held = count_entries(dataset, descriptor), read_words(dataset, keyword).size
        except BrokenTable:
            count = held = 0
        if not count or (keyword != "LUTData" and not has_palette):
            del dataset[keyword]
        elif keyword != plain:  # its length is what its segments say
            if plain in dataset:
                del dataset[keyword]
        elif held < count and held != (count + 1) // 2:  # two entries of 8 bits in a word
            del dataset[keyword]
        elif held > count:
            dataset[keyword].value = value[: 2 * count] if isinstance(value, bytes) else value[:count]


def _find_by_itself(word: str) -> str:
    """The pattern of a name or a number that is no part of a longer one: "DOE" in "DOE_1", not in "DOES"."""
    letter, digit = r"[^\W\d_]", r"\d"
    before, after = (letter if one.isalpha() else digit if one.isdigit() else "" for one in (word[0], word[-1]))
    return (f"(?<!{before})" if before else "") + re.escape(word) + (f"(?!{after})" if after else "")


def _join(element: DataElement) -> str:
    values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
    return "\\".join(str(one) for one in values if one is not None)


def _find_kind(tag: BaseTag) -> str:
    """The value representation of the standard, whatever the film says; of several the first."""
    return dictionary_VR(tag).split(" or ")[0]
