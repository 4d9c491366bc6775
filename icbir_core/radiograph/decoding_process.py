"""Films are decoded in processes of their own, so that hostile bytes cost one film and never the server (ADR 0012).

A small pool of children, each started when it is first needed and used for many films. A film that ends its child,
takes too long or swells is refused in a sentence; the next film gets a fresh child. Children end when their parent
does, because their input closes. On Windows there is no limit of memory or processor time, on macOS none of memory;
there the separate process and the limit of time remain.
"""

from __future__ import annotations

import atexit
import io
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np

from icbir_core.errors import IcbirError, RadiographError, RadiographTooLarge
from icbir_core.radiograph.decoding import DecodedFilm, StoredPicture
from icbir_core.radiograph.decoding_messages import LENGTHS, MAX_HEAD, OUT_OF_MEMORY, receive_exactly
from icbir_core.settings import DecodingLimits, ReadLimits, count_decoders, get_environment
from icbir_core.types import FilmHeader

_ROOT = Path(__file__).resolve().parents[2]
# What a child inherits of the environment: enough to start and to find its libraries, no passwords.
_INHERITED = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "TEMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PIPE_BYTES = 1 << 20
_START_SECONDS = 120.0
# No compiled files written, nothing imported from the folder that the server happens to stand in.
PROGRAM = ("-B", "-P", "-m", "icbir_core.radiograph.decoding_worker")


_Answer = TypeVar("_Answer")
_CPU_SIGNAL = getattr(signal, "SIGXCPU", 24)


class DecoderDied(Exception):
    """The child ended while it held a film. code : its exit code, negative for a signal; late : it was ended by us."""

    def __init__(self, code: int, late: bool):
        self.code, self.late = code, late
        self.too_long = late or code == -_CPU_SIGNAL
        super().__init__(f"exit code {code}")


class DecodingProcess:
    """One child. Used by one thread at a time. program : what it runs, after the interpreter's name."""

    def __init__(self, limits: DecodingLimits, program: Sequence[str] = PROGRAM):
        self.limits, self.films, self._ready = limits, 0, False
        try:
            self._child = subprocess.Popen(
                [sys.executable, *program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if get_environment("DEBUG") else subprocess.DEVNULL,
                bufsize=0,
                env=_make_environment(),
                # Interrupts of the terminal go to the parent alone.
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise RadiographError(_explain_no_start(error.strerror or type(error).__name__)) from None
        self._input = cast(BinaryIO, self._child.stdin)
        self._output = cast(BinaryIO, self._child.stdout)
        for pipe in (self._input, self._output):
            _widen(pipe)

    def decode(self, data: bytes, limits: ReadLimits, meanwhile: Callable[[], object] | None = None) -> DecodedFilm:
        """The film in `data`, as `decode_film` gives it. meanwhile : called while the child works. Raises
        `RadiographError` for what is no film, `DecoderDied` where the child did not survive it."""
        return self._ask(data, limits, False, meanwhile, lambda head: self._receive_film(head["film"], limits))

    def decode_stored(self, data: bytes, limits: ReadLimits) -> StoredPicture:
        """The stored values in `data`, as `decode_stored` of the decoding gives them. Raises as `decode`."""
        return self._ask(data, limits, True, None, lambda head: self._receive_stored(head["stored"], limits))

    def _ask(
        self,
        data: bytes,
        limits: ReadLimits,
        stored: bool,
        meanwhile: Callable[[], object] | None,
        receive: Callable[[dict[str, Any]], _Answer],
    ) -> _Answer:
        if not self._ready:
            self._wait_until_ready()
        late = threading.Event()
        watch = threading.Timer(self.limits.seconds, self._end_late, (late,))
        watch.daemon = True
        watch.start()
        try:
            self._send(data, limits, stored)
            if meanwhile is not None:
                meanwhile()
            head = self._receive_head()
            if "error" in head:
                raise _rebuild_error(head["error"])
            return receive(head)
        except (EOFError, OSError, KeyError, TypeError, ValueError):
            # Half an answer or a wrong one: the child is of no more use, whatever became of it.
            self.end()
            raise DecoderDied(self._child.returncode, late.is_set()) from None
        finally:
            watch.cancel()
            self.films += 1

    @property
    def worn(self) -> bool:
        """Whether a fresh child should take over."""
        return self.films >= self.limits.films or self._child.poll() is not None

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def end(self) -> None:
        """End the child and wait for it."""
        for pipe in (self._input, self._output):
            with suppress(OSError):
                pipe.close()
        if self._child.poll() is None:
            try:
                # A process that died by itself is distinguished from one that is ended here.
                self._child.wait(0.5 if self._ready else 0.0)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()

    def _end_late(self, late: threading.Event) -> None:
        late.set()
        self._child.kill()

    def _wait_until_ready(self) -> None:
        watch = threading.Timer(_START_SECONDS, self._child.kill)
        watch.daemon = True
        watch.start()
        try:
            self._ready = "ready" in self._receive_head()
        except (EOFError, OSError, ValueError):
            self.end()
            raise RadiographError(_explain_no_start(f"exit code {self._child.returncode}")) from None
        finally:
            watch.cancel()

    def _send(self, data: bytes, limits: ReadLimits, stored: bool) -> None:
        request = {
            "read": vars(limits),
            "processor_seconds": self.limits.allow_seconds(len(data)),
            "memory": self.limits.memory,
            "stored": stored,
        }
        head = json.dumps(request).encode()
        for part in (LENGTHS.pack(len(head), len(data)) + head, data):
            view = memoryview(part)
            while len(view):
                view = view[self._input.write(view) :]

    def _receive_head(self) -> dict[str, Any]:
        """The JSON head of the next message. Raises `ValueError` for one that no honest child sends."""
        head_size, self._body = LENGTHS.unpack(receive_exactly(self._output, LENGTHS.size))
        if head_size > MAX_HEAD:
            raise ValueError
        head = json.loads(receive_exactly(self._output, head_size))
        if not isinstance(head, dict):
            raise ValueError
        return head

    def _receive_film(self, described: dict[str, Any], limits: ReadLimits) -> DecodedFilm:
        rows, columns = described["shape"]
        if not (0 < rows * columns <= limits.max_pixels and self._body == 2 * rows * columns):
            raise ValueError
        levels = self._receive_array((rows, columns), np.dtype(np.uint16))
        # JSON has no tuples.
        fields = {name: tuple(one) if isinstance(one, list) else one for name, one in described["fields"].items()}
        others = {name: described[name] for name in ("source_format", "stored_bits", "facts")}
        header = described["header"] and FilmHeader(**described["header"])
        return DecodedFilm(levels=levels, fields=fields, header=header, **others)

    def _receive_stored(self, described: dict[str, Any], limits: ReadLimits) -> StoredPicture:
        shape, kind = tuple(map(int, described["shape"])), np.dtype(str(described["kind"]))
        size = math.prod(shape)
        right = len(shape) in (2, 3) and shape[2:] in ((), (3,)) and kind.kind in "iu" and kind.itemsize <= 2
        if not (right and 0 < size <= 3 * limits.max_pixels and self._body == size * kind.itemsize):
            raise ValueError
        values = self._receive_array(shape, kind)
        return StoredPicture(values, int(described["bits"]), str(described["photometric"]))

    def _receive_array(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.ndarray:
        values = np.empty(shape, kind)
        view = values.data.cast("B")
        while len(view):
            taken = cast(io.FileIO, self._output).readinto(view)
            if not taken:
                raise EOFError
            view = view[taken:]
        return values


class DecodingPool:
    """`size` children at most, shared by all threads: one film each at a time, the others wait their turn."""

    def __init__(self, size: int, limits: DecodingLimits | None = None, program: Sequence[str] = PROGRAM):
        self.size, self.limits, self._program = size, limits or DecodingLimits(), program
        # The last one used is on top, so that what one child can do does not start another.
        self._children: weakref.WeakSet[DecodingProcess] = weakref.WeakSet()
        self._places: queue.LifoQueue[DecodingProcess | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    def decode(self, data: bytes, limits: ReadLimits, meanwhile: Callable[[], object] | None = None) -> DecodedFilm:
        """The film in `data`. Raises `RadiographError` and nothing else."""
        return self._lend(lambda child: child.decode(data, limits, meanwhile), len(data))

    def decode_stored(self, data: bytes, limits: ReadLimits) -> StoredPicture:
        """The stored values of the DICOM film in `data`. Raises `RadiographError` and nothing else."""
        return self._lend(lambda child: child.decode_stored(data, limits), len(data))

    def _lend(self, work: Callable[[DecodingProcess], _Answer], size: int) -> _Answer:
        """What `work` makes of a child, once more with a fresh one where it may have died of an earlier film."""
        child = self._places.get()
        try:
            while True:
                if child is None or child.worn:
                    if child is not None:
                        child.end()
                    child = self._start()
                used = child.films > 0
                try:
                    return work(child)
                except DecoderDied as death:
                    # Begun now, so that the next film does not wait for it.
                    child = self._start()
                    # A used child may have died of what an earlier film left behind: a fresh one decides.
                    if not used or death.too_long:
                        raise _explain_death(death, self.limits, size) from None
        except RadiographError:
            raise
        except BaseException:
            # Interrupted amid a message, such as by the keyboard: what is in the pipes belongs to no film.
            if child is not None:
                child.end()
                child = None
            raise
        finally:
            self._places.put(child)

    def _start(self) -> DecodingProcess:
        child = DecodingProcess(self.limits, self._program)
        self._children.add(child)
        return child

    def prepare(self) -> None:
        """Start one child, without waiting for it, so that the first film finds it there."""
        child = self._places.get()
        try:
            if child is None:
                child = self._start()
        finally:
            self._places.put(child)

    def count_children(self) -> int:
        """Processes that were started and not ended, whether they decode just now or wait."""
        return sum(child.alive for child in list(self._children))

    def end(self) -> None:
        """End every child that is idle."""
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._places.get_nowait())
        for child in idle:
            if child is not None:
                child.end()
            self._places.put(None)


@cache
def get_pool() -> DecodingPool:
    """The pool of this process; its size is `settings.count_decoders()`."""
    pool = DecodingPool(count_decoders())
    atexit.register(pool.end)
    return pool


# A forked copy of this process must not speak into the pipes of its parent's children.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=get_pool.cache_clear)


def _explain_death(death: DecoderDied, limits: DecodingLimits, size: int) -> RadiographError:
    if death.too_long:
        seconds = limits.seconds if death.late else limits.allow_seconds(size)
        return RadiographTooLarge(f"This film takes longer than {seconds:.0f} s to decode; export it uncompressed.")
    if death.code == OUT_OF_MEMORY:
        return RadiographTooLarge("This film takes more memory than a film may; export it with fewer pixels.")
    return RadiographError("This film is damaged such that its decoder stops; export the film again.")


def _explain_no_start(reason: str) -> str:
    return (
        f"No film can be read, because the decoding process does not start ({reason}); "
        "run `python -m icbir_core.radiograph.decoding_worker` to see why."
    )


def _rebuild_error(described: dict[str, Any]) -> RadiographError:
    """The error that the child raised, of the same kind."""
    kinds = {RadiographError.__name__: RadiographError}
    for kind in RadiographError.__subclasses__():
        kinds[kind.__name__] = kind
    kind = kinds.get(described["kind"], RadiographError)
    error = kind.__new__(kind)
    IcbirError.__init__(error, str(described["text"]))
    vars(error).update({str(name): str(value) for name, value in described["values"].items()})
    return error


def _make_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join([str(_ROOT), *(place for place in sys.path if place)])
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | one | {"PYTHONPATH": path, "PYTHONUTF8": "1"}


def _widen(pipe: BinaryIO) -> None:
    """Let more bytes into a pipe at once, so that the two processes take turns less often."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
