"""Every data set in its official layout, written small: loaded as written; missing, damaged or foreign files are named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from spikeloom.data.dataset import Dataset, Split, data_folder, load_dataset, names
from spikeloom.data.sets import cifar10_dvs, mnist
from spikeloom.errors import DataError, OutputError, UsageError
from test_datasets import write_mnist
from test_events import aedat2_bytes, aedat3_bytes, nmnist_bytes

Rng = np.random.Generator


def write_cifar10(folder: Path, rng: Rng) -> None:
    place = folder / "cifar-10-batches-bin"
    place.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        (place / f"{name}.bin").write_bytes(b"".join(bytes([k % 10]) + rng.bytes(3072) for k in range(12)))


def write_cifar100(folder: Path, rng: Rng) -> None:
    place = folder / "cifar-100-binary"
    place.mkdir()
    for name, count in (("train", 200), ("test", 100)):
        (place / f"{name}.bin").write_bytes(b"".join(bytes([k % 20, k % 100]) + rng.bytes(3072) for k in range(count)))


def _rows(rng: Rng, side: int, first: int = 0, count: int = 60) -> list[tuple[int, int, int, int]]:
    times = first + np.sort(rng.integers(0, 100_000, count))
    pixels, polarities = rng.integers(0, side, (count, 2)), rng.integers(0, 2, count)
    return [(int(t), int(x), int(y), int(p)) for t, (x, y), p in zip(times, pixels, polarities, strict=True)]


def write_n_mnist(folder: Path, rng: Rng) -> None:
    for part, count in (("Train", 3), ("Test", 1)):
        for label in range(10):
            place = folder / "N-MNIST" / part / str(label)
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:05d}.bin").write_bytes(nmnist_bytes(_rows(rng, 34)))


def write_cifar10_dvs(folder: Path, rng: Rng) -> None:
    for name in cifar10_dvs.NAMES:
        place = folder / "CIFAR10-DVS" / name
        place.mkdir(parents=True)
        for number in range(20):
            (place / f"cifar10_{name}_{number}.aedat").write_bytes(aedat2_bytes(_rows(rng, 128)))


def write_dvs128_gesture(folder: Path, rng: Rng) -> None:
    place = folder / "DvsGesture"
    place.mkdir()
    for trials, users in (("trials_to_train.txt", (1, 2)), ("trials_to_test.txt", (24,))):
        recordings = [f"user{user:02d}_led" for user in users]
        (place / trials).write_text("".join(f"{name}.aedat\n" for name in recordings))
        for name in recordings:
            starts = [1000 + 200_000 * k for k in range(11)]
            rows = [row for start in starts for row in _rows(rng, 128, start)]
            (place / f"{name}.aedat").write_bytes(aedat3_bytes(rows, 100))
            table = "".join(f"{k + 1},{start},{start + 100_001}\n" for k, start in enumerate(starts))
            (place / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + table)


def write_shd(folder: Path, rng: Rng) -> None:
    (folder / "SHD").mkdir()
    for name, count in (("shd_train", 40), ("shd_test", 20)):
        with h5py.File(folder / "SHD" / f"{name}.h5", "w") as file:
            times = file.create_dataset("spikes/times", count, h5py.vlen_dtype(np.float16))
            units = file.create_dataset("spikes/units", count, h5py.vlen_dtype(np.uint16))
            file["labels"] = (np.arange(count) % 20).astype(np.uint16)
            for index in range(count):
                spikes = int(rng.integers(20, 80))
                times[index] = np.sort(rng.random(spikes)).astype(np.float16)
                units[index] = rng.integers(0, 700, spikes).astype(np.uint16)


def write_imagenet(folder: Path, rng: Rng) -> None:
    for part, count in (("train", 3), ("val", 1)):
        for name in ("n01440764", "n01443537"):
            place = folder / "imagenet" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (60, 40 + number, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{name}_{number}.JPEG", quality=95)


@pytest.mark.parametrize("inside", ["NMNIST/Train", "extract/Train", "NMNIST/extract/Train", "n-mnist/train", "Train"])
def test_n_mnist_where_other_libraries_unpack_it(inside: str, tmp_path: Path) -> None:
    """Tonic has NMNIST/Train, SpikingJelly extract/Train in the root that it is given."""
    write_n_mnist(tmp_path / "as-published", np.random.default_rng(0))
    place, part = (tmp_path / "data" / inside).parent, Path(inside).name
    place.mkdir(parents=True)
    for name in ("Train", "Test"):
        (tmp_path / "as-published/N-MNIST" / name).rename(place / (name if part[0] == "T" else name.lower()))
    assert len(load_dataset("n-mnist", tmp_path / "data").train.labels) == 30


def test_n_mnist_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NMNIST/extract") as caught:
        load_dataset("n-mnist", tmp_path)
    assert all(str(tmp_path / name) in str(caught.value) for name in ("N-MNIST", "extract", "nmnist"))


def write_fashion(folder: Path, rng: Rng) -> None:
    write_mnist(folder / "FashionMNIST" / "raw")


# By set: the writer, its options, sizes of the splits, shape, classes, and a file of it to damage (with how much it is cut).
Layout = tuple[Callable[[Path, Rng], Any], dict[str, Any], tuple[int, int], tuple[int, ...], int, str]
LAYOUTS: Mapping[str, Layout] = {
    "mnist": (lambda folder, _: write_mnist(folder), {}, (12, 5), (28, 28), 10, "t10k-images-idx3-ubyte.gz"),
    "fashion-mnist": (write_fashion, {}, (12, 5), (28, 28), 10, "FashionMNIST/raw/train-labels-idx1-ubyte.gz"),
    "cifar10": (write_cifar10, {}, (60, 12), (3, 32, 32), 10, "cifar-10-batches-bin/data_batch_3.bin"),
    "cifar100": (write_cifar100, {}, (200, 100), (3, 32, 32), 100, "cifar-100-binary/test.bin"),
    "n-mnist": (write_n_mnist, {}, (30, 10), (2, 34, 34), 10, "N-MNIST/Test/7/00000.bin"),
    "cifar10-dvs": (write_cifar10_dvs, {}, (180, 20), (2, 48, 48), 10, "CIFAR10-DVS/frog/cifar10_frog_3.aedat"),
    "dvs128-gesture": (write_dvs128_gesture, {}, (22, 11), (2, 128, 128), 11, "DvsGesture/user02_led.aedat"),
    "shd": (write_shd, {}, (40, 20), (700,), 20, "SHD/shd_test.h5"),
    "imagenet": (write_imagenet, {"size": 16}, (6, 2), (3, 16, 16), 2, "imagenet/val/n01440764/n01440764_0.JPEG"),
}
STEPS = {"n-mnist": 10, "cifar10-dvs": 10, "dvs128-gesture": 16, "shd": 10}
WITH_FILES = [name for name in names() if name != "digits"]


def _write(name: str, folder: Path) -> Layout:
    layout = LAYOUTS[name]
    layout[0](folder, np.random.default_rng(0))
    return layout


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_small_copy_in_the_official_layout(name: str, tmp_path: Path) -> None:
    _, options, counts, shape, classes, _ = _write(name, tmp_path)
    found = load_dataset(name, tmp_path, options)
    assert (found.name, found.shape, found.classes) == (name, shape, classes)
    assert (len(found.train), len(found.test)) == counts
    assert found.temporal == (name in STEPS) and found.timesteps == STEPS.get(name)
    assert found.levels == (1 if found.temporal else 255) and found.train.values.max() > found.levels * 0.7
    assert not found.train.values.flags.writeable and found.inputs == np.prod(shape)
    again = load_dataset(name, tmp_path, options)
    assert np.array_equal(again.train.values, found.train.values) and np.array_equal(again.test.labels, found.test.labels)


@pytest.mark.parametrize("name", WITH_FILES)
def test_missing_files_name_a_file_the_folder_and_the_ways_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    for part in (str(tmp_path), "--data-dir", "SPIKELOOM_DATA", "http", Path(LAYOUTS[name][-1]).suffix):
        assert part in message
    source = __import__(f"spikeloom.data.sets.{name.replace('-', '_')}", fromlist=["x"]).SOURCE
    assert source.page in message
    assert (source.resources[0].urls[0] in message and "--download" in message) if source.resources else "by hand" in message


@pytest.mark.parametrize("name", WITH_FILES)
@pytest.mark.parametrize("how", ["cut", "empty", "foreign", "folder", "gone"])
def test_a_damaged_file_is_named(name: str, how: str, tmp_path: Path) -> None:
    _, options, _, _, _, victim = _write(name, tmp_path)
    path = tmp_path / victim
    content = path.read_bytes()
    if how in ("folder", "gone"):
        path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes({"cut": content[: len(content) // 2 - 1], "empty": b"", "foreign": b"<html>404 not found</html>"}[how])
    named = path.parent if how in ("folder", "gone") else path
    if how in ("folder", "gone") and name == "cifar10-dvs":
        assert len(load_dataset(name, tmp_path).train) == 179  # one recording fewer of a class that is drawn from
        return
    with pytest.raises(DataError) as caught:
        load_dataset(name, tmp_path, options)
    assert str(named) in str(caught.value)
    assert any(word in str(caught.value) for word in ("again", "Put them", "Unpack"))


@pytest.mark.parametrize("name", [*STEPS, "imagenet"])
def test_unknown_and_senseless_options(name: str, tmp_path: Path) -> None:
    known = "size" if name == "imagenet" else "timesteps"
    with pytest.raises(UsageError, match=known):
        load_dataset(name, tmp_path, {known[:-1]: 4})
    with pytest.raises(UsageError, match=known):
        load_dataset(name, tmp_path, {known: 0})
    with pytest.raises(UsageError, match="no options"):
        load_dataset("mnist", tmp_path, {"timesteps": 4})


@pytest.mark.parametrize("name", STEPS)
def test_options_change_the_frames(name: str, tmp_path: Path) -> None:
    _write(name, tmp_path)
    found = load_dataset(name, tmp_path, {"timesteps": "3", "by": "count", "clip": 5})
    assert found.timesteps == 3 and found.levels == 5
    binary = load_dataset(name, tmp_path, {"timesteps": 3, "by": "count"})
    assert np.array_equal(np.minimum(found.train.values, 1), binary.train.values)
    by_time = load_dataset(name, tmp_path, {"timesteps": 3, "by": "time"})
    assert not np.array_equal(by_time.train.values, binary.train.values)
    if name in ("cifar10-dvs", "dvs128-gesture"):
        assert load_dataset(name, tmp_path, {"size": 32}).shape == (2, 32, 32)


def test_pixels_and_labels_of_cifar(tmp_path: Path) -> None:
    _write("cifar10", tmp_path)
    _write("cifar100", tmp_path)
    ten, hundred = load_dataset("cifar10", tmp_path), load_dataset("cifar100", tmp_path)
    raw = np.fromfile(tmp_path / "cifar-10-batches-bin/data_batch_2.bin", np.uint8).reshape(12, 3073)
    assert np.array_equal(ten.train.values[12:24].reshape(12, -1), raw[:, 1:]) and np.array_equal(ten.train.labels[12:24], raw[:, 0])
    assert hundred.train.labels.tolist() == [k % 100 for k in range(200)]
    assert ten.train.values[0, 1, 2, 3] == np.fromfile(tmp_path / "cifar-10-batches-bin/data_batch_1.bin", np.uint8)[1 + 1024 + 67]


# Events, in the data sets' own ways.
def test_the_split_of_cifar10_dvs_is_drawn_once(tmp_path: Path) -> None:
    _write("cifar10-dvs", tmp_path)
    found = load_dataset("cifar10-dvs", tmp_path)
    assert np.bincount(found.train.labels).tolist() == [18] * 10 and np.bincount(found.test.labels).tolist() == [2] * 10
    held = {sample.tobytes() for sample in found.test.values}
    assert len(held) == 20 and not held & {sample.tobytes() for sample in found.train.values}
    (tmp_path / "CIFAR10-DVS" / "airplane" / "._cifar10_airplane_3.aedat").write_bytes(b"what macOS leaves behind")
    assert np.array_equal(load_dataset("cifar10-dvs", tmp_path).test.values, found.test.values)


def test_gestures_are_cut_from_their_recordings(tmp_path: Path) -> None:
    _write("dvs128-gesture", tmp_path)
    found = load_dataset("dvs128-gesture", tmp_path, {"clip": 255})
    assert found.train.labels.tolist() == [*range(11), *range(11)]
    assert (found.train.values.reshape(22, -1).astype(int).sum(1) == 60).all()  # each has its own 60 events
    assert np.array_equal(found.test.labels, np.arange(11))


@pytest.mark.parametrize(
    "table",
    ["", "a,b,c\n1,2,3\n", "\udcff", *(f"class,startTime_usec,endTime_usec\n{row}\n" for row in ("12,0,5", "1,5,5", "1,2", "1,x,5"))],
)
def test_label_tables_that_make_no_sense(table: str, tmp_path: Path) -> None:
    _write("dvs128-gesture", tmp_path)
    (tmp_path / "DvsGesture" / "user01_led_labels.csv").write_bytes(table.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"user01_led_labels\.csv"):
        load_dataset("dvs128-gesture", tmp_path)


def test_trials_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    _write("dvs128-gesture", tmp_path)
    (tmp_path / "DvsGesture" / "trials_to_train.txt").write_text("../../secret.aedat\n")
    with pytest.raises(DataError, match="beside it"):
        load_dataset("dvs128-gesture", tmp_path)


def _change_shd(file: Any, how: str) -> None:
    if how == "no labels":
        del file["labels"]
    elif how == "labels short":
        del file["labels"]
        file["labels"] = np.zeros(3, np.uint16)
    elif how == "label 20":
        file["labels"][0] = 20
    elif how == "unit 700":
        file["spikes/units"][2] = np.full(len(file["spikes/times"][2]), 700, np.uint16)
    elif how == "times short":
        file["spikes/times"][2] = np.zeros(1, np.float16)
    elif how == "times infinite":
        file["spikes/times"][2] = np.full(len(file["spikes/units"][2]), np.inf, np.float16)
    else:
        del file["spikes/times"]
        file["spikes/times"] = 5.0


@pytest.mark.parametrize("how", ["no labels", "labels short", "label 20", "unit 700", "times short", "times infinite", "a number"])
def test_hdf5_of_another_kind(how: str, tmp_path: Path) -> None:
    _write("shd", tmp_path)
    with h5py.File(tmp_path / "SHD" / "shd_train.h5", "a") as file:
        _change_shd(file, how)
    with pytest.raises(DataError, match=r"shd_train\.h5"):
        load_dataset("shd", tmp_path)


@pytest.mark.parametrize("name", ["shd", "imagenet"])
def test_any_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    """Of the formats that a library reads: whatever it raises, or if it crashes, the error is ours and names the file."""
    _, options, *_, victim = _write(name, tmp_path)
    path, rng, refused = tmp_path / victim, np.random.default_rng(4), 0
    whole = path.read_bytes()
    for trial in range(12):
        content = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 3000 if trial % 2 else len(whole)), 8):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            load_dataset(name, tmp_path, options | ({"cache": str(tmp_path / f"cache{trial}")} if name == "imagenet" else {}))
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused


@pytest.mark.parametrize(("name", "module", "library"), [("shd", "h5py", "h5py"), ("imagenet", "PIL", "Pillow")])
def test_a_library_that_is_not_there_is_named(
    name: str, module: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, options, *_ = _write(name, tmp_path)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(DataError, match=f"pip install {library}"):
        load_dataset(name, tmp_path, options)


# ImageNet's cache.
def test_images_are_decoded_once_and_mapped(tmp_path: Path) -> None:
    _write("imagenet", tmp_path)
    found = load_dataset("imagenet", tmp_path, {"size": 32})
    assert isinstance(found.train.values, np.memmap)
    cache = sorted((tmp_path / "imagenet" / "spikeloom-cache").iterdir())
    assert [p.name.split("-")[0] for p in cache] == ["train", "val"]
    stamps = [p.stat().st_mtime_ns for p in cache]
    load_dataset("imagenet", tmp_path, {"size": 32})
    assert [p.stat().st_mtime_ns for p in cache] == stamps
    Image.new("RGB", (50, 50)).save(tmp_path / "imagenet/train/n01440764/new.JPEG")
    assert len(load_dataset("imagenet", tmp_path, {"size": 32}).train) == 7
    elsewhere = load_dataset("imagenet", tmp_path, {"size": 16, "cache": str(tmp_path / "cache")})
    assert elsewhere.shape == (3, 16, 16) and len(list((tmp_path / "cache").iterdir())) == 2


def test_the_middle_of_an_image_is_kept(tmp_path: Path) -> None:
    for part in ("train", "val"):
        place = tmp_path / part / "class"
        place.mkdir(parents=True)
        pixels = np.zeros((64, 128, 3), np.uint8)
        pixels[:, 32:96, 0] = 200  # red in the middle square
        Image.fromarray(pixels).save(place / "wide.png")
        Image.fromarray(pixels[..., 0]).save(place / "grey.png")
    found = load_dataset("imagenet", tmp_path, {"size": 56})
    grey, wide = found.train.values
    assert (wide[0] == 200).all() and (wide[1:] == 0).all() and (grey == 200).all()


def test_a_damaged_cache_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    _write("imagenet", tmp_path)
    load_dataset("imagenet", tmp_path, {"size": 16})
    cached = next((tmp_path / "imagenet" / "spikeloom-cache").glob("val-*"))
    for content in (b"", cached.read_bytes()[:-5], b"\x93NUMPY"):
        cached.write_bytes(content)
        with pytest.raises(DataError, match=r"val-16-.*Remove the file"):
            load_dataset("imagenet", tmp_path, {"size": 16})
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="taken"):
        load_dataset("imagenet", tmp_path, {"size": 16, "cache": str(tmp_path / "taken")})


def test_val_without_class_folders_is_explained(tmp_path: Path) -> None:
    _write("imagenet", tmp_path)
    (tmp_path / "imagenet/val/n01443537").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="has no folder n01443537"):
        load_dataset("imagenet", tmp_path)


def test_data_sets_check_themselves() -> None:
    split = Split(np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64))
    other = Split(np.zeros((2, 5, 4, 4), np.uint8), np.zeros(2, np.int64))
    assert Dataset("x", split, split, 1, 1, (4, 4), temporal=True).timesteps == 3
    with pytest.raises(DataError, match="3 and 5 frames"):
        Dataset("x", split, other, 1, 1, (4, 4), temporal=True)
    with pytest.raises(DataError, match="not bytes of shape"):
        Dataset("x", split, split, 1, 1, (4, 4))


# The real files.
def _real(inside: str) -> Path:
    folder = data_folder()
    if not os.environ.get("SPIKELOOM_DATA") or not (folder / inside).is_dir():
        pytest.skip(f"SPIKELOOM_DATA names no folder with {inside}")
    return folder


def test_real_mnist_has_the_published_checksums() -> None:
    folder = _real("MNIST/raw")
    for resource in mnist.SOURCE.resources:
        content = (folder / resource.path).read_bytes()
        assert (hashlib.md5(content).hexdigest(), len(content)) == (resource.md5, resource.size)
    assert np.bincount(load_dataset("mnist", folder).train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def _nearest_mean(data: Dataset) -> float:
    """The accuracy of calling each sample by the nearest class mean."""
    train = data.train.values.reshape(len(data.train), -1).astype(np.float32)
    test = data.test.values.reshape(len(data.test), -1).astype(np.float32)
    means = np.stack([train[data.train.labels == label].mean(0) for label in range(data.classes)])
    distances = (means**2).sum(1) - 2 * test @ means.T
    return float((distances.argmin(1) == data.test.labels).mean())


@pytest.mark.parametrize("by", ["count", "time"])
def test_real_n_mnist_holds_all_events_and_shows_digits(by: str) -> None:
    folder = _real("N-MNIST-small")
    data = load_dataset("n-mnist", folder, {"by": by, "clip": 255})
    assert (len(data.train), len(data.test), data.timesteps) == (1000, 100, 10)
    events = sum(p.stat().st_size // 5 for p in (folder / "N-MNIST-small" / "Train").rglob("*.bin"))
    assert int(data.train.values.sum(dtype=np.int64)) == events
    assert _nearest_mean(load_dataset("n-mnist", folder, {"by": by})) > 0.6


def test_real_cifar10_is_whole() -> None:
    data = load_dataset("cifar10", _real("cifar-10-batches-bin"))
    assert np.bincount(data.train.labels).tolist() == [5000] * 10 and np.bincount(data.test.labels).tolist() == [1000] * 10
    means = data.train.values.mean((0, 2, 3)) / 255  # 0.4914, 0.4822, 0.4465: the means that everybody normalises with
    assert np.abs(means - [0.4914, 0.4822, 0.4465]).max() < 1e-4
