"""What users bring: every form gives the same integers; what cannot be read without guessing is refused by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import float_network, integer_network, samples
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.data import as_dataset, load_dataset, samples_of
from spikeloom.data.given import Form, collect
from spikeloom.errors import DataError, SpikeloomError, UsageError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (12, 2, 3)).astype(np.uint8)
Y = np.arange(12) % 4
torch = pytest.importorskip("torch") if importlib.util.find_spec("torch") else None


class Pairs:
    """A map-style data set, which ends by its length alone."""

    def __init__(self, x: Any = X, y: Any = Y) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.x[index % len(self.x)], self.y[index % len(self.x)]


class Cameras:
    """Recordings as Tonic's data sets have them."""

    sensor_size = (4, 3, 2)

    def __init__(self, count: int = 5, broken: bool = False) -> None:
        rng = np.random.default_rng(1)
        self.items: list[Any] = []
        for _ in range(count):
            events = np.zeros(20, np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")]))
            events["x"], events["y"] = rng.integers(0, 5 if broken else 4, 20), rng.integers(0, 3, 20)
            events["t"], events["p"] = np.sort(rng.integers(0, 1000, 20)), rng.integers(0, 2, 20)
            self.items.append(events)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.items[index], index % 2


def stream() -> Iterator[tuple[Any, int]]:
    yield from zip(X, Y.tolist(), strict=True)


def forms() -> dict[str, Any]:
    found: dict[str, Any] = {
        "arrays": (X, Y),
        "lists": (X.tolist(), Y.tolist()),
        "wider integers": (X.astype(np.int64), Y.astype(np.int32)),
        "pairs": list(zip(X, Y.tolist(), strict=True)),
        "map": Pairs(),
        "iterator": stream(),
        "split": as_dataset((X, Y), (X, Y)).test,
    }
    if torch is not None:
        tensors = torch.from_numpy(X.copy()), torch.from_numpy(Y)
        data = torch.utils.data.TensorDataset(*tensors)
        loader = torch.utils.data.DataLoader

        class Streamed(torch.utils.data.IterableDataset[Any]):
            """With a length, as many have, and torch's __getitem__, which raises."""

            def __iter__(self) -> Iterator[Any]:
                return iter(zip(*tensors, strict=True))

            def __len__(self) -> int:
                return len(X)

        found |= {"IterableDataset": Streamed(), "its DataLoader": loader(Streamed(), 5)}
        found |= {"tensors": tensors, "TensorDataset": data, "DataLoader": loader(data, 5), "one by one": loader(data, batch_size=None)}
    return found


@pytest.mark.parametrize("name", forms())
def test_every_form_gives_the_same_integers(name: str) -> None:
    found = collect(forms()[name], Form())
    assert found.values.dtype == np.uint8 and np.array_equal(found.values, X)
    assert found.labels is not None and np.array_equal(found.labels, Y)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(1, 255), st.integers(0, 2**31 - 1), st.sampled_from(["float32", "float64"]))
def test_floats_in_a_stated_range_are_the_nearest_levels(levels: int, seed: int, kind: str) -> None:
    p = np.random.default_rng(seed).integers(0, levels + 1, (4, 5)).astype(np.uint8)
    real = (p / levels).astype(kind)
    assert np.array_equal(collect(real, Form(levels, (0, 1))).values, p)
    assert np.array_equal(collect(p.astype(kind), Form(levels, (0, levels))).values, p)


def test_true_stands_for_one() -> None:
    assert collect(X > 100, Form(16)).values.max() == 16 and collect(X > 100, Form()).values.max() == 1


def test_recordings_become_frames() -> None:
    found = collect(Cameras(), Form(1, timesteps=6))
    assert found.values.shape == (5, 6, 2, 3, 4) and found.values.max() == 1
    first = Cameras().items[0]
    when = (first["t"] - first["t"].min()) * 6 // (first["t"].max() - first["t"].min() + 1)
    counts = np.zeros((6, 2, 3, 4), np.int64)
    np.add.at(counts, (when, first["p"], first["y"], first["x"]), 1)
    assert np.array_equal(found.values[0], np.minimum(counts, 1))
    data = as_dataset(Cameras(), Cameras(3), levels=1, timesteps=6)
    assert data.temporal and data.timesteps == 6 and data.classes == 2 and data.shape == (2, 3, 4)


def nan() -> Any:
    return np.full((3, 4), np.nan, np.float32)


REFUSED: list[tuple[Any, Form, str]] = [
    (X / 255, Form(), r"nothing says what stands for 1. Say value_range=\(0, 1\)"),
    (X / 255 - 0.5, Form(value_range=(0, 1)), "A chip's input has no sign"),
    (X / 2, Form(value_range=(0, 255)), "no whole numbers"),
    (nan(), Form(value_range=(0, 1)), "not finite"),
    (X.astype(np.int64) * 2, Form(), "hold 0..[0-9]+; they are integers 0..255"),
    ((X, Y[:5]), Form(), r"labels of the samples have the shape \(5,\)"),
    ((X, Y - 1), Form(), "one integer each, from 0 on"),
    ((X, Y / 2), Form(), "one integer each, from 0 on"),
    (list(zip([X[0], X[0][:1]], [0, 1], strict=True)), Form(), r"Sample 1 of the samples has the shape \(1, 3\), the first \(2, 3\)"),
    ([], Form(), "are none"),
    (iter(()), Form(), "are none"),
    (np.zeros((0, 4), np.uint8), Form(), "at least one sample"),
    (X[:, 0, 0], Form(), r"are \(N, ...\)"),
    (np.array([["a"]]), Form(), "of the kind <U1"),
    (42, Form(), "are of the type int"),
    ({"x": X}, Form(), "are of the type dict"),
    (Cameras(), Form(), "recordings with the fields x, y, t, p. Say timesteps=T"),
    (Cameras(broken=True), Form(timesteps=4), "have x from 0 to 4; the sensor has 0..3"),
]


@pytest.mark.parametrize(("data", "form", "says"), REFUSED, ids=[r[2][:30] for r in REFUSED])
def test_what_needs_a_guess_is_refused(data: Any, form: Form, says: str) -> None:
    with pytest.raises(SpikeloomError, match=says):
        collect(data, form)


def test_a_data_set_of_your_own_has_tests_of_its_own() -> None:
    data = as_dataset((X, Y), test_fraction=0.25)
    assert len(data.train) == 9 and len(data.test) == 3 and data.classes == 4 and data.shape == (2, 3)
    with pytest.raises(UsageError, match="say nothing of its accuracy"):
        as_dataset((X, Y))
    with pytest.raises(UsageError, match="have no labels"):
        as_dataset(X, (X, Y))
    with pytest.raises(UsageError, match=r"value_range is \(-1, 1\)"):
        as_dataset((X, Y), (X, Y), value_range=(-1, 1))
    digits = load_dataset("digits")
    assert as_dataset(digits) is digits


def test_every_form_calibrates_and_runs_the_same(tmp_path: Path) -> None:
    network = float_network(1, sizes=(6, 12, 4))
    values = samples(network, 3, 12)
    labels = np.arange(12) % 4
    np.savez(tmp_path / "s.npz", x=values, y=labels)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["x"], file["y"] = values, labels
    given: list[Any] = [(values, labels), Pairs(values, labels), samples_of((values, labels)), tmp_path / "s.npz", tmp_path / "s.h5"]
    deployed = [compile_network(network, data=data) for data in given]
    deployed += [compile_network(network, calibration=data) for data in (values, Pairs(values, labels))]
    deployed += [compile_network(network, calibration=values / 255, value_range=(0, 1))]
    arrays = [[p.synapses.data.tolist() for p in d.network.projections] for d in deployed]
    assert all(a == arrays[0] for a in arrays)
    found = [runtime.run(deployed[0], data) for data in given[:2] + given[3:]]
    found += [runtime.run(deployed[0], (values / 255, labels), value_range=(0, 1))]
    counts = [r.output_counts.tolist() for r in found if r.output_counts is not None]
    assert len(counts) == 5 and all(c == counts[0] for c in counts) and all(r.accuracy == found[0].accuracy for r in found)
    if torch is not None:
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(values.copy())), 5)
        unlabelled = runtime.run(deployed[0], loader)
        assert unlabelled.accuracy is None and unlabelled.output_counts is not None and unlabelled.output_counts.tolist() == counts[0]


def test_samples_of_another_size_are_never_reshaped(tmp_path: Path) -> None:
    network = integer_network(3)
    with pytest.raises(UsageError, match="shape"):
        runtime.run(compile_network(network), np.zeros((4, network.populations[0].size + 1), np.uint8))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a"] = X
    with pytest.raises(DataError, match=r"s\.h5 holds no arrays of these names; expected are samples as x"):
        samples_of(tmp_path / "s.h5").load(network.takes)
