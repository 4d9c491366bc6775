"""Imports go one way. Walks the source of the whole tree, also the imports inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "icbir_core"

# The rooms, each with the rooms that it may import. Everybody may import the words (`WORDS`).
WORDS = {"errors", "types", "findings", "settings", "files", "plurals", "plugins", "rounding", ""}
MAY_IMPORT: dict[str, set[str]] = {
    "annotation": set(),
    "migrations": set(),
    "radiograph": set(),
    "phantom": set(),
    "catalogue": {"radiograph"},
    "audit": {"catalogue"},
    "deidentifying": {"annotation", "radiograph", "catalogue"},
    "model": {"radiograph"},
    "saliency": {"radiograph", "model"},
    "retrieval": {"radiograph", "catalogue", "model", "saliency"},
    "pacs": {"annotation", "audit", "deidentifying", "radiograph", "catalogue", "model", "saliency", "retrieval"},
    "training": {"radiograph", "catalogue", "model", "saliency", "retrieval"},
    "evaluation": {"radiograph", "catalogue", "model", "saliency", "retrieval", "training", "phantom"},
    "study": {"radiograph", "catalogue", "model", "saliency", "retrieval", "evaluation"},
    "pipeline": {"radiograph", "catalogue", "model", "saliency", "retrieval", "phantom"},
}
MAY_IMPORT["keeping"] = {*MAY_IMPORT["study"], "study", "audit"}
MAY_IMPORT["jobs"] = {"catalogue", "model", "retrieval"}
MAY_IMPORT["cli"] = set(MAY_IMPORT) | {"pipeline"}

PAGES = ROOT / "icbir_ui"
# "": the files beside the rooms, which every room may import, and which show films.
PAGES_MAY_IMPORT: dict[str, set[str]] = {
    "viewer": set(),
    "": {"viewer"},
    "pacs": {"viewer"},
    "search": {"viewer", "pacs"},
    "export": {"search", "pacs"},
    "frame": {"search", "pacs"},
    "catalogue": {"viewer", "search", "export", "pacs"},
    "rating": {"viewer", "frame", "search"},
    "compare": {"viewer", "frame", "search"},
}

HEAVY = {"tensorflow", "keras", "annoy", "tf_explain", "torch"}
INTERNET = {"urllib", "http", "requests", "socket", "socketserver", "ssl", "ftplib", "aiohttp", "httpx", "urllib3"}


@cache
def find_import_statements(source: str) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


def list_imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute module name) of every import in a file; `from a import b` gives a.b as well as a."""
    package = path.relative_to(ROOT).with_suffix("").parts
    package = package[:-1]
    found = []
    for node in find_import_statements(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        else:
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.append((node.lineno, module))
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def list_files(*places: Path) -> list[Path]:
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    return [file for file in files if "__pycache__" not in file.parts]


def find_room(module: str) -> str | None:
    """The room of icbir_core that a module name leads into: "" for the package itself, None outside it."""
    parts = module.split(".")
    return None if parts[0] != "icbir_core" else (parts[1] if len(parts) > 1 else "")


def find_offences(files: list[Path], forbidden: set[str]) -> list[str]:
    return [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in files
        for line, module in list_imports(file)
        if module.split(".")[0] in forbidden
    ]


def map_modules(files: list[Path]) -> dict[str, set[str]]:
    """Each module's name with the names of those modules among `files` that it imports itself, inside functions too."""
    names = {name_module(file): file for file in files}
    found = {}
    for name, file in names.items():
        modules = {module for _, module in list_imports(file)} & set(names)
        # `from a import b` is an import of the module a.b where there is one, not of the package a.
        found[name] = {module for module in modules if not any(other.startswith(f"{module}.") for other in modules)}
    return found


def name_module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def find_circle(files: list[Path]) -> list[str]:
    """The names of modules that import each other in a circle; empty where none do."""
    try:
        TopologicalSorter(map_modules(files)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_room_is_known():
    rooms = {entry.name for entry in CORE.iterdir() if entry.is_dir() and any(entry.rglob("*.py"))}
    assert rooms <= set(MAY_IMPORT), "a new room needs its place in the order"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_lies_below(room):
    files = list_files(CORE / room)
    real = {entry.name for entry in CORE.iterdir() if entry.is_dir()}
    offences = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in files
        for line, module in list_imports(file)
        if (other := find_room(module)) in real and other not in MAY_IMPORT[room] | WORDS | {room}
    ]
    assert not offences, "\n".join(offences)


def test_only_the_command_line_uses_the_public_interface():
    rooms = (CORE / room for room in MAY_IMPORT if room != "cli")
    offences = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in list_files(*rooms)
        for line, module in list_imports(file)
        if find_room(module) == "api"
    ]
    assert not offences, "\n".join(offences)


def test_the_words_import_nothing_heavy():
    files = list_files(*(CORE / f"{name or '__init__'}.py" for name in WORDS))
    assert len(files) == len(WORDS)
    allowed = set(sys.stdlib_module_names) | {"numpy", "lazy_loader", "icbir_core"}
    offences = [
        f"{file.name}:{line} imports {module}"
        for file in files
        for line, module in list_imports(file)
        if module.split(".")[0] not in allowed or find_room(module) not in WORDS | {None}
    ]
    assert not offences, "\n".join(offences)


def test_the_core_never_imports_the_page():
    offences = find_offences(list_files(CORE), {"streamlit", "icbir_ui", "pages", "app"})
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("room", sorted(PAGES_MAY_IMPORT))
def test_rooms_of_the_pages_import_only_what_lies_below(room):
    ground = {path.stem for path in PAGES.glob("*.py")} - {"__init__"}
    rooms = {entry.name for entry in PAGES.iterdir() if entry.is_dir() and any(entry.rglob("*.py"))}
    assert rooms | {""} == set(PAGES_MAY_IMPORT), "a new room needs its place in the order"
    files = list_files(PAGES / room) if room else list_files(*PAGES.glob("*.py"))
    allowed = PAGES_MAY_IMPORT[room] | ground | {room}
    offences = [
        f"{file.relative_to(ROOT)}:{line} imports {module}"
        for file in files
        for line, module in list_imports(file)
        if module.startswith("icbir_ui.") and module.split(".")[1] not in allowed
    ]
    assert not offences, "\n".join(offences)


def test_pages_import_no_network_library():
    offences = find_offences(list_files(ROOT / "pages", ROOT / "app.py"), HEAVY)
    assert not offences, "\n".join(offences)


def test_catalogue_and_phantom_know_neither_networks_nor_the_internet():
    files = list_files(CORE / "catalogue", CORE / "phantom", CORE / "radiograph")
    assert len(files) > 20
    offences = find_offences(files, HEAVY | INTERNET)
    assert not offences, "\n".join(offences)


def test_tensorflow_stays_in_its_rooms():
    """Model code uses keras alone, so that another backend can train it; only the device module may ask TensorFlow."""
    others = [file for file in list_files(CORE) if file.parts[len(CORE.parts)] not in ("saliency", "retrieval")]
    offences = [
        offence
        for offence in find_offences(others, {"tensorflow", "tf_explain"})
        if not offence.startswith("icbir_core/model/device.py:")
    ]
    assert not offences, "\n".join(offences)


def test_benchmarks_and_scripts_import_no_test():
    files = list_files(ROOT / "benchmarks", ROOT / "scripts", ROOT / "research")
    offences = find_offences(files, {"tests", "conftest"})
    assert not offences, "\n".join(offences)


def test_nobody_changes_where_python_looks():
    """`make install` installs the project, and pytest knows its top folder: nothing else has to lead Python there."""
    places = ("app.py", "pages", "tests", "benchmarks", "scripts", "research")
    changed = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in list_files(*(ROOT / place for place in places))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
    ]
    assert not changed, "sys.path is used in " + ", ".join(changed)


def test_only_the_page_rooms_import_streamlit():
    files = list_files(*(entry for entry in (ROOT / "benchmarks", ROOT / "scripts") if entry.exists()))
    speaks_to_pages = ROOT / "benchmarks" / "load.py"  # in the messages that Streamlit defines
    offences = find_offences([file for file in files if file != speaks_to_pages], {"streamlit"})
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize(
    "module",
    # The page About lists the encoders: Keras would hold up every page while it loads.
    ["icbir_core", "icbir_core.catalogue", "icbir_core.radiograph", "icbir_core.cli", "icbir_core.model.encoders"],
)
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {HEAVY | {'streamlit'}!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_no_modules_import_each_other_in_a_circle():
    files = list_files(CORE, PAGES, ROOT / "pages", ROOT / "app.py")
    assert sum(map(len, map_modules(files).values())) > 500, "the walk finds the imports"
    assert not (circle := find_circle(files)), " -> ".join(circle)


def test_a_circle_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    sources = {
        "__init__": "",
        "a": "from room import b\n",
        "b": "def f():\n    from . import c\n",
        "c": "import room.a\n",
    }
    for name, source in sources.items():
        (tmp_path / "room" / f"{name}.py").write_text(source)
    assert set(find_circle(list_files(tmp_path))) == {"room.a", "room.b", "room.c"}
    (tmp_path / "room" / "c.py").write_text("import json\n")
    assert not find_circle(list_files(tmp_path))


def test_the_walk_sees_imports_of_every_kind(tmp_path, monkeypatch):
    """The check itself can fail: it finds relative, nested and aliased imports."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "icbir_core" / "catalogue" / "bad.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "from ..model import network\ndef f():\n    import tensorflow.keras as k\n    from . import table\n"
    )
    modules = {module for _, module in list_imports(file)}
    assert {"icbir_core.model", "icbir_core.model.network", "tensorflow.keras", "icbir_core.catalogue.table"} <= modules
    assert find_offences([file], HEAVY) == ["icbir_core/catalogue/bad.py:3 imports tensorflow.keras"]


def list_names(module: str) -> set[str] | None:
    """Every name that a module of ours may give, by its source alone; None where there is no such module."""
    base = ROOT.joinpath(*module.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not file.is_file():
        return None
    stub = file.with_suffix(".pyi")
    found = {one.stem for one in base.iterdir()} if base.is_dir() else set()
    for source in (file, *([stub] if stub.is_file() else [])):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("folder", ["benchmarks", "research", "scripts"])
def test_what_no_test_runs_imports_only_what_exists(folder):
    """These commands take minutes and hours, so nobody would notice that a name which they import is gone."""
    missing = []
    for file in list_files(ROOT / folder):
        for node in find_import_statements(file.read_text(encoding="utf-8")):
            module = getattr(node, "module", None) or ""
            if module.split(".")[0] not in {"icbir_core", "icbir_ui", "benchmarks", "scripts", "tests"}:
                continue
            names = list_names(module) or set()
            missing += [f"{file.name}:{node.lineno} {module}.{one.name}" for one in node.names if one.name not in names]
    assert not missing
