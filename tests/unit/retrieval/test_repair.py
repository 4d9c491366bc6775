"""`repair` mends what can be mended over every damaged file, hides nothing, and loses no case and no rating."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from icbir_core.catalogue import Workspace
from icbir_core.errors import WorkspaceError
from icbir_core.keeping.backup import back_up
from icbir_core.keeping.repairing import repair_workspace
from icbir_core.retrieval.store import CaseStore
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore
from tests.unit.retrieval.test_verify_damage import WAYS, change_row, flip, list_files, list_kinds, verify

COMPUTED = ("targets/", "encoders/")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, indexed) -> Path:
    """A workspace with 50 ratings; its copy lies beside it as `copy`."""
    folder = tmp_path_factory.mktemp("repair") / "w"
    shutil.copytree(indexed.path, folder)
    rate(folder, range(50))
    back_up(Workspace.open(folder), folder.with_name("copy"))
    return folder


@pytest.fixture
def place(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "w")


def rate(folder: Path, cases: range) -> None:
    store = RatingsStore.open(folder / "ratings.db")
    store.add_all([Rating("search", "1", "reader", "query", str(i), score=3) for i in cases])
    store.close()


def damage(path: Path, way: str) -> None:
    if way == "flip" and path.suffix == ".db":
        change_row(path)
    elif (data := WAYS[way](path.read_bytes())) is None:
        path.unlink()
    else:
        path.write_bytes(data)


@pytest.mark.slow  # each of 27 files in four ways; what is mended by which rule, the tests below ask too
@pytest.mark.parametrize("way", WAYS)
def test_every_damaged_file_is_mended_or_goes_on_being_named(whole, tmp_path, way):
    for number, name in enumerate(list_kinds(whole)):
        place = shutil.copytree(whole, tmp_path / str(number))
        damage(place / name, way)
        wrong = verify(place)
        assert wrong
        mended = repair_workspace(place, whole.with_name("copy"))
        assert mended, name
        left = verify(place)
        if name.startswith(COMPUTED):
            assert left and all(one.recompute for one in mended), "until `index` has run, `verify` names it"
        else:
            assert not left and not any(one.recompute for one in mended), (name, left)
            kept = sorted(place.with_name(f"{number}.damaged").glob(f"*/{name}"))
            assert len(kept) == 1 or way == "delete", "what was replaced is kept"
        shutil.rmtree(place)


def test_what_was_computed_is_computed_again_where_it_was_damaged(place, whole, models):
    from icbir_core.retrieval.index_workspace import index_workspace

    former = CaseStore.open(place / "targets" / "effusion" / "store.zarr")
    before = former.read("cnn", former.get_completed())
    for name in list_files(place):
        part = name.partition("/store.zarr/cnn/")[2]
        if name.startswith(COMPUTED) and (part in ("c/1", "c/1/0") or "store.zarr" not in name):
            damage(place / name, "flip")
    assert any(one.recompute for one in repair_workspace(place))
    report = index_workspace(Workspace.open(place), models=models)
    assert report.embedded == 8 and not verify(place), "one chunk of eight cases"
    store = CaseStore.open(place / "targets" / "effusion" / "store.zarr")
    assert np.allclose(store.read("cnn", store.get_completed()), before, atol=1e-5)
    assert repair_workspace(place) == []


def test_without_a_copy_what_was_not_computed_stays_as_it_is_and_is_named(place):
    film = sorted((place / "images").iterdir())[0]
    for path in (film, place / "ratings.db", place / "models" / "x"):
        if path.is_file():
            path.write_bytes(flip(path.read_bytes()))
    before = {name: (place / name).read_bytes() for name in list_files(place)}
    wrong = verify(place)
    assert repair_workspace(place) == []
    assert verify(place) == wrong and {"hashes"} <= set(wrong)
    assert {name: (place / name).read_bytes() for name in list_files(place)} == before


def test_ratings_that_the_copy_does_not_know_are_never_exchanged_for_it(place, whole):
    rate(place, range(50, 60))
    damage(place / "ratings.db", "flip")
    held = (place / "ratings.db").read_bytes()
    assert not [one for one in repair_workspace(place, whole.with_name("copy")) if one.name == "ratings"]
    assert "ratings" in verify(place) and (place / "ratings.db").read_bytes() == held
    shutil.copy(whole / "ratings.db", place / "ratings.db")
    (place / "ratings.head").unlink()
    rate(place, range(50, 55))
    (place / "ratings.head").write_bytes(b"{}")
    assert [one.name for one in repair_workspace(place, whole.with_name("copy"))] == ["ratings"]
    store = RatingsStore.open(place / "ratings.db")
    assert store.count() == 55 and not store.find_faults()
    store.close()


def test_unfinished_files_and_open_rights_go_and_a_wrong_copy_is_refused(place, whole, tmp_path):
    from icbir_core.files import PARTIAL_MARK

    left = place / "images" / f".a.png.12{PARTIAL_MARK}"
    left.write_bytes(b"half")
    (place / "patients.salt").chmod(0o644)
    assert {one.name for one in repair_workspace(place)} == {"temporary files", "salt"}
    assert not left.exists() and (place / "patients.salt").stat().st_mode & 0o777 == 0o600
    with pytest.raises(WorkspaceError, match="no copy of a workspace"):
        repair_workspace(place, whole)
    (place / "manifest.json").write_text("{")
    foreign = back_up(Workspace.create(tmp_path / "other"), tmp_path / "copy of another")
    assert foreign.cases == 0
    with pytest.raises(WorkspaceError):
        repair_workspace(place, tmp_path / "copy of another")
    assert (place / "manifest.json").read_text() == "{"


def test_a_copy_that_is_damaged_itself_mends_nothing(place, whole, tmp_path):
    copy = shutil.copytree(whole.with_name("copy"), tmp_path / "copy")
    film = sorted((place / "images").iterdir())[0].name
    for folder in (place, copy):
        os.truncate(folder / "images" / film, 20)
    assert repair_workspace(place, copy) == [] and "hashes" in verify(place)
