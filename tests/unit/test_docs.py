"""The documents know everything that a user can type, set or open, and every link in them leads somewhere."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from icbir_core import settings
from scripts.command_reference import PAGE, describe_commands, list_commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "THIRD-PARTY-NOTICES.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    ROOT / "research" / "README.md",
]
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"^ {4}(?:\$ )?icbir (.+)$", re.M)
OURS = ("ICBIR_", "CHROMIUM", "WORKSPACE", "PORT", "FILM", "PYTHON", "FUZZ_", "TESTS")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_command_reference_is_as_the_commands_are():
    assert read(PAGE) == describe_commands(), "run `make reference`"


def test_every_command_has_a_sentence_and_every_option_an_explanation():
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in list_commands()
        for parameter in command.params
        if not (getattr(parameter, "help", None) or "").strip()
    ]
    assert not silent
    assert all(command.help and command.help.strip().endswith(".") for _, command in list_commands())


def test_every_command_is_used_in_a_document_besides_the_reference():
    prose = "\n".join(read(page) for page in PAGES if page != PAGE)
    unused = [name for name, _ in list_commands() if not re.search(rf"(icbir |icbir_core |`){name}\b", prose)]
    assert not unused


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_a_document_have_the_options_that_it_gives_them(page):
    known = dict(list_commands())
    for line in COMMAND.findall(read(page)):
        words = re.split(r"\s{2,}|#", line)[0].split()
        name = words[0] if words[0] in known else " ".join(words[:2])
        assert name in known, f"{page.name} names the command '{name}'"
        options = {word for parameter in known[name].params for word in parameter.opts + parameter.secondary_opts}
        used = {word for word in words if re.fullmatch(r"--[a-z][a-z-]*", word)} - {"--help"}
        assert used <= options, f"{page.name}: `{line}`"


def test_every_setting_stands_in_the_settings_page():
    classes = [one for one in vars(settings).values() if dataclasses.is_dataclass(one)]
    names = {field.name for one in classes for field in dataclasses.fields(one)} - {"findings"}
    keys = {key for table in tomllib.loads(read(ROOT / ".streamlit" / "config.toml")).values() for key in table}
    assert len(names) > 15 and len(keys) > 8
    missing = sorted(name for name in names | keys if f"`{name}`" not in SETTINGS)
    assert not missing, f"docs/settings.md lacks {missing}"


def list_environment_variables() -> set[str]:
    """The variables of its own that the tree reads: in Python, in the Makefile and in the scripts."""
    found = set(re.findall(r"^(\w+) \?=", read(ROOT / "Makefile"), re.M))
    found |= set(re.findall(r"\$\(if \$\((\w+)\)", read(ROOT / "Makefile")))
    rooms = ("icbir_core", "icbir_ui", "pages", "tests", "scripts")
    for file in (file for room in rooms for file in (ROOT / room).rglob("*")):
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(read(file))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_environment"):
                    found |= {f"ICBIR_{one.value}" for one in node.args if isinstance(one, ast.Constant)}
            found |= set(re.findall(r"(?:environ\.get\(|find_shared\()\s*[\"']([A-Z_]+)", read(file)))
        elif file.is_file() and file.parent.name == "scripts" and not file.suffix:
            found |= set(re.findall(r"\$\{(ICBIR_\w+)", read(file)))
    return {name for name in found if name.startswith(OURS)}


def test_every_environment_variable_stands_in_the_settings_page():
    variables = list_environment_variables()
    assert {"ICBIR_DEBUG", "ICBIR_NIH_DIR", "PORT"} <= variables
    missing = sorted(name for name in variables if f"`{name}`" not in SETTINGS)
    assert not missing, f"docs/settings.md lacks {missing}"


def test_every_page_stands_in_the_guide_for_readers():
    tree = ast.parse(read(ROOT / "app.py"))
    (table,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "PAGES"]
    titles = [title for _, title in ast.literal_eval(table)]
    guide = read(ROOT / "docs" / "user-guide.md")
    missing = [title for title in titles if f"| **{title}** |" not in guide]
    assert titles and not missing, f"docs/user-guide.md lacks {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)\s]+)\)", read(page))
    broken = [link for link in links if "://" not in link and not (page.parent / link.split("#")[0]).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_in_a_document_is_there(page):
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.M))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z][a-z-]*)", read(page), re.M))
    assert named <= targets
