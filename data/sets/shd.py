"""Spiking Heidelberg Digits: spoken digits, English and German, as spikes of 700 cochlear channels; 8,156 training, 2,264 test samples.

Cramer, Stradmann, Schemmel, Zenke, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural networks", IEEE
TNNLS 33, 2022. CC BY 4.0. The files are HDF5: spikes/times (seconds) and spikes/units (0..699), a row for each sample, and labels (0..19).
Reading them needs the library h5py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...hdf5 import Ragged, read_tree
from ..dataset import Dataset, Split
from ..download import Resource, Source
from ..events import Binning, bin_events, gather
from ._files import damaged, find, missing, unreadable

CHANNELS = 700
CLASSES = 20
MAX_SECONDS = 1000
FILES = ("shd_train.h5", "shd_test.h5")
FOLDERS = ("SHD", "shd", ".")
SOURCE = Source(
    "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/",
    (
        Resource(
            ("https://zenkelab.org/datasets/shd_train.h5.zip", "https://compneuro.net/datasets/shd_train.h5.zip"),
            "SHD/shd_train.h5.zip",
            "f3252aeb598ac776c1b526422d90eecb",
            holds="shd_train.h5",
        ),
        Resource(
            ("https://zenkelab.org/datasets/shd_test.h5.zip", "https://compneuro.net/datasets/shd_test.h5.zip"),
            "SHD/shd_test.h5.zip",
            "1503a5064faa34311c398fb0a1ed0a6f",
            holds="shd_test.h5",
        ),
    ),
)


@dataclass(frozen=True)
class Options(Binning):
    """How samples become frames: timesteps (10), by (time or count), clip (1: binary); see `Binning`."""

    by: Literal["time", "count"] = "time"


def load(folder: Path, options: Options) -> Dataset:
    """Read SHD from shd_train.h5 and shd_test.h5; temporal, shape (700,).

    Raises:
        DataError: a file is missing, damaged or another; or h5py is not installed.
    """
    found = place(folder)
    train, test = (_split(found / name, options) for name in FILES)
    return Dataset("shd", train, test, CLASSES, options.clip, (CHANNELS,), temporal=True)


def place(folder: Path) -> Path:
    """Return the folder of the files.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    places = [folder / name for name in FOLDERS]
    found = find(places, FILES)
    if found is None:
        raise missing("SHD", FILES, places, SOURCE)
    return found


def _split(path: Path, options: Options) -> Split:
    labels, rows, channels = _read(path)
    if not len(labels) or labels.min() < 0 or labels.max() >= CLASSES:
        found = f"{labels.min()}..{labels.max()}" if len(labels) else "none"
        raise damaged(path, f"a file of SHD with labels 0..{CLASSES - 1}", f"it has {found}")
    ends = np.cumsum(rows.lengths)
    times, units = _checked(path, rows.values, channels.values)
    starts = ends - rows.lengths

    def frames(index: int) -> NDArray[np.uint8]:
        part = slice(starts[index], ends[index])
        return bin_events(np.rint(times[part].astype(np.float64) * 1e6).astype(np.int64), units[part].astype(np.int64), CHANNELS, options)

    return gather(range(len(labels)), labels.tolist(), (options.timesteps, CHANNELS), frames, path)


def _checked(path: Path, times: NDArray[Any], units: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if len(units) and (units.min() < 0 or units.max() >= CHANNELS):
        raise damaged(path, f"a file with units 0..{CHANNELS - 1}", f"it has {units.min()}..{units.max()}")
    if len(times) and not (times.min() >= 0 and times.max() <= MAX_SECONDS):  # nor NaN
        raise damaged(path, f"a file with times 0..{MAX_SECONDS} s", f"it has {times.min()}..{times.max()}")
    return times, units


def _read(path: Path) -> tuple[NDArray[Any], Ragged, Ragged]:
    """Return labels, times and units.

    Raises:
        DataError: h5py is not installed, or the file is damaged or another.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error) from error

    def refuse(found: str) -> DataError:
        return damaged(path, "an HDF5 file with spikes/times, spikes/units and labels", found)

    tree = read_tree(path, ("labels", "spikes"), refuse, ragged=True)
    labels, spikes = tree.get("labels"), tree.get("spikes")
    times, units = (spikes.get(name) for name in ("times", "units")) if isinstance(spikes, dict) else (None, None)
    if not isinstance(labels, np.ndarray) or not isinstance(times, Ragged) or not isinstance(units, Ragged):
        raise refuse("it has no labels, or no rows of times and units")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or times.values.dtype.kind != "f" or units.values.dtype.kind not in "iu":
        raise refuse("labels, times or units have another type")
    if len(labels) != len(times.lengths) or not np.array_equal(times.lengths, units.lengths):
        raise refuse("labels, times and units do not match")
    return labels, times, units
