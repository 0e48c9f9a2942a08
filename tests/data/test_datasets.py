"""Data sets: what they hold, and what is said when their files are missing or damaged."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spikeloom.data.dataset import load_dataset, names, split_validation
from spikeloom.data.sets.mnist import FILES
from spikeloom.errors import DataError, UsageError


def write_mnist(folder: Path, train: int = 12, test: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, count in zip(FILES, (train, train, test, test), strict=True):
        if "images" in name:
            content = struct.pack(">IIII", 0x803, count, 28, 28) + rng.integers(0, 256, count * 784, np.uint8).tobytes()
        else:
            content = struct.pack(">II", 0x801, count) + rng.integers(0, 10, count, np.uint8).tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    return folder


def test_digits_are_those_of_the_library_wherever_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.data.sets import digits

    read = digits._table()
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda name: None)  # then the library reads them
    assert np.array_equal(read, digits._table())


def test_digits_are_split_once_and_for_all(tmp_path: Path) -> None:
    first, again = load_dataset("digits", tmp_path), load_dataset("digits", None)
    assert (first.shape, first.levels, first.classes, len(first.train) + len(first.test)) == ((8, 8), 16, 10, 1797)
    assert np.array_equal(first.test.values, again.test.values)
    assert first.train.values.max() == 16 and first.train.values.dtype == np.uint8


@pytest.mark.parametrize("inside", ["MNIST/raw", "raw", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_found_in_its_three_places(tmp_path: Path, inside: str, packed: bool) -> None:
    folder = write_mnist(tmp_path / inside)
    if not packed:
        for name in FILES:
            (folder / name).write_bytes(gzip.decompress((folder / f"{name}.gz").read_bytes()))
            (folder / f"{name}.gz").unlink()
    data = load_dataset("mnist", tmp_path)
    assert data.train.values.shape == (12, 28, 28) and data.test.labels.shape == (5,)


def test_missing_mnist_names_files_folders_and_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", tmp_path)
    for part in (*FILES, str(tmp_path / "MNIST/raw"), "--data-dir", "SPIKELOOM_DATA"):
        assert part in str(caught.value)


def _damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    plain = gzip.decompress(content)
    changed = {
        "cut gzip": content[: len(content) // 2],
        "bad gzip": content[:20] + bytes([content[20] ^ 0xFF]) + content[21:],
        "empty": b"",
        "foreign": b"not an IDX file at all",
        "short": gzip.compress(plain[:-3]),
        "long": gzip.compress(plain + b"xx"),
        "magic": gzip.compress(struct.pack(">I", 0x802) + plain[4:]),
    }[how]
    path.write_bytes(changed)


@pytest.mark.parametrize("how", ["cut gzip", "bad gzip", "empty", "foreign", "short", "long", "magic"])
@pytest.mark.parametrize("file", [FILES[0], FILES[3]])
def test_damaged_mnist_is_named(tmp_path: Path, how: str, file: str) -> None:
    path = write_mnist(tmp_path) / f"{file}.gz"
    _damage(path, how)
    with pytest.raises(DataError, match=file):
        load_dataset("mnist", tmp_path)


def test_labels_out_of_range_and_of_another_count(tmp_path: Path) -> None:
    path = write_mnist(tmp_path) / f"{FILES[1]}.gz"
    path.write_bytes(gzip.compress(struct.pack(">II", 0x801, 12) + bytes([11] * 12)))
    with pytest.raises(DataError, match="label 11"):
        load_dataset("mnist", tmp_path)
    path.write_bytes(gzip.compress(struct.pack(">II", 0x801, 2) + bytes([1, 2])))
    with pytest.raises(DataError, match="12 images"):
        load_dataset("mnist", tmp_path)


def test_unknown_data_set_lists_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mnist"):
        load_dataset("mnits", tmp_path)


@pytest.mark.parametrize("name", [name for name in names() if name != "imagenet"])  # which would be decoded for hours
def test_every_data_set_conforms(name: str) -> None:
    if name != "digits" and not os.environ.get("SPIKELOOM_DATA"):
        pytest.skip("SPIKELOOM_DATA is not set")
    try:
        data = load_dataset(name)
    except DataError as error:
        pytest.skip(str(error))
    assert data.name == name and data.inputs == np.prod(data.shape)
    assert set(np.unique(data.test.labels)) == set(range(data.classes))


def test_validation_is_held_out_by_the_seed() -> None:
    train = load_dataset("digits").train
    rest, held = split_validation(train, 0.1, 3)
    assert len(held) == round(0.1 * len(train)) and len(rest) + len(held) == len(train)
    assert np.array_equal(held.labels, split_validation(train, 0.1, 3)[1].labels)
    assert not np.array_equal(held.labels, split_validation(train, 0.1, 4)[1].labels)


def test_data_sets_need_no_torch() -> None:
    code = "import sys, spikeloom.train, spikeloom.data.sets; from spikeloom.train import load_dataset; load_dataset('digits')"
    code += "; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=600).returncode == 0
