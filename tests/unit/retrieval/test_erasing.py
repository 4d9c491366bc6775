"""What is erased is in no byte of the workspace any more, and everything else is as it was."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.catalogue import Workspace, record_catalogue
from icbir_core.catalogue.erasing import search_bytes
from icbir_core.catalogue.verifying import verify_workspace
from icbir_core.cli import main
from icbir_core.pacs.destination import open_outbox
from icbir_core.pacs.object_frame import DicomObject
from icbir_core.retrieval.store import CaseStore
from icbir_core.retrieval.target_files import verify_stores
from icbir_core.study.rating import Rating
from icbir_core.study.store import RatingsStore
from icbir_core.study.verifying import verify_ratings

REPORT = "Mrs SMITH JANE, born 1931-02-03, seen by Dr Miller.\nSecond line of the report."
COPY = "SMITH_JANE_copy_17"


@pytest.fixture
def planted(indexed, tmp_path):
    """(workspace, the case to erase): its texts, copies, other patients and ratings are full of what must go."""
    folder = tmp_path / "w"
    shutil.copytree(indexed.path, folder)
    workspace = Workspace.open(folder)
    case, other = workspace.catalogue.cases()[3:5]
    with sqlite3.connect(folder / "catalogue.db") as database:
        database.execute("UPDATE cases SET report = ?, instance = 'cafe0123cafe0123' WHERE row = ?", (REPORT, case.row))
        database.execute("INSERT INTO copies VALUES (?, ?, 'folder', 10, 0)", (COPY, case.case_id))
        database.execute("INSERT INTO other_patients VALUES (?, 'feed0123feed0123')", (case.case_id,))
    database.close()
    (folder / "skipped.csv").write_text(f"film,reason\n{COPY}.png,odd\n")
    workspace = Workspace.open(folder)
    record_catalogue(workspace)
    store = RatingsStore.open(folder / "ratings.db")
    film = f"film:{case.pixel_sha256[:24]}"
    ranking = {"cases": [other.case_id, case.case_id]}
    pairs = [(case.case_id, other.case_id), (other.case_id, case.case_id), (film, other.case_id), ("film:x", "y")]
    store.add_all([Rating("search", "1", "reader", query, one, score=3, ranking=ranking) for query, one in pairs])
    store.close()
    return workspace, workspace.catalogue.get(case.case_id)


def erase(workspace: Workspace, *words: str) -> int:
    return main(["erase", str(workspace.path), *words, "--sure"])


def list_pixels(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in sorted((folder / "images").glob("*.png"))]


def test_no_byte_of_an_erased_case_is_left_and_the_others_are_as_they_were(planted, capsys):
    workspace, case = planted
    film = (workspace.path / case.path).read_bytes()
    pixels = cv2.imread(str(workspace.path / case.path), cv2.IMREAD_UNCHANGED)
    stores = sorted(workspace.path.glob("targets/*/store.zarr"))
    before = [CaseStore.open(path) for path in stores]
    rows = np.setdiff1d(before[0].get_completed(), [case.row])
    kept = [{name: store.read(name, rows) for name in store.names} for store in before]
    gone = [store.read(name, np.array([case.row])).astype("<f4") for store in before for name in store.names]
    others = [one for one in workspace.catalogue.cases() if one.row != case.row]
    needles = [case.case_id, case.sha256, case.pixel_sha256, case.stored_sha256, COPY]
    needles += ["feed0123feed0123", "cafe0123cafe0123", "SMITH", "1931-02-03", "Miller", "Second line of the report."]
    held = b"".join(file.read_bytes() for file in workspace.path.rglob("*") if file.is_file())
    assert all(needle.encode() in held for needle in needles), "the search below can find"

    outbox = open_outbox(workspace.path)
    named, other = (f"The nearest case is {one}.".encode() for one in (case.case_id, others[0].case_id))
    first, second = (outbox.put([DicomObject("sr.dcm", "report", "1.2.3", uid, "1.2.9", data)])
                     for uid, data in (("1.2.4", named), ("1.2.5", other)))  # fmt: skip
    assert erase(workspace, "--case", case.case_id) == 0
    said = capsys.readouterr().out
    assert "1 case erased" in said and "Nothing is left" in said and "4 ratings and studies" in said
    assert "1 result that named them will not be sent" in said
    assert outbox.find(first) is None and outbox.find(second) is not None
    for file in (one for place in (workspace.path, outbox.folder) for one in place.rglob("*") if one.is_file()):
        data = file.read_bytes()
        assert not [needle for needle in needles if needle.encode() in data], file
        assert film[40:200] not in data and pixels.tobytes()[:400] not in data, file
        assert not [1 for values in gone if values.any() and values.tobytes()[:256] in data], file
    assert not [1 for other in list_pixels(workspace.path) if other.shape == pixels.shape and (other == pixels).all()]
    for path, values in zip(stores, kept, strict=True):
        store = CaseStore.open(path)
        assert not any(store.read(name, np.array([case.row])).any() for name in store.names)
        assert all(np.array_equal(store.read(name, rows), found) for name, found in values.items())
    after = Workspace.open(workspace.path)
    assert after.catalogue.cases() == others and len(after.catalogue.removed_rows()) == 1


def test_verify_says_right_after_index_and_a_killed_erasure_is_done_by_the_same_call(
    planted, models, monkeypatch, capsys
):
    from icbir_core.pipeline import erasing
    from icbir_core.retrieval.index_workspace import index_workspace

    workspace, case = planted
    monkeypatch.setattr(erasing, "erase_from_catalogue", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert erase(workspace, "--case", case.case_id) == 130
    monkeypatch.undo()
    assert erase(workspace, "--case", case.case_id) == 0
    index_workspace(Workspace.open(workspace.path), models=models)
    opened = Workspace.open(workspace.path)
    checks = (*verify_workspace(opened), *verify_stores(opened), *verify_ratings(opened))
    faults = [check for check in checks if not check.passed]
    assert not faults, faults
    store = RatingsStore.open(workspace.path / "ratings.db")
    assert store.count() == 4 and not [one for one in store.history() if case.case_id in str(one)]
    store.close()
    message = pytest.raises(sqlite3.IntegrityError, match="append-only")
    with closing(sqlite3.connect(workspace.path / "ratings.db")) as ratings, message:
        ratings.execute("DELETE FROM ratings")
    assert main(["restore", str(workspace.path), f"erased-{case.row:06d}"]) == 1
    assert "nothing of it is left" in capsys.readouterr().err


def test_a_patient_is_erased_with_all_cases_also_those_known_under_another(planted, capsys):
    workspace, case = planted
    workspace.catalogue.close()
    own = {one.case_id for one in workspace.catalogue.cases() if case.patient in (one.patient, *one.other_patients)}
    assert main(["erase", str(workspace.path), "--patient", "feed0123feed0123", "--json"]) == 0
    assert f'"cases": ["{case.case_id}"]' in capsys.readouterr().out
    assert workspace.catalogue.get(case.case_id).path, "without --sure nothing is done"
    assert erase(workspace, "--patient", case.patient) == 0
    assert not own & {one.case_id for one in Workspace.open(workspace.path).catalogue.cases(include_removed=True)}


@pytest.mark.parametrize(
    "words", [(), ("--case", "no such case"), ("--patient", "no such patient"), ("--patient", "erased-000001")]
)
def test_what_is_not_there_is_one_sentence_and_nothing_changes(planted, words, capsys):
    workspace, case = planted
    assert erase(workspace, *words) == 1
    assert capsys.readouterr().err.count("\n") == 1 and workspace.catalogue.get(case.case_id).path


def test_the_search_of_all_bytes_finds_names_texts_and_escapes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 5000 + b" case1 ")
    (tmp_path / "two").write_text('{"name": "M\\u00fcller"}')
    (tmp_path / "Jane.txt").write_text("")
    (tmp_path / "four").write_text("case10 xcase1")
    assert search_bytes(tmp_path, ["case1"])[2] == ["a/one"]
    assert search_bytes(tmp_path, ["Müller"])[2] == ["two"]
    assert search_bytes(tmp_path, ["Jane"])[2] == ["Jane.txt"]
    assert search_bytes(tmp_path, []) == (4, (tmp_path / "a" / "one").stat().st_size + 23 + 0 + 13, [])
