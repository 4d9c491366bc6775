"""MIMIC-CXR-JPG (Johnson et al. 2019): mimic-cxr-2.0.0-chexpert.csv[.gz], -metadata.csv[.gz] beside it, and files/.

Labels belong to a study, films are listed in the metadata: the two are joined, through a temporary table on disk, so
that memory does not grow with the studies. Age and sex are not in these tables.
A report is taken from files/p10/p10000032/s50414267.txt where the reports were unpacked over the films.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from icbir_core.catalogue.layouts.chexpert import LABELS, read_states
from icbir_core.catalogue.layouts.fields import parse_text, parse_view, read_table
from icbir_core.catalogue.layouts.finder import FileFinder
from icbir_core.catalogue.layouts.rows import IngestOptions, LayoutRow, RawCase, SkippedRow
from icbir_core.errors import CatalogueError
from icbir_core.files import PathLike


def read_rows(options: IngestOptions) -> Iterator[LayoutRow]:
    """One `RawCase` a film of the metadata; `case_id` is its dicom_id. options.labels : the chexpert table."""
    finder = FileFinder(options.images)
    with closing(_store_labels(options.labels)) as labels:
        for row in read_table(
            _find_metadata(options.labels), ("dicom_id", "subject_id", "study_id", "ViewPosition"), "mimic"
        ):
            if isinstance(row, SkippedRow):
                yield row
                continue
            name, subject, study = row["dicom_id"], row["subject_id"], row["study_id"]
            found = labels.execute("SELECT cells FROM labels WHERE study = ?", (study,)).fetchone()
            if found is None:
                yield SkippedRow(name, "the study has no labels")
                continue
            folder = f"files/p{subject[:2]}/p{subject}/s{study}"
            file = finder.find(f"{folder}/{name}.jpg", strip=1)
            # Copies of the set that lie flat or deeper than it: a film's name is its own.
            file = finder.find(f"{name}.jpg") if isinstance(file, str) else file
            states = read_states(dict(zip(LABELS, json.loads(found[0]), strict=True)))
            if isinstance(file, str) or isinstance(states, str):
                yield SkippedRow(name, file if isinstance(file, str) else str(states))
                continue
            yield RawCase(
                case_id=name,
                file=file,
                patient=f"mimic:{subject}" if subject else None,
                findings=states,
                view=parse_view(row["ViewPosition"]),
                report=_read_report(finder, file.parent.with_suffix(".txt")),
            )


def _store_labels(path: PathLike | None) -> sqlite3.Connection:
    """The cells of every study in a temporary database; SQLite keeps it on disk and removes it when it is closed."""
    rows = read_table(path, ("subject_id", "study_id", *LABELS), "mimic")
    database = sqlite3.connect("")
    try:
        database.execute("CREATE TABLE labels (study TEXT PRIMARY KEY, cells TEXT) WITHOUT ROWID")
        # A row that is cut short shows in its films, whose study then has no labels.
        whole = (row for row in rows if not isinstance(row, SkippedRow))
        cells = ((row["study_id"], json.dumps([row[label] for label in LABELS])) for row in whole)
        database.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?)", cells)
    except BaseException:
        database.close()
        raise
    return database


def _find_metadata(table: PathLike | None) -> Path:
    # Without a table the reading of the labels has failed before.
    labels = Path(table or "")
    beside = FileFinder(labels.parent or ".")
    found = [one for one in sorted(labels.parent.glob("mimic-cxr-*-metadata.csv*")) if beside.holds(one)]
    if not found:
        raise CatalogueError(
            f"There is no 'mimic-cxr-2.0.0-metadata.csv.gz' beside '{labels.name}'; put it into that folder."
        )
    return found[-1]


def _read_report(finder: FileFinder, path: Path) -> str | None:
    """The text of a report; None where there is none, or a link leads out of the folder: it would be shown."""
    if not path.is_file() or finder.check(path) is not None:
        return None
    return parse_text(path.read_text(encoding="utf-8", errors="replace"))
