"""Maps and embeddings at a URL: the same values and hashes as in the folder, and never read as what was not stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.film_places import RemoteFilms
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.errors import FilmLost, FilmsAway, WorkspaceError
from icbir_core.files import PARTIAL_MARK
from icbir_core.jobs.units import Bench, IndexPlan, fill_chunk, list_chunks
from icbir_core.keeping.backup import back_up, restore_backup
from icbir_core.keeping.moving import move_films
from icbir_core.keeping.repairing import repair_workspace
from icbir_core.pipeline.erasing import erase_from_workspace, plan_erasure
from icbir_core.retrieval.chunk_objects import ChunkStore
from icbir_core.retrieval.seal import read_seal
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import TargetFiles, verify_stores
from tests.helpers import fake_work, fakes
from tests.helpers.faulty_files import FaultyFiles
from tests.unit.retrieval.test_case_store import FIELDS, IDENTITY, make_values

ROWS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 20])


@pytest.fixture
def far(tmp_path, monkeypatch) -> Path:
    """Where the objects of `make_store` lie, at "faulty://"."""
    register_implementation("faulty", FaultyFiles, clobber=True)
    monkeypatch.setattr(FaultyFiles, "fault", None)
    return tmp_path / "far"


def make_store(folder: Path, films: str = "") -> CaseStore:
    store = CaseStore.create(folder / "store.zarr", IDENTITY, FIELDS, films)
    for rows in (ROWS[:8], ROWS[8:], ROWS[8:9]):
        store.write(rows, make_values(rows))
    store.seal()
    return store


def list_objects(far: Path) -> list[Path]:
    return sorted(file for file in far.rglob("*") if file.is_file())


def check_values(store: CaseStore, rows: np.ndarray = ROWS) -> None:
    for name, values in make_values(rows).items():
        np.testing.assert_array_equal(store.read(name, rows), values)


@pytest.mark.parametrize("scheme", ["faulty", "memory"])
def test_a_store_at_a_url_holds_what_one_in_the_folder_holds(far, tmp_path, scheme):
    (tmp_path / "near").mkdir()
    near, store = make_store(tmp_path / "near"), make_store(tmp_path, f"{scheme}://{far}")
    check_values(CaseStore.open(store.path, IDENTITY))
    assert read_seal(store.path).chunks.tolist() == read_seal(near.path).chunks.tolist() and store.check() == len(ROWS)
    chunks = [file for file in store.path.glob("*/c/**/*") if file.is_file()]
    assert len(chunks) == 6 and {file.stat().st_size for file in chunks} == {86}, "the folder holds hashes alone"
    found = list_objects(far) if scheme == "faulty" else MemoryFileSystem().find(str(far))
    assert len(found) == 6, "what was replaced is deleted"
    store.write(ROWS[9:], {name: np.zeros((1, *shape)) for name, (shape, _) in FIELDS.items()})
    assert (store.read("maps", ROWS[9:]) == 0).all(), "a chunk of zeros has no object"
    assert len(list_objects(far) if scheme == "faulty" else MemoryFileSystem().find(str(far))) == 4


def test_an_object_that_is_missing_or_another_one_is_not_read_but_computed_again(far, tmp_path):
    store = make_store(tmp_path, f"faulty://{far}")
    first, second, third = (one for one in list_objects(far) if one.name.startswith("maps."))
    second.write_bytes(first.read_bytes())
    third.unlink()
    for row in (9, 20):
        with pytest.raises(FilmLost, match=r"chunk 'maps/c/[12]/0/0' of 'store.zarr' is missing at its URL"):
            store.read("maps", np.array([row]))
    with pytest.raises(FilmLost):
        store.write(ROWS[8:9], make_values(ROWS[8:9]))  # the rest of the chunk would be lost
    check_values(store, ROWS[:8])
    assert CaseStore.open_or_create(store.path, IDENTITY, FIELDS)[1] is False
    with pytest.raises(WorkspaceError, match="2 of 3 chunks of maps and embeddings have changed"):
        store.check()
    assert store.drop_damaged() == 2
    store.write(ROWS[8:], make_values(ROWS[8:]))
    store.seal()
    check_values(store)
    assert store.check() == len(ROWS) and store.objects.sweep() == 0 and len(list_objects(far)) == 6


@pytest.mark.parametrize("error", [TimeoutError(), PermissionError("Forbidden")])
def test_a_place_that_is_away_is_told_and_nothing_is_made_anew(far, tmp_path, monkeypatch, error):
    store = make_store(tmp_path, f"faulty://{far}")
    monkeypatch.setattr(FaultyFiles, "fault", ("all", error))
    for call in (
        lambda: store.read("maps", ROWS),
        lambda: store.write(ROWS, make_values(ROWS)),
        store.check,
        store.drop_damaged,
        store.objects.sweep,
        lambda: CaseStore.open_or_create(store.path, {"model": "b"}, FIELDS),
    ):
        with pytest.raises(WorkspaceError, match="^The maps and embeddings cannot be reached") as caught:
            call()
        assert isinstance(caught.value, FilmsAway) == isinstance(error, TimeoutError)
    again, new = CaseStore.open_or_create(store.path, IDENTITY, FIELDS)
    monkeypatch.undo()
    assert not new
    check_values(again)
    store, new = CaseStore.open_or_create(store.path, {"model": "b"}, FIELDS)
    assert new and list_objects(far) == [], "values of other networks go from there too"


def test_a_writer_that_is_killed_leaves_the_former_chunk(far, tmp_path, monkeypatch):
    store, rows = make_store(tmp_path, f"faulty://{far}"), ROWS[8:9]
    zeros = {name: np.zeros((1, *shape)) + 0.5 for name, (shape, _) in FIELDS.items()}

    async def stop(self, key, value):
        raise InterruptedError

    with monkeypatch.context() as patch:  # the object is written, what names it is not
        patch.setattr(ChunkStore.__base__, "set", stop)
        with pytest.raises(InterruptedError):
            store.write(rows, zeros)
    check_values(store)
    assert store.objects.sweep() == 1
    store.write(rows, zeros)
    assert (CaseStore.open(store.path).read("maps", rows) == 0.5).all() and len(list_objects(far)) == 6


def test_who_reads_while_a_chunk_is_replaced_gets_the_new_one(far, tmp_path, monkeypatch):
    store, rows, waiting = make_store(tmp_path, f"faulty://{far}"), ROWS[8:9], [1]
    other, real = CaseStore.open(store.path), RemoteFilms.read

    def read(place, name):
        if waiting and name.startswith("chunks/maps.c.1"):
            waiting.clear()
            other.write(rows, make_values(rows + 1))
        return real(place, name)

    monkeypatch.setattr(RemoteFilms, "read", read)
    np.testing.assert_array_equal(store.read("maps", rows), make_values(rows + 1)["maps"])


def find_faults(workspace: Workspace) -> list[str]:
    return [one.text for one in (*verify_workspace(workspace), *verify_stores(workspace)) if not one.passed]


@pytest.mark.parametrize("place", ["the folder", "a URL"])
def test_erasing_reaches_what_an_indexing_that_was_cut_short_left(far, tmp_path, monkeypatch, place):
    fake_work.use(monkeypatch.setattr)
    workspace, plan = fakes.make_workspace(tmp_path / "w", 3), IndexPlan("Effusion")
    fill_chunk(Bench(workspace), plan, 0)
    if place == "a URL":
        move_films(workspace, f"faulty://{far}")
    erase_from_workspace(workspace, plan_erasure(workspace, ["case_001"], []))
    values = CaseStore.open(TargetFiles(workspace, "Effusion").store).read("cnn", np.arange(3))
    assert values.any(axis=1).tolist() == [True, False, True]


def test_a_workspace_moves_is_copied_erased_from_and_mended(far, tmp_path, monkeypatch, capsys):
    fake_work.use(monkeypatch.setattr)
    workspace, plan = fakes.make_workspace(tmp_path / "w", 10), IndexPlan("Effusion")
    record_catalogue(workspace)
    bench, store = Bench(workspace), TargetFiles(workspace, "Effusion").store
    for chunk in list_chunks(bench, plan):
        fill_chunk(bench, plan, chunk)
    fake_work.build(bench, plan)
    values, seal = CaseStore.open(store).read("cnn", np.arange(10)), read_seal(store)
    monkeypatch.setattr(FaultyFiles, "fault", ("cat_file", TimeoutError()))
    assert main(["move-films", str(workspace.path), f"faulty://{far}"]) == 1
    monkeypatch.setattr(FaultyFiles, "fault", None)
    assert main(["move-films", str(workspace.path), f"faulty://{far}"]) == 0
    assert "2 chunks of maps and embeddings moved" in capsys.readouterr().out
    assert main(["move-films", str(workspace.path), f"faulty://{far}"]) == 1
    np.testing.assert_array_equal(CaseStore.open(store).read("cnn", np.arange(10)), values)
    assert find_faults(workspace) == [] and read_seal(store).chunks.tolist() == seal.chunks.tolist()

    monkeypatch.setattr(FaultyFiles, "fault", ("all", TimeoutError()))
    assert "The maps and embeddings cannot be reached (TimeoutError); try again later." in find_faults(workspace)
    assert repair_workspace(workspace.path) == []
    with pytest.raises(FilmsAway):
        back_up(workspace, tmp_path / "copy")
    monkeypatch.setattr(FaultyFiles, "fault", None)

    back_up(workspace, tmp_path / "copy")
    restore_backup(tmp_path / "copy", tmp_path / "again")
    copied = Workspace.open(tmp_path / "again")
    held = TargetFiles(copied, "Effusion").store
    assert find_faults(copied) == [] and not list(held.rglob("*.url")), "a copy holds its maps and embeddings itself"
    np.testing.assert_array_equal(CaseStore.open(held).read("cnn", np.arange(10)), values)

    chunks = sorted(far.glob("icbir-*/arrays/*/chunks/*"))
    for left in ("cnn.c.0.0-ofakilledwriter", f".a{PARTIAL_MARK}.cnn.c.0.0"):
        (chunks[0].parent / left).write_bytes(chunks[0].read_bytes())
    erase_from_workspace(workspace, plan_erasure(workspace, [workspace.catalogue.cases()[0].case_id], []))
    assert (CaseStore.open(store).read("cnn", np.array([0])) == 0).all() and find_faults(workspace) == []
    left = sorted(far.glob("icbir-*/arrays/*/chunks/*"))
    assert len(left) == 2 and chunks[0] not in left and chunks[1] in left
    left[1].write_bytes(b"other")
    assert [one.text for one in repair_workspace(workspace.path)] == ["2 cases thrown away, to be computed again."]
