"""Lines of the program for the behaviour that an earlier commit had, and for what came since.

    python research/count_lines.py [36fc7ce] [HEAD] [--grown 20]

Every function, class (without its methods) and constant of `icbir_core`, `icbir_ui` and `pages` at the earlier commit
is looked for in today's tree: under its name, whatever folder it has moved to, or under another one where at least half
of its lines are still there, or all of the text but the name where it is short. Of several that fit, the most alike is
taken, and each is taken once. What is found is the old behaviour, then and now; what is not found has gone, and what
nothing was found for is new. Two things keep that fair:

- Lines that were put into an old one, in the place of none, are what it learnt since (an option, a check); so is a
  field of a class under a name that the class did not have, less the fields that it lost. Both counts are printed.
- A line of more than 20 characters that an old one lost and that stands, as it was, in a new one has only moved, as
  where a function was split. It counts as old. One that was rewritten on the way is not recognised.

What is woven into old lines all over, as the languages of the pages are, is not told apart: it counts as old. Name the
commit before it as the later one to count without it.

What stands outside them today is shared out file by file. An imported name belongs to what uses it in that file: it is
old where a line of an old function, class or constant does that was not put in, however much that is new uses it too,
and however it came to be imported there (a file that was split imports twice, and both count). What is imported from
the program itself is old only where what it names is old as well, or stood there before: a new function brings its
imports with it, as it brings its lines. Each name has its share of the statement's lines. Module texts, comments and
blank lines belong to the file's old and new parts in proportion to their lines.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher

PLACES = ("icbir_core", "icbir_ui", "pages")
ALIKE = 0.5
SHORT = 3
TELLING = 20
CONSTANTS = ast.Assign | ast.AnnAssign


@dataclass(frozen=True, eq=False)
class Definition:
    """A function, a class or a constant of a file.

    name : without underscores before it; lines : of its own, stripped; fields : name → places of its lines, of a class.
    """

    file: str
    name: str
    lines: list[str] = field(repr=False)
    fields: dict[str, list[int]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class File:
    """What stands in a file.

    imports : name → its share of the lines; own : those of them that the program itself defines; rest : lines that
    have no name.
    """

    definitions: list[Definition]
    imports: dict[str, float]
    own: set[str]
    rest: float


def read_tree(commit: str) -> dict[str, File]:
    """Every file of a commit."""
    listed = subprocess.check_output(["git", "ls-tree", "-r", "--name-only", commit, *PLACES], text=True)
    names = [name for name in listed.splitlines() if name.endswith(".py")]
    return {
        name: read_file(name, subprocess.check_output(["git", "show", f"{commit}:{name}"], text=True)) for name in names
    }


def read_file(name: str, text: str) -> File:
    """What stands in a file of this text."""
    tree, lines = ast.parse(text), text.splitlines()
    definitions, (imports, own) = list(list_definitions(name, tree, lines)), list_imports(tree)
    named = sum(len(one.lines) for one in definitions) + sum(imports.values())
    return File(definitions, imports, own, len(lines) - named)


def list_imports(tree: ast.Module) -> tuple[dict[str, float], set[str]]:
    """(imported name → its share of the statement's lines, those of the program), of the imports outside functions."""
    found: Counter[str] = Counter()
    own = set()
    places = [tree, *(node for node in tree.body if isinstance(node, ast.If | ast.Try))]
    for node in (node for place in places for node in ast.iter_child_nodes(place)):
        source = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.Import | ast.ImportFrom) and source != "__future__":
            bound = [one.asname or one.name.partition(".")[0] for one in node.names]
            found.update(dict.fromkeys(bound, ((node.end_lineno or 0) - node.lineno + 1) / len(bound)))
            own |= set(bound) if source.partition(".")[0] in PLACES else set()
    return dict(found), own


def list_definitions(file: str, tree: ast.AST, lines: list[str], before: str = "") -> Iterator[Definition]:
    """Each function, class and constant below a node; a class without its methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, CONSTANTS) and isinstance(tree, ast.Module):
            name, span = ast.unparse(list_targets(node)[0]).lstrip("_"), set(find_span(node))
            yield Definition(file, name, [lines[number - 1].strip() for number in sorted(span)])
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        name, span = before + node.name.lstrip("_"), set(find_span(node))
        places: dict[str, list[int]] = {}
        if isinstance(node, ast.ClassDef):
            yield from list_definitions(file, node, lines, f"{name}.")
            inner = (one for one in ast.iter_child_nodes(node) if isinstance(one, ast.FunctionDef | ast.ClassDef))
            span -= {number for one in inner for number in find_span(one)}
            own = (one for one in ast.iter_child_nodes(node) if isinstance(one, CONSTANTS))
            order = {number: place for place, number in enumerate(sorted(span))}
            places = {ast.unparse(list_targets(one)[0]): [order[number] for number in find_span(one)] for one in own}
        yield Definition(file, name, [lines[number - 1].strip() for number in sorted(span)], places)


def list_targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    """What an assignment gives a value to."""
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def find_span(node: ast.stmt) -> range:
    """The lines of a definition, with its decorators."""
    decorators = getattr(node, "decorator_list", [])
    return range(min([node.lineno, *(one.lineno for one in decorators)]), (node.end_lineno or 0) + 1)


def measure_likeness(first: Definition, second: Definition) -> float:
    """Share of the shorter one's lines that stand in the other in their order, and a little for the same file."""
    same = sum(block.size for block in SequenceMatcher(None, first.lines, second.lines, False).get_matching_blocks())
    return same / min(len(first.lines), len(second.lines)) + (0.01 if first.file == second.file else 0.0)


def match(former: list[Definition], present: list[Definition]) -> dict[Definition, Definition]:
    """Former → present definition of the same behaviour: of the same name first, then of the same lines."""
    found: dict[Definition, Definition] = {}
    named = group(present, lambda one: one.name)
    take([(measure_likeness(one, two), one, two) for one in former for two in named[one.name]], found)
    free = [two for two in present if two not in set(found.values())]
    texts = group(free, read_nameless)
    left = [one for one in former if one not in found]
    short = [one for one in left if len(one.lines) <= SHORT]
    take([(measure_likeness(one, two), one, two) for one in short for two in texts[read_nameless(one)]], found)
    long = [one for one in left if len(one.lines) > SHORT]
    alike = ((measure_likeness(one, two), one, two) for one in long for two in free if share_a_line(one, two))
    take([pair for pair in alike if pair[0] >= ALIKE], found)
    return found


def group(definitions: Iterable[Definition], key: Callable[[Definition], str]) -> dict[str, list[Definition]]:
    """Key → definitions that have it."""
    found: defaultdict[str, list[Definition]] = defaultdict(list)
    for one in definitions:
        found[key(one)].append(one)
    return found


def read_nameless(one: Definition) -> str:
    """Its text without its own name."""
    own = one.name.rpartition(".")[2]
    return re.sub(rf"\b_*{re.escape(own)}\b", "", "\n".join(one.lines))


def find_put_in(first: Definition, second: Definition) -> set[int]:
    """Places of the second one's lines that were put in between those of the first, in the place of none."""
    lost = sum(len(places) for name, places in first.fields.items() if name not in second.fields)
    new = sorted(place for name, places in second.fields.items() if name not in first.fields for place in places)
    (_, before), (kept, after) = (list_others(one) for one in (first, second))
    steps = SequenceMatcher(None, before, after, False).get_opcodes()
    put_in = (place for step, _, _, begin, end in steps if step == "insert" for place in kept[begin:end])
    return {*new[lost:], *put_in}


def list_others(one: Definition) -> tuple[list[int], list[str]]:
    """(places, lines) of what is no field of a class."""
    fields = {place for places in one.fields.values() for place in places}
    places = [place for place in range(len(one.lines)) if place not in fields]
    return places, [one.lines[place] for place in places]


def find_moved(
    found: dict[Definition, Definition], former: list[Definition], present: list[Definition]
) -> Counter[str]:
    """Lines of new definitions that former ones had and lost."""
    lost: Counter[str] = Counter()
    for one in former:
        lost += Counter(one.lines) - Counter(found[one].lines if one in found else ())
    taken = set(found.values())
    new = Counter(line for one in present if one not in taken for line in one.lines if len(line) > TELLING)
    return lost & new


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


@dataclass(frozen=True)
class Shares:
    """Lines of a file that are old. whole : with what was put into old definitions."""

    imports: float
    rest: float
    rest_whole: float


def share_out(file: File, old: dict[Definition, set[int]], moved: Counter[str], old_names: set[str]) -> Shares:
    """The old ones of the lines that stand outside definitions.

    old : with the places of what was put into each; moved : lines of new definitions that were old ones';
    old_names : of what is old in the program, and of what this file imported before.
    """
    own = [one for one in file.definitions if one in old]
    kept = [line for one in own for place, line in enumerate(one.lines) if place not in old[one]]
    every = [line for one in file.definitions for line in one.lines]
    kept += [line for one in file.definitions if one not in old for line in one.lines if line in moved]
    used, mentioned = (set(re.findall(r"\w+", "\n".join(lines))) for lines in (kept, every))
    names = [
        name
        for name in file.imports
        if (name in used or name not in mentioned) and (name in used - file.own or name.lstrip("_") in old_names)
    ]
    imports = sum(file.imports[name] for name in names)
    lines = len(every) + sum(file.imports.values())
    whole = sum(len(one.lines) for one in own) + imports
    without = whole - sum(len(old[one]) for one in own)
    if not lines:
        return Shares(0, file.rest, file.rest)
    return Shares(imports, file.rest * without / lines, file.rest * whole / lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", default="36fc7ce", help="the earlier one")
    parser.add_argument("present", nargs="?", default="HEAD", help="the later one")
    parser.add_argument("--grown", type=int, default=0, help="name so many definitions that have grown most")
    options = parser.parse_args()
    files_then, files_now = read_tree(options.commit), read_tree(options.present)
    former, present = ([one for file in side.values() for one in file.definitions] for side in (files_then, files_now))
    found = match(former, present)
    old = {two: find_put_in(one, two) for one, two in found.items()}
    then, now = (sum(len(one.lines) for one in side) for side in (found, old))
    put_in = sum(len(places) for places in old.values())
    print(f"functions, classes and constants, {options.commit}: {sum(len(one.lines) for one in former):,} lines")
    print(f"  still there: {then:,} lines then, {now:,} now")
    print(f"    of these put in between, where nothing of the former stood: {put_in:,}")
    print(f"  gone: {sum(len(one.lines) for one in former if one not in found):,}")
    print(f"  new since: {sum(len(one.lines) for one in present) - now:,}")
    moved = find_moved(found, former, present)
    print(f"    of these moved as they were: {moved.total():,}")
    names = {one.name for one in old}
    shares = [
        share_out(file, old, moved, names | set(files_then[name].imports if name in files_then else ()))
        for name, file in files_now.items()
    ]
    imports_then = sum(sum(file.imports.values()) for file in files_then.values())
    rest_then = sum(file.rest for file in files_then.values())
    imports = sum(one.imports for one in shares)
    rest, rest_whole = sum(one.rest for one in shares), sum(one.rest_whole for one in shares)
    print(f"imports: {imports_then:,.0f} then; {imports:,.0f} now for what was there")
    print(f"module texts, comments, blank lines: {rest_then:,.0f} then; {rest:,.0f} now for what was there")
    before = sum(len(one.lines) for one in former) + imports_then + rest_then
    after = now + moved.total() + imports + rest_whole
    print(f"old ones with all that they do today: {before:,.0f} lines then, {after:,.0f} now ({after - before:+,.0f})")
    after += rest - rest_whole - put_in
    print(f"the same behaviour, without what was put in: {before:,.0f} then, {after:,.0f} now ({after - before:+,.0f})")
    for one in sorted(found, key=lambda one: len(one.lines) - len(found[one].lines))[: options.grown]:
        print(f"  {len(found[one].lines) - len(one.lines):+4d} {one.name}, {found[one].file}")


if __name__ == "__main__":
    main()
