"""Weights out of PyTorch files: both forms, whole networks and states, and what must not be read."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from icbir_core.errors import ModelError
from icbir_core.model.torch_files import read_torch_weights
from tests.helpers.torch_writer import write_torch_file


def make_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    turned = np.asfortranarray(random.standard_normal((4, 3, 2)).astype(np.float32))
    return {
        "features.conv0.weight": random.standard_normal((2, 3)).astype(np.float32),
        "features.norm0.running_var": turned,
        "features.norm0.num_batches_tracked": np.array(5, np.int64),
        "classifier.bias": np.zeros(0, np.float32),
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_arrays_come_back(tmp_path, legacy, whole):
    weights = make_weights()
    found = read_torch_weights(write_torch_file(tmp_path / "w.pt", weights, legacy=legacy, whole=whole))
    assert set(found) == set(weights)
    for name, values in weights.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype and found[name].flags.c_contiguous


class Touch:
    """What an attacker stores: a call of a function of the machine."""

    def __init__(self, function, *given):
        self.function, self.given = function, given

    def __reduce__(self):
        return self.function, self.given


HARMFUL = {
    "a function of the system": lambda mark: Touch(os.mkdir, mark),
    "a function of Python": lambda mark: Touch(eval, f"__import__('os').mkdir({mark!r})"),
    "a function within a container": lambda mark: {"state_dict": {"a": [Touch(os.mkdir, mark)]}},
    "a getter of attributes": lambda mark: Touch(getattr, (), "__class__"),
}


def pack(data: bytes, path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)


@pytest.mark.parametrize("kind", HARMFUL)
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_that_a_file_says_is_run(tmp_path, kind, legacy):
    mark = tmp_path / "run"
    data = pickle.dumps(HARMFUL[kind](str(mark)), 2)
    path = tmp_path / "harm.pt"
    if legacy:
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        path.write_bytes(b"".join(pickle.dumps(part, 2) for part in head) + data + pickle.dumps([], 2))
    else:
        pack(data, path)
    with pytest.raises(ModelError, match="may be harmful"):
        read_torch_weights(path)
    assert not mark.exists()


def test_a_harmful_call_in_the_first_words_of_the_older_form_is_not_run(tmp_path):
    mark = tmp_path / "run"
    (tmp_path / "harm.pt").write_bytes(pickle.dumps(Touch(os.mkdir, str(mark)), 2))
    with pytest.raises(ModelError):
        read_torch_weights(tmp_path / "harm.pt")
    assert not mark.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_is_cut_or_changed_is_refused(tmp_path, legacy):
    path = write_torch_file(tmp_path / "w.pt", make_weights(), legacy=legacy)
    whole = path.read_bytes()
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_torch_weights(path)
    if legacy:
        path.write_bytes(whole + b"more")
    else:  # a zip archive holds a sum of each entry
        place = whole.index(make_weights()["features.conv0.weight"].tobytes())
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ModelError):
        read_torch_weights(path)


class Claim:
    """A tensor whose place in its storage is invented."""

    def __init__(self, offset, shape, strides):
        self.parts = offset, shape, strides


@pytest.mark.parametrize(
    "offset, shape, strides",
    [(0, (7,), (1,)), (1, (6,), (1,)), (0, (2, 3), (4, 1)), (0, (2,), (-1,)), (-1, (2,), (1,)), (0, (10**9,), (0,))],
)
def test_a_tensor_beyond_its_numbers_is_refused(tmp_path, offset, shape, strides):
    from tests.helpers.torch_writer import _Storage, _Writer, fake_torch

    data = io.BytesIO()
    with fake_torch() as torch:

        class Writer(_Writer):
            def reducer_override(self, value):
                if isinstance(value, Claim):
                    return torch.rebuild, (_Storage(np.arange(6, dtype=np.float32)), *value.parts, False, None)
                return NotImplemented

        writer = Writer(data, torch, legacy=False)
        writer.dump({"a": Claim(offset, shape, strides)})
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("archive/data.pkl", data.getvalue())
        archive.writestr("archive/data/0", writer.storages["0"].data)
    with pytest.raises(ModelError, match="strides|beyond"):
        read_torch_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_other_files_get_a_plain_sentence(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.pt"):
        read_torch_weights(tmp_path / "x.pt")


def test_a_missing_file_and_one_without_weights(tmp_path):
    with pytest.raises(ModelError, match="no file"):
        read_torch_weights(tmp_path / "none.pt")
    pack(pickle.dumps({"epoch": 3}, 2), tmp_path / "empty.pt")
    with pytest.raises(ModelError, match="holds no weights"):
        read_torch_weights(tmp_path / "empty.pt")
