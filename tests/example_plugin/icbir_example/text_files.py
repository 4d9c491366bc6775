"""A layout: beside each film a text file of the same name; its first line is the patient, the others are findings."""

from collections.abc import Iterator

from icbir_core.catalogue.layouts import IgnoredLabel, IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.findings import FindingState, find_canonical_name


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film; a film without a text file is skipped."""
    for film in sorted(options.images.glob("*.png")):
        notes = film.with_suffix(".txt")
        if not notes.is_file():
            yield SkippedRow(film.name, "no text file beside it")
            continue
        patient, *findings = notes.read_text(encoding="utf-8").split("\n")
        known = {name: find_canonical_name(name) for name in findings if name}
        yield from (IgnoredLabel(name) for name, canonical in known.items() if canonical is None)
        states = {name: FindingState.PRESENT for name in known.values() if name}
        yield RawCase(film.stem, film, patient=f"example:{patient}", findings=states)
