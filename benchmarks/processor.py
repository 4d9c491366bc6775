"""What the figures of a benchmark rest on beside the program: the processor, its instruction set, its number.

    python benchmarks/processor.py

The ratio of two computations changes with the instruction set: AVX-512 speeds up a plain convolution more than what
Deep Taylor does around it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

# What NumPy found at its start, on every system; `numpy.show_runtime()` prints the same.
from numpy._core._multiarray_umath import __cpu_features__ as FEATURES

SETS = {
    "AVX512_SKX": "AVX-512", "AVX2": "AVX2 (no AVX-512)", "AVX": "AVX (no AVX2)", "SSE42": "SSE4.2 (no AVX)",
    "SVE": "SVE", "ASIMD": "NEON", "VSX": "VSX", "VX": "VX", "RVV": "RVV",
}  # fmt: skip
LIMITS = ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def name_instruction_set(features: dict[str, bool] = FEATURES) -> str:
    """The widest instruction set for arithmetic that the processor has."""
    return next((name for feature, name in SETS.items() if features.get(feature)), "no vector instructions known")


def find_model(listing: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's own name, as far as the system knows one."""
    if listing.is_file():
        for line in listing.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_processor() -> str:
    """One line: instruction set, number of processors, name, and what the environment changes for the networks."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    return f"{name_instruction_set()}, {usable} processors, {find_model()}" + "".join(f", {one}" for one in limits)


if __name__ == "__main__":
    print(describe_processor())
