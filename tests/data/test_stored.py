"""Samples in files and folders, and sets larger than memory: the same integers as from arrays, for every command."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import float_network, samples
from PIL import Image
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.data import as_dataset, iterables, samples_of
from spikeloom.data.form import Form
from spikeloom.data.given import collect
from spikeloom.data.rows import Passes
from spikeloom.errors import DataError, MissingFilesError, SpikeloomError, UsageError
from spikeloom.fed import Known
from spikeloom.runtime.streaming import batches

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (20, 4, 6)).astype(np.uint8)
Y = np.repeat(np.arange(4), 5)
CODE = """
import numpy as np
data = np.load({path!r})
class Pairs:
    def __len__(self):
        return len(data["x"])
    def __getitem__(self, i):
        return data["x"][i], int(data["y"][i])
def stream():
    yield from zip(data["x"], data["y"])
def pair():
    return data["x"], data["y"]
def broken():
    return 1 / 0
number = 5
"""
KINDS = ("npz", "npy", "floats", "hdf5", "png", "files", "Pairs", "stream", "pair")


def write_folder(folder: Path, suffix: str, x: Any = X, y: Any = Y) -> Path:
    for number, (sample, label) in enumerate(zip(x, y, strict=True)):
        path = folder / f"class{label}" / f"{number:03}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".npy":
            np.save(path, sample)
        else:
            Image.fromarray(sample).save(path, lossless=True)  # WebP; PNG always is
    return folder


def named(folder: Path, kind: str) -> tuple[str, Any]:
    """Write the samples in one of the kinds; return what --data takes, and the other arguments."""
    np.savez(folder / "s.npz", x=X, y=Y)
    np.save(folder / "x.npy", X)
    np.save(folder / "f.npy", (X / 255).astype(np.float32))
    np.save(folder / "y.npy", Y)
    with h5py.File(folder / "s.h5", "w") as file:
        file["x"], file["y"] = X, Y
    (folder / "mine.py").write_text(CODE.format(path=str(folder / "s.npz")))
    labels: dict[str, Any] = {"labels": folder / "y.npy"}
    files: dict[str, tuple[str, dict[str, Any]]] = {
        "npz": ("s.npz", {}),
        "npy": ("x.npy", labels),
        "floats": ("f.npy", labels | {"options": {"value_range": "0,1"}}),
        "hdf5": ("s.h5", {}),
    }
    if kind in files:
        return str(folder / files[kind][0]), files[kind][1]
    if kind in ("png", "files"):
        return str(write_folder(folder / kind, ".npy" if kind == "files" else f".{kind}")), {}
    return f"{folder}/mine.py:{kind}", {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_samples_for_every_command(kind: str, tmp_path: Path) -> None:
    name, more = named(tmp_path, kind)
    fed = samples_of(name, **more).load(Known(inputs=24, levels=255))  # compile and run
    static = samples_of(name, **more).load(Known(temporal=False))  # convert
    options = dict(more.get("options", {})) | {"test_fraction": "0.2"}
    made: Any = samples_of(name, **more | {"options": options})
    data = made.dataset()  # train
    apart = made.load(Known(inputs=24, levels=255))
    for found in (fed.train, fed.test, static.train):
        assert np.array_equal(np.asarray(found.values[:]), X) and np.array_equal(np.asarray(found.labels), Y)
    for whole, part in ((data.train, apart.train), (data.test, apart.test)):
        assert np.array_equal(whole.values, np.asarray(part.values[:])) and np.array_equal(whole.labels, np.asarray(part.labels))
    assert len(data.test) == 4 and data.classes == 4 and data.shape == (4, 6) and not fed.temporal
    indices = np.array([1, 4, 19])
    assert np.array_equal(np.asarray(fed.train.values[indices]), X[indices])


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_colours_come_first_and_test_samples_may_be_apart(suffix: str, tmp_path: Path) -> None:
    colour = RNG.integers(0, 256, (6, 4, 6, 3)).astype(np.uint8)
    write_folder(tmp_path / "train", suffix, colour, np.arange(6) % 3)
    write_folder(tmp_path / "val", suffix, colour[:2], np.array([2, 0]))
    data = as_dataset(tmp_path)
    assert data.shape == (3, 4, 6) and len(data.train) == 6 and data.test.labels.tolist() == [0, 2]
    assert np.array_equal(data.test.values[0], colour[1].transpose(2, 0, 1))
    with pytest.raises(UsageError, match="test_fraction would hold out others"):
        as_dataset(tmp_path, test_fraction=0.5)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3])
    assert len(as_dataset(tmp_path / "a.npz").test) == 3
    fed = samples_of(tmp_path / "a.npz").load(Known(inputs=24))
    assert len(fed.test.values) == 3 and len(fed.train.values) == 20


def grey(path: Path, shape: tuple[int, ...] = (4, 6), mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.zeros(shape, np.uint8))
    (image if mode is None else image.convert(mode)).save(path)


SPOILT: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: grey(f / "class0" / "x.png", (4, 7)), r"x.png holds uint8 of the shape \(4, 7\); .* All samples must have one size"),
    (lambda f: grey(f / "class0" / "x.png", mode="RGB"), r"x.png holds uint8 of the shape \(3, 4, 6\)"),
    (lambda f: grey(f / "class0" / "x.png", mode="RGBA"), "transparency, or of the mode RGBA"),
    (lambda f: grey(f / "class0" / "x.jpg", mode="CMYK"), "CMYK"),
    (lambda f: (f / "class0" / "x.png").write_bytes(b"no picture"), "x.png cannot be decoded"),
    (lambda f: (f / "class0" / "x.npy").write_bytes(b"no array"), "x.npy is not a valid .npy"),
    (lambda f: np.save(f / "class0" / "x.npy", np.array([{}])), "x.npy is not a valid .npy"),
    (lambda f: (f / "class0" / "notes.txt").write_text("hello"), "notes.txt is neither a picture"),
    (lambda f: (f / "class9").mkdir(), "class9 has no samples"),
    (lambda f: grey(f / "loose.png"), "loose.png beside its classes"),
    (lambda f: grey(f / "train" / "a" / "x.png"), "beside train it must have test or val"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT, ids=[s[1][:25] for s in SPOILT])
def test_folders_that_are_not_of_classes(spoil: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", ".png")
    (folder / ".hidden").write_text("ignored")
    as_dataset(folder, test_fraction=0.5)
    spoil(folder)
    with pytest.raises(DataError, match=says):
        as_dataset(folder, test_fraction=0.5)


def test_unknown_test_classes_and_missing_folders(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", ".png")
    write_folder(tmp_path / "test", ".png", X[:1], [7])
    with pytest.raises(DataError, match="class7 is a class that the training samples do not have"):
        as_dataset(tmp_path)
    with pytest.raises(DataError, match="has no folders of classes"):
        as_dataset(tmp_path / "train" / "class0", test_fraction=0.5)
    with pytest.raises(SpikeloomError, match="Cannot read the samples"):
        as_dataset(f"{tmp_path}/none", test_fraction=0.5)
    assert issubclass(MissingFilesError, DataError)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("s.npz", {"labels": "y.npy"}, "has labels of its own"),
    ("mine.py:pair", {"labels": "y.npy"}, "have labels of their own"),
    ("mine.py:none", {}, "has no none"),
    ("mine.py:broken", {}, "raises ZeroDivisionError: division by zero"),
    ("mine.py:number", {}, "gives a int, and no samples"),
    ("other.py:pair", {}, "There is no file"),
    ("f.npy", {}, r"Say value_range=\(0, 1\)"),
    ("x.npy", {"options": {"temporal": "true"}}, "data.temporal is True; the network takes one value"),
    ("x.npy", {"options": {"test_fraction": "2"}}, "test_fraction is 2.0; it must lie between 0 and 1"),
]


@pytest.mark.parametrize(("name", "more", "says"), REFUSED, ids=[r[2][:30] for r in REFUSED])
def test_what_does_not_fit_is_refused_by_name(name: str, more: dict[str, Any], says: str, tmp_path: Path) -> None:
    named(tmp_path, "npz")
    with pytest.raises(SpikeloomError, match=says):
        samples_of(f"{tmp_path}/{name}", **more).load(Known(inputs=24)).train.values[:]


class Endless:
    """Samples by number, as a torch IterableDataset that is begun anew for each pass."""

    def __init__(self, x: Any, y: Any, changes: bool = False) -> None:
        self.x, self.y, self.changes, self.passes = x, y, changes, 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        shift = self.passes * self.changes
        return ((np.roll(self.x, shift, 0)[i], self.y[i]) for i in range(len(self.x)))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 19), unique=True, min_size=1), st.integers(1, 7), st.integers(0, 9))
def test_passes_give_any_samples(chosen: list[int], size: int, begin: int) -> None:
    from zlib import crc32

    rows = Passes(lambda: iter(X), [crc32(x.tobytes()) for x in X], X.shape[1:], "the samples")
    found = list(batches(rows, np.array(chosen, np.int64), size, begin))
    assert np.array_equal(np.concatenate([part for _, part in found]), X[chosen])


def counts_of(found: runtime.Results) -> list[list[int]]:
    assert found.output_counts is not None
    return found.output_counts.tolist()


def test_sets_larger_than_memory_are_gone_through_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = float_network(1, sizes=(6, 12, 4))
    x, y = samples(network, 3, 300), np.arange(300) % 4
    held = compile_network(network, calibration=x)
    whole = runtime.run(held, (x, y))
    monkeypatch.setattr(iterables, "KEPT_BYTES", 500)
    source = Endless(x, y)

    def stream() -> Iterator[Any]:
        yield from zip(x, y, strict=True)

    for data in (source, stream):
        assert isinstance(collect(data, Form(), whole=False).values, Passes)
        deployed = compile_network(network, calibration=data, data=data)
        assert all(
            np.array_equal(a.synapses.data, b.synapses.data)
            for a, b in zip(deployed.network.projections, held.network.projections, strict=True)
        )
        found = runtime.run(deployed, data)
        assert counts_of(found) == counts_of(whole) and found.accuracy == whole.accuracy
        assert len(as_dataset(data, test_fraction=0.5).train) == 150  # training keeps them
    assert source.passes > 3
    assert runtime.run(held, zip(x[:50], y[:50], strict=True)).samples == 50
    with pytest.raises(DataError, match="can be gone through only once"):
        runtime.run(held, zip(x, y, strict=True))
    with pytest.raises(DataError, match="differs from what it was in the first pass"):
        runtime.run(held, Endless(x, y, changes=True))
    with pytest.raises(DataError, match="Sample 299 of the samples has the shape"):
        runtime.run(held, lambda: itertools.chain(x[:299], [x[0][:2]]))
    with pytest.raises(UsageError, match="cannot be called without arguments"):
        runtime.run(held, lambda x: [x])  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    with pytest.raises(UsageError, match="a function that returns a int"):
        runtime.run(held, lambda: 5)  # pyright: ignore[reportArgumentType]


def test_labels_are_optional_and_in_range(tmp_path: Path) -> None:
    network = float_network(1, sizes=(24, 12, 4))
    np.savez(tmp_path / "x.npz", x=X)
    np.save(tmp_path / "x.npy", X)
    deployed = compile_network(network, data=tmp_path / "x.npz")
    for name in ("x.npz", "x.npy"):
        found = runtime.run(deployed, tmp_path / name)
        assert found.accuracy is None and found.predictions is not None and len(found.predictions) == 20
    with pytest.raises(UsageError, match=r"labels run from 1 to 4; the network tells classes 0..3 apart"):
        runtime.run(deployed, (X, Y + 1))
    with pytest.raises(UsageError, match="have no labels, and these are needed"):
        as_dataset(tmp_path / "x.npz", test_fraction=0.5)


def test_channels_without_rows_and_one_polarity_are_frames() -> None:
    class Cochlea:
        sensor_size = (7, 1, 1)

        def __iter__(self) -> Iterator[Any]:
            events = np.zeros(9, np.dtype([("t", "i8"), ("x", "i2"), ("p", "i1")]))
            events["t"], events["x"], events["p"] = np.arange(9), np.arange(9) % 7, 1
            yield events, 0
            yield events, 1

    found = collect(Cochlea(), Form(1, timesteps=3)).values
    assert found.shape == (2, 3, 1, 1, 7) and found[0, 0, 0, 0].tolist() == [1, 1, 1, 0, 0, 0, 0]


@pytest.mark.chain
def test_a_folder_goes_from_training_to_a_run(spikeloom: Any, tmp_path: Path) -> None:
    """Trained, compiled, run and resumed by --data FOLDER."""
    folder, run = write_folder(tmp_path / "f", ".png"), tmp_path / "run"
    more = ("--data", folder, "--set", "data.test_fraction=0.2")
    train = ("train", *more, "--hidden", "8", "--epochs", "1", "-T", "2", "--out", run)
    assert spikeloom(*train).code == 0
    resumed = spikeloom(*train, "--resume")
    assert resumed.code == 0, resumed.err
    assert spikeloom("compile", run, "--data", folder).code == 0
    ended = spikeloom("run", run / "model.loom", *more)
    assert ended.code == 0 and "4 samples" in ended.out
    alone = spikeloom("run", run / "model.loom")
    assert alone.code == 2 and "Name" in alone.err
    refused = spikeloom(*train[:-1], tmp_path / "other", "--download")
    assert refused.code == 2 and "--download is for data sets by name" in refused.err
