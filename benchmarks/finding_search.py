"""Does ranking by one finding find more films that carry it than ranking by the whole film?

    python benchmarks/finding_search.py WORKSPACE [--top-k 5] [--limit 60] [--title TEXT] [--out FILE]

For every finding that the classifier knows and that at least ten patients of the catalogue carry, at most `--limit` of
the films that carry it are queries, each against the films of all other patients; a hit is right if it carries the
finding too. Beside the whole film's methods stand chance (the share of carriers among the others) and a control: the
same ranking with the weights of another finding. Differences have 95 % bootstrap intervals over patients. Which films
the classifier was trained on matters: name a workspace whose patients it has not seen.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from region_search import read_options

from icbir_core.catalogue import Workspace, read_case_radiograph
from icbir_core.evaluation.page import show_interval
from icbir_core.evaluation.statistics import bootstrap_mean, group_patients
from icbir_core.files import write_text_atomically
from icbir_core.findings import NO_FINDING
from icbir_core.retrieval.methods import find_method
from icbir_core.retrieval.refinement import Finding, RefinementTrail
from icbir_core.retrieval.retriever import Retriever
from icbir_core.settings import SearchSettings
from icbir_core.types import Case, Query

LEAST = 10
OWN, OTHER, CHANCE = "this finding", "another finding", "chance"


def ask(retriever: Retriever, case: Case, finding: str, other: str, k: int) -> dict[str, float]:
    """Share of right hits among the first k, by way of ranking."""
    query = Query(case.case_id, read_case_radiograph(retriever.workspace, case), case.patient, case.case_id)
    methods = [method for method in retriever.methods() if find_method(method).points]
    ways = {method: (method, RefinementTrail()) for method in methods}
    ways |= {OWN: (methods[0], RefinementTrail().add(Finding(finding)))}
    ways |= {OTHER: (methods[0], RefinementTrail().add(Finding(other)))}
    found = {}
    for way, (method, trail) in ways.items():
        ranking = retriever.search(query, SearchSettings(top_k=k, method=method), trail)
        found[way] = float(np.mean([finding in hit.case.present for hit in ranking.hits]))
    return found


def main() -> None:
    options = read_options(__doc__, limit=60, title="")
    retriever = Retriever.open(Workspace.open(options.workspace))
    cases = retriever.workspace.catalogue.cases()
    known = [name for name in retriever.findings if name != NO_FINDING]
    scores: dict[str, list[float]] = {}
    rows, patients = [], []
    for place, finding in enumerate(known):
        carriers = [case for case in cases if finding in case.present]
        if len({case.patient or case.case_id for case in carriers}) < LEAST:
            continue
        asked = np.random.default_rng(place).permutation(len(carriers))[: options.limit]
        other = known[(place + 1) % len(known)]
        start = len(patients)
        for case in (carriers[number] for number in sorted(asked)):
            for way, value in ask(retriever, case, finding, other, options.top_k).items():
                scores.setdefault(way, []).append(value)
            others = [finding in one.present for one in cases if one.patient is None or one.patient != case.patient]
            scores.setdefault(CHANCE, []).append(float(np.mean(others)))
            patients.append(case.patient or case.case_id)
        means = {way: np.mean(values[start:]) for way, values in scores.items()}
        rows.append(f"| {finding} | {len(asked)} | " + " | ".join(f"{value:.2f}" for value in means.values()) + " |")
        print(rows[-1], flush=True)
    ways = list(scores)
    lines = [
        f"{options.title or options.workspace.name}: {len(cases)} films, {len(patients)} queries. Share of the first "
        f"{options.top_k} hits that carry the query's finding.",
        "",
        "| finding | queries | " + " | ".join(ways) + " |",
        "|---|---|" + "---|" * len(ways),
        *rows,
        f"| all queries | {len(patients)} | " + " | ".join(f"{np.mean(scores[way]):.3f}" for way in ways) + " |",
        "",
        f"| {OWN} minus | mean of all queries |",
        "|---|---|",
    ]
    groups = group_patients(patients)
    for way in ways:
        if way != OWN:
            difference = np.array(scores[OWN]) - np.array(scores[way])
            lines.append(f"| {way} | {show_interval(asdict(bootstrap_mean(difference, groups)))} |")
    print("\n".join(lines))
    if options.out:
        write_text_atomically(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
