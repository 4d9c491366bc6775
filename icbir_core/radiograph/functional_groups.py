"""Enhanced DICOM objects keep window, rescale and spacing in groups, for all frames or for one."""

from __future__ import annotations

from pydicom.dataset import Dataset

# The first item of each says something about the grey, the size or the position of the frame that it belongs to.
_MACROS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
    "FramePixelDataPropertiesSequence",
    "PatientOrientationInFrameSequence",
)


# RescaleType and WindowCenterWidthExplanation name what they stand beside, and say nothing alone.
_NAMES = (0x00281054, 0x00281055)


def merge_functional_groups(dataset: Dataset) -> None:
    """Copy what the functional groups of the first frame say to where a film without groups says it. What the header
    itself says stays; of the groups, the one for the frame comes before the one for all frames."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        group = _get_first_item(dataset, groups)
        for macro in _MACROS if group is not None else ():
            item = _get_first_item(group, macro)
            tags = [] if item is None else list(item.keys())
            if item is not None and not any(_is_filled(dataset, tag) for tag in tags if tag not in _NAMES):
                dataset.update({tag: item.get_item(tag) for tag in tags})


def _get_first_item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    try:
        return dataset[keyword].value[0] if dataset is not None else None
    except Exception:  # a malformed or empty sequence says nothing
        return None


def _is_filled(dataset: Dataset, tag: int) -> bool:
    return tag in dataset and bool(getattr(dataset.get_item(tag), "value", None))
