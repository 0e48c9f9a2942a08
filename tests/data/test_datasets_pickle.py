"""CIFAR's python layout: read as data and nothing else; what asks for more is refused, and never executed."""

from __future__ import annotations

import builtins
import pickle
import struct
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.data.dataset import load_dataset
from spikeloom.data.sets._plain_pickle import read
from spikeloom.errors import DataError


def _python2(entries: Mapping[bytes, Any]) -> bytes:
    """Pickle as Python 2 with NumPy 1 did, protocol 2, in which the official files are: keys and texts are old strings."""

    def value(item: Any) -> bytes:
        if isinstance(item, bytes):
            return b"T" + struct.pack("<i", len(item)) + item if len(item) > 255 else b"U" + bytes([len(item)]) + item
        if isinstance(item, int):
            return b"K" + bytes([item]) if item < 256 else b"J" + struct.pack("<i", item)
        if isinstance(item, list):
            return b"]q\x05(" + b"".join(value(i) for i in item) + b"e"
        kind = b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87q\x07Rq\x08(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        made = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R"
        return made + b"(K\x01" + value(item.shape[0]) + value(item.shape[1]) + b"\x86" + kind + b"\x89" + value(item.tobytes()) + b"tb"

    return b"\x80\x02}q\x00(" + b"".join(value(k) + value(v) for k, v in entries.items()) + b"u."


def _write_python(folder: Path, dump: Callable[[dict[Any, Any]], bytes]) -> dict[str, dict[bytes, Any]]:
    place, rng = folder / "cifar-10-batches-py", np.random.default_rng(3)
    place.mkdir(parents=True)
    held: dict[str, dict[bytes, Any]] = {}
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        pixels = rng.integers(0, 256, (7, 3072), np.uint8)
        held[name] = {b"batch_label": b"x" * 300, b"labels": [k % 10 for k in range(7)], b"data": pixels, b"filenames": [b"a.png"] * 7}
        (place / name).write_bytes(dump(held[name]))
    return held


DUMPS: Mapping[str, Callable[[Any], bytes]] = {
    "python 2": _python2,
    "protocol 2": lambda entries: pickle.dumps(entries, 2),
    "protocol 4": lambda entries: pickle.dumps(entries, 4),
}


@pytest.mark.parametrize("dump", DUMPS)
def test_the_python_layout_is_read_as_data(dump: str, tmp_path: Path) -> None:
    held = _write_python(tmp_path, DUMPS[dump])
    if dump == "python 2":  # Python itself agrees on what these bytes mean
        told = pickle.loads((tmp_path / "cifar-10-batches-py/test_batch").read_bytes(), encoding="bytes")  # noqa: S301
        assert np.array_equal(told[b"data"], held["test_batch"][b"data"]) and told[b"labels"] == held["test_batch"][b"labels"]
    found = load_dataset("cifar10", tmp_path)
    assert (len(found.train), len(found.test)) == (35, 7)
    assert np.array_equal(found.train.values[7:14].reshape(7, -1), held["data_batch_2"][b"data"])
    assert found.test.labels.tolist() == held["test_batch"][b"labels"]


class _Evil:
    """Would make a file if it were ever called."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.target), "w")


def _evil_pickles(target: Path) -> dict[str, bytes]:
    call = f"(S'{target}'\nS'w'\n".encode()
    return {
        "open": pickle.dumps({b"data": _Evil(target)}, 2),
        "open 4": pickle.dumps({b"data": _Evil(target)}, 4),
        "system": b"cos\nsystem\n(S'touch " + str(target).encode() + b"'\ntR.",
        "inst": call[:1] + call[1:] + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'true'\no.",
        "newobj": b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.",
        "ext": b"\x80\x02\x82\x01.",
        "persistent": b"Pid\n.",
        "numpy itself": b"\x80\x02}(U\x04datacnumpy\nload\n" + call + b"tRu.",
        "a list": pickle.dumps([1, 2], 2),
        "float array": pickle.dumps({b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]}, 2),
        "object array": pickle.dumps({b"data": np.array([[None] * 3072]), b"labels": [1]}, 2),
        "wrong shape": pickle.dumps({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, 2),
        "labels short": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, 2),
        "labels text": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["1", "2"]}, 2),
        "label 11": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 11]}, 2),
        "nothing": pickle.dumps({}, 2),
        "unbalanced": b"\x80\x02}(U\x01au.",
        "empty stack": b"\x80\x02.",
        "deep": b"(" * 1000 + b"l" * 1001 + b".",
    }


@pytest.mark.parametrize("kind", _evil_pickles(Path("x")))
def test_a_pickle_that_is_more_than_data_is_refused_unexecuted(kind: str, tmp_path: Path) -> None:
    _write_python(tmp_path, DUMPS["protocol 2"])
    target, path = tmp_path / "touched", tmp_path / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(_evil_pickles(target)[kind])
    with pytest.raises(DataError, match="data_batch_1"):
        load_dataset("cifar10", tmp_path)
    assert not target.exists()


def test_any_bytes_of_a_pickle_are_read_or_refused(tmp_path: Path) -> None:
    _write_python(tmp_path, DUMPS["python 2"])
    path, rng = tmp_path / "cifar-10-batches-py" / "test_batch", np.random.default_rng(0)
    whole = path.read_bytes()
    head = [*range(0, 450), *range(len(whole) - 150, len(whole))]  # where the opcodes are
    for _ in range(400):
        content = bytearray(whole)
        for at in rng.choice(head, 2):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            assert load_dataset("cifar10", tmp_path).test.values.shape[1:] == (3, 32, 32)
        except DataError as error:
            assert "test_batch" in str(error)


def test_a_large_memo_index_takes_no_memory() -> None:
    """The standard library's unpickler makes a table of as many entries as the index: 2.1 GB of these 10 bytes."""
    content = b"\x80\x02}r" + ((1 << 27) - 1).to_bytes(4, "little") + b"."
    tracemalloc.start()
    try:
        assert read(content, Path("bomb")) == {}
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
