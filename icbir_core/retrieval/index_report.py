"""What an indexing says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class IndexReport:
    """What an indexing did.

    embedded, already : cases computed in this run, and before it. unreadable : (case_id, reason) of stored films
    that could not be read; they are not in the index. started_anew : earlier values were made by other models and were
    dropped. starter : the starter models were used. device : what computed, as in the manifest. indexes : per method
    count, trees, search_k and recall at 10. failed : (method, reason) of methods of installed packages.
    """

    target: str
    embedded: int
    already: int
    starter: bool
    started_anew: bool
    unreadable: tuple[tuple[str, str], ...] = ()
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each film and each method that is not indexed: an indexing with any has not ended well."""
        films = [f"Not indexed: {case_id}: {reason}" for case_id, reason in self.unreadable]
        return (*films, *(f"Not indexed by {method}: {reason}" for method, reason in self.failed))
