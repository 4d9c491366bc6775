"""How a DICOM header says that its pixels are stored (PS3.3 C.7.6.3), with what it leaves out filled in where the data
leave one meaning."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from icbir_core.errors import RadiographError
from icbir_core.radiograph.dicom_header import get_numbers, get_text

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
LUMA_CHROMA = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_COLOUR = ("RGB", *LUMA_CHROMA)


@dataclass(frozen=True)
class PixelFormat:
    """Stored pixels. allocated : bits that one sample takes. stored : bits of them that hold grey. high_bit : the place
    of the highest of those, counted from 0. planes : the samples of a colour picture lie in planes, one after another.
    """

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    planes: bool = False

    @property
    def shift(self) -> int:
        """Bits below the grey."""
        return self.high_bit + 1 - self.stored

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame."""
        halved = 2 if self.photometric == "YBR_FULL_422" else 3
        return self.rows * self.columns * self.samples * self.allocated * halved // 3


def read_pixel_format(dataset: Dataset, native_bytes: int | None) -> PixelFormat:
    """The format of a film's pixels. native_bytes : length of uncompressed pixel data, None where they are compressed.

    A missing SamplesPerPixel follows from the photometric interpretation, a missing PixelRepresentation means unsigned,
    a missing HighBit the bit below BitsStored, a missing BitsAllocated what the length of the data allows.
    Raises `RadiographError` where an element is missing that cannot be known, or where they contradict each other.
    """
    rows, columns = _read_whole(dataset, "Rows"), _read_whole(dataset, "Columns")
    if rows is None or columns is None:
        raise RadiographError(f"The DICOM does not say {'Rows' if rows is None else 'Columns'}; export the film again.")
    written = _keep_letters(get_text(dataset, "PhotometricInterpretation"))
    if not written:
        raise RadiographError("The DICOM does not say PhotometricInterpretation; export the film again.")
    photometric = next((known for known in (*MONOCHROME, PALETTE, *_COLOUR) if _keep_letters(known) == written), None)
    if photometric is None:
        raise RadiographError("The colours of this DICOM are of a kind that cannot be read; export the film in grey.")
    samples = _read_whole(dataset, "SamplesPerPixel")
    missing = samples is None
    if samples is None:
        samples = 3 if photometric in _COLOUR else 1
    if samples != (3 if photometric in _COLOUR else 1):
        raise RadiographError(f"The DICOM says {photometric} but {samples} samples a pixel; export the film again.")
    allocated, stored, high_bit = _read_bits(dataset, rows * columns * samples, native_bytes)
    pixel_format = PixelFormat(
        rows,
        columns,
        samples,
        allocated,
        stored,
        high_bit if stored <= high_bit + 1 <= allocated else stored - 1,
        signed=_read_whole(dataset, "PixelRepresentation") == 1,
        photometric=photometric,
        planes=samples == 3 and _read_whole(dataset, "PlanarConfiguration") == 1,
    )
    needed = (pixel_format.frame_bits + 7) // 8
    if missing and native_bytes is not None and not needed <= native_bytes <= needed + 1:
        raise RadiographError("The DICOM does not say SamplesPerPixel; export the film again.")
    return pixel_format


def _keep_letters(text: str) -> str:
    """Letters and digits only, as capitals: some writers use small letters, others a blank or a line between words."""
    return "".join(letter for letter in text.upper() if letter.isalnum())


def _read_whole(dataset: Dataset, keyword: str) -> int | None:
    """The whole number, from 0, that an element holds; None where it holds something else or is missing."""
    numbers = get_numbers(dataset, keyword)
    return int(numbers[0]) if len(numbers) == 1 and numbers[0] >= 0 and numbers[0].is_integer() else None


def _read_bits(dataset: Dataset, values: int, native_bytes: int | None) -> tuple[int, int, int]:
    """Bits allocated, bits stored and the high bit."""
    allocated, stored = _read_whole(dataset, "BitsAllocated"), _read_whole(dataset, "BitsStored")
    high_bit = _read_whole(dataset, "HighBit")
    if stored is None:
        stored = allocated if high_bit is None else high_bit + 1
    if allocated is None and stored is not None:
        likely = 8 if stored <= 8 else 16
        if native_bytes is None or 0 <= native_bytes - values * likely // 8 <= 1:
            allocated = likely
    if allocated is None or stored is None:
        raise RadiographError("The DICOM does not say BitsAllocated; export the film again.")
    if stored > 16:
        raise RadiographError(f"The film has {stored} bits a pixel; export it with 16 bits or fewer.")
    if not 1 <= stored <= allocated <= 32:
        raise RadiographError(f"The DICOM stores {stored} bits in {allocated}, which cannot be; export it again.")
    return allocated, stored, stored - 1 if high_bit is None else high_bit
