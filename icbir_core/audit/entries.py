"""One entry of an audit log: what it may hold, how it is written, and how its keyed hash binds it to the one before."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from icbir_core.errors import AuditError

FIRST = "0" * 64
"""Stands for the hash before the first entry."""
_WHO = re.compile(r"[\w. -]{1,60}")
_SUBJECT = re.compile(r"[a-z]{1,20}:[0-9a-f]{16}")
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_KEYS = ("number", "time", "who", "action", "subjects", "details", "previous", "digest")


class Action(StrEnum):
    """What can be recorded."""

    STARTED = "started"
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    REFUSED = "refused"
    SEARCHED = "searched"
    SAW = "saw"
    RATED = "rated"
    ADDED = "added"
    INDEXED = "indexed"
    REMOVED = "removed"
    RESTORED = "restored"
    ERASED = "erased"
    REPAIRED = "repaired"
    MOVED = "moved"
    EXPORTED = "exported"
    IMPORTED = "imported"
    MADE_STUDY = "made_study"
    UNBLINDED = "unblinded"
    ASKED_ARCHIVE = "asked_archive"
    OPENED = "opened"
    RECEIVED = "received"
    SENT = "sent"


class Subject(NamedTuple):
    """What an action was about. kind : "case", "film", "study" (of readers), "folder", "account", or of an archive
    "examination" (its Study Instance UID), "accession", "patient" (a number) or "name"; name : it is written as a keyed
    hash, because it may be or hold that of a patient."""

    kind: str
    name: str


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    number : from 1 without a gap. time : ISO 8601 in UTC. who : the reader's pseudonym, or "account-" and a hash for a
    command. subjects : "kind:hash". details : whole numbers and single lower-case words, so that no name and no text of
    a report can stand there. previous, digest : HMAC-SHA256 of the entry before and of this one, hexadecimal.
    """

    number: int
    time: str
    who: str
    action: Action
    subjects: tuple[str, ...] = ()
    details: Mapping[str, int | str] = field(default_factory=dict)
    previous: str = FIRST
    digest: str = ""

    def seal(self, key: bytes) -> Entry:
        """The same entry with its keyed hash. Raises `AuditError` for a value that an entry may not hold."""
        self.check()
        digest = hmac.new(key, self.write(with_digest=False), hashlib.sha256).hexdigest()
        return Entry(**{**vars(self), "digest": digest})

    def is_sealed(self, key: bytes) -> bool:
        """Whether the keyed hash is that of what the entry holds."""
        found = hmac.new(key, self.write(with_digest=False), hashlib.sha256).hexdigest()
        return hmac.compare_digest(found, self.digest)

    def check(self) -> None:
        """Raises `AuditError` unless every value is of its kind."""
        words = [one for one in self.details.values() if isinstance(one, str)]
        numbers = [one for one in self.details.values() if not isinstance(one, str)]
        right = (
            _WHO.fullmatch(self.who)
            and all(_SUBJECT.fullmatch(one) for one in self.subjects)
            and all(_WORD.fullmatch(one) for one in [*self.details, *words])
            and all(type(one) is int for one in numbers)
        )
        if not right:
            raise AuditError(
                "An entry of the audit log may hold a pseudonym, hashes, whole numbers and single lower-case words "
                "only; this one holds something else and was not written."
            )

    def write(self, with_digest: bool = True) -> bytes:
        """The line, without its end."""
        values = {key: getattr(self, key) for key in _KEYS if with_digest or key != "digest"}
        values["details"] = dict(sorted(self.details.items()))
        return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def read(cls, line: bytes) -> Entry:
        """The entry in a line as `write` made it. Raises `AuditError` for any other line."""
        try:
            values = json.loads(line)
            entry = cls(**{**values, "action": Action(values["action"]), "subjects": tuple(values["subjects"])})
            if type(entry.number) is int and entry.write() == line:
                return entry
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        raise AuditError("A line of the audit log is not as it was written.")


def make_word(text: str) -> str:
    """`text` as a single lower-case word for the details of an entry, such as a finding or a method."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:40] or "unnamed"
