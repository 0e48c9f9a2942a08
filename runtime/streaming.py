"""Samples that need not fit in memory: batches are read from a memory-mapped file, whose pages are released after each.

Anything with a length that can be sliced serves as the samples of a run, such as an h5py data set; the command line offers
a mapped `.npy` and a folder of classes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..data.given import holds_whole, is_collection
from ..errors import DAMAGE, UsageError

__all__ = ["batches", "lies_whole", "opened"]

Numbers = NDArray[np.int64]


def opened(data: Any) -> tuple[Any, NDArray[Any] | None]:
    """Return the samples and labels of a split, of a pair (values, labels), or of values alone, which have no labels; nothing is read.

    Raises:
        UsageError: no samples, labels that are not one integer per sample, or an object that holds neither.
    """
    split: Any = data
    values, labels = split if isinstance(data, tuple) and len(split) == 2 else (split, None)
    if holds_whole(split):
        values, labels = split.values, getattr(split, "labels", None)
    if isinstance(values, Mapping | str | bytes) or not (hasattr(values, "__len__") and hasattr(values, "__getitem__")):
        raise UsageError(
            f"data must be an array of samples (N, ...), with or without labels, or a split of a data set; it is {type(data).__name__}."
        )
    values = _array(values, "samples") if isinstance(values, list | tuple) else values
    kind = np.dtype(getattr(values, "dtype", np.uint8))
    if kind.kind not in "biuf":
        raise UsageError(f"The samples are {kind}; samples are integers 0..levels. Convert them first.")
    if labels is None and len(values):
        return values, None
    known = _array([] if labels is None else labels, "labels")
    if not len(values) or known.shape != (len(values),):
        held = f"{known.size} labels" if known.ndim == 1 else f"labels of the shape {known.shape}"
        raise UsageError(f"There are {len(values)} samples and {held}; a run needs at least one sample, and a label for each or for none.")
    if known.dtype.kind not in "iu":
        raise UsageError(f"The labels are {known.dtype}; labels are integers, the classes. Leave them out where they are not known.")
    return values, known


def lies_whole(data: Any) -> bool:
    """Whether samples are an array or can be sliced like one: alone, in a pair with labels or in a split."""
    values: Any = data.values if holds_whole(data) else data
    if isinstance(values, tuple) and len(cast("tuple[Any, ...]", values)) == 2:
        values = cast("tuple[Any, ...]", values)[0]
    if hasattr(values, "detach"):
        return False  # a tensor
    return isinstance(values, list) or hasattr(values, "shape") or not is_collection(values)


def _array(values: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except DAMAGE as error:
        raise UsageError(f"The {what} are not an array: {error}. Make one of them with numpy.asarray.") from error


def batches(values: Any, numbers: Numbers, size: int, begin: int | None = None) -> Iterator[tuple[Numbers, NDArray[Any]]]:
    """Yield the samples with these indices, at most `size` at once, with their indices; pages of a mapped file are released.

    `begin`: how many come first, if not `size`.
    """
    starts = [0, *range(begin or size, len(numbers), size)]
    for first, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        if first >= end:
            return
        part = numbers[first:end]
        yield part, _rows(values, part)
        if isinstance(source := getattr(values, "values", values), np.memmap):
            _give_back(source)


def _rows(values: Any, numbers: Numbers) -> NDArray[Any]:
    """Return the samples with these indices; a copy if the file is mapped."""
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 2) != 1)  # of consecutive rows
    if isinstance(values, np.memmap) or (isinstance(values, np.ndarray) and len(begins) > 1):
        return np.array(values[numbers])
    ends = [*begins[1:].tolist(), len(numbers)]
    parts = [np.asarray(values[int(numbers[a]) : int(numbers[b - 1]) + 1]) for a, b in zip(begins.tolist(), ends, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _give_back(values: np.memmap[Any, Any]) -> None:
    """Tell the system, if possible, that the pages read so far are not needed; they are read again if necessary."""
    mapped = getattr(values, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and values.mode in ("r", "r+") and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
