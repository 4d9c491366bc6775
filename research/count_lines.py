"""Lines of the program for the behaviour that an earlier commit had, and for what came since.

    python research/count_lines.py [36fc7ce] [--grown 20]

Every function and class (without what is nested in it) of `icbir_core`, `icbir_ui` and `pages` at the earlier commit is
looked for in today's tree: under its name, whatever folder it has moved to, or under another one where at least half
of its lines are still there. Of several that fit, the most alike is taken, and each is taken once. What is found is the
old behaviour, then and now; what is not found has gone, and what nothing was found for is new. Lines that were put into
an old function, in the place of none, are what it learnt since (an option, a field, a check); both counts are printed.
Lines outside functions (imports, constants, the module's text) are shared out by file: those of a file as it was, up to
their former number, and what came on top counts as old as far as the file's functions are old.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher

PLACES = ("icbir_core", "icbir_ui", "pages")
ALIKE = 0.5


@dataclass(frozen=True, eq=False)
class Definition:
    """A function or a class of a file. name : without underscores before it; lines : of its own, stripped."""

    file: str
    name: str
    lines: list[str] = field(repr=False)


def read_tree(commit: str) -> tuple[list[Definition], dict[str, int]]:
    """(definitions of a commit, file → lines outside them)."""
    listed = subprocess.check_output(["git", "ls-tree", "-r", "--name-only", commit, *PLACES], text=True)
    found: list[Definition] = []
    outside = {}
    for file in (name for name in listed.splitlines() if name.endswith(".py")):
        text = subprocess.check_output(["git", "show", f"{commit}:{file}"], text=True)
        own = list(list_definitions(file, ast.parse(text), text.splitlines()))
        outside[file] = len(text.splitlines()) - sum(len(one.lines) for one in own)
        found += own
    return found, outside


def list_definitions(file: str, tree: ast.AST, lines: list[str], before: str = ""):
    """Each function and class below a node; a class without its methods."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        name, span = before + node.name.lstrip("_"), set(find_span(node))
        if isinstance(node, ast.ClassDef):
            yield from list_definitions(file, node, lines, f"{name}.")
            inner = (one for one in ast.iter_child_nodes(node) if isinstance(one, ast.FunctionDef | ast.ClassDef))
            span -= {number for one in inner for number in find_span(one)}
        yield Definition(file, name, [lines[number - 1].strip() for number in sorted(span)])


def find_span(node: ast.FunctionDef | ast.ClassDef) -> range:
    """The lines of a definition, with its decorators."""
    return range(min([node.lineno, *(one.lineno for one in node.decorator_list)]), (node.end_lineno or 0) + 1)


def measure_likeness(first: Definition, second: Definition) -> float:
    """Share of the shorter one's lines that stand in the other in their order, and a little for the same file."""
    same = sum(block.size for block in SequenceMatcher(None, first.lines, second.lines, False).get_matching_blocks())
    return same / min(len(first.lines), len(second.lines)) + (0.01 if first.file == second.file else 0.0)


def match(former: list[Definition], present: list[Definition]) -> dict[Definition, Definition]:
    """Former → present definition of the same behaviour: of the same name first, then of the same lines."""
    found: dict[Definition, Definition] = {}
    pairs = [(measure_likeness(one, two), one, two) for one in former for two in present if one.name == two.name]
    take(pairs, found)
    left = [one for one in former if one not in found and len(one.lines) > 3]
    taken = set(found.values())
    free = [two for two in present if two not in taken]
    alike = ((measure_likeness(one, two), one, two) for one in left for two in free if share_a_line(one, two))
    take([pair for pair in alike if pair[0] >= ALIKE], found)
    return found


def count_inserted(first: Definition, second: Definition) -> int:
    """Lines of the second one that were put in between those of the first, in the place of none."""
    steps = SequenceMatcher(None, first.lines, second.lines, False).get_opcodes()
    return sum(end - begin for step, _, _, begin, end in steps if step == "insert")


def share_a_line(first: Definition, second: Definition) -> bool:
    """Whether two definitions have lines in common at all, in whatever order: quick to tell."""
    return sum((Counter(first.lines) & Counter(second.lines)).values()) >= min(len(first.lines), len(second.lines)) / 2


def take(pairs: list[tuple[float, Definition, Definition]], found: dict[Definition, Definition]) -> None:
    """Put the most alike pairs into `found`, each definition once."""
    taken = set(found.values())
    for _, one, two in sorted(pairs, key=lambda pair: -pair[0]):
        if one not in found and two not in taken:
            found[one] = two
            taken.add(two)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default="36fc7ce")
    parser.add_argument("--grown", type=int, default=0, help="name so many definitions that have grown most")
    options = parser.parse_args()
    (former, outside_then), (present, outside_now) = read_tree(options.commit), read_tree("HEAD")
    found = match(former, present)
    then, now = (sum(len(one.lines) for one in side) for side in (found, found.values()))
    print(f"functions and classes, {options.commit}: {sum(len(one.lines) for one in former):,} lines")
    print(f"  still there: {then:,} lines then, {now:,} now")
    inserted = sum(count_inserted(one, two) for one, two in found.items())
    print(f"    of these put in between, where nothing of the former stood: {inserted:,}")
    print(f"  gone: {sum(len(one.lines) for one in former if one not in found):,}")
    print(f"  new since: {sum(len(one.lines) for one in present) - now:,}")
    old_now = Counter(one.file for one in found.values() for _ in one.lines)
    every = Counter(one.file for one in present for _ in one.lines)
    old_outside = sum(
        min(number, outside_then.get(file, 0))
        + max(number - outside_then.get(file, 0), 0) * old_now[file] / max(every[file], 1)
        for file, number in outside_now.items()
    )
    before, after = sum(len(one.lines) for one in former) + sum(outside_then.values()), now + old_outside
    print(f"outside them: {sum(outside_then.values()):,} then; {old_outside:,.0f} now for what was there")
    print(
        f"old functions with all that they do today: {before:,} lines then, {after:,.0f} now ({after - before:+,.0f})"
    )
    after -= inserted
    print(f"the same behaviour, without what was put in: {before:,} then, {after:,.0f} now ({after - before:+,.0f})")
    for one in sorted(found, key=lambda one: len(one.lines) - len(found[one].lines))[: options.grown]:
        print(f"  {len(found[one].lines) - len(one.lines):+4d} {one.name}, {found[one].file}")


if __name__ == "__main__":
    main()
