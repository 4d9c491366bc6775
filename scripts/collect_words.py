"""Collect every text of the pages for translators: `python -m scripts.collect_words`.

Writes icbir_ui/languages/icbir.pot, brings the texts of each language's file up to it, and says what is missing there.
What has no translation is shown in English.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from icbir_core.catalogue.adding import SOURCE
from icbir_core.catalogue.listing import Order
from icbir_core.deidentifying.leaving import FRAME, LEFT_OFF
from icbir_core.findings import KNOWN_FINDINGS, FindingState
from icbir_core.pacs.opening import FILM_NAME, NO_CHEST, Part
from icbir_core.pacs.ready import CHANGES
from icbir_core.pacs.result_objects import BURNED_IN
from icbir_core.retrieval.methods import PARTS, SEARCH_METHODS
from icbir_core.saliency.display import SMOOTHED
from icbir_core.study.rating import SIMILARITY_SCALE
from icbir_core.types import NOT_SHOWN, SEARCH_NOT_SHOWN, UNKNOWN
from icbir_ui.language import FOLDER, LEAST, TOLD, find_words, weigh
from icbir_ui.search.ratings import SHORT_SCALE
from icbir_ui.shared import list_map_methods
from icbir_ui.state import NOTICE

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = FOLDER / "icbir.pot"
PAGES = ("app.py", "pages", "icbir_ui")
CORE: Mapping[str, tuple[str, ...]] = {
    "annotation/measuring.py": ("AT_DETECTOR", "NO_SPACING", "describe_spacing"),
    "catalogue/ingesting.py": ("describe_others",),
    "radiograph/facts.py": ("*",),
    "radiograph/quality.py": ("*",),
    "radiograph/raster.py": ("_PNG_COLOURS", "read_png"),
    "retrieval/neighbours.py": ("describe_distance",),
    "retrieval/refinement.py": ("describe",),
    "study/analysis.py": ("_warn",),
    "study/report.py": (
        *(
            "ANCHORS",
            "_AGREEMENT",
            "make_sections",
            "_count_scores",
            "_name_stages",
            "_show_other_tasks",
            "draw_methods",
        ),
        *("_tabulate_agreement", "_tabulate_repeats", "_tabulate_methods", "_tabulate_times"),
    ),
    "types.py": ("describe_copies",),
}
"""Where sentences of the core stand that the pages show: file → the functions and constants; "*" for all."""
ERRORS = (
    "access.py", "annotation", "catalogue/adding.py", "catalogue/film_places.py", "catalogue/folder_tables.py",
    "catalogue/folders.py", "catalogue/layouts", "catalogue/storing.py", "catalogue/table.py", "deidentifying",
    "files.py", "keeping/kept_films.py", "keeping/kept_places.py", "pacs/archive.py", "pacs/connection.py",
    "pacs/inbox.py", "pacs/opening.py", "pacs/result_objects.py", "radiograph", "retrieval/pair_explanation.py",
    "retrieval/refinement.py", "retrieval/regions.py", "retrieval/retriever.py", "study/creating.py",
    "study/design.py", "study/exchange.py", "study/session.py", "study/store.py",
)  # fmt: skip
"""Where the errors of the core stand that a reader can mend or must know of. Those that only the operator can mend stay
English, as the command line and the log are."""

CARDS = (
    "Weak: the starter {network} learnt from about two thousand real films. AUROC on real patients that it never saw, "
    "among films with any finding: {numbers}. For {findings} the interval reaches down to 0.60 or less, "
    "hardly better than guessing.",
    "Weak: both networks learnt from about two thousand real films. AUROC of their mean on real patients that they "
    "never saw, among films with any finding: {numbers}; {share} % of all carry none. Not shown to be better than "
    "chance there: {findings}.",
    "{finding} {value} (below its aim of {aim}; {all} among all films)",
    "{finding} {value} ({all} among all films)",
    "the mean of {networks}",
)
"""What the cards of the models say that come with the program."""

Message = tuple[str | tuple[str, str], str | None]
"""(text, or one and many; context)."""


def collect() -> dict[Message, list[str]]:
    """Each message → the files that hold it, in order."""
    found: dict[Message, list[str]] = {}

    def take(path: Path, messages: Iterator[Message]) -> None:
        for message in messages:
            places = found.setdefault(message, [])
            if (name := path.relative_to(ROOT).as_posix()) not in places:
                places.append(name)

    errors = find_errors()
    for path in list_files(PAGES, "py"):
        take(path, read_calls(ast.parse(path.read_text(encoding="utf-8")), errors))
    take(ROOT / "app.py", read_parts(ast.parse((ROOT / "app.py").read_text(encoding="utf-8")), ("PAGES",)))
    for path in list_files(("icbir_ui",), "js"):
        take(path, ((text, None) for text in find_words(path.read_text(encoding="utf-8"))))
    take(ROOT / "icbir_ui/state.py", iter([(NOTICE, None)]))
    for path in list_files(("icbir_core",), "py"):
        name = path.relative_to(ROOT / "icbir_core")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(name.is_relative_to(one) for one in ERRORS):
            take(path, read_errors(tree, errors))
        take(path, read_parts(tree, CORE.get(name.as_posix(), ())))
    take(ROOT / "icbir_core", ((text, None) for text in list_names()))
    take(ROOT / "assets/models", ((text, TOLD) for text in CARDS))
    take(ROOT / "icbir_core/types.py", iter([(SEARCH_NOT_SHOWN.format("{finding}"), TOLD)]))
    return found


def list_names() -> Iterator[str]:
    """The names of the core that the pages show: findings, states, methods, orders, steps of a scale."""
    yield from KNOWN_FINDINGS
    yield from ("F", "M", "grey", "palette", "simulated", "classifier", "saliency classifier")
    yield from ("very close", "close", "usual", "distant")
    yield from map(str, (*FindingState, *Order, UNKNOWN, NOT_SHOWN, SMOOTHED, SOURCE, BURNED_IN, FILM_NAME, NO_CHEST))
    yield from CHANGES.values()
    yield from (LEFT_OFF, FRAME, f"{LEFT_OFF} {FRAME}")
    yield from (part.value.capitalize() for part in Part)
    yield from (method.title for method in (*PARTS.values(), *SEARCH_METHODS.values()))
    for title, _, text in list_map_methods().values():
        yield from (title, text)
    yield from (
        "statistic",
        "readers",
        "reader",
        "steps",
        "repeats",
        "method",
        "methods",
        "chance",
        "corrected",
        "share",
    )
    yield from ("difference", "median", "quartiles", "answers", "weighted κ", "nDCG")
    yield from (*SIMILARITY_SCALE.values(), *SHORT_SCALE.values())


def list_files(names: tuple[str, ...], ending: str) -> list[Path]:
    """The files of these folders, and those of the names that are files."""
    return sorted(
        path
        for name in names
        for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob(f"*.{ending}"))
    )


def find_errors() -> set[str]:
    """The names of all errors that carry a sentence for the reader."""
    bases = {"IcbirError": ""}
    classes = [
        node
        for path in list_files(("icbir_core", "icbir_ui"), "py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    while more := {one.name: "" for one in classes if one.name not in bases and _list_bases(one) & set(bases)}:
        bases |= more
    return set(bases)


def _list_bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def read_calls(tree: ast.AST, errors: set[str]) -> Iterator[Message]:
    """What a page gives to `say`, `mark` and `count_of`, and what it says in errors."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        if node.func.id in ("say", "mark"):
            yield from read_text(node.args[0])
    yield from read_counts(tree)
    yield from read_errors(tree, errors)


def read_counts(tree: ast.AST) -> Iterator[Message]:
    """The nouns that `count_of` puts behind a number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "count_of":
            noun, plural = (*(one.value for one in node.args[1:] if isinstance(one, ast.Constant)), "", "")[:2]
            if noun:
                yield (f"{{count}} {noun}", f"{{count}} {plural or f'{noun}s'}"), None


def read_errors(tree: ast.AST, errors: set[str]) -> Iterator[Message]:
    """The sentences of errors: the first text that each is made with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors and node.args:
            yield from read_text(node.args[0])


def read_parts(tree: ast.Module, names: tuple[str, ...]) -> Iterator[Message]:
    """All texts of the named functions, classes and constants; of the whole file for "*"."""
    if not names:
        return
    for node in ast.walk(tree):
        named = {getattr(node, "name", "")} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = {one.id for one in targets if isinstance(one, ast.Name)}
        if named & set(names) or ("*" in names and node is tree):
            yield from _read_below(node)
            yield from read_counts(node)


def _read_below(node: ast.AST) -> Iterator[Message]:
    body = getattr(node, "body", None)
    for child in ast.iter_child_nodes(node):
        if isinstance(body, list) and isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.Constant | ast.JoinedStr):
            yield from (one for one in read_text(child) if _is_told(str(one[0])))
        else:
            yield from _read_below(child)


def _is_told(text: str) -> bool:
    """Words, and no key, code or pattern."""
    return " " in text or (text.istitle() and len(text) > 1 and "[" not in text)


def read_text(node: ast.AST) -> Iterator[Message]:
    """The message of a text. One with places that are filled where it stands gets the context `TOLD`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if any(map(str.isalpha, node.value)) and "/" not in node.value.split(" ")[0]:
            yield node.value, None
    elif isinstance(node, ast.IfExp):
        yield from read_text(node.body)
        yield from read_text(node.orelse)
    elif isinstance(node, ast.JoinedStr):
        text, named = "", {}
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                text += f"{{{_name(part.value, ast.dump(part), named)}}}"
            elif isinstance(part, ast.Constant):
                text += str(part.value)
        if named and weigh(text) >= LEAST:
            yield text, TOLD


def _name(node: ast.expr, what: str, named: dict[str, str]) -> str:
    """A name for a place, the same for the same value and for no other."""
    while not isinstance(node, ast.Name | ast.Attribute):
        if isinstance(node, ast.Call) and node.args:
            node = node.args[0]
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            break
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else "value"
    name, number = name.strip("_").lower(), 2
    first = name
    while named.get(name, what) != what:
        name, number = f"{first}_{number}", number + 1
    named[name] = what
    return name


def make_template() -> Catalog:
    """All messages as a catalogue without translations."""
    made = Catalog(project="ICBIR", version="", charset="utf-8", fuzzy=False)
    for (text, context), places in sorted(collect().items(), key=lambda one: (one[1][0], str(one[0][0]))):
        made.add(text, context=context, locations=[(name, 0) for name in places])
    return made


def write_catalogue(path: Path, catalogue: Catalog) -> None:
    """A catalogue as its file, without dates, which would change it with every writing."""
    held = BytesIO()
    write_po(held, catalogue, width=120, omit_header=True, include_lineno=False, ignore_obsolete=True)
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    head += f'"Plural-Forms: {catalogue.plural_forms}\\n"\n'
    path.write_text(f"{head}\n{held.getvalue().decode()}", encoding="utf-8")


def read_catalogue(path: Path) -> Catalog:
    """The catalogue of a language."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem, abort_invalid=True)


def find_missing(template: Catalog, catalogue: Catalog) -> list[str]:
    """The messages of the template that the catalogue does not translate."""
    held = {(one.id, one.context) for one in catalogue if one.id and not one.fuzzy and _is_whole(one.string)}
    return [str(one.id) for one in template if one.id and (one.id, one.context) not in held]


def _is_whole(found: object) -> bool:
    return all(found) if isinstance(found, list | tuple) else bool(found)


def main() -> int:
    """Bring all files up to the program; 1 where a language lacks something."""
    template, missing = make_template(), 0
    write_catalogue(TEMPLATE, template)
    for path in sorted(FOLDER.glob("*.po")):
        catalogue = read_catalogue(path)
        catalogue.update(template, no_fuzzy_matching=True)
        write_catalogue(path, catalogue)
        lacking = find_missing(template, catalogue)
        print(f"{path.name}: {len(template) - len(lacking)} of {len(template)} texts")
        for text in lacking:
            print(f"  not translated: {text}")
        missing += len(lacking)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
