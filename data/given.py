"""User-supplied samples, turned into arrays of integers: the common entry point of training, compiling, converting and running.

Samples are integers 0..levels whose real value is  p / levels.  Floats are accepted only with a stated range, and are
rounded to the nearest level; nothing is rescaled by its largest value, and no shape is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..checked import checked
from ..errors import DAMAGE, DataError, UsageError
from ..fed import OwnSamples
from .dataset import Dataset, Split, load_dataset
from .form import WAYS, Form, array_of, levels_of
from .iterables import gathered, makes
from .rows import Converted
from .stored import SUFFIXES, read_stored

__all__ = ["Form", "Given", "as_dataset", "collect", "held_out", "holds_whole", "is_collection", "is_stored", "labelled"]


@dataclass(frozen=True)
class Given:
    """Samples as bytes, (N, ...) or, with a value for each time step, (N, T, ...), and their classes (N,), None where there are none.

    `values` is an array, or one of `data.rows`, which reads samples when they are needed.
    """

    values: Any
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.values)

    def take(self, indices: NDArray[np.int64]) -> Given:
        """Return the samples at `indices`, ascending, in memory."""
        return Given(np.asarray(self.values[indices]), None if self.labels is None else self.labels[indices])


TAKES = "Give a pair (samples, labels) of arrays, a torch Dataset, a file or a folder."


@checked(train=TAKES, test=TAKES)
def as_dataset(
    train: Dataset | OwnSamples | Path | str,
    test: OwnSamples | Path | str | None = None,
    *,
    labels: Path | str | None = None,
    name: str = "own",
    levels: int = 255,
    value_range: tuple[float, float] | None = None,
    timesteps: int | None = None,
    temporal: bool = False,
    classes: int | None = None,
    test_fraction: float | None = None,
) -> Dataset:
    """Return a data set of your own samples.

    Args:
        train: training samples with their classes: a pair (samples, labels) of arrays or tensors; any object with `values` and `labels`; a
            torch Dataset or DataLoader, a Tonic data set, any iterable of pairs (sample, label), or a function without arguments that
            returns one; an .npz, .npy or HDF5 file, or a folder of classes; or a `Dataset`, or the name of one, which is returned as it is.
        test: test samples in one of these forms; None: those that the file has for testing, or `test_fraction` of the training samples.
        labels: the .npy of classes, where `train` is an .npy.
        name: for messages and the record.
        levels: the integer that stands for 1: 255 for images, 1 for binary frames of events.
        value_range: of float samples, (0, 1), or (0, levels) where they hold whole numbers.
        timesteps: the number of frames into which recordings of events (Tonic) are divided; they are then temporal.
        temporal: whether samples have a value for each time step, (N, T, ...).
        classes: the number of classes; None: the largest label + 1.
        test_fraction: fraction of the samples, evenly spread, held out for testing, 0..1.

    Raises:
        UsageError: samples without labels, floats without a range, no test samples, or what cannot be read as samples.
        DataError: values out of range, samples of different shapes, invalid labels, or no samples at all.

    Example:
        >>> data = as_dataset((x_train, y_train), (x_test, y_test), value_range=(0, 1))  # doctest: +SKIP
        >>> data = as_dataset("photos/", test_fraction=0.2)  # doctest: +SKIP
    """
    if isinstance(train, Dataset):
        return train
    if isinstance(train, str) and not is_stored(train):
        return load_dataset(train)
    read, own = _opened(train, labels)
    if own is not None and test is not None:
        raise UsageError(f"{train} has test samples of its own, and others are given. Leave them out, or name a file without.")
    form = Form(levels, value_range, timesteps, f"the training samples of {name}")
    first = labelled(collect(read, form), form.name)
    tested = own if test is None else _opened(test, None)[0]
    if tested is None:
        first, second = _apart(first, test_fraction, name)
    elif test_fraction is not None:
        raise UsageError(f"{name} has test samples, and test_fraction would hold out others. Leave it out.")
    else:
        form = Form(levels, value_range, timesteps, f"the test samples of {name}")
        second = labelled(collect(tested, form), form.name)
    temporal = temporal or timesteps is not None
    if timesteps is not None and first.values.shape[1] != timesteps:
        raise UsageError(f"timesteps is {timesteps}, and the samples of {name} have the shape {first.values.shape[1:]}. Leave it out.")
    found = 1 + int(max(first.labels.max(initial=0), second.labels.max(initial=0)))
    return Dataset(name, first, second, classes or found, levels, first.values.shape[1 + temporal :], temporal)


def is_stored(data: Any) -> bool:
    """Whether samples are in a file or a folder of the user's: a known suffix, a path with a separator, or a folder that exists."""
    if isinstance(data, str):
        return Path(data).suffix in SUFFIXES or "/" in data or (Path(data).is_dir() and data not in _names())
    return isinstance(data, Path)


def _names() -> list[str]:
    from .dataset import names

    return names()


def _opened(data: Any, labels: Path | str | None) -> tuple[Any, Any]:
    """Return samples, of a file opened, and those that it has for testing."""
    if not isinstance(data, str | Path):
        if labels is not None:
            raise UsageError("labels is for samples in an .npy, which train names. Give a pair (samples, labels).")
        return data, None
    read = read_stored(Path(data), None if labels is None else Path(labels))
    return read, read.test


def is_collection(data: Any) -> bool:
    """Whether `data` may hold samples, rather than name a data set or a path."""
    if isinstance(data, str | bytes | Path | Mapping):
        return False
    return holds_whole(data) or hasattr(data, "__iter__") or hasattr(data, "__getitem__") or makes(data)


def holds_whole(data: Any) -> bool:
    """Whether `data` has its samples as `values`, like a split; a dictionary's `values` is a method."""
    return hasattr(data, "values") and not callable(data.values)


def collect(data: Any, form: Form, *, whole: bool = True) -> Given:
    """Return the samples of `data` as bytes, and its labels; it may be anything that `as_dataset` takes, with labels or without.

    Args:
        data: the samples.
        form: how they are read.
        whole: as arrays; otherwise what is in a file, or is larger than `KEPT_BYTES`, is read when it is needed.

    Raises:
        UsageError, DataError: see `as_dataset`.
    """
    if not is_collection(data):
        raise UsageError(f"{form.title} are of the type {type(data).__name__}. {WAYS}")
    values, labels = _parts(data)
    if values is None:
        made, labels = gathered(data, form, whole)
    else:
        made = levels_of(array_of(values, form), form) if whole or not _lies_outside(values) else _when_read(values, form)
    if made.ndim < 2 or not len(made):
        raise DataError(f"{form.title} have the shape {made.shape}; they are (N, ...) with at least one sample, e.g. (N, 784).")
    return Given(made, None if labels is None else _classes(labels, len(made), form))


def _lies_outside(values: Any) -> bool:
    """Whether an array's numbers are not in memory, such as a mapped file's, those of an h5py data set or a folder's."""
    if isinstance(values, np.memmap):
        return True
    return (
        hasattr(values, "shape")
        and hasattr(values, "dtype")
        and not isinstance(values, np.ndarray | list)
        and not hasattr(values, "detach")
    )


def _when_read(values: Any, form: Form) -> Any:
    """Return an array-like, whose rows become integers when they are read; a mapped file of bytes stays what it is."""
    if isinstance(values, np.memmap) and values.dtype == np.uint8 and form.most == 255:
        return values
    return Converted(values, lambda rows: levels_of(array_of(rows, form), form))


def _parts(data: Any) -> tuple[Any, Any]:
    """Return the samples and labels of data that holds them whole; (None, None) for data that must be iterated."""
    if holds_whole(data):
        return data.values, getattr(data, "labels", None)
    if isinstance(data, tuple):
        pair = cast("tuple[Any, ...]", data)
        return pair if len(pair) == 2 and all(map(_is_array, pair)) else (None, None)
    return (data, None) if _is_array(data) and not isinstance(data, list) else (None, None)


def _is_array(value: Any) -> bool:
    """Whether a value is an array or a tensor of several numbers, or a list of numbers."""
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], int | float | list | np.ndarray)
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) > 0 and getattr(value.dtype, "names", None) is None


def _classes(labels: Any, count: int, form: Form) -> NDArray[np.int64]:
    try:
        found = np.asarray([int(x) if np.ndim(x) == 0 else x for x in labels] if isinstance(labels, list) else array_of(labels, form))
    except DAMAGE as error:
        raise DataError(f"The labels of {form.name} are no classes: {error}. Give one integer from 0 on a sample.") from error
    if found.shape != (count,) or found.dtype.kind not in "iu" or (count and int(found.min()) < 0):
        raise DataError(
            f"The labels of {form.name} have the shape {found.shape} and the type {found.dtype}; {count} samples need one integer each, "
            f"from 0 on."
        )
    return found.astype(np.int64)


def labelled(given: Given | Split, name: str) -> Split:
    """Return labelled samples; refuse samples without labels."""
    if given.labels is None:
        raise UsageError(
            f"{name[:1].upper()}{name[1:]} have no labels, and these are needed here. Give a pair (samples, labels), y beside x in a file, "
            f"or --labels LABELS.npy for an .npy."
        )
    return Split(np.asarray(given.values[:]), given.labels)


def _apart(split: Split, fraction: float | None, name: str) -> tuple[Split, Split]:
    """Return the remaining training samples, and those held out for testing."""
    if fraction is None:
        raise UsageError(
            f"{name} has no test samples, and those that a network was trained on say nothing of its accuracy. Give them as the second "
            f"argument, or say test_fraction=0.1 (--set data.test_fraction=0.1)."
        )
    kept, held = held_out(len(split), fraction, name)
    return split.take(kept), split.take(held)


def held_out(count: int, fraction: float, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the samples that remain for training, and of those held out for testing: evenly spread, always the same.

    Held out are  round(fraction count)  samples, at least one:  floor((i + 1/2) count / held),  i = 0..held - 1.

    Raises:
        UsageError: a fraction that is not between 0 and 1.
        DataError: fewer than two samples.
    """
    if not 0.0 < fraction < 1.0:
        raise UsageError(f"test_fraction is {fraction}; it must lie between 0 and 1.")
    held = min(max(round(count * fraction), 1), count - 1) if count > 1 else 0
    if not held:
        raise DataError(f"{name} has {count} samples, too few to hold any out. Give test samples.")
    chosen = np.zeros(count, np.bool_)
    chosen[np.floor((np.arange(held) + 0.5) * count / held).astype(np.int64)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
