"""Results on their way to the archive: one thread of this server empties the outbox and ends when nothing is due."""

from __future__ import annotations

import threading
import time

import streamlit as st

from icbir_core.errors import WorkspaceBusy
from icbir_core.pacs.destination import DOWNLOAD, OFF, Destination, open_outbox, read_destination
from icbir_core.pacs.outbox import Outbox
from icbir_core.pacs.sending import send_waiting
from icbir_core.settings import get_environment
from icbir_ui.errors import explain
from icbir_ui.shared import find_workspace_path

LONGEST_SLEEP = 60.0
OTHERS_TURN = 2.0
"""Seconds until the next look while another process sends."""


class Sender:
    """Of one server. error : why nothing can be sent at all, "" where it can."""

    def __init__(self, outbox: Outbox, destination: Destination):
        self.outbox, self._destination, self.error = outbox, destination, ""
        self._lock, self._called = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Begin, or look again at once, if there is something to send."""
        self._called.set()
        with self._lock:
            if self._thread is None and self._find_due() is not None:
                self._thread = threading.Thread(target=self._work, name="icbir-sender", daemon=True)
                self._thread.start()

    def _find_due(self) -> float | None:
        """When the next parcel is due; None where none is left."""
        return min((one.due for one in self.outbox.list_parcels() if not one.refused), default=None)

    def _work(self) -> None:
        try:
            while True:
                self._called.clear()
                pause = 0.0
                try:
                    send_waiting(self.outbox, self._destination.get_opener())
                except WorkspaceBusy:
                    pause = OTHERS_TURN
                with self._lock:
                    due = self._find_due()
                    if due is None:
                        self._thread = None
                        return
                self._called.wait(min(LONGEST_SLEEP, max(pause, due - time.time())))
        except Exception as error:
            self.error = explain(error)
            with self._lock:
                self._thread = None


@st.cache_resource(show_spinner=False, max_entries=4)
def _open_sender(workspace: str, destination: Destination) -> Sender:
    return Sender(open_outbox(workspace), destination)


def get_sender() -> Sender | None:
    """The sender of this server; None where nothing may be sent. Raises `PacsError` for wrong settings."""
    destination = read_destination()
    return _open_sender(str(find_workspace_path()), destination) if destination.sends else None


def resume_sending() -> None:
    """Go on with what waited when the server was stopped or killed."""
    if (get_environment("RESULTS") or OFF) not in (OFF, DOWNLOAD) and (sender := get_sender()) is not None:
        sender.wake()
