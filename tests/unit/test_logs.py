"""The log as lines of JSON: what happened, and no text of others."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from icbir_ui.logs import JsonFormatter, log_event

ROOT = Path(__file__).resolve().parents[2]
SECRET = "Nowak^Jan 1.2.840.113619 /srv/films/nowak.dcm"


@pytest.fixture
def lines(caplog):
    """lines() are the records so far, as they would be written."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO, logger="pydicom")
    return lambda: [JsonFormatter().format(one) for one in caplog.records]


def test_an_event_has_time_level_name_and_pseudonym(lines):
    log_event("question", reader="reader-0123456789", kind="search", seconds=1.5)
    held = json.loads(lines()[0])
    assert held.pop("time").endswith("+00:00")
    assert held == {
        "level": "info", "event": "question", "reader": "reader-0123456789", "kind": "search", "seconds": 1.5,
    }  # fmt: skip


def test_no_text_of_others_is_written(lines):
    log_event("question", reader="r", kind=SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        log_event("error", logging.ERROR, error=error, number="0a1b2c3d")
        logging.getLogger("pydicom").warning("Invalid value %s", SECRET, exc_info=error)
    logging.getLogger("pydicom").warning(f"A value of {SECRET}")
    held = [json.loads(line) for line in lines()]
    assert not any(part in line for line in lines() for part in SECRET.split())
    assert held[0]["kind"] == "withheld" and held[1]["number"] == "0a1b2c3d"
    assert held[1]["error"] == "ValueError" and held[1]["places"][-1].startswith("tests/unit/test_logs.py:")
    assert held[3]["logger"] == "pydicom" and held[3]["level"] == "warning"


def test_everything_that_a_server_process_logs_is_a_line_of_json():
    code = f"""
import logging, threading, warnings
from streamlit.logger import get_logger
early = get_logger("streamlit.early")
from icbir_ui.logs import write_json_lines
write_json_lines()
import uvicorn
uvicorn.Config(lambda: None)
early.warning({SECRET!r}); get_logger("streamlit.late").warning({SECRET!r})
logging.getLogger("uvicorn.error").warning({SECRET!r})
warnings.warn({SECRET!r})
thread = threading.Thread(target=lambda: open({SECRET!r})); thread.start(); thread.join()
raise KeyError({SECRET!r})
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ}
    )
    held = [json.loads(line) for line in run.stderr.splitlines()]
    assert [one["event"] for one in held[-6:]] == ["library"] * 4 + ["thread_ended", "ended"]
    assert held[-1]["error"] == "KeyError" and "Nowak" not in run.stderr and run.stdout == ""
