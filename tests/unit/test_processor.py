"""The line about the processor that every benchmark prints."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def processor() -> dict:
    return runpy.run_path(str(BENCHMARKS / "processor.py"))


@pytest.mark.parametrize(
    ("features", "name"),
    [
        ({"SSE42": True, "AVX": True, "AVX2": True, "AVX512F": True, "AVX512_SKX": True}, "AVX-512"),
        ({"SSE42": True, "AVX": True, "AVX2": True, "AVX512F": True, "AVX512_SKX": False}, "AVX2 (no AVX-512)"),
        ({"SSE42": True}, "SSE4.2 (no AVX)"),
        ({"NEON": True, "ASIMD": True}, "NEON"),
        ({}, "no vector instructions known"),
    ],
)
def test_the_widest_instruction_set_is_named(processor, features, name):
    assert processor["name_instruction_set"](features) == name


def test_what_the_environment_changes_is_said(processor, monkeypatch, tmp_path):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    line = processor["describe_processor"]()
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in line and "processors" in line and "no vector" not in line
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor\t: 0\nmodel name\t: Some Processor: 2 GHz\n")
    assert processor["find_model"](listing) == "Some Processor: 2 GHz"
    assert processor["find_model"](tmp_path / "none"), "another system tells one too"


def test_every_benchmark_of_time_prints_it():
    timed = [
        file for file in BENCHMARKS.glob("*.py")
        if file.name not in ("processor.py", "retrieval_setting.py", "saliency_peer.py")
        and any(clock in file.read_text(encoding="utf-8") for clock in ("perf_counter", "process_time", "time_call"))
    ]  # fmt: skip
    assert len(timed) >= 8
    assert [file.name for file in timed if "describe_processor()" not in file.read_text(encoding="utf-8")] == []
