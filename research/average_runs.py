"""The mean of the weights of several runs that began alike, as a run of its own that `judge.py` takes.

    python research/average_runs.py FOLDER NAME RUN RUN …
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("runs", nargs="+")
    given = parser.parse_args()
    parts = [torch.load(given.folder / run / "weights.pt", weights_only=True) for run in given.runs]
    first = parts[0]
    mean = {
        name: (sum(part[name].double() for part in parts) / len(parts)).to(value.dtype)
        if value.is_floating_point() else value
        for name, value in first.items()
    }  # fmt: skip
    (given.folder / given.name).mkdir(exist_ok=True)
    torch.save(mean, given.folder / given.name / "weights.pt")


if __name__ == "__main__":
    main()
