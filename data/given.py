"""User-supplied samples, turned into arrays of integers: the common entry point of training, compiling, converting and running.

Samples are integers 0..levels whose real value is  p / levels.  Floats are accepted only with a stated range, and are
rounded to the nearest level; nothing is rescaled by its largest value, and no shape is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..checked import checked
from ..errors import DAMAGE, DataError, UsageError
from ..fed import Known, OwnSamples
from .dataset import Dataset, Split
from .events import Binning, bin_events

__all__ = ["Form", "Given", "as_dataset", "collect", "holds_whole", "is_collection", "labelled"]

MOST_BYTES = 64 << 30  # limit for samples as bytes; more has to be read batch by batch, from a mapped .npy or an HDF5 file
EVENT_FIELDS = ("x", "y", "t", "p")  # of events in Tonic's form


@dataclass(frozen=True)
class Given:
    """Samples as bytes, (N, ...) or, with a value for each time step, (N, T, ...), and their classes (N,), None where there are none."""

    values: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Form:
    """How user-supplied samples are read.

    Args:
        levels: the integer that stands for 1; None: taken from the network. True stands for 1, whatever the levels.
        value_range: of floats, (0, 1), or (0, levels) where they hold whole numbers; None: floats are refused.
        timesteps: the number of frames into which recordings of events are divided.
        name: of the samples, for messages.
    """

    levels: int | None = None
    value_range: tuple[float, float] | None = None
    timesteps: int | None = None
    name: str = "the samples"

    def __post_init__(self) -> None:
        if self.levels is not None and not 1 <= self.levels <= 255:
            raise UsageError(f"levels is {self.levels}; it must lie in 1..255.")
        if self.value_range is not None and tuple(self.value_range) not in ((0, 1), (0, self.most)):
            raise UsageError(
                f"value_range is {tuple(self.value_range)}; it must be (0, 1), or (0, {self.most}) for whole numbers. Bring "
                f"other samples to 0..1, and take their factor and offset into the first layer, whose weights are trained with them."
            )
        if self.timesteps is not None and self.timesteps < 1:
            raise UsageError(f"timesteps is {self.timesteps}; it must be at least 1.")

    def known(self, known: Known) -> Form:
        """Return this with unset options filled in from the network."""
        return replace(self, levels=self.levels or known.levels, timesteps=self.timesteps or known.timesteps)

    @property
    def title(self) -> str:
        """The name as the start of a sentence."""
        return f"{self.name[:1].upper()}{self.name[1:]}"

    @property
    def most(self) -> int:
        """The largest integer that a sample may hold."""
        return self.levels or 255


@checked(
    train="Give a pair (samples, labels) of arrays, or a torch Dataset.",
    test="Give a pair (samples, labels) of arrays, or a torch Dataset.",
)
def as_dataset(
    train: Dataset | OwnSamples,
    test: OwnSamples | None = None,
    *,
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
            torch Dataset or DataLoader, a Tonic data set, or any iterable of pairs (sample, label); or a `Dataset`, returned as it is.
        test: test samples in one of these forms; None: `test_fraction` of the training samples.
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
    """
    if isinstance(train, Dataset):
        return train
    form = Form(levels, value_range, timesteps, f"the training samples of {name}")
    first = labelled(collect(train, form), form.name)
    if test is None:
        first, second = _held_out(first, test_fraction, name)
    else:
        form = Form(levels, value_range, timesteps, f"the test samples of {name}")
        second = labelled(collect(test, form), form.name)
    temporal = temporal or timesteps is not None
    found = 1 + int(max(first.labels.max(initial=0), second.labels.max(initial=0)))
    return Dataset(name, first, second, classes or found, levels, first.values.shape[1 + temporal :], temporal)


def is_collection(data: Any) -> bool:
    """Whether `data` may hold samples, rather than name a data set or a path."""
    if isinstance(data, str | bytes | Path | Mapping):
        return False
    return holds_whole(data) or hasattr(data, "__iter__") or hasattr(data, "__getitem__")


def holds_whole(data: Any) -> bool:
    """Whether `data` has its samples as `values`, like a split; a dictionary's `values` is a method."""
    return hasattr(data, "values") and not callable(data.values)


def collect(data: Any, form: Form) -> Given:
    """Return the samples of `data` as bytes, and its labels; it may be anything that `as_dataset` takes, with labels or without.

    Raises:
        UsageError, DataError: see `as_dataset`.
    """
    if not is_collection(data):
        raise UsageError(f"{form.title} are of the type {type(data).__name__}. {WAYS}")
    values, labels = _parts(data)
    if values is None:
        made, labels = _gathered(cast("Iterable[Any]", data), form)
    else:
        made = _levels(_array(values, form), form)
    if made.ndim < 2 or not len(made):
        raise DataError(f"{form.title} have the shape {made.shape}; they are (N, ...) with at least one sample, e.g. (N, 784).")
    return Given(made, None if labels is None else _classes(labels, len(made), form))


WAYS = (
    "Give a pair (samples, labels) of arrays or tensors, a torch Dataset or DataLoader, an iterable of pairs (sample, label), or name a "
    "data set or a file."
)


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


def _gathered(data: Iterable[Any], form: Form) -> tuple[NDArray[np.uint8], list[Any] | None]:
    """Iterate over samples one by one, or batch by batch; return them as integers 0..levels."""
    samples: list[NDArray[np.uint8]] = []
    labels: list[Any] = []
    size, shape = 0, None
    batched = getattr(data, "batch_size", None) is not None
    for number, item in enumerate(_items(data)):
        sample, label = _pair(item)
        rows = _array(sample, form) if batched else _frames(sample, data, form)[None]
        shape = rows.shape[1:] if shape is None else shape
        if rows.shape[1:] != shape:
            raise DataError(
                f"Sample {number} of {form.name} has the shape {rows.shape[1:]}, the first {shape}. Cut or pad them to one length."
            )
        size += rows.size
        if size > MOST_BYTES:
            raise DataError(f"{form.title} take more than {MOST_BYTES >> 30} GiB. Save them as an .npy, which is read batch by batch.")
        samples.append(_levels(rows, form))
        labels.extend(_list(label) if batched and label is not None else [label])
    if not samples:
        raise DataError(f"{form.title} are none. {WAYS}")
    return np.concatenate(samples), None if any(label is None for label in labels) else labels


def _items(data: Any) -> Iterator[Any]:
    """Iterate over a data set by its length if it has one: a class with only __getitem__ need not end with an IndexError."""
    if not hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__") and not hasattr(data, "batch_size")):
        return (data[i] for i in range(len(data)))
    return iter(data)


def _pair(item: Any) -> tuple[Any, Any]:
    """Return a sample and its label, None where there is none."""
    if isinstance(item, tuple | list):
        parts = cast("Sequence[Any]", item)
        if len(parts) == 2:
            return parts[0], parts[1]
        return parts[0] if len(parts) == 1 else item, None
    return item, None


def _frames(sample: Any, data: Any, form: Form) -> NDArray[Any]:
    """Return a sample as an array; events as frames (T, polarities, height, width)."""
    names = getattr(getattr(sample, "dtype", None), "names", None)
    if names is None:
        return _array(sample, form)
    sensor = getattr(data, "sensor_size", None)
    if form.timesteps is None or sensor is None or not set(EVENT_FIELDS) <= set(names):
        raise UsageError(
            f"{form.title} are recordings with the fields {', '.join(names)}. Say timesteps=T, and give a data set with sensor_size, whose "
            f"events have x, y, t and p; or turn them into frames first, e.g. with tonic.transforms.ToFrame."
        )
    width, height, polarities = (int(n) for n in sensor)
    x, y, t, p = (np.asarray(sample[name]).astype(np.int64) for name in EVENT_FIELDS)
    for what, found, most in (("x", x, width), ("y", y, height), ("p", p, polarities)):
        if found.size and not 0 <= found.min() <= found.max() < most:
            raise DataError(f"{form.title} have {what} from {found.min()} to {found.max()}; the sensor has 0..{most - 1}.")
    binning = Binning(timesteps=form.timesteps, clip=form.levels or 1, by="time")
    flat = bin_events(t, (p * height + y) * width + x, polarities * height * width, binning)
    return flat.reshape(form.timesteps, polarities, height, width)


def _array(values: Any, form: Form) -> NDArray[Any]:
    """Return a numeric array from an array, a tensor on any device, an image or a list."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        made = np.asarray(values)
    except (RuntimeError, *DAMAGE) as error:
        raise UsageError(f"{form.title} are no array: {error}. {WAYS}") from error
    if made.dtype.kind not in "biuf":
        raise UsageError(f"{form.title} are of the kind {made.dtype}, not numbers of one shape. {WAYS}")
    return made


def _levels(values: NDArray[Any], form: Form) -> NDArray[np.uint8]:
    """Return samples as integers 0..levels."""
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(form.levels or 1)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f":
        return _rounded(values, float(low), float(high), form)
    if low < 0 or high > form.most:
        raise DataError(f"{form.title} hold {low}..{high}; they are integers 0..{form.most}. Say levels= if another integer stands for 1.")
    return values.astype(np.uint8, copy=False)


def _rounded(values: NDArray[Any], low: float, high: float, form: Form) -> NDArray[np.uint8]:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{form.title} hold values that are not finite. Remove them.")
    if form.value_range is None:
        raise UsageError(
            f"{form.title} are {values.dtype} from {low:g} to {high:g}, and nothing says what stands for 1. Say value_range=(0, 1) (--set "
            f"data.value_range=0,1), or give "
            f"integers 0..{form.most}."
        )
    most = float(form.value_range[1])
    if low < 0.0 or high > most:
        raise DataError(
            f"{form.title} hold values from {low:g} to {high:g}; their range is said to be 0 to {most:g}. A chip's input has no sign: "
            f"leave out a normalisation of the samples, and let the first layer learn it."
        )
    scaled = values * (form.most / most) if most == 1.0 else values
    if most != 1.0 and (scaled != np.rint(scaled)).any():
        raise DataError(f"{form.title} hold values that are no whole numbers; their range is said to be 0 to {most:g}. Round them.")
    return np.rint(scaled).astype(np.uint8)


def _list(labels: Any) -> list[Any]:
    return list(np.asarray(labels.detach().cpu().numpy() if hasattr(labels, "detach") else labels).tolist())


def _classes(labels: Any, count: int, form: Form) -> NDArray[np.int64]:
    try:
        found = np.asarray([int(x) if np.ndim(x) == 0 else x for x in labels] if isinstance(labels, list) else _array(labels, form))
    except DAMAGE as error:
        raise DataError(f"The labels of {form.name} are no classes: {error}. Give one integer from 0 on a sample.") from error
    if found.shape != (count,) or found.dtype.kind not in "iu" or (count and int(found.min()) < 0):
        raise DataError(
            f"The labels of {form.name} have the shape {found.shape} and the type {found.dtype}; {count} samples need one integer each, "
            f"from 0 on."
        )
    return found.astype(np.int64)


def labelled(given: Given, name: str) -> Split:
    """Return labelled samples; refuse samples without labels."""
    if given.labels is None:
        raise UsageError(f"{name} have no labels, and these are needed here. Give a pair (samples, labels).")
    return Split(given.values, given.labels)


def _held_out(split: Split, fraction: float | None, name: str) -> tuple[Split, Split]:
    """Return the remaining training samples, and every k-th sample for testing."""
    if fraction is None or not 0.0 < fraction < 1.0:
        raise UsageError(
            f"{name} has no test samples, and those that a network was trained on say nothing of its accuracy. Give them as the second "
            f"argument, or say test_fraction=0.1{'' if fraction is None else f' (it is {fraction}; it must lie between 0 and 1)'}."
        )
    count = len(split)
    held = min(max(round(count * fraction), 1), count - 1) if count > 1 else 0
    if not held:
        raise DataError(f"{name} has {count} samples, too few to hold any out. Give test samples.")
    chosen = np.zeros(count, np.bool_)
    chosen[np.floor((np.arange(held) + 0.5) * count / held).astype(np.int64)] = True
    return split.take(np.flatnonzero(~chosen)), split.take(np.flatnonzero(chosen))
