"""The unit of shared work: what is computed of the cases of one chunk of a store. It may run twice.

Workers of a queue and of a Dask cluster call the same function. It asks the store which of the chunk's cases it
lacks, and a case enters the store's ledger after its values: so a unit that was killed is done again from where it
stopped, and one that ran already computes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from icbir_core.catalogue import Workspace
from icbir_core.retrieval.index_report import IndexReport
from icbir_core.retrieval.store import BATCH


@dataclass(frozen=True)
class IndexPlan:
    """What is to be indexed, as plain values that travel with a job.

    target : None for the workspace's first; methods, encoders : names, None for all that can be; engine : what holds
    the vectors; map_method : of the maps, None for that of the networks. stores : the marks of the stores that the
    planner found, which change with the networks; empty before it.
    """

    target: str | None = None
    methods: tuple[str, ...] | None = None
    encoders: tuple[str, ...] | None = None
    engine: str | None = None
    map_method: str | None = None
    stores: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> IndexPlan:
        """The plan out of `as_dict`."""
        plain: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
        return cls(**plain)


class Divided(Protocol):
    """A command in parts that several workers do, each of which may be done twice. The command itself, run at the end,
    does what they left."""

    def list_parts(self) -> list[str]:
        """Names of the parts that are to be done."""

    def do_part(self, part: str) -> None:
        """Do one of them. Raises `IcbirError`."""


@dataclass(eq=False)
class Bench:
    """What a worker holds between two units: an open workspace, the networks of one plan, and its device."""

    workspace: Workspace
    device: str = "auto"
    _opened: dict[IndexPlan, Any] = field(default_factory=dict)

    def open(self, plan: IndexPlan) -> Any:
        """The plan's stores and networks, `retrieval.filling.Filling`; loaded once, and again when another process has
        made one of the stores anew."""
        found = self._opened.get(plan)
        if found is None or not all(store.is_current() for store in found.stores):
            self._opened.clear()  # networks of one plan at a time
            found = self._opened[plan] = self.load(plan)
        return found

    def load(self, plan: IndexPlan) -> Any:
        """The plan's stores and networks, read now."""
        from icbir_core.retrieval.filling import Asked, open_filling

        asked = Asked(plan.target, plan.methods, plan.encoders)
        return open_filling(self.workspace, asked, plan.map_method, self.device)

    def settle(self, plan: IndexPlan) -> IndexPlan:
        """The plan with its target and the marks of its stores. The networks are read anew: they may have been trained
        since this process read them."""
        self._opened.clear()
        found = self.open(replace(plan, stores=()))
        settled = replace(plan, target=found.target, stores=tuple(store.mark for store in found.stores))
        self._opened = {settled: found}
        return settled


def list_chunks(bench: Bench, plan: IndexPlan) -> list[int]:
    """The chunks of which some case lacks values, ascending; the stores are made and have room for every case."""
    filling = bench.open(plan)
    catalogue = bench.workspace.catalogue
    total = catalogue.count(include_removed=True)
    filling.make_room(total)
    wanted = [case.row for batch in catalogue.iterate(1024) for case in batch]
    lacking = filling.list_lacking(np.array(wanted, np.int64))
    return sorted({int(row) // BATCH for row in lacking})


def fill_chunk(bench: Bench, plan: IndexPlan, chunk: int) -> int:
    """Compute what the stores lack of one chunk's cases; how many cases were computed. Raises `IndexMismatch` where
    this device's values differ from those that the store's first device wrote."""
    filling = bench.open(plan)
    alive = bench.workspace.catalogue.eligible_rows()
    rows = alive[(alive >= chunk * BATCH) & (alive < (chunk + 1) * BATCH)]
    return int(filling.fill(bench.workspace.catalogue.cases(filling.list_lacking(rows))))


def build_indexes(bench: Bench, plan: IndexPlan) -> IndexReport:
    """Build or update the indexes of a plan whose chunks are done; what one of them left is computed first. Returns and
    raises as `retrieval.index_workspace`."""
    from icbir_core.retrieval.index_workspace import index_workspace

    return index_workspace(
        bench.workspace,
        plan.target,
        plan.methods,
        bench.device,
        plan.map_method,
        encoders=plan.encoders,
        engine=plan.engine,
    )
