"""Samples that are iterated over: a torch Dataset or DataLoader, a generator, a function that returns an iterator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from .form import WAYS, Form, array_of, frames_of, levels_of
from .rows import Passes, checksum

__all__ = ["gathered", "makes"]

MOST_BYTES = 64 << 30  # limit for training samples in memory, as bytes; more has to lie in an .npy, which is mapped
KEPT_BYTES = 1 << 30  # of an iterable, as bytes, that a run and calibration keep in memory; what is larger is gone through again


def makes(data: Any) -> bool:
    """Whether `data` is a function that returns an iterator."""
    return callable(data) and not (isinstance(data, type) or hasattr(data, "__iter__") or hasattr(data, "__getitem__"))


def gathered(data: Any, form: Form, whole: bool) -> tuple[Any, list[Any] | None]:
    """Go through samples one by one, or batch by batch; return them as integers 0..levels."""
    kept: list[NDArray[np.uint8]] | None = []
    labels: list[Any] = []
    sums: list[int] = []
    size, shape = 0, ()
    for rows, found in _blocks(data, form):
        size, shape = size + rows.size, rows.shape[1:]
        labels += found
        if not whole:
            sums += map(checksum, rows)
        if kept is not None and size > (MOST_BYTES if whole else KEPT_BYTES):
            _check_again(data, form, whole)
            kept = None
        if kept is not None:
            kept.append(rows)
    if kept is not None and not kept:
        raise DataError(f"{form.title} are none. {WAYS}")
    made = np.concatenate(kept) if kept is not None else Passes(lambda: _rows(data, form), sums, shape, form.name)
    return made, None if any(label is None for label in labels) else labels


def _check_again(data: Any, form: Form, whole: bool) -> None:
    """Refuse samples that are too large for memory where they cannot be gone through again."""
    if whole:
        raise DataError(f"{form.title} take more than {MOST_BYTES >> 30} GiB. Save them as an .npy, which is mapped.")
    if hasattr(data, "__next__"):
        raise DataError(
            f"{form.title} take more than {KEPT_BYTES / 2**30:g} GiB and come from an iterator, which can be gone through only once. Give "
            "the function that returns the iterator (it is called for each pass), a Dataset, or an .npy."
        )


def _blocks(data: Any, form: Form) -> Iterator[tuple[NDArray[np.uint8], list[Any]]]:
    """Iterate over samples, as integers (n, ...), with their labels, each None where there is none; all samples have one shape."""
    shape, number = None, 0
    source = _made(data, form) if makes(data) else data
    batched = getattr(source, "batch_size", None) is not None
    for item in _items(source):
        sample, label = _pair(item)
        rows = array_of(sample, form) if batched else frames_of(sample, source, form)[None]
        shape = rows.shape[1:] if shape is None else shape
        if rows.shape[1:] != shape:
            raise DataError(
                f"Sample {number} of {form.name} has the shape {rows.shape[1:]}, the first {shape}. Cut or pad them to one length."
            )
        number += len(rows)
        yield levels_of(rows, form), _list(label) if batched and label is not None else [label] * len(rows)


def _made(function: Any, form: Form) -> Any:
    """Return what the user's function returns."""
    try:
        found = function()
    except TypeError as error:
        raise UsageError(f"{form.title} are a function that cannot be called without arguments: {error}. {WAYS}") from error
    if not (hasattr(found, "__iter__") or hasattr(found, "__getitem__")):
        raise UsageError(f"{form.title} are a function that returns a {type(found).__name__}; it must return an iterator of samples.")
    return found


def _rows(data: Any, form: Form) -> Iterator[NDArray[np.uint8]]:
    for rows, _ in _blocks(data, form):
        yield from rows


def _items(data: Any) -> Iterator[Any]:
    """Iterate over a data set, by its length where it is one with __getitem__ alone, which need not end with an IndexError."""
    return iter(data) if hasattr(data, "__iter__") else (data[i] for i in range(len(data)))


def _pair(item: Any) -> tuple[Any, Any]:
    """Return a sample and its label, None where there is none."""
    if isinstance(item, tuple | list):
        parts = cast("Sequence[Any]", item)
        if len(parts) == 2:
            return parts[0], parts[1]
        return parts[0] if len(parts) == 1 else item, None
    return item, None


def _list(labels: Any) -> list[Any]:
    return list(np.asarray(labels.detach().cpu().numpy() if hasattr(labels, "detach") else labels).tolist())
