"""Coded concepts of the objects: of the standard's own dictionaries where they have one, else of this program.

The program's own scheme is "99ICBIR"; PS3.3 C.12.1.1.7 asks that an object which uses it says what it is.
"""

from __future__ import annotations

import re
from hashlib import sha256

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99ICBIR"
SCHEME_NAME = "Concepts of ICBIR, interpretability-guided case retrieval"

PROBABILITY = Code("122157", "DCM", "Probability")
NO_UNIT = Code("1", "UCUM", "no units")
PIXELS = Code("{pixels}", "UCUM", "pixels")
OPERATING_POINT = Code("OPERATING_POINT", SCHEME, "Operating point on the probability")
DISTANCE = Code("DISTANCE", SCHEME, "Distance to the query in the metric of the search")
RANK = Code("RANK", SCHEME, "Rank in the search, 1 is nearest")
PERCENTILE = Code("PERCENTILE", SCHEME, "Share of the catalogue's nearest pairs that are nearer")
SHARE = Code("MAP_SHARE", SCHEME, "Share of the shown strength of the saliency map")
BASE_RATE = Code("BASE_RATE", SCHEME, "Share of the eligible cases that carry the finding")
ELIGIBLE = Code("ELIGIBLE", SCHEME, "Number of cases that were searched")
SIMILAR_CASE = Code("SIMILAR_CASE", SCHEME, "Similar past case of a catalogue")
SEARCH = Code("SEARCH", SCHEME, "Search of similar past cases")
SALIENCY = Code("SALIENCY_MAP", SCHEME, "Region of a saliency map")
SEARCHED_REGION = Code("SEARCHED_REGION", SCHEME, "Region that was searched with")
SPEAKS = Code("SPEAKS", SCHEME, "What the region speaks for")
FOR, AGAINST = (Code(name, SCHEME, f"Speaks {name.lower()} the finding") for name in ("FOR", "AGAINST"))
GREY = Code("GREY_LEVEL", SCHEME, "Grey of the film as displayed, of the whole range")
MEAN, DEVIATION, AREA = codes.SCT.Mean, codes.SCT.StandardDeviation, codes.SCT.Area
RATIO = Code("LINE_RATIO", SCHEME, "Ratio of two lengths, such as heart to chest")
CHEST_FILM = codes.SCT.PlainRadiography

_FINDINGS: dict[str, Code] = {
    "Cardiomegaly": codes.SCT.Cardiomegaly,
    "Edema": codes.SCT.PulmonaryEdema,
    "Effusion": codes.SCT.PleuralEffusion,
    "Lung Opacity": codes.DCM.Opacity,
    "Mass": codes.SCT.Mass,
    "Nodule": codes.SCT.Nodule,
    "Pneumothorax": codes.SCT.Pneumothorax,
}
_MEASURED: dict[str, Code] = {
    "length": codes.SCT.Length, "angle": Code("110859", "DCM", "Angle"), "ratio": RATIO, "ellipse": GREY,
    "rectangle": GREY,
}  # fmt: skip
_UNITS: dict[str, Code] = {
    "mm": codes.UCUM.Millimeter, "px": PIXELS, "deg": codes.UCUM.Degree, "1": NO_UNIT, "%": codes.UCUM.Percent,
}  # fmt: skip
AREA_UNITS: dict[str, Code] = {"mm": codes.UCUM.SquareMillimeter, "px": PIXELS}


def code_finding(name: str) -> Code:
    """The concept of a finding. Of those that the standard's dictionaries lack, the value is made from the name."""
    if name in _FINDINGS:
        return _FINDINGS[name]
    value = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    if len(value) > 16 or not value:
        value = f"{value[:9]}_{sha256(name.encode()).hexdigest()[:6].upper()}"
    return Code(value, SCHEME, name[:64])


def code_measurement(kind: str, unit: str) -> tuple[Code, Code]:
    """(what is measured, its unit)."""
    return _MEASURED[kind], _UNITS[unit]
