"""A film that kills, hangs or swells its decoder costs that film alone; the child ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from icbir_core.errors import RadiographError, RadiographTooLarge, UndecodableTransferSyntax
from icbir_core.radiograph import read_radiograph
from icbir_core.radiograph.decoding import decode_film
from icbir_core.radiograph.decoding_process import DecodingPool, get_pool
from icbir_core.settings import DecodingLimits, ReadLimits, count_decoders

ROOT = Path(__file__).resolve().parents[3]
UNRULY = ("-B", str(Path(__file__).with_name("unruly_decoder.py")))
LIMITS = ReadLimits()
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces this limit")


def make_png(seed: int = 0, size: int = 64) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 65536, (size, size), np.uint16))[1].tobytes()


@pytest.fixture(scope="module")
def unruly():
    pool = DecodingPool(1, DecodingLimits(processor_seconds=1, memory=300 << 20), UNRULY)
    yield pool
    pool.end()


@pytest.fixture
def start():
    """Starts pools that are ended with the test."""
    with ExitStack() as running:

        def start_pool(*given, **more) -> DecodingPool:
            pool = DecodingPool(*given, **more)
            running.callback(pool.end)
            return pool

        yield start_pool


def order(word: str) -> bytes:
    return word.ljust(16).encode()


def find_child(pool: DecodingPool) -> int:
    """The process that decodes for the pool; the unruly decoder says which it is."""
    return int(pool.decode(order("film"), LIMITS).facts["process"])


@pytest.mark.parametrize(
    ("word", "kind", "sentence"),
    [
        ("abort", RadiographError, "its decoder stops"),
        ("fault", RadiographError, "its decoder stops"),
        ("exit", RadiographError, "its decoder stops"),
        ("babble", RadiographError, "its decoder stops"),
        pytest.param("spin", RadiographTooLarge, "longer than 1 s", marks=on_linux),
        pytest.param("swell", RadiographTooLarge, "more memory", marks=on_linux),
    ],
)
def test_a_film_that_harms_its_decoder_is_one_refused_film(unruly, word, kind, sentence):
    with pytest.raises(RadiographError, match=sentence) as caught:
        unruly.decode(order(word), LIMITS)
    assert type(caught.value) is kind
    assert unruly.decode(order("film"), LIMITS).levels.tolist() == [[4321] * 5] * 3


@on_linux
def test_a_larger_file_may_take_longer(start):
    limits = DecodingLimits(processor_seconds=1, bytes_a_second=16, memory=300 << 20)
    assert [limits.allow_seconds(size) for size in (0, 15, 16, 48)] == [1, 1, 2, 4]
    pool = start(1, limits, UNRULY)
    with pytest.raises(RadiographTooLarge, match="longer than 2 s"):
        pool.decode(order("spin"), LIMITS)


def test_a_decoder_that_waits_is_ended(start):
    pool = start(1, DecodingLimits(seconds=1.0), UNRULY)
    with pytest.raises(RadiographTooLarge, match="longer than 1 s"):
        pool.decode(order("sleep"), LIMITS)


def test_what_an_earlier_film_left_behind_does_not_refuse_the_next(unruly):
    before = int(unruly.decode(order("poison"), LIMITS).facts["process"])
    after = unruly.decode(order("film"), LIMITS)
    assert after.levels.shape == (3, 5) and int(after.facts["process"]) != before


def test_what_libraries_print_is_no_answer(unruly):
    assert unruly.decode(order("print"), LIMITS).levels[0, 0] == 4321


@on_linux
def test_a_decoder_writes_no_file(unruly, tmp_path):
    with pytest.raises(RadiographError):
        unruly.decode(order("write") + str(tmp_path / "left").encode(), LIMITS)
    assert not (tmp_path / "left").exists() or not (tmp_path / "left").stat().st_size


def test_an_answer_of_another_size_is_not_believed(start):
    pool = start(1, DecodingLimits(), (*UNRULY, "--lie"))
    with pytest.raises(RadiographError, match="its decoder stops"):
        pool.decode(order("lie"), LIMITS)


def test_a_child_is_reused_and_renewed_after_its_share_of_films(start):
    pool = start(1, DecodingLimits(films=3), UNRULY)
    seen = [find_child(pool) for _ in range(7)]
    assert len(set(seen[:3])) == len(set(seen[3:6])) == 1 and len(set(seen)) == 3


def test_many_readers_at_once_get_their_own_films():
    pool = DecodingPool(2, program=UNRULY)
    films = [make_png(seed) for seed in range(12)]
    try:
        with ThreadPoolExecutor(6) as readers:
            found = list(readers.map(lambda data: pool.decode(data, LIMITS).levels, films * 4))
        for data, levels in zip(films * 4, found, strict=True):
            assert np.array_equal(levels, decode_film(data, LIMITS).levels)
        with ThreadPoolExecutor(6) as readers:
            assert len(set(readers.map(lambda _: find_child(pool), range(12)))) <= 2
    finally:
        pool.end()


def test_a_busy_decoder_does_not_hold_up_the_other_readers():
    pool = DecodingPool(2, program=UNRULY)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(60)

    try:
        with ThreadPoolExecutor(1) as reader:
            reader.submit(pool.decode, order("film"), LIMITS, wait)
            assert begun.wait(60)
            assert [pool.decode(order("film"), LIMITS).stored_bits for _ in range(3)] == [16] * 3
            assert not go_on.is_set()
            go_on.set()
    finally:
        go_on.set()
        pool.end()


def test_an_interrupted_film_leaves_no_answer_for_the_next():
    pool = DecodingPool(1, program=UNRULY)

    def interrupt():
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            pool.decode(make_png(), LIMITS, interrupt)
        assert pool.decode(order("film"), LIMITS).levels[0, 0] == 4321
    finally:
        pool.end()


def test_a_decoder_that_does_not_start_is_not_blamed_on_the_film():
    pool = DecodingPool(1, program=("-c", "raise SystemExit(3)"))
    with pytest.raises(RadiographError, match=r"does not start \(exit code 3\)"):
        pool.decode(make_png(), LIMITS)
    pool.end()


def test_kinds_of_errors_come_through(unruly):
    with pytest.raises(RadiographTooLarge, match="60000 × 60000"):
        get_pool().decode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + bytes(40), LIMITS)
    with pytest.raises(UndecodableTransferSyntax) as caught:
        unruly.decode(order("syntax"), LIMITS)
    assert caught.value.uid == "1.2.3" and str(caught.value) == str(
        UndecodableTransferSyntax("1.2.3", "Some Syntax", "install it.")
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_parent(way):
    script = (
        "import sys, time; from icbir_core.radiograph.decoding_process import DecodingPool\n"
        "from icbir_core.settings import ReadLimits\n"
        "film = DecodingPool(1, program=sys.argv[1:]).decode(sys.stdin.buffer.read(), ReadLimits())\n"
        "print(film.facts['process'], flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *UNRULY], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    parent.stdin.write(order("film"))
    parent.stdin.close()
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(way)
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not is_running(child):
            break
        time.sleep(0.1)
    assert not is_running(child)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for yet is over all the same.
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_the_child_loads_only_what_decoding_needs():
    script = (
        "import sys; from icbir_core.radiograph import decoding_worker; decoding_worker.load_decoders()\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"cv2", "pydicom", "gdcm", "openjpeg"} <= loaded
    assert not loaded & {
        "tensorflow",
        "keras",
        "streamlit",
        "pandas",
        "scipy",
        "skimage",
        "sqlalchemy",
        "zarr",
        "annoy",
    }


@on_linux
def test_the_child_inherits_no_secret(start, monkeypatch):
    monkeypatch.setenv("ICBIR_RATINGS_PASSWORD", "hidden")
    pool = start(1, program=UNRULY)
    assert b"hidden" not in Path(f"/proc/{find_child(pool)}/environ").read_bytes()


def test_the_number_of_decoders_is_a_setting(monkeypatch):
    monkeypatch.setenv("ICBIR_DECODERS", "7")
    assert count_decoders() == 7
    for nonsense in ("", "0", "-1", "many"):
        monkeypatch.setenv("ICBIR_DECODERS", nonsense)
        assert 2 <= count_decoders() <= 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_copy_starts_children_of_its_own():
    read_radiograph(make_png())
    script = (
        "import os, sys; from icbir_core.radiograph import read_radiograph\n"
        "data = sys.stdin.buffer.read(); first = read_radiograph(data).pixel_sha256\n"
        "process = os.fork()\n"
        "same = all(read_radiograph(data).pixel_sha256 == first for _ in range(20))\n"
        "if not process: os._exit(0 if same else 1)\n"
        "sys.exit(os.waitpid(process, 0)[1] or not same)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, input=make_png(), timeout=60, check=False)
    assert done.returncode == 0
