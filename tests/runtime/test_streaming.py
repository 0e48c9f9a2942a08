"""Samples from files: the same results as from memory, a bound on the memory, and files that are not what they should be."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples
from spikeloom.compile import compile_network
from spikeloom.data.stored import read_stored
from spikeloom.errors import DataError, UsageError
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.streaming import batches
from spikeloom.train import load_dataset
from test_shards import figures


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The test digits as two files."""
    digits = load_dataset("digits").test
    np.save(tmp_path / "samples.npy", digits.values)
    np.save(tmp_path / "labels.npy", digits.labels.astype(np.uint8))
    return tmp_path / "samples.npy", tmp_path / "labels.npy"


def test_files_run_like_the_data_set(spikeloom: Any, digits_run: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("run", digits_run / "model.loom", "--check", "--samples", 150)
    assert spikeloom(*words, "--data", "digits", "--out", tmp_path / "a.json").code == 0
    ended = spikeloom(*words, "--data", pair[0], "--labels", pair[1], "--out", tmp_path / "b.json")
    assert ended.code == 0, ended.err
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert two.pop("data") == str(pair[0]) and one.pop("data") == "digits"
    assert figures(one) == figures(two) and one["raster"] == two["raster"]


def test_the_torch_backend_from_the_command_line(spikeloom: Any, digits_run: Path, tmp_path: Path) -> None:
    words = ("run", digits_run / "model.loom", "--data", "digits", "--out")
    ended = spikeloom(*words, tmp_path / "t.json", "--backend", "torch", "--device", "cpu", "--check")
    assert ended.code == 0, ended.err
    assert "Number formats, on cpu" in ended.out
    assert spikeloom(*words, tmp_path / "n.json").code == 0
    one, two = (figures(json.loads((tmp_path / name).read_text())) for name in ("n.json", "t.json"))
    rows = two.pop("arithmetic")["projections"]
    assert all(row["largest_sum"] <= row["exact_to"] for row in rows) and len(rows) == len(one["layers"])
    assert one.pop("arithmetic") is None
    for figure in ("backend", "stages", "check"):
        del one[figure], two[figure]
    assert one == two
    refused = spikeloom(*words, tmp_path / "x.json", "--device", "cpu")
    assert refused.code == 2 and "add --backend torch" in refused.err


class Rows:
    """Samples that can be had by slices only."""

    def __init__(self, values: np.ndarray) -> None:
        self.real, self.most = values, 0

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, rows: slice) -> np.ndarray:
        part = self.real[rows]
        self.most = max(self.most, len(part))
        return part


def test_whatever_takes_slices_is_read_batch_by_batch(tmp_path: Path) -> None:
    network = compile_network(float_network(6, sizes=(40, 30, 10)))
    values, labels = samples(network.network, 1, 5000), np.zeros(5000, np.int64)
    expected = figures(run(network, Labelled(values, labels)))
    rows = Rows(values)
    assert figures(run(network, Labelled(rows, labels))) == expected  # type: ignore[arg-type]
    assert rows.most <= native.BATCH
    with h5py.File(tmp_path / "samples.h5", "w") as file:
        file["samples"] = values
        assert figures(run(network, Labelled(file["samples"], labels))) == expected  # type: ignore[arg-type]


def test_batches_cover_a_part() -> None:
    values, numbers = np.arange(10)[:, None], np.arange(3, 9)
    found = list(batches(values, numbers, 4))
    assert [(n.tolist(), part.ravel().tolist()) for n, part in found] == [([3, 4, 5, 6],) * 2, ([7, 8],) * 2]
    found = list(batches(values, numbers, 4, 1))
    assert [(n.tolist(), part.ravel().tolist()) for n, part in found] == [([3],) * 2, ([4, 5, 6, 7],) * 2, ([8],) * 2]
    assert not list(batches(values, numbers[:0], 4))


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(0, 29), unique=True), st.integers(1, 7), st.integers(0, 9))
@example([3, 4, 5, 9, 8, 0, 29], 3, 2)
def test_batches_of_any_samples(chosen: list[int], size: int, begin: int) -> None:
    """In any order, from an array, from a mapped file, and from what takes slices only."""
    values = np.arange(30)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/v.npy", values)
        for source in (values, np.load(f"{folder}/v.npy", mmap_mode="r"), Rows(values)):
            found = list(batches(source, np.array(chosen, np.int64), size, begin))
            assert [n for numbers, _ in found for n in numbers] == [int(v) for _, part in found for v in part[:, 0]] == chosen
            assert all(len(part) <= max(size, begin) for _, part in found)


def save(folder: Path, values: Any, labels: Any) -> tuple[Path, Path]:
    np.save(folder / "v.npy", values, allow_pickle=True)
    np.save(folder / "l.npy", labels, allow_pickle=True)
    return folder / "v.npy", folder / "l.npy"


GOOD = np.zeros((4, 3), np.uint8), np.arange(4)


@pytest.mark.parametrize(
    ("values", "labels", "text"),
    [
        (np.zeros((4, 3), np.complex64), GOOD[1], "holds complex64; samples are numbers"),
        (GOOD[0], GOOD[1].astype(float), "holds float64; labels are integers"),
        (np.zeros(4, np.uint8), GOOD[1], r"shape \(4,\); samples are \(N, ...\)"),
        (GOOD[0], np.arange(5), r"shape \(5,\); .* holds 4 samples"),
        (np.asfortranarray(np.zeros((4, 3), np.uint8)), GOOD[1], "column by column"),
        (np.array([[{}], [None]], object), GOOD[1], "not an .npy of samples that can be mapped"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, values: Any, labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        read_stored(*save(tmp_path, values, labels))


def test_damaged_files(tmp_path: Path) -> None:
    samples_, labels = save(tmp_path, *GOOD)
    content = samples_.read_bytes()
    for damaged in (content[:-1], content[:20], b"PK\x03\x04", b""):
        samples_.write_bytes(damaged)
        with pytest.raises(DataError, match=r"v.npy is not an .npy of samples"):
            read_stored(samples_, labels)
    with pytest.raises(DataError, match="Cannot read the samples"):
        read_stored(tmp_path / "none.npy", labels)


def test_labels_of_a_data_set_are_its_own(spikeloom: Any, digits_run: Path, pair: tuple[Path, Path]) -> None:
    ended = spikeloom("run", digits_run / "model.loom", "--data", "digits", "--labels", pair[1])
    assert ended.code == 2 and "is for samples in a file" in ended.err


def test_no_samples() -> None:
    network = compile_network(float_network(6, sizes=(40, 30, 10)))
    with pytest.raises(UsageError, match="needs at least one sample"):
        run(network, Labelled(np.zeros((0, 40), np.uint8), np.zeros(0, np.int64)))


STREAM = """
import resource, sys
from pathlib import Path
import numpy as np
from netgen import float_network
from spikeloom.compile import compile_network
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.data.stored import Stored, read_stored
network = compile_network(float_network(6, sizes=({inputs}, 30, 10), density=0.02, timesteps=2))
data = read_stored(Path(sys.argv[1]), Path(sys.argv[2]))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
run(network, Stored(data.values[:8192], data.labels[:8192]), options=BackendOptions(threads=1))
before = peak()
results = run(network, data, options=BackendOptions(threads=1))
print(results.samples, peak() - before, peak())
"""


def streamed(folder: Path, gigabytes: float, inputs: int) -> tuple[int, int, int]:
    """Run a sparse file of this size, zeros but for every thousandth sample; return samples, and growth and height of the peak in bytes."""
    count = int(gigabytes * 1e9) // inputs
    path = folder / "big.npy"
    values = np.lib.format.open_memmap(path, "w+", np.uint8, (count, inputs))
    values[::1000, : inputs // 2] = 200
    del values
    np.save(folder / "labels.npy", np.zeros(count, np.uint8))
    script = folder / "stream.py"
    script.write_text(STREAM.format(inputs=inputs))
    tests = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {tests!r}); exec(open({str(script)!r}).read())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(folder / "labels.npy")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(int(word) for word in done.stdout.split())  # type: ignore[return-value]


@pytest.mark.chain
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """0.4 GB grow the peak of the memory by less than a third of it, beyond two batches. (Mapped pages count until given back.)"""
    count, growth, _ = streamed(tmp_path, 0.4, 4096)
    assert count == 97_656
    assert growth < 130e6, growth


@pytest.mark.slow
def test_memory_stays_bounded_beyond_it(tmp_path: Path) -> None:
    """3 GB, several times what the process ever holds."""
    count, growth, peak = streamed(tmp_path, 3.0, 8192)
    assert count == 366_210
    assert growth < 100e6 and peak < 1e9, (growth, peak)
