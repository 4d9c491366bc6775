"""The outbox is emptied into the archive, one parcel after the other, by one sender at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from icbir_core.errors import PacsError, PacsMismatch, PacsStopped
from icbir_core.pacs.outbox import Consigned, Outbox, Parcel, SendState

FIRST_WAIT = 5.0
LONGEST_WAIT = 600.0
"""Seconds between two tries; each time twice as long."""


class Carrier(Protocol):
    """A way to the archive. Both raise `PacsMismatch` for an object that the archive will never take, and another
    `PacsError` where the same may succeed later."""

    def holds(self, one: Consigned) -> bool:
        """Whether the archive has the object; False where it cannot be asked."""

    def send(self, one: Consigned, data: bytes) -> None:
        """Send the object and return once the archive says that it is stored."""

    def close(self) -> None:
        """Give the line back."""


@dataclass(frozen=True)
class Sent:
    """What became of the outbox. sent : objects that went out now; found : that had arrived before a kill; refused :
    that the archive will not take; waiting : parcels still there; word : why nothing more went out, "" where all did.
    """

    sent: int = 0
    found: int = 0
    refused: int = 0
    waiting: int = 0
    word: str = ""


def send_waiting(
    outbox: Outbox,
    open_carrier: Callable[[], Carrier],
    tell: Callable[[int, int], None] = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.time,
) -> Sent:
    """Send every parcel that is due; what cannot be sent now stays, and is due again later. tell : (objects that are
    done, all).

    Raises `WorkspaceBusy` where another sends, `WorkspaceError` where the outbox cannot be used; what the archive does
    is in the answer, never raised.
    """
    with outbox.sending():
        parcels = [one for one in outbox.list_parcels() if one.due <= clock() and not one.refused]
        run = _Run(outbox, sum(len(one.objects) for one in parcels), tell, stopped, clock)
        if parcels:
            run.go(parcels, open_carrier)
        return replace(run.outcome, waiting=len(outbox.list_parcels()))


class _Run:
    def __init__(
        self,
        outbox: Outbox,
        total: int,
        tell: Callable[[int, int], None],
        stopped: Callable[[], bool],
        clock: Callable[[], float],
    ):
        self.outcome = Sent()
        self._outbox, self._total, self._done = outbox, total, 0
        self._tell, self._stopped, self._clock = tell, stopped, clock

    def go(self, parcels: list[Parcel], open_carrier: Callable[[], Carrier]) -> None:
        carrier = None
        parcel = parcels[0]
        try:
            carrier = open_carrier()
            for parcel in parcels:
                self._send_parcel(parcel, carrier)
        except PacsStopped as error:
            self.outcome = replace(self.outcome, word=str(error))
        except PacsError as error:
            # The next parcel would meet the same: all wait.
            latest = self._outbox.find(parcel.name) or parcel
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(latest.tries, 20))
            self._outbox.write(replace(latest, tries=latest.tries + 1, due=self._clock() + wait, word=str(error)))
            self.outcome = replace(self.outcome, word=str(error))
        finally:
            if carrier is not None:
                carrier.close()

    def _send_parcel(self, parcel: Parcel, carrier: Carrier) -> None:
        for one in parcel.objects:
            if one.state in (SendState.WAITING, SendState.BEGUN):
                if self._stopped():
                    raise PacsStopped("Sending was stopped; what is left waits.")
                parcel = self._send_object(parcel, one, carrier)
            self._done += 1
            self._tell(self._done, self._total)

    def _send_object(self, parcel: Parcel, one: Consigned, carrier: Carrier) -> Parcel:
        try:
            # What was begun may have arrived just before its sender was killed.
            if one.state is SendState.BEGUN and carrier.holds(one):
                self.outcome = replace(self.outcome, found=self.outcome.found + 1)
            else:
                data = self._outbox.read_object(parcel, one)
                parcel = parcel.change(one.file, SendState.BEGUN)
                self._outbox.write(parcel)
                carrier.send(one, data)
                self.outcome = replace(self.outcome, sent=self.outcome.sent + 1)
            parcel = parcel.change(one.file, SendState.SENT)
        except PacsMismatch as error:
            parcel = replace(parcel.change(one.file, SendState.REFUSED), word=str(error))
            self.outcome = replace(self.outcome, refused=self.outcome.refused + 1, word=str(error))
        self._outbox.write(parcel)
        return parcel
