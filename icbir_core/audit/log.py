"""The log: lines of JSON that only grow in number, each chained to the one before, and the head that knows the last.

The chain finds an entry that was changed, taken out or moved; the head, which is written after each entry, finds that
the end was cut off. Both are keyed with the workspace's salt: who may write the files but not read the salt can forge
neither. Who may do both can; against him the head that `icbir audit verify` prints is kept in another place.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from filelock import Timeout

from icbir_core.audit.entries import FIRST, Action, Entry, Subject
from icbir_core.audit.log_file import FindLine, LogFile
from icbir_core.audit.log_table import LogTable
from icbir_core.catalogue.verifying import Check, guard
from icbir_core.catalogue.workspace import Workspace
from icbir_core.errors import AuditError, IcbirError, WorkspaceError
from icbir_core.files import read_json, reading_own, write_json_atomically
from icbir_core.settings import get_environment

LOG = "audit.jsonl"
BEGUN = f"0:{FIRST}"
"""The head of a log whose first entry is still to come."""
_NAMED = 5
_HELD = "Another process holds the audit log; try again."


class AuditLog:
    """The audit log of one workspace. Safe for several threads, processes and, in a database server, machines at once.

    place : where its lines lie.
    """

    def __init__(self, workspace: Workspace, place: LogFile | LogTable):
        self.workspace, self.place = workspace, place
        self._turn = threading.Lock()
        self._key = "".join(workspace.hash_secretly(f"key {part} of the audit log") for part in range(4)).encode()

    def record(self, who: str, action: Action, *subjects: Subject, **details: int | str) -> Entry:
        """Write one entry and return it once it is on the disk. Raises `AuditError`, having written nothing."""
        named = tuple(self.name(one) for one in subjects)
        made: list[Entry] = []

        def make(line: bytes | None, torn: int) -> bytes:
            last = Entry.read(line) if line is not None else None
            if last is None:
                self._begin()
            elif not last.is_sealed(self._key):
                raise AuditError(
                    f"The last entry of the {self.place.title} is not as it was written; {self.place.advice}."
                )
            more = details | ({"torn_bytes": torn} if torn else {})
            number, previous = (last.number + 1, last.digest) if last else (1, FIRST)
            made.append(Entry(number, _now(), who, action, named, more, previous).seal(self._key))
            return made[-1].write()

        # The threads of one process wait here for each other: the lock of a file is polled, and of many readers
        # some were passed over until their patience ended.
        with self._turn, reading_own(f"The {self.place.title}", AuditError, "see `icbir audit verify`"):
            self._check_place()
            try:
                self.place.append(make, lambda find: self._move_head(made[-1], find))
            except Timeout:
                raise AuditError(_HELD) from None
            self._check_place()
        return made[-1]

    def name(self, subject: Subject) -> str:
        """How the log names a case, film, study, folder or account: its kind and 16 hexadecimal digits."""
        return f"{subject.kind}:{self.workspace.hash_secretly(f'{subject.kind}:{subject.name}')}"

    def name_account(self) -> str:
        """Who a command is recorded as: a hash of the account that runs it."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):
            account = str(os.getuid())
        return f"account-{self.workspace.hash_secretly(f'account:{account}')[:12]}"

    def entries(self) -> Iterator[Entry]:
        """Every entry, the oldest first. Raises `AuditError` at a line that is none."""
        for line in self.place.read_lines():
            yield Entry.read(line)

    def verify(self, head: str = "") -> Iterator[Check]:
        """Checks of the chain, of the head beside it and of `head`, "NUMBER:HASH" as it was printed at an earlier time.
        Finds entries that were changed, deleted, moved, added by others or cut off at the end."""
        yield from guard("audit", lambda: self._verify(head))

    def _verify(self, head: str) -> Iterator[Check]:
        faults, digests = self.walk(self.place.read_lines())
        beside = self._read_head() if self.place.head_path.is_file() else ""
        if not digests and not faults and beside in ("", BEGUN):
            missing = "audit" in self.workspace.read_manifest()["artefacts"]
            lost = f"The {self.place.title} is missing; restore it from a copy."
            yield Check("audit", not missing and not head, lost if missing else "nothing recorded yet")
            return
        if faults:
            more = f" … and {len(faults) - _NAMED} more." if len(faults) > _NAMED else ""
            yield Check("audit", False, " ".join(faults[:_NAMED]) + more)
            return
        # that of the beginning stays where every writer since was killed before writing its own
        known = [] if beside == BEGUN else [("the head beside it", beside or self._read_head())]
        if head:
            known.append(("the head that was given", head))
        for what, text in known:
            number, _, digest = text.partition(":")
            place = int(number) if number.isdigit() else 0
            if place > len(digests):
                word = f"{place - len(digests)} entries are missing at the end, as {what} says."
                yield Check("audit", False, word)
                return
            if place < 1 or digests[place - 1] != digest:
                yield Check("audit", False, f"The entry {number} is another than {what} names.")
                return
        yield Check("audit", True, f"{len(digests)} entries in one chain; its head is {len(digests)}:{digests[-1]}")

    def walk(self, lines: Iterable[bytes]) -> tuple[list[str], list[str]]:
        """The faults of a chain of lines, a sentence each, and the hashes of the entries in their order."""
        faults: list[str] = []
        digests: list[str] = []
        number, previous = 0, FIRST
        for place, line in enumerate(lines, start=1):
            try:
                entry = Entry.read(line)
            except AuditError:
                faults.append(f"Line {place} is not as it was written.")
                number, previous = number + 1, ""
                continue
            if entry.number != number + 1:
                faults.append(f"Line {place} holds entry {entry.number} in the place of {number + 1}.")
            elif previous and entry.previous != previous:
                faults.append(f"Entry {entry.number} does not follow the one before it.")
            if not entry.is_sealed(self._key):
                faults.append(f"Entry {entry.number} was changed.")
            number, previous = entry.number, entry.digest
            digests.append(entry.digest)
        return faults, digests

    def _move_head(self, entry: Entry, find: FindLine) -> None:
        """Let the head know an entry, unless it knows a later one, or one that the log has not: what was lost before is
        not forgotten by going on."""
        try:
            number, _, digest = self._read_head().partition(":")
            back = entry.number - int(number)
            line = find(back) if back > 0 else None
            if f"{number}:{digest}" != BEGUN and (line is None or Entry.read(line).digest != digest):
                return
        except IcbirError:
            return
        self._write_head(f"{entry.number}:{entry.digest}")

    def _write_head(self, head: str) -> None:
        write_json_atomically(self.place.head_path, {"head": head, "seal": self._seal_head(head)}, mode=0o600)

    def _read_head(self) -> str:
        held = read_json(self.place.head_path)
        head = str(held.get("head")) if isinstance(held, dict) else ""
        if not isinstance(held, dict) or not hmac.compare_digest(self._seal_head(head), str(held.get("seal"))):
            raise AuditError(f"'{self.place.head_path.name}' is not as it was written; restore it from a copy.")
        return head

    def _seal_head(self, head: str) -> str:
        return hmac.new(self._key, f"head {head}".encode(), hashlib.sha256).hexdigest()

    def _begin(self) -> None:
        """Before the first entry: the manifest, so that a log which is gone is missed, and a head, so that one which is
        gone is told from one that was never written."""
        if "audit" not in self.workspace.read_manifest()["artefacts"]:
            self.workspace.record_artefact("audit", {"begun": _now()})
        if not self.place.head_path.is_file():
            self._write_head(BEGUN)

    def _check_place(self) -> None:
        """A log in a workspace whose drive is away would begin anew in the empty folder that stands there."""
        try:
            self.workspace.check_is_there()
        except WorkspaceError as error:
            raise AuditError(f"Nothing can be recorded: {error}") from None


def open_audit(workspace: Workspace) -> AuditLog:
    """The audit log of a workspace: the file that `ICBIR_AUDIT` names, else beside its catalogue, as `audit.jsonl` in
    the folder or in the database server; a log of the folder moves there. Raises `WorkspaceError` without the
    workspace's salt, and what reaching the database raises."""
    named, file = get_environment("AUDIT"), LogFile(workspace.path / LOG)
    if named or not workspace.database_schema:
        return AuditLog(workspace, LogFile(named) if named else file)
    table = LogTable(workspace.database_schema, file)
    log = AuditLog(workspace, table)
    if file.is_begun():
        try:
            with table.lock():  # of two servers that start at once, one moves it
                lines = list(file.read_lines())
                if faults := log.walk(lines)[0]:
                    raise AuditError(f"The {file.title} does not move into the database. {faults[0]} So {file.advice}.")
                table.take_in(lines)
        except Timeout:
            raise AuditError(_HELD) from None
    return log


def record_command(workspace: Workspace, action: Action, *subjects: Subject, **details: int | str) -> str:
    """Record what a command did; "" or, where it could not be recorded, one sentence about it for the terminal."""
    try:
        log = open_audit(workspace)
        log.record(log.name_account(), action, *subjects, **details)
    except (IcbirError, OSError) as error:
        return f"Warning: this was not recorded in the audit log. {error}"
    return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
