"""A tree of DICOM files, with or without endings, as an archive exports it. Always private.

What is taken: the pixels, and view, age and sex from the header. Of PatientID only a salted hash is kept; names, dates,
paths and UIDs are not. What speaks against a film is asked where every layout asks it (`header.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.files import sha256_of_file


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a file; `case_id` is the hash of the file's bytes, so a moved or doubled file adds nothing."""
    finder = FileFinder(options.images)
    for number, file in enumerate(finder.walk(), start=1):
        if (reason := finder.check(file)) is not None:
            yield SkippedRow(f"file {number}", reason)
            continue
        try:
            digest = sha256_of_file(file)
        except OSError as error:
            yield SkippedRow(f"file {number}", f"the file cannot be read ({error.strerror})")
            continue
        # A path may name a patient; the owner of the files finds this one by its number or its hash.
        yield RawCase(case_id=digest, file=file, private=True, item=f"file {number} (sha256 {digest[:12]})")
