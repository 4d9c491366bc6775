"""Every public function of the core takes a path as text, as a `Path`, or as anything else that names one."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.catalogue.ingesting import ingest
from icbir_core.catalogue.layouts.rows import IngestOptions
from icbir_core.catalogue.table import Catalogue
from icbir_core.files import read_json, replace_atomically, sha256_of_file, sha256_of_tree, write_json_atomically
from icbir_core.model.checkpoint import forget_checkpoint
from icbir_core.phantom.dataset import read_truth, write_simulated
from icbir_core.pipeline.saliency_checks import read_boxes
from icbir_core.radiograph.reading import read_radiograph
from icbir_core.radiograph.writing import write_lossless
from icbir_core.retrieval.centring import Centre
from icbir_core.retrieval.index import Index
from icbir_core.retrieval.neighbours import read_neighbours, write_neighbours
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.structural_similarity import StructuralSimilarityIndex
from icbir_core.study.store import RatingsStore
from icbir_core.training.film_cache import cache_rows

CORE = Path(__file__).resolve().parents[2] / "icbir_core"
NAMES = re.compile(r"^(path|directory|folder|file|assets)$")


class Named:
    """What names a path and is neither text nor a `Path`."""

    def __init__(self, path: Path):
        self._path = str(path)

    def __fspath__(self) -> str:
        return self._path


KINDS = pytest.mark.parametrize("kind", [str, Path, Named])


def list_parameters(source: str, module: str) -> list[tuple[str, str, str]]:
    """(where, parameter, annotation) of every public function and dataclass of a module, methods included."""
    found = []

    def visit(node: ast.AST, owner: str) -> None:
        for one in ast.iter_child_nodes(node):
            if isinstance(one, ast.ClassDef) and not one.name.startswith("_"):
                if any("dataclass" in ast.unparse(decorator) for decorator in one.decorator_list):
                    fields = [part for part in one.body if isinstance(part, ast.AnnAssign)]
                    found.extend((owner + one.name, ast.unparse(f.target), ast.unparse(f.annotation)) for f in fields)
                visit(one, f"{owner}{one.name}.")
            elif isinstance(one, ast.FunctionDef) and (one.name == "__init__" or not one.name.startswith("_")):
                arguments = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]
                found.extend((owner + one.name, a.arg, ast.unparse(a.annotation)) for a in arguments if a.annotation)

    visit(ast.parse(source), f"{module}.")
    return found


def find_narrow(parameters: list[tuple[str, str, str]]) -> list[str]:
    """Those that ask for a `Path`, or name a path and do not take every kind of one."""
    wide = re.compile(r"\bPathLike\b")
    return [
        f"{where}({name}: {kind})"
        for where, name, kind in parameters
        if re.search(r"(?<!\.)\bPath\b", kind) or (NAMES.match(name) and "str" in kind and not wide.search(kind))
    ]


# What these call a path or a file is a name within a workspace or a parcel, or the program alone makes the record.
NAMES_WITHIN = {"types.py.Case", "pacs/outbox.py.Consigned", "pacs/outbox.py.Parcel.change", "pacs/inbox.py.Received"}


def test_no_public_function_asks_for_one_kind_of_path():
    # Commands get what the shell gives.
    modules = [file for file in CORE.rglob("*.py") if "cli" not in file.parts]
    parameters = [
        entry
        for file in modules
        for entry in list_parameters(file.read_text(encoding="utf-8"), file.relative_to(CORE).as_posix())
        if entry[0] not in NAMES_WITHIN
    ]
    assert sum("PathLike" in kind for _, _, kind in parameters) > 60
    assert find_narrow(parameters) == []


def test_the_walk_finds_what_it_looks_for():
    source = "class A:\n def __init__(s, path: Path): ...\ndef b(*, folder: str | None): ...\ndef _c(path: Path): ..."
    assert find_narrow(list_parameters(source, "m")) == ["m.A.__init__(path: Path)", "m.b(folder: str | None)"]
    good = "@dataclass\nclass A:\n file: PathLike\ndef b(path: bytes | PathLike) -> Path: ..."
    assert len(list_parameters(good, "m")) == 2 and find_narrow(list_parameters(good, "m")) == []


@pytest.mark.in_a_file
@KINDS
def test_films_and_workspaces(kind, tmp_path):
    films = tmp_path / "films"
    write_simulated(kind(films), 2, 5, 64)
    assert len(read_truth(kind(films))) == 2
    film = next((films / "images").glob("*.png"))
    radiograph = read_radiograph(kind(film))
    write_lossless(radiograph, kind(tmp_path / "again.png"))
    assert read_radiograph(kind(tmp_path / "again.png")).pixel_sha256 == radiograph.pixel_sha256
    workspace = Workspace.create(kind(tmp_path / "w"))
    report = ingest(workspace, IngestOptions("folder", kind(films / "images"), kind(films / "labels.csv")))
    assert report.added == 2
    for opened in (Workspace.open(kind(workspace.path)), Workspace(kind(workspace.path))):
        assert opened.path == workspace.path and opened.catalogue.count() == 2
    assert Catalogue(kind(workspace.catalogue.path)).count() == 2


@KINDS
def test_what_is_searched(kind, tmp_path):
    vectors, rows = np.random.default_rng(0).random((20, 8)).astype(np.float32), np.arange(20)
    made_from = {"model": "m", "catalogue": "c"}
    Index.build(kind(tmp_path / "index"), vectors, rows, made_from)
    index = Index.open(kind(tmp_path / "index"), made_from)
    assert index.search(vectors[3], 1).rows.tolist() == [3]
    write_neighbours(kind(index.directory), index.sha256, np.ones(2))
    assert read_neighbours(kind(index.directory), index.sha256).tolist() == [1, 1]
    reduced, none = np.zeros((2, 64, 64), np.float16), np.empty(0, np.int64)
    StructuralSimilarityIndex.update(kind(tmp_path / "ssim"), reduced, rows[:2], none, made_from)
    assert len(StructuralSimilarityIndex.open(kind(tmp_path / "ssim"), made_from)) == 2
    Centre.measure([vectors], {}).save(kind(tmp_path))
    assert Centre.open(kind(tmp_path), {}).cases == 20
    CaseStore.create(kind(tmp_path / "store"), {"model": "m"}, {"cnn": ((8,), "float32")})
    assert CaseStore.open(kind(tmp_path / "store"), {"model": "m"}).names == ("cnn",)


@KINDS
def test_files_and_folders(kind, tmp_path):
    with replace_atomically(kind(tmp_path / "a" / "b.txt")) as aside:
        aside.write_text("x")
    write_json_atomically(kind(tmp_path / "a" / "c.json"), {"d": 1})
    assert read_json(kind(tmp_path / "a" / "c.json")) == {"d": 1}
    assert len({sha256_of_file(kind(tmp_path / "a" / "b.txt")), sha256_of_tree(kind(tmp_path / "a"))}) == 2
    values = cache_rows(kind(tmp_path / "cache"), "x", {}, 2, 4, lambda start, stop: np.ones((stop - start, 4, 4)))
    assert values.shape == (2, 4, 4)
    forget_checkpoint(kind(tmp_path / "a"))
    (tmp_path / "boxes.csv").write_text("Image Index,Finding Label,Bbox [x,y,w,h]\n1.png,Effusion,1,2,3,4\n")
    assert read_boxes(kind(tmp_path / "boxes.csv"))["1"] == {"Effusion": [(1.0, 2.0, 3.0, 4.0)]}
    RatingsStore.open(kind(tmp_path / "ratings.db"))
    assert (tmp_path / "ratings.db").is_file() and not os.path.exists("ratings.db")
