"""From a data set to the workspace: decode, de-identify, store, record. Killed at any point, the same call goes on."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from icbir_core.catalogue import layouts
from icbir_core.catalogue.copies import COPY_OF, Copy, Held, Kept
from icbir_core.catalogue.layouts.text_files import describe_code_page
from icbir_core.catalogue.selecting import count_rows, select_rows
from icbir_core.catalogue.storing import StoredFilm, find_kept, measure_file, store_film
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import FilmLost
from icbir_core.files import write_bytes_atomically
from icbir_core.plurals import count_of
from icbir_core.settings import FILM_LIMITS, ReadLimits
from icbir_core.tables import read_table, write_table
from icbir_core.types import Progress

SKIPPED_FILE = "skipped.csv"
DOUBTFUL_FILE = "doubtful.csv"
_LISTED_COLUMNS = ("item", "reason", "source", "folder")
WORKERS = 2
_BATCH = 16
_LOOK_AHEAD = 64
_FETCHED_AHEAD = 4
"""Of films that are fetched, since they are held in memory."""
PATIENCE = 60.0
"""Seconds in which a part waits for others that write rows."""
_COPY = "a copy of a film that the catalogue holds"


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    added, already : cases new in this run, and cases that were there before it. skipped : (item, reason) of every row
    that became no case. ignored : labels and columns outside the vocabulary, with how often they came. doubtful :
    (case_id, quality warnings) of the films that are in the catalogue all the same, from before this run too. others :
    files of the folder that are no films by their ending. encoding : a sentence about a table of guessed encoding.
    """

    added: int
    already: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    doubtful: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    encoding: str = ""

    def count_reasons(self) -> dict[str, int]:
        """Reason → number of rows, commonest first; all copies together."""
        reasons = (_COPY if reason.startswith(COPY_OF) else reason for _, reason in self.skipped)
        return dict(Counter(reasons).most_common())

    def count_copies(self) -> int:
        """How many of the skipped rows are copies of films that the catalogue holds."""
        return sum(reason.startswith(COPY_OF) for _, reason in self.skipped)

    def describe_others(self) -> str:
        """ "1 other file was left alone.", or "" where there is none."""
        if not self.others:
            return ""
        return f"{count_of(self.others, 'other file')} {'was' if self.others == 1 else 'were'} left alone."


def ingest(
    workspace: Workspace,
    options: layouts.IngestOptions,
    progress: Progress | None = None,
    limits: ReadLimits = FILM_LIMITS,
) -> IngestReport:
    """Add the films of a data set to the workspace's catalogue; films that are already there are left alone.

    A file that holds the film of a case again, by its grey levels or by the instance that its header names, is skipped
    as a copy of it. Each film is stored before its row, and rows are committed in small batches in the data set's
    order: a run that was killed goes on with the same call and ends with the same catalogue. Memory does not grow with
    the films, only (some hundred bytes each) with the skipped rows and the doubtful films, which are returned and
    written to `skipped.csv` and `doubtful.csv` of the workspace, and with the files of the folder where the table names
    films without their folder (see `FileFinder`).
    Raises `CatalogueError` if the data set is not as its layout says, `WorkspaceError` if another ingest is running.
    """
    with workspace.lock("catalogue", seconds=2.0):
        workspace.films.remove_partial()
        report = _Ingest(workspace, options, progress or _be_silent, limits).run()
        _write_list(workspace, options, SKIPPED_FILE, report.skipped)
        _write_list(workspace, options, DOUBTFUL_FILE, report.doubtful)
        record_catalogue(workspace)
    return report


def ingest_part(workspace: Workspace, options: layouts.IngestOptions, limits: ReadLimits = FILM_LIMITS) -> int:
    """Add the few films that `options` names, beside other processes that add others; how many are new.

    Films are decoded and stored first; under the lock only their rows are compared and written, so that a film which
    another process has added by then stays its. Lists and manifest are left to an `ingest` of the whole, which finds
    what a part left. Raises as `ingest`.
    """
    return _Part(workspace, options, _be_silent, limits).run().added


def record_catalogue(workspace: Workspace) -> dict[str, Any]:
    """Write the catalogue's hash and count into the manifest, as the artefact "catalogue"."""
    catalogue = workspace.catalogue
    former = workspace.read_manifest()["artefacts"].get("catalogue", {})
    # The first value stays: a salt that was exchanged must not become the right one with the next ingest.
    salt_check = former.get("salt_check") or workspace.salt_check
    facts = {
        "sha256": catalogue.sha256(),
        "rest_sha256": catalogue.sha256_of_rest(),
        "cases": catalogue.count(include_removed=True),
        "salt_check": salt_check,
    }
    return workspace.record_artefact("catalogue", facts)


class NamesSeen:
    """The names of cases met so far, in a temporary file, so that memory does not grow with them."""

    def __init__(self) -> None:
        # A database without a name is a temporary file, which SQLite removes when it is closed.
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE seen (name BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, name: str) -> bool:
        """True where the name was not there before."""
        stored = name.encode("utf-8", "surrogateescape")
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (stored,)).rowcount == 1

    def close(self) -> None:
        """Remove the file."""
        self._database.close()


class _Ingest:
    """One run: a window of films being decoded by the workers, taken out in order."""

    ahead = 2 * WORKERS
    """Films under way at once."""

    def __init__(self, workspace: Workspace, options: layouts.IngestOptions, progress: Progress, limits: ReadLimits):
        self.workspace, self.progress, self.limits = workspace, progress, limits
        self.options = replace(options, is_known=self._is_known)
        self.source = options.source or options.layout
        self.look_ahead = _FETCHED_AHEAD if layouts.LAYOUTS[options.layout].remote else _LOOK_AHEAD
        self.added = self.already = self.seen_rows = self.other_files = 0
        self.skipped: list[tuple[str, str]] = []
        self.doubtful: list[tuple[str, str]] = []
        self.ignored: Counter[str] = Counter()
        self.seen = NamesSeen()
        self.pending: deque[Future[StoredFilm | layouts.SkippedRow]] = deque()
        self.records: list[StoredFilm] = []
        self.copies: list[Copy] = []
        self.others: list[tuple[str, str]] = []
        self.total = options.limit if options.limit is not None else count_rows(options)

    def run(self) -> IngestReport:
        rows = select_rows(self.options)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="ingest") as workers:
            try:
                # Looking ahead lets one question to the table answer for many rows.
                while not self._is_full() and (batch := list(islice(rows, self.look_ahead))):
                    self._take_batch(batch, workers)
                while self.pending:
                    self._collect()
            finally:
                self._wind_up()
        encoding = describe_code_page(self.options.labels) if self.options.labels else ""
        return IngestReport(
            self.added, self.already, self.skipped, dict(self.ignored), self.doubtful, self.other_files, encoding
        )

    def _take_batch(self, batch: list[layouts.LayoutRow], workers: ThreadPoolExecutor) -> None:
        named = [(self._name_row(row), row) for row in batch]
        names = [case_id for case_id, _ in named if case_id]
        held = self.workspace.catalogue.find_identifiers(names)
        copies = self.workspace.catalogue.copies.find(names)
        for case_id, row in named:
            if self._is_full():
                return
            self.seen_rows += 1
            if isinstance(row, layouts.SkippedRow):
                self._skip(row.item, row.reason)
            elif isinstance(row, layouts.IgnoredLabel):
                self.seen_rows -= 1
                self.ignored[row.name] += 1
            elif isinstance(row, layouts.OtherFile):
                self.seen_rows -= 1
                self.other_files += 1
            elif not self.seen.add(case_id):
                self._skip(row.label, "listed twice")
            elif isinstance(row, layouts.KnownFilm):
                self._take_known(row, held.get(case_id) or copies[case_id])
            else:
                self._take_case(case_id, row, held.get(case_id) or copies.get(case_id), workers)

    def _name_row(self, row: layouts.LayoutRow) -> str:
        if isinstance(row, layouts.KnownFilm):
            return self._name(row.case_id, private=True)
        return self._name(row.case_id, row.private) if isinstance(row, layouts.RawCase) else ""

    def _is_known(self, case_id: str) -> bool:
        """Whether a private film is in the catalogue, or was left out as a copy, under this source."""
        name = self._name(case_id, private=True)
        catalogue = self.workspace.catalogue
        return bool(catalogue.find_identifiers([name]) or catalogue.copies.find([name]))

    def _take_known(self, row: layouts.KnownFilm, known: Held | Copy) -> None:
        if isinstance(known, Copy):
            self._skip(row.label, known.reason)
            return
        self.already += 1
        self._doubt(self._name_row(row), known.doubt)
        self._tell()

    def _take_case(
        self, case_id: str, raw: layouts.RawCase, known: Held | Copy | None, workers: ThreadPoolExecutor
    ) -> None:
        if isinstance(known, Held):
            if known.source != self.source:
                self._skip(raw.label, f"the source '{known.source}' already has a case of this name")
            elif known.size is not None and known.size != measure_file(raw.file):
                self._skip(raw.label, "the catalogue already has another film of this name")
            else:
                self.already += 1
                self._doubt(case_id, known.doubt)
                self._tell()
            return
        if known is not None and (known.source, known.source_bytes) == (self.source, measure_file(raw.file)):
            self._skip(raw.label, known.reason)
            return
        # Never more films under way than the limit leaves: a film that is stored but not wanted would be litter.
        while self.pending and (len(self.pending) >= self.ahead or self._count_under_way() >= self._limit()):
            self._collect()
        if not self._is_full():
            self.pending.append(workers.submit(store_film, self.workspace, self.options, self.limits, case_id, raw))

    def _wind_up(self) -> None:
        """Keep what was done when the run ends early: films already begun are taken in, up to the first that fails."""
        for future in self.pending:
            future.cancel()
        with suppress(Exception, CancelledError):  # the error that ended the run is the one to report
            while self.pending:
                self._collect()
        self.seen.close()
        self._flush()

    def _collect(self) -> None:
        result = self.pending[0].result()
        if isinstance(result, layouts.SkippedRow):
            self.pending.popleft()
            self._skip(result.item, result.reason)
            return
        try:
            kept = find_kept(self.workspace, result, self.records)
        except FilmLost as error:  # what it may be a copy of must come back first; the next run asks again
            self.pending.popleft()
            self.workspace.films.delete(result.record["path"])
            self._skip(result.label, f"it cannot be compared with the case of its identifier: {error}")
            return
        self.pending.popleft()
        if isinstance(kept, Kept):
            self._leave_out(result, kept)
            return
        stored = result if kept is None else result.with_doubt(kept)
        self.records.append(stored)
        self.added += 1
        self._doubt(stored.case_id, stored.record["doubt"])
        if len(self.records) + len(self.copies) >= _BATCH:
            self._flush()
        self._tell()

    def _leave_out(self, stored: StoredFilm, kept: Kept) -> None:
        """A copy of a case: the film is taken out again, and remembered with the patients that it names."""
        self.workspace.films.delete(stored.record["path"])
        patient = stored.record["patient"]
        other = patient is not None and kept.patient is not None and patient != kept.patient
        copy = Copy(stored.case_id, kept.case_id, self.source, stored.record["source_bytes"], other)
        self.copies.append(copy)
        self.others += [(kept.case_id, one) for one in stored.patients if one != kept.patient]
        self._skip(stored.label, copy.reason)
        if len(self.records) + len(self.copies) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        others = [(stored.case_id, one) for stored in self.records for one in stored.other_patients]
        self.workspace.catalogue.add([stored.record for stored in self.records], self.copies, others + self.others)
        self.records, self.copies, self.others = [], [], []

    def _limit(self) -> float:
        return float("inf") if self.options.limit is None else self.options.limit

    def _count_accepted(self) -> int:
        return self.added + self.already

    def _count_under_way(self) -> int:
        return self._count_accepted() + len(self.pending)

    def _is_full(self) -> bool:
        return self._count_accepted() >= self._limit()

    def _doubt(self, case_id: str, doubt: str | None) -> None:
        if doubt is not None:
            self.doubtful.append((case_id, doubt))

    def _skip(self, item: str, reason: str) -> None:
        # A file's name may be no text, which no list can store.
        self.skipped.append((_make_storable(item), _make_storable(reason)))
        self._tell()

    def _tell(self) -> None:
        done = self._count_accepted() if self.options.limit is not None else self.seen_rows - len(self.pending)
        self.progress(done, self.total, f"{self.added} added, {len(self.skipped)} skipped")

    def _name(self, case_id: str, private: bool) -> str:
        return f"case-{self.workspace.hash_secretly(f'{self.source}:{case_id}')}" if private else case_id


class _Part(_Ingest):
    """A few films, all under way at once and taken in together."""

    ahead = _LOOK_AHEAD

    def run(self) -> IngestReport:
        try:
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="ingest") as workers:
                self._take_batch(list(select_rows(self.options)), workers)
            with self.workspace.lock("catalogue", PATIENCE):
                self._drop_known()
                while self.pending:
                    self._collect()
                self._flush()
        finally:
            self.seen.close()
        return IngestReport(self.added, self.already, self.skipped)

    def _drop_known(self) -> None:
        """Forget films that another process has taken in meanwhile, or left out as copies."""
        results = [(future, future.result()) for future in self.pending]
        names = [one.case_id for _, one in results if isinstance(one, StoredFilm)]
        held, copies = self.workspace.catalogue.find_identifiers(names), self.workspace.catalogue.copies.find(names)
        self.pending.clear()
        for future, one in results:
            if isinstance(one, StoredFilm) and one.case_id in copies:
                self.workspace.films.delete(one.record["path"])
            elif not isinstance(one, StoredFilm) or one.case_id not in held:
                self.pending.append(future)


def _write_list(workspace: Workspace, options: layouts.IngestOptions, name: str, listed: list[tuple[str, str]]) -> None:
    """Replace the rows of this source and folder in the list `name`; what other data sets left there stays."""
    path = workspace.path / name
    # A folder's path may name a person or a machine: only its hash is kept, to know it again.
    own = (options.source or options.layout, workspace.hash_secretly(str(Path(options.images).resolve())))
    former = read_table(path, len(_LISTED_COLUMNS)) if path.is_file() else ()
    others = [row for row in former if tuple(row[2:]) != own]
    write_bytes_atomically(path, write_table(_LISTED_COLUMNS, [*others, *((*pair, *own) for pair in listed)]))


def _make_storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _be_silent(done: int, total: int, text: str) -> None:
    """Progress that nobody asked for."""
