"""Who may do what: three roles, and the one question whether a person has a right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from icbir_core.errors import AccessRefused


class Role(StrEnum):
    """What somebody is, from the least rights to the most."""

    READER = "reader"
    STUDY_LEAD = "study_lead"
    OPERATOR = "operator"


class Right(StrEnum):
    """What needs more than to be let in; the value ends the sentence "You may not …"."""

    ADD = "add films"
    REMOVE = "remove or restore a case"
    MAKE_STUDY = "make a study"
    IMPORT = "import a study"
    UNBLIND = "see the results of a study before you are through with it"
    DOWNLOAD_STUDY = "download a study with its ratings"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.READER: frozenset(),
    Role.STUDY_LEAD: frozenset(Right),
    Role.OPERATOR: frozenset(Right),
}
GROUP = "group:"
"""Begins an entry of a role that stands for a group."""
EVERYBODY = "*"
"""The entry of a role that stands for everybody who is signed in."""


@dataclass(frozen=True)
class Person:
    """Somebody who uses the pages.

    pseudonym : under which ratings and the audit log name her. role : None for one who is signed in but was given no
    role. signed_in : False on a server for one person, where nobody signs in and everything is allowed.
    """

    pseudonym: str
    role: Role | None
    signed_in: bool

    def may(self, right: Right) -> bool:
        """Whether she has a right."""
        return self.role is not None and right in RIGHTS[self.role]

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
