"""What a program may be given by other packages: search methods, saliency methods, layouts, each found by its name.

A package offers an object under a Python entry point of the kind's group. It is loaded when the kind is first looked
through. One that cannot be loaded is left out with a warning, and is named with the reason when it is asked for, so
that a broken package never stops the program.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from icbir_core.errors import BrokenPlugin, IcbirError, UnknownNameError

SEARCH_GROUP = "icbir.search_methods"
SALIENCY_GROUP = "icbir.saliency_methods"
LAYOUT_GROUP = "icbir.layouts"
BACKBONE_GROUP = "icbir.backbones"
GROUPS: tuple[str, ...] = (SEARCH_GROUP, SALIENCY_GROUP, LAYOUT_GROUP, BACKBONE_GROUP)
"""The groups of entry points."""


class Named(Protocol):
    """Anything that is chosen by a short name."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


class Registry(Mapping[str, Record], Generic[Record]):
    """All records of one kind by their names: the built-in ones in their order, then those of installed packages.

    kind : what an error calls them ("search method"). Looking up a name raises `UnknownNameError`, which lists the
    known ones, or `BrokenPlugin` for one that an installed package offers and that cannot be loaded. Thread-safe.
    """

    def __init__(self, kind: str, group: str, expected: type[Record], built_in: Iterable[Record]):
        self.kind, self.group = kind, group
        self._expected = expected
        self._built_in = {record.name: record for record in built_in}
        self._added: dict[str, Record] | None = None
        self._broken: dict[str, BrokenPlugin] = {}
        self._lock = threading.RLock()

    @property
    def built_in(self) -> tuple[str, ...]:
        """The names that come with the program."""
        return tuple(self._built_in)

    @property
    def broken(self) -> Mapping[str, BrokenPlugin]:
        """Why a name that an installed package offers cannot be used."""
        self._load()
        return dict(self._broken)

    def __getitem__(self, name: str) -> Record:
        if name in self._built_in:
            return self._built_in[name]
        added = self._load()
        if name in added:
            return added[name]
        if name in self._broken:
            raise self._broken[name]
        raise UnknownNameError(self.kind, name, self)

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self._load()

    def __len__(self) -> int:
        return len(self._built_in) + len(self._load())

    @contextmanager
    def calling(self, name: str, kind_of_error: type[IcbirError]) -> Iterator[None]:
        """Run what stands behind a name: whatever goes wrong in the code of an installed package becomes an error of
        that kind, which names it. Errors of the built-in code pass as they are."""
        try:
            yield
        except IcbirError:
            raise
        except Exception as error:
            if name not in (self._added or {}):
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise kind_of_error(f"The {self.kind} '{name}' failed ({reason}); choose another or update it.") from error

    def reload(self) -> None:
        """Look for packages again at the next question, as after one was installed."""
        with self._lock:
            self._added = None

    def _load(self) -> Mapping[str, Record]:
        with self._lock:
            if self._added is None:
                self._added, self._broken = {}, {}  # first, for a package that looks through the kind while it loads
                for entry in sorted(entry_points(group=self.group), key=lambda entry: entry.name):
                    try:
                        self._added[entry.name] = self._load_entry(entry)
                    except Exception as error:  # whatever another's code does wrong
                        reason = str(error) if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
                        self._broken[entry.name] = BrokenPlugin(self.kind, entry.name, _name_package(entry), reason)
                        logging.getLogger("icbir").warning("%s", self._broken[entry.name])
            return self._added

    def _load_entry(self, entry: EntryPoint) -> Record:
        if entry.name in {*self._built_in, *(self._added or ())}:
            raise TypeError("another one has this name")
        found = entry.load()
        if not isinstance(found, self._expected):
            raise TypeError(f"it is a {type(found).__name__}, not a {self._expected.__name__}")
        if found.name != entry.name:
            raise TypeError(f"its record is named '{found.name}'")
        return found


def _name_package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value.partition(":")[0]


def load_reference(reference: str) -> Any:
    """What "package.module:name" stands for, imported now: a record can name what is slow to import."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
