"""Samples in the user's own files: .npz, .npy, HDF5 and folders of classes. Nothing is unpickled; an .npy is mapped, not read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DAMAGE, DataError, UsageError
from ..files import require_readable
from ..hdf5 import read_tree
from .folder import classes_in

__all__ = ["HDF5", "SUFFIXES", "Stored", "open_array", "read_stored"]

HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", *HDF5)
KEYS = (("x", "y"), ("values", "labels"), ("x_train", "y_train"))
TEST = ("x_test", "y_test")
NAMES = [name for pair in (*KEYS, TEST) for name in pair]
EXPECTED = "samples as x (N, ...) and, where there are any, classes as y (N,), and x_test and y_test for testing"


@dataclass(frozen=True)
class Stored:
    """Samples and labels of a file as they are in it; those for testing, where it has such."""

    values: Any
    labels: NDArray[Any] | None
    test: Stored | None = None


def read_stored(path: Path, labels: Path | None = None) -> Stored:
    """Open the samples in a file or in a folder of classes.

    Args:
        path: an .npz or HDF5 file with x and y (or values and labels, or x_train and y_train), and x_test and y_test, if any; an .npy; or
            a folder of classes.
        labels: the .npy of the classes of an .npy.

    Raises:
        UsageError: labels for samples that have their own.
        DataError: files that are missing, damaged, or hold something else.
    """
    if path.suffix == ".npy":
        values = open_array(path, "samples")
        return Stored(values, None if labels is None else _labels(labels, path, values))
    if labels is not None:
        raise UsageError(f"--labels {labels} is for samples in an .npy; {path} has labels of its own.")
    if path.is_dir():
        parts = [Stored(values, numbers) for values, numbers in classes_in(path)]
        return Stored(parts[0].values, parts[0].labels, parts[1] if len(parts) > 1 else None)
    return _of_hdf5(path) if path.suffix in HDF5 else _of_archive(path)


def open_array(path: Path, what: str) -> NDArray[Any]:
    """Map an .npy of numbers; pickled data is never read.

    Raises:
        DataError: a file that is missing, not an .npy, truncated, or of the wrong type or shape.
    """
    try:
        with np.errstate(over="raise"):  # for sizes beyond any machine
            array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DataError(f"Cannot read the {what} {path}: {error.strerror or error}.") from error
    except DAMAGE as error:  # not an .npy, contains objects, or shorter than its header says
        raise DataError(f"{path} is not an .npy of {what} that can be mapped: {error}. Write it with numpy.save.") from error
    if array.dtype.kind not in ("biuf" if what == "samples" else "iu"):
        raise DataError(f"{path} holds {array.dtype}; {what} are {'numbers' if what == 'samples' else 'integers'}.")
    if what == "samples" and array.ndim < 2:
        raise DataError(f"{path} has the shape {array.shape}; samples are (N, ...), e.g. (N, 784).")
    if not array.flags.c_contiguous:
        raise DataError(f"{path} lies column by column, so that each sample is all over it. Save np.ascontiguousarray(...) of it.")
    return array


def _labels(path: Path, samples: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    found = open_array(path, "labels")
    if found.shape != values.shape[:1]:
        raise DataError(f"{path} has the shape {found.shape}; {samples} holds {len(values)} samples, which need as many labels.")
    return np.array(found, np.int64)


def _of_archive(path: Path) -> Stored:
    try:
        held: Any = np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"Cannot read the samples {path}: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, *DAMAGE) as error:
        raise DataError(f"{path} is not a valid .npz file of numbers: {error}. Write it with numpy.savez.") from error
    if not hasattr(held, "files"):
        raise DataError(f"{path} is an .npy by its content. Give it the suffix .npy.")
    with held:
        chosen = _keys(path, held.files, f"Write it with numpy.savez({path.name!r}, x=samples, y=labels).")
        try:
            arrays = {name: held[name] for name in chosen}
        except (OSError, zlib.error, zipfile.BadZipFile, *DAMAGE) as error:
            raise DataError(f"{path} is damaged or contains Python objects: {error}. Write it again with numpy.savez.") from error
    return _of_arrays(arrays)


def _of_hdf5(path: Path) -> Stored:
    """Return the arrays of an HDF5 file, which a process of its own reads."""

    def refuse(what: str) -> DataError:
        return DataError(f"{path} cannot be read: {what}. Write x and y into it with h5py.")

    require_readable(path, "the samples")
    held = read_tree(path, NAMES, refuse)
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    chosen = _keys(path, list(arrays), "Write them with h5py.")
    return _of_arrays({name: arrays[name] for name in chosen})


def _keys(path: Path, names: Collection[str], way_out: str) -> list[str]:
    """Return the names of samples, labels, test samples and test labels among those of a file."""
    pair = next((pair for pair in KEYS if pair[0] in names), None)
    if pair is None:
        raise DataError(f"{path} holds {', '.join(list(names)[:8]) or 'no arrays of these names'}; expected are {EXPECTED}. {way_out}")
    return [name for name in (*pair, *TEST) if name in names]


def _of_arrays(arrays: dict[str, NDArray[Any]]) -> Stored:
    samples = next(pair for pair in KEYS if pair[0] in arrays)
    test = Stored(arrays[TEST[0]], arrays.get(TEST[1])) if TEST[0] in arrays else None
    return Stored(arrays[samples[0]], arrays.get(samples[1]), test)
