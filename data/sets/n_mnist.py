"""N-MNIST: MNIST seen by a moving event camera of 34 x 34 pixels; 60,000 training and 10,000 test recordings.

Orchard, Jayawant, Cohen, Thakor, "Converting static image datasets to spiking neuromorphic datasets using saccades", Frontiers in
Neuroscience 9, 2015. CC BY-SA 4.0. A file is a row of events of 40 bits: 8 bits x, 8 bits y, 1 bit polarity (1: brighter), 23 bits time in
microseconds, big-endian. An event with y = 240 marks an overflow of the clock: and 2^13 us are added to what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..dataset import Dataset, Split
from ..download import Resource, Source
from ..events import Binning, Events, camera_frames, gather
from ._files import damaged, files_in, find, missing, read

SENSOR = 34
CLASSES = 10
RECORD = 5
MAX_FILE = 16 << 20  # the official ones have some 20 kB
OVERFLOW_ROW, OVERFLOW_TIME = 240, 1 << 13
NAMES = ("N-MNIST", "NMNIST", "n-mnist", "nmnist", "N_MNIST", "N-MNIST-small", ".")
FOLDERS = tuple(f"{name}{inside}" for name in NAMES for inside in ("", "/extract"))  # Tonic has NMNIST, SpikingJelly extract in its root
PARTS = (("Train", "Test"), ("train", "test"))
FILES = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"
SOURCE = Source(
    "https://www.garrickorchard.com/datasets/n-mnist",
    (
        Resource(
            (f"{FILES}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",),
            "N-MNIST/Train.zip",
            "20959b8e626244a1b502305a9e6e2031",
            holds="Train",
        ),
        Resource(
            (f"{FILES}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",),
            "N-MNIST/Test.zip",
            "69ca8762b2fe404d9b9bad1103e97832",
            holds="Test",
        ),
    ),
)


@dataclass(frozen=True)
class Options(Binning):
    """How recordings become frames: timesteps (10), by (count or time), clip (1: binary); see `Binning`."""


def load(folder: Path, options: Options) -> Dataset:
    """Read N-MNIST from Train/<label>/<number>.bin and Test/<label>/<number>.bin; temporal, shape (2, 34, 34).

    Also where Tonic (NMNIST/Train) and SpikingJelly (extract/Train in its root) unpack them.

    Raises:
        DataError: the folders are missing, or a recording is truncated, empty or no recording.
    """
    found, parts = _found(folder)
    train, test = (_split(found / part, options) for part in parts)
    return Dataset("n-mnist", train, test, CLASSES, options.clip, (2, SENSOR, SENSOR), temporal=True)


def place(folder: Path) -> Path:
    """Return the folder of the recordings.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    return _found(folder)[0]


def _found(folder: Path) -> tuple[Path, tuple[str, str]]:
    places = [folder / name for name in FOLDERS]
    for parts in PARTS:
        found = find(places, [f"{part}/0" for part in parts])
        if found is not None:
            return found, parts
    raise missing("N-MNIST", [f"{part}/<label>/<number>.bin" for part in PARTS[0]], places, SOURCE)


def _split(folder: Path, options: Options) -> Split:
    paths: list[Path] = []
    labels: list[int] = []
    for label in range(CLASSES):
        found = files_in(folder / str(label), (".bin",))
        if not found:
            raise DataError(f"{folder / str(label)} has no recordings <number>.bin. Unpack {folder.name}.zip again.")
        paths += found
        labels += [label] * len(found)
    return gather(paths, labels, (options.timesteps, 2, SENSOR, SENSOR), lambda path: _frames(path, options), folder)


def _frames(path: Path, options: Options) -> NDArray[np.uint8]:
    return camera_frames(read_events(path), SENSOR, SENSOR, options)


def read_events(path: Path) -> Events:
    """Read a recording.

    Raises:
        DataError: it is not a whole number of events, has none, or one lies outside the camera.
    """
    content = read(path, MAX_FILE)
    if not content or len(content) % RECORD:
        raise damaged(path, f"one or more events of {RECORD} bytes", f"it has {len(content)} bytes")
    b = np.frombuffer(content, np.uint8).reshape(-1, RECORD).astype(np.int64)
    overflow = b[:, 1] == OVERFLOW_ROW
    t = (((b[:, 2] & 0x7F) << 16) | (b[:, 3] << 8) | b[:, 4]) + OVERFLOW_TIME * np.cumsum(overflow)
    b, t = b[~overflow], t[~overflow]
    if not len(b) or b[:, :2].max() >= SENSOR:
        raise damaged(path, f"events on {SENSOR} x {SENSOR} pixels", "it has none" if not len(b) else "one lies outside")
    return Events(t, b[:, 0], b[:, 1], b[:, 2] >> 7)
