"""What a test leaves in the process is put back before the next one."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings

import cv2

from tests.helpers.process_state import put_back_process_state


def read_state() -> list[object]:
    loggers = [logging.getLogger(name) for name in ("made.for.this", None)]
    return [
        sys.modules["__main__"], sys.excepthook, threading.excepthook, warnings.showwarning, os.getcwd(),
        os.environ.get("ICBIR_DEVICE"), "ICBIR_MADE_FOR_THIS" in os.environ, cv2.getNumThreads(),
        signal.getsignal(signal.SIGTERM), list(logging.root.handlers), logging.root.manager.disable,
        *((logger.level, logger.disabled) for logger in loggers),
    ]  # fmt: skip


def test_everything_is_put_back(monkeypatch, tmp_path):
    monkeypatch.setenv("ICBIR_DEVICE", "cpu")
    before = read_state()
    with put_back_process_state():
        sys.modules["__main__"] = sys
        sys.excepthook = threading.excepthook = print
        logging.captureWarnings(True)
        os.chdir(tmp_path)
        del os.environ["ICBIR_DEVICE"]
        os.environ["ICBIR_MADE_FOR_THIS"] = "1"
        cv2.setNumThreads(cv2.getNumThreads() + 1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.root.addHandler(logging.NullHandler())
        logging.disable(logging.CRITICAL)
        logging.getLogger("made.for.this").setLevel(logging.ERROR)
        logging.getLogger("made.for.this").disabled = True
        logging.getLogger().setLevel(logging.ERROR)
        changed = read_state()
    assert all(one != other for one, other in zip(before, changed, strict=True)), "each of them was changed"
    assert read_state() == before
