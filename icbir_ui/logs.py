"""The log of this server. As JSON it holds the time, what happened and to whose pseudonym, and no text of others: no
name of a file, no UID, nothing of a patient.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from icbir_core.files import find_program_folder

_LOG = logging.getLogger("icbir_ui")
_FIELD = "icbir"
_FRAMES = 20
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


def log_event(
    event: str,
    level: int = logging.INFO,
    reader: str = "",
    error: BaseException | None = None,
    **details: int | float | str,
) -> None:
    """Write one event. details : numbers and single lower-case words; in the place of any other text stands
    "withheld"."""
    words = {name: value if _is_plain(value) else "withheld" for name, value in details.items()}
    plain = " ".join([event, *(f"{name}={value}" for name, value in words.items())])
    _LOG.log(level, "%s", plain, exc_info=error, extra={_FIELD: {"event": event, "reader": reader, **words}})


def _is_plain(value: object) -> bool:
    return _WORD.fullmatch(value) is not None if isinstance(value, str) else isinstance(value, int | float)


class JsonFormatter(logging.Formatter):
    """One line of JSON for each record. Of a record of a library its place is told, never its text; of an error its
    kind and the places that led to it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        own = getattr(record, _FIELD, None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": "library",
            "reader": "",
        }
        line |= own or {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
            line["error"] = type(error).__name__
            line["places"] = [f"{_shorten(one.filename)}:{one.lineno} {one.name}" for one in frames]
        return json.dumps(line, ensure_ascii=True)


def write_json_lines() -> None:
    """From here on, everything that this process logs is a line of JSON at standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in list(root.manager.loggerDict):
        _pass_on(logging.getLogger(name))
    _take_over_streamlit()
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    sys.excepthook = lambda kind, error, trace: log_event("ended", logging.CRITICAL, error=error)
    threading.excepthook = lambda given: log_event("thread_ended", logging.ERROR, error=given.exc_value)


def _pass_on(logger: logging.Logger) -> None:
    logger.handlers[:] = []
    logger.propagate = True


def _take_over_streamlit() -> None:
    """Streamlit and uvicorn give their loggers handlers of their own, also later on."""
    from streamlit import logger as streamlit_logger
    from uvicorn.config import LOGGING_CONFIG

    streamlit_logger.setup_formatter = _pass_on
    LOGGING_CONFIG.update(handlers={}, loggers={})


def _shorten(name: str) -> str:
    """A file of the program from its top folder on; of a library its last two names."""
    path = Path(name)
    folder = find_program_folder()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else "/".join(path.parts[-2:])
