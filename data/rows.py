"""Samples that are read when they are needed: integers 0..levels, (N, ...), with a length, a shape, and rows by slice or by indices."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["Chosen", "Converted", "Passes", "Rows", "checksum"]

Rows = NDArray[np.uint8]


class Converted:
    """Rows of an array-like, each converted as it is read."""

    def __init__(self, values: Any, convert: Callable[[Any], Rows]) -> None:
        self.values, self._convert = values, convert
        self.shape: tuple[int, ...] = tuple(int(n) for n in values.shape)
        self.ndim, self.dtype = len(self.shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> Rows:
        """Read the samples of a slice or of an array of indices."""
        return self._convert(self.values[key])


class Chosen:
    """Some of the rows of an array-like, in the order of `indices`."""

    def __init__(self, values: Any, indices: NDArray[np.int64]) -> None:
        self._values, self._indices = values, indices
        self.shape: tuple[int, ...] = (len(indices), *values.shape[1:])
        self.ndim, self.dtype = len(self.shape), np.dtype(np.uint8)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._indices)

    def __getitem__(self, key: Any) -> Rows:
        """Read the samples of a slice or of an array of indices."""
        return np.asarray(self._values[self._indices[key]])


class Passes:
    """Rows of a source that is gone through again for them: in order, skipping what is not asked for.

    Args:
        start: returns an iterator over the rows, from the first on.
        sums: checksums of the rows, from the first pass.
        shape: of one row.
        name: of the samples, for messages.
    """

    def __init__(self, start: Callable[[], Iterator[Rows]], sums: list[int], shape: tuple[int, ...], name: str) -> None:
        self._start, self._sums, self._name = start, sums, name
        self.shape: tuple[int, ...] = (len(sums), *shape)
        self.ndim, self.dtype = len(self.shape), np.dtype(np.uint8)
        self._rows, self._next = start(), 0

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._sums)

    def __getitem__(self, key: Any) -> Rows:
        """Read the samples of a slice or of an array of indices; a new pass begins where they lie before those read last.

        Raises:
            DataError: the source gave another sample in the first pass.
        """
        wanted = np.arange(len(self))[key]
        found = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        for place, number in enumerate(wanted.tolist()):
            found[place] = self._row(number)
        return found

    def _row(self, number: int) -> Rows:
        if number < self._next:
            self._rows, self._next = self._start(), 0
        row: Rows | None = None
        while self._next <= number:
            row = next(self._rows, None)
            self._next += 1
        if row is None or checksum(row) != self._sums[number]:
            raise DataError(
                f"Sample {number} of {self._name} differs from what it was in the first pass. Samples that do not fit in memory are gone "
                "through several times: turn off shuffling and random changes of the samples."
            )
        return row


def checksum(row: Rows) -> int:
    """Return a checksum of a sample."""
    return zlib.crc32(np.ascontiguousarray(row).data)
