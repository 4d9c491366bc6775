"""Who may do what: three roles, and the one question whether a person has a right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from icbir_core.errors import AccessRefused


class Role(StrEnum):
    """What somebody is, from the least rights to the most."""

    READER = "reader"
    STUDY_LEAD = "study_lead"
    OPERATOR = "operator"


class Right(StrEnum):
    """What is asked for where it is done; the value ends the sentence "You may not …"."""

    ADD = "add films"
    REMOVE = "remove or restore a case"
    MAKE_STUDY = "make a study"
    IMPORT = "import a study"
    UNBLIND = "see the results of a study before you are through with it"
    DOWNLOAD_STUDY = "download a study with its ratings"
    SEARCH_ARCHIVE = "search the archive (PACS)"
    OPEN_STUDY = "open films of the archive (PACS)"
    EXPORT_DICOM = "export a result as DICOM objects"
    SEND = "send a result to the archive (PACS)"
    CANCEL_JOBS = "see or cancel jobs"


_OF_READERS = (Right.SEARCH_ARCHIVE, Right.OPEN_STUDY, Right.EXPORT_DICOM, Right.SEND)
LEAST_ROLES: Mapping[Right, Role] = {
    **{right: Role.READER if right in _OF_READERS else Role.STUDY_LEAD for right in Right},
    Right.CANCEL_JOBS: Role.OPERATOR,
}
"""For each right the role with the least rights that has it, where the operator has not decided otherwise."""
GROUP = "group:"
"""Begins an entry of a role that stands for a group."""
EVERYBODY = "*"
"""The entry of a role that stands for everybody who is signed in."""


@dataclass(frozen=True)
class Person:
    """Somebody who uses the pages.

    pseudonym : under which ratings and the audit log name her. role : None for one who is signed in but was given no
    role. signed_in : False on a server for one person, where nobody signs in and everything is allowed. least : as
    `LEAST_ROLES`, with what the operator decided.
    """

    pseudonym: str
    role: Role | None
    signed_in: bool
    least: Mapping[Right, Role] = field(default_factory=lambda: LEAST_ROLES, repr=False)

    def may(self, right: Right) -> bool:
        """Whether she has a right."""
        roles = list(Role)
        return self.role is not None and roles.index(self.role) >= roles.index(self.least[right])

    def require(self, right: Right) -> None:
        """Raises `AccessRefused` where she has not."""
        if not self.may(right):
            raise AccessRefused(f"You may not {right}; ask a study lead or the operator of this server.")


def find_role(roles: Mapping[Role, Iterable[str]], names: Iterable[str], groups: Iterable[str] = ()) -> Role | None:
    """The role with the most rights that is given to one of a person's names or groups; None without any.

    roles : for each role names, "@domain" for all names that end so, "group:name" for a group, "*" for everybody.
    Upper and lower case are the same.
    """
    own = {name.casefold() for name in names if not name.casefold().startswith((GROUP, "@", EVERYBODY))}
    own |= {"@" + name.rpartition("@")[2] for name in own if "@" in name}
    own |= {f"{GROUP}{group.casefold()}" for group in groups} | {EVERYBODY}
    found = [role for role in Role if own & {entry.casefold() for entry in roles.get(role, ())}]
    return found[-1] if found else None
