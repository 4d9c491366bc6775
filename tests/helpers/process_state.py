"""What a process has only once, put back after each test: files share a process, and their order is random."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def put_back_process_state() -> Iterator[None]:
    """The program that a page's run puts in the place of ours (a child process would start it again), the folder, the
    environment, the threads of OpenCV, who is told of errors, warnings and signals, and how much is logged to whom."""
    program, folder, environment = sys.modules["__main__"], os.getcwd(), dict(os.environ)
    hooks, threads = (sys.excepthook, threading.excepthook), _count_threads()
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    listeners, least = list(logging.root.handlers), logging.root.manager.disable
    levels = [(logger, logger.level, logger.disabled) for logger in _list_loggers()]
    yield
    sys.modules["__main__"] = program
    sys.excepthook, threading.excepthook = hooks
    os.chdir(folder)
    for name in (os.environ.keys() | environment) - {"PYTEST_CURRENT_TEST"}:
        if name not in environment:
            del os.environ[name]
        elif os.environ.get(name) != environment[name]:
            os.environ[name] = environment[name]
    if threads and _count_threads() != threads:
        sys.modules["cv2"].setNumThreads(threads)
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    logging.captureWarnings(False)
    logging.root.handlers[:] = listeners
    logging.disable(least)
    for logger, level, off in levels:
        logger.disabled = off
        if logger.level != level:  # each such call goes through all loggers that there are
            logger.setLevel(level)


def _list_loggers() -> list[logging.Logger]:
    known = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    return [logging.root, *known]


def _count_threads() -> int:
    """Of OpenCV, where it is loaded."""
    return int(sys.modules["cv2"].getNumThreads()) if "cv2" in sys.modules else 0
