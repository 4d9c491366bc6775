"""By what first bytes a film's kind is known; a file's name says nothing."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
# First element of a DICOM file without preamble: group 0002 or 0008, in either byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


def looks_like_dicom(data: bytes) -> bool:
    """True for the DICM mark at byte 128, or a first element of the groups with which a bare data set starts."""
    return data[128:132] == b"DICM" or (len(data) > 132 and data[:2] in _FIRST_GROUPS and data[2:4] != b"\xff\xff")
