"""What the tests set for their own process and the programs that they start; imported before any library is.

Where several processes run the tests at once, each library would take all cores for itself. Programs that a test kills
leave temporary files behind (TensorFlow one for each function that it rewrites): they go when the tests end; pytest's
own folders stay where they are, for who looks into a failure.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A whole collection walks over all modules that the tests have loaded, a third of a second each time; while they are
# loaded it would do so at each quarter more (`tests/conftest.py` lets it begin with the first test).
gc.set_threshold(700, 10, 100)
gc.disable()
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="icbir-tests-")
os.chmod(tempfile.tempdir, 0o711)  # a database server that a test starts runs as another account
atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)
