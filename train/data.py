"""Data sets as integers: what the chip receives is what training saw. NumPy only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import registry
from ..errors import DataError

__all__ = ["Dataset", "Split", "data_folder", "load_dataset", "names", "split_validation"]


@dataclass(frozen=True)
class Split:
    """Samples `values`, uint8 (N, *shape), and their classes `labels`, int64 (N,)."""

    values: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.labels) or self.labels.ndim != 1:
            raise DataError(f"A split has {len(self.values)} samples but labels of shape {self.labels.shape}.")
        self.values.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64] | slice) -> Split:
        """Return the samples at `indices`, in that order."""
        return Split(self.values[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """Training and test samples. The real value of an integer pixel p in 0..levels is  p / levels;  `shape` is one sample's."""

    name: str
    train: Split
    test: Split
    classes: int
    levels: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("test", self.test)):
            if not len(split):
                raise DataError(f"{self.name}: the {part} split is empty.")
            if split.values.shape[1:] != self.shape or int(split.values.max()) > self.levels:
                raise DataError(f"{self.name}: {part} samples are not of shape {self.shape} with values 0..{self.levels}.")
            if split.labels.min() < 0 or split.labels.max() >= self.classes:
                raise DataError(f"{self.name}: {part} labels lie outside 0..{self.classes - 1}.")

    @property
    def inputs(self) -> int:
        """Numbers in one sample."""
        return int(np.prod(self.shape))


def names() -> list[str]:
    """List the data sets that `load_dataset` knows."""
    from . import datasets

    return registry.names(datasets)


def data_folder(folder: Path | str | None = None) -> Path:
    """Return where data files are looked for: `folder`, else the environment's SPIKELOOM_DATA, else ./data."""
    return Path(folder) if folder is not None else Path(os.environ.get("SPIKELOOM_DATA") or "data")


def load_dataset(name: str, folder: Path | str | None = None) -> Dataset:
    """Load the data set called `name`.

    Args:
        name: one of `names()`; a file in train/datasets.
        folder: where its files are, if it has any; None: the environment's SPIKELOOM_DATA, else ./data.

    Raises:
        UsageError: there is no such data set; the message lists the nearest names.
        DataError: its files are missing, truncated or not what their headers say.
    """
    from . import datasets

    dataset: Dataset = registry.load(datasets, "data set", name).load(data_folder(folder))
    return dataset


def split_validation(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Hold out `fraction` of the samples, drawn by `seed`: (the rest, the held-out). At least one sample on each side."""
    count = len(train)
    held = min(max(round(count * fraction), 1), count - 1)
    order = np.random.default_rng([seed, 1]).permutation(count)
    return train.take(np.sort(order[held:])), train.take(np.sort(order[:held]))
