"""Data sets as integers, so that the chip receives exactly what training used. NumPy only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..checked import check_fields, checked
from ..errors import DataError, MissingFilesError
from ..subset import choose
from .rows import Chosen

__all__ = ["OWN", "Dataset", "Split", "data_folder", "load_dataset", "names", "place_of", "split_validation"]

OWN = "own:"  # prefix of the identity of user-supplied samples


@dataclass(frozen=True)
class Split:
    """Samples `values`, uint8 (N, *shape) or, of temporal sets, (N, T, *shape), and their classes `labels`, int64 (N,)."""

    values: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.values) != len(self.labels) or self.labels.ndim != 1:
            raise DataError(f"A split has {len(self.values)} samples but labels of shape {self.labels.shape}.")
        self.values.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)

    def evenly(self, count: int) -> Split:
        """Return up to `count` samples, evenly spread; see `subset.Subset`."""
        return self.take(choose(count, len(self)).indices())

    def take(self, indices: NDArray[np.int64] | slice) -> Split:
        """Return the samples at `indices`, in that order."""
        return Split(self.values[indices], self.labels[indices])


class MappedSplit(Split):
    """Some samples of a mapped file, `rows.Chosen`, which are read when they are taken: it may be larger than the memory."""

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)


@dataclass(frozen=True)
class Dataset:
    """Training and test samples. The real value of an integer pixel p in 0..levels is  p / levels.

    Args:
        name: one of `names()`, or a name of your own.
        train, test: the samples.
        classes: labels are 0..classes - 1.
        levels: the integer that stands for 1: 255 for images, 1 for binary frames, otherwise the value at which counts are clipped.
        shape: of one sample; of temporal sets, of one frame.
        temporal: each sample is T frames, so the values are (N, T, *shape); both splits have the same T.
    """

    name: str
    train: Split
    test: Split
    classes: int
    levels: int
    shape: tuple[int, ...]
    temporal: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for part, split in (("training", self.train), ("test", self.test)):
            if not len(split):
                raise DataError(f"{self.name}: the {part} split is empty.")
            if split.values.dtype != np.uint8 or split.values.shape[1 + self.temporal :] != self.shape or self._exceeds(split):
                raise DataError(f"{self.name}: {part} samples are not bytes of shape {self.shape} with values 0..{self.levels}.")
            if split.labels.min() < 0 or split.labels.max() >= self.classes:
                raise DataError(f"{self.name}: {part} labels lie outside 0..{self.classes - 1}.")
        if self.temporal and self.train.values.shape[1] != self.test.values.shape[1]:
            steps = f"{self.train.values.shape[1]} and {self.test.values.shape[1]}"
            raise DataError(f"{self.name}: training and test samples have {steps} frames; they must have the same number.")

    def _exceeds(self, split: Split) -> bool:
        """Whether a value exceeds `levels`; bytes cannot exceed 255, so memory-mapped files are not read for this."""
        return self.levels < 255 and int(split.values.max()) > self.levels

    @cached_property
    def identity(self) -> str:
        """`own:NAME:DIGEST`, which identifies user-supplied samples; equal for equal samples and labels."""
        made = hashlib.sha256(f"{self.shape} {self.classes} {self.levels} {self.temporal}".encode())
        for split in (self.train, self.test):
            for array in (split.values, split.labels):
                made.update(f"{array.shape}".encode())
                made.update(np.ascontiguousarray(array).data)
        return f"{OWN}{self.name}:{made.hexdigest()[:16]}"

    @property
    def timesteps(self) -> int | None:
        """Frames of each sample of a temporal set; None for static ones."""
        return int(self.train.values.shape[1]) if self.temporal else None

    @property
    def inputs(self) -> int:
        """Number of values in one sample; of temporal sets, in one frame."""
        return int(np.prod(self.shape))


def names() -> list[str]:
    """List the data sets that `load_dataset` knows."""
    from . import sets as datasets

    return registry.names(datasets)


def data_folder(folder: Path | str | None = None) -> Path:
    """Return the folder of data files: `folder`, or the environment variable SPIKELOOM_DATA, or ./data."""
    return Path(folder) if folder is not None else Path(os.environ.get("SPIKELOOM_DATA") or "data")


@checked(name="Name a data set of spikeloom.data.names().")
def load_dataset(
    name: str,
    folder: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    download: bool = False,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Dataset:
    """Load the data set called `name`.

    Args:
        name: one of `names()`; a file in data/sets.
        folder: folder of its files, if it has any; None: the environment variable SPIKELOOM_DATA, or ./data.
        options: the data set's own options by name, such as {"timesteps": 8} for sets of events; see docs/data.md.
        download: download missing files.
        progress: called during downloads with a file's name, bytes so far, and total bytes (None: unknown).

    Raises:
        UsageError: no such data set or option; the message lists the closest names.
        DataError: its files are missing or damaged, or cannot be downloaded.
    """
    from . import sets as datasets
    from .download import download as fetch_all

    module = registry.load(datasets, "data set", name)
    chosen = registry.options_of(module, options or {}, f"the data set {name}")
    arguments = (data_folder(folder),) if chosen is None else (data_folder(folder), chosen)
    if download:
        try:
            return _load(module, arguments)
        except MissingFilesError:
            fetch_all(name, arguments[0], progress)
    return _load(module, arguments)


def place_of(name: str, folder: Path | str | None = None) -> Path | None:
    """Return the folder in which a data set's files lie, without reading them; None where it has none or does not say.

    Raises:
        UsageError: no such data set.
        MissingFilesError: files are missing; the message names them and the places that were searched.
    """
    from . import sets as datasets

    found = getattr(registry.load(datasets, "data set", name), "place", None)
    return None if found is None else found(data_folder(folder))


def _load(module: Any, arguments: tuple[Any, ...]) -> Dataset:
    dataset: Dataset = module.load(*arguments)
    return dataset


def split_validation(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Hold out `fraction` of the samples, drawn by `seed`: (the rest, the held-out). At least one sample on each side.

    Samples of a mapped file, such as ImageNet's, are not copied: both parts read them from it when they are taken.
    """
    count = len(train)
    held = min(max(round(count * fraction), 1), count - 1)
    order = np.random.default_rng([seed, 1]).permutation(count)
    return _part(train, np.sort(order[held:])), _part(train, np.sort(order[:held]))


def _part(split: Split, indices: NDArray[np.int64]) -> Split:
    """Return some samples of a split; those of a mapped file stay there."""
    if isinstance(split.values, np.memmap):
        return MappedSplit(cast(Any, Chosen(split.values, indices)), split.labels[indices])
    return split.take(indices)
