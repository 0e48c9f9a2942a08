"""CIFAR10-DVS: CIFAR-10 seen by an event camera of 128 x 128 pixels; 1,000 recordings of each of 10 classes.

Li, Liu, Ji, Li, Shi, "CIFAR10-DVS: an event-stream dataset for object classification", Frontiers in Neuroscience 11, 2017. CC BY 4.0.
A file is AEDAT 2.0 (https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html): lines that begin with #,
then events of a 32-bit address and a 32-bit time in microseconds, big-endian. The address is a DVS128's: bit 0 polarity (1: darker),
bits 1-7 x, bits 8-14 y. Axes are turned as SpikingJelly turns them, column = 127 - y, row = 127 - x.

There is no official split. Of each class, sorted by name, 9 in 10 recordings drawn by a fixed seed are for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..dataset import Dataset, Split
from ..download import Resource, Source
from ..events import Binning, Events, camera_frames, check_size, gather, unwrapped
from ._files import damaged, files_in, find, missing, read

SENSOR = 128
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEST_SHARE = 0.1
SPLIT_SEED = 20170309  # fixed: the same test set whatever the training seed
FOLDERS = ("CIFAR10-DVS", "CIFAR10DVS", "cifar10-dvs", ".")
MAX_FILE = 256 << 20  # 33 million events
MAGIC = b"#!AER-DAT2.0"
FILES = (
    ("7712788", "0afd5c4bf9ae06af762a77b180354fdd"),
    ("7712791", "8438dfeba3bc970c94962d995b1b9bdd"),
    ("7712794", "a9c207c91c55b9dc2002dc21c684d785"),
    ("7712812", "52c63c677c2b15fa5146a8daf4d56687"),
    ("7712815", "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    ("7712818", "f379ebdf6703d16e0a690782e62639c3"),
    ("7712842", "cad6ed91214b1c7388a5f6ee56d08803"),
    ("7712851", "e7cbbf77bec584ffbf913f00e682782a"),
    ("7712836", "41c7bd7d6b251be82557c6cce9a7d5c9"),
    ("7712839", "89f3922fd147d9aeff89e76a2b0b70a7"),
)
SOURCE = Source(
    "https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
    tuple(
        Resource((f"https://ndownloader.figshare.com/files/{number}",), f"CIFAR10-DVS/{name}.zip", md5, holds=name)
        for name, (number, md5) in zip(NAMES, FILES, strict=True)
    ),
)


@dataclass(frozen=True)
class Options(Binning):
    """How recordings become frames: timesteps (10), by (count or time), clip (1: binary), and `size`, pixels a side (48 of 128)."""

    size: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size, SENSOR)


def load(folder: Path, options: Options) -> Dataset:
    """Read CIFAR10-DVS from <class>/<recording>.aedat; temporal, shape (2, size, size).

    Raises:
        DataError: a class is missing, or a recording is truncated, empty or no AEDAT 2.0.
    """
    found = place(folder)
    parts: tuple[list[tuple[Path, int]], list[tuple[Path, int]]] = ([], [])
    for label, name in enumerate(NAMES):
        paths = files_in(found / name, (".aedat",))
        if len(paths) < 2:
            raise DataError(f"{found / name} has {len(paths)} recordings .aedat; 2 or more are needed to split. Unpack {name}.zip again.")
        order = np.random.default_rng([SPLIT_SEED, label]).permutation(len(paths))
        held = max(1, round(TEST_SHARE * len(paths)))
        for part, chosen in zip(parts, (order[held:], order[:held]), strict=True):
            part += [(paths[i], label) for i in np.sort(chosen)]
    train, test = (_split(part, found, options) for part in parts)
    return Dataset("cifar10-dvs", train, test, len(NAMES), options.clip, (2, options.size, options.size), temporal=True)


def place(folder: Path) -> Path:
    """Return the folder of the recordings.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    places = [folder / name for name in FOLDERS]
    found = find(places, NAMES)
    if found is None:
        raise missing("CIFAR10-DVS", [f"{name}/*.aedat" for name in NAMES], places, SOURCE)
    return found


def _split(part: list[tuple[Path, int]], place: Path, options: Options) -> Split:
    paths, labels = [path for path, _ in part], [label for _, label in part]
    return gather(paths, labels, (options.timesteps, 2, options.size, options.size), lambda path: _frames(path, options), place)


def _frames(path: Path, options: Options) -> NDArray[np.uint8]:
    return camera_frames(read_events(path), SENSOR, options.size, options)


def read_events(path: Path) -> Events:
    """Read a recording in AEDAT 2.0; events that are not the camera's pixels (bit 15 or above set) are left out, and times are unwrapped.

    Raises:
        DataError: another format, not a whole number of events, or no events.
    """
    content = read(path, MAX_FILE)
    if not content.startswith(MAGIC):
        raise damaged(path, f"a recording that begins with {MAGIC.decode()}", f"it begins with {content[:12]!r}")
    start = 0
    while content.startswith(b"#", start):
        start = content.find(b"\n", start) + 1 or len(content)
    if start == len(content) or (len(content) - start) % 8:
        raise damaged(path, "a header and one or more events of 8 bytes", f"{len(content) - start} bytes follow its header")
    words = np.frombuffer(content, ">u4", offset=start).astype(np.int64)
    address, t = words[::2], words[1::2]
    pixels = address < 1 << 15
    if not pixels.any():
        raise damaged(path, "a recording with events of a DVS128", "it has none")
    if not pixels.all():
        address, t = address[pixels], t[pixels]
    return Events(unwrapped(t), 127 - (address >> 8), 127 - ((address >> 1) & 0x7F), 1 - (address & 1))
