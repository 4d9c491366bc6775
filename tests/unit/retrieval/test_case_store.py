"""The store loses nothing to a kill −9 in the middle of a write, and is never mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from icbir_core.errors import IndexMismatch, RetrievalError
from icbir_core.retrieval.seal import HASHES
from icbir_core.retrieval.store import LEDGER, CaseStore

FIELDS = {"maps": ((16, 16), "float16"), "embedding": ((32,), "float32")}
IDENTITY = {"model": "a", "map_method": "deep_taylor"}

WRITER = """
import sys
import numpy as np
from tests.unit.retrieval.test_case_store import FIELDS, IDENTITY, make_values
from icbir_core.retrieval.store import CaseStore
store, _ = CaseStore.open_or_create(sys.argv[1], IDENTITY, FIELDS)
done = set(store.get_completed().tolist())
print("started", flush=True)
for start in range(0, 400, 8):
    rows = np.array([row for row in range(start, start + 8) if row not in done])
    if len(rows):
        store.write(rows, make_values(rows))
"""


def make_values(rows):
    generators = [np.random.default_rng(int(row)) for row in rows]
    return {
        "maps": np.stack([generator.random((16, 16)) for generator in generators]).astype("f2"),
        "embedding": np.stack([generator.random(32) for generator in generators]).astype("f4"),
    }


def test_round_trip_in_any_order(tmp_path):
    store = CaseStore.create(tmp_path / "store.zarr", IDENTITY, FIELDS)
    for rows in (np.arange(8), np.array([9, 11, 30]), np.array([10])):
        store.write(rows, make_values(rows))
    again = CaseStore.open(tmp_path / "store.zarr", IDENTITY)
    wanted = np.array([30, 2, 11, 2, 10])
    assert again.get_completed().tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 30]
    for name, values in make_values(wanted).items():
        np.testing.assert_array_equal(again.read(name, wanted), values)
        np.testing.assert_array_equal(again.view(name, wanted)[1:3], values[1:3])
    assert sum(len(rows) for rows, _ in again.iterate("maps", wanted, batch=2)) == 5


def test_another_identity_is_refused_and_starts_anew(tmp_path):
    path = tmp_path / "store.zarr"
    store, new = CaseStore.open_or_create(path, IDENTITY, FIELDS)
    assert new
    store.write(np.arange(3), make_values(np.arange(3)))
    assert not CaseStore.open_or_create(path, IDENTITY, FIELDS)[1]
    with pytest.raises(IndexMismatch, match="model"):
        CaseStore.open(path, IDENTITY | {"model": "b"})
    store, new = CaseStore.open_or_create(path, IDENTITY | {"model": "b"}, FIELDS)
    assert new and len(store.get_completed()) == 0
    with pytest.raises(IndexMismatch, match="index command"):
        CaseStore.open(tmp_path / "none.zarr")


def test_bad_values_are_refused_and_not_noted(tmp_path):
    store = CaseStore.create(tmp_path / "store.zarr", IDENTITY, FIELDS)
    values = make_values(np.arange(8))
    values["embedding"][5, 0] = np.inf
    with pytest.raises(RetrievalError, match="row 5"):
        store.write(np.arange(8), values)
    with pytest.raises(RetrievalError, match="maps"):
        store.write(np.arange(8), {"embedding": values["embedding"]})
    with pytest.raises(RetrievalError, match="row 3"):
        store.read("maps", np.array([3]))
    assert len(store.get_completed()) == 0


def test_a_half_written_ledger_record_is_ignored_and_overwritten(tmp_path):
    store = CaseStore.create(tmp_path / "store.zarr", IDENTITY, FIELDS)
    store.write(np.arange(2), make_values(np.arange(2)))
    with open(store.path / LEDGER, "ab") as ledger:
        ledger.write(b"\x07\x00\x00")
    assert store.get_completed().tolist() == [0, 1]
    store.write(np.array([2]), make_values(np.array([2])))
    assert store.get_completed().tolist() == [0, 1, 2]


def test_kill_and_resume_gives_what_an_unbroken_run_gives(tmp_path):
    path = tmp_path / "store.zarr"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    generator = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, env=environment)
        process.stdout.readline()
        time.sleep(0.02 + 0.1 * generator.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        noted = CaseStore.open(path, IDENTITY).get_completed()
        if len(noted):
            np.testing.assert_array_equal(
                CaseStore.open(path).read("embedding", noted), make_values(noted)["embedding"], "a noted row is whole"
            )
    subprocess.run([sys.executable, "-c", WRITER, str(path)], check=True, env=environment, stdout=subprocess.DEVNULL)
    store, rows = CaseStore.open(path, IDENTITY), np.arange(400)
    assert store.get_completed().tolist() == rows.tolist()
    for name, values in make_values(rows).items():
        np.testing.assert_array_equal(store.read(name, rows), values)


def make_sealed(path: Path, count: int = 20) -> CaseStore:
    store = CaseStore.create(path, IDENTITY, FIELDS)
    for start in range(0, count, 8):
        rows = np.arange(start, min(start + 8, count))
        store.write(rows, make_values(rows))
    store.seal()
    return store


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "a flipped byte": (lambda path: flip_a_byte(path / "maps" / "c" / "1" / "0" / "0"), "rows 8 to 15"),
    "a chunk cut short": (lambda path: os.truncate(path / "embedding" / "c" / "0" / "0", 40), "rows 0 to 7"),
    "a chunk gone": (lambda path: (path / "embedding" / "c" / "2" / "0").unlink(), "rows 16 to 23"),
    "a ledger changed": (lambda path: flip_a_byte(path / LEDGER), "ledger of 20 cases"),
    "a ledger cut short": (lambda path: os.truncate(path / LEDGER, 40), "ledger of 20 cases"),
    "a header changed": (lambda path: flip_a_byte(path / "maps" / "zarr.json"), "headers of the arrays"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_changed_after_the_seal_is_named(tmp_path, name):
    store = make_sealed(tmp_path / "store.zarr")
    assert store.check() == 20
    damage, expected = DAMAGES[name]
    damage(store.path)
    with pytest.raises(IndexMismatch, match=expected):
        store.check()


def test_a_later_seal_takes_in_what_is_new_and_never_what_was_damaged(tmp_path):
    store = make_sealed(tmp_path / "store.zarr")
    rows = np.arange(20, 24)
    store.write(rows, make_values(rows))
    assert store.check() == 16, "a run under way: the chunk that it writes to is not judged"
    flip_a_byte(store.path / "maps" / "c" / "0" / "0" / "0")
    store.seal()
    with pytest.raises(IndexMismatch, match="1 of 3 chunks .*first: catalogue rows 0 to 7"):
        store.check()


def test_sealing_twice_changes_nothing(tmp_path):
    store = make_sealed(tmp_path / "store.zarr")
    before = (store.path / HASHES).read_bytes()
    assert (store.seal()).read_bytes() == before
    os.truncate(store.path / HASHES, 50)
    with pytest.raises(IndexMismatch, match="cut short"):
        store.check()


@pytest.mark.parametrize(
    "fields", ['"faelds": ["maps"]', '"fields": 3', '"fields": "maps"', '"fields": []', '"fields": [1]']
)
def test_a_header_that_names_no_fields_is_damage(tmp_path, fields):
    header = make_sealed(tmp_path / "store.zarr").path / "zarr.json"
    held = json.loads(header.read_text())
    del held["attributes"]["fields"]
    header.write_text(json.dumps(held).replace('"attributes": {', f'"attributes": {{{fields}, '))
    with pytest.raises(IndexMismatch, match="is damaged"):
        CaseStore.open(header.parent, IDENTITY)


def test_what_is_written_where_a_drive_was_is_not_called_complete(tmp_path):
    store = CaseStore.create(tmp_path / "store.zarr", {"model": "a"}, {"cnn": ((2,), "float32")})
    store.path.rename(tmp_path / "away")
    with pytest.raises(IndexMismatch, match="is gone"):
        store.write(np.array([0]), {"cnn": np.zeros((1, 2), np.float32)})


def test_no_store_is_begun_in_the_folder_that_stands_where_a_drive_was(tmp_path, monkeypatch):
    """The drive goes while the store is made; zarr makes every folder that it misses."""
    drive, away, place = tmp_path / "drive", tmp_path / "away", tmp_path / "drive" / "targets" / "store.zarr"
    place.parent.mkdir(parents=True)
    make = zarr.open_group

    def lose_and_make(*names, **options):
        drive.rename(away)
        drive.mkdir()
        return make(*names, **options)

    monkeypatch.setattr(zarr, "open_group", lose_and_make)
    with pytest.raises(IndexMismatch, match="is gone; connect its drive"):
        CaseStore.create(place, {"model": "a"}, {"cnn": ((2,), "float32")})
    with pytest.raises(IndexMismatch, match="is gone; connect its drive"):
        CaseStore.create(away / "elsewhere" / "store.zarr", {"model": "a"}, {"cnn": ((2,), "float32")})
