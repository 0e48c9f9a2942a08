"""CIFAR's two official layouts, binary and python: 32 x 32 images of three channels, (3, 32, 32), levels 255.

The layouts: https://www.cs.toronto.edu/~kriz/cifar.html. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..dataset import Dataset, Split
from ..download import Source
from . import _plain_pickle
from ._files import damaged, find, labelled, missing, read

SHAPE = (3, 32, 32)
PIXELS = 3072
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class Layout:
    """The layout of one of the two sets in its files.

    Args:
        name, title, classes: of the data set.
        binary, python: the official folders of the two layouts.
        train, test: the files' names; in the binary layout they end in .bin.
        label_bytes: labels before the pixels of a binary record; the last one is the class.
        key: the class labels' name in the python layout.
        source: where the files come from.
    """

    name: str
    title: str
    classes: int
    binary: str
    python: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int
    key: str
    source: Source

    def load(self, folder: Path) -> Dataset:
        """Read the set from its official folder below `folder`, or from `folder` itself.

        Raises:
            DataError: files are missing, truncated, or hold anything that they should not.
        """
        found, suffix = self._found(folder)
        read_one = self._read_binary if suffix else self._read_python
        train, test = (_joined([read_one(found / f"{name}{suffix}") for name in part]) for part in (self.train, self.test))
        return Dataset(self.name, train, test, self.classes, 255, SHAPE)

    def place(self, folder: Path) -> Path:
        """Return the folder of the files.

        Raises:
            MissingFilesError: they are in none of the places that are searched.
        """
        return self._found(folder)[0]

    def _found(self, folder: Path) -> tuple[Path, str]:
        """Return the folder and the suffix of the files in it."""
        names = (*self.train, *self.test)
        for official, suffix in ((self.binary, ".bin"), (self.python, "")):
            place = find([folder / official, folder], [f"{name}{suffix}" for name in names])
            if place is not None:
                return place, suffix
        files = f"{', '.join(f'{n}.bin' for n in names)} (or the python layout's {', '.join(names)})"
        raise missing(self.title, [files], [folder / self.binary, folder / self.python, folder], self.source)

    def _read_binary(self, path: Path) -> Split:
        content, record = read(path), self.label_bytes + PIXELS
        if not content or len(content) % record:
            raise damaged(path, f"a whole number of records of {record} bytes", f"it has {len(content)} bytes")
        records = np.frombuffer(content, np.uint8).reshape(-1, record)
        return labelled(path, records[:, self.label_bytes :].reshape(-1, *SHAPE), records[:, self.label_bytes - 1], self.classes)

    def _read_python(self, path: Path) -> Split:
        held = _plain_pickle.read(read(path), path)
        values, labels = held.get("data"), held.get(self.key)
        if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] != PIXELS or not len(values):
            raise damaged(path, f"a dictionary with data (images, {PIXELS})", f"its data is {_shown(values)}")
        if not isinstance(labels, list) or len(labels) != len(values) or not all(type(label) is int for label in labels):
            raise damaged(path, f"a dictionary with as many {self.key} as images", f"its {self.key} is {_shown(labels)}")
        if min(labels) < 0 or max(labels) >= self.classes:
            raise DataError(f"{path} contains the label {max(labels)}; labels are 0..{self.classes - 1}. Get it again.")
        return Split(values.reshape(-1, *SHAPE), np.asarray(labels, np.int64))


def _shown(value: Any) -> str:
    if value is None:
        return "not there"
    return f"{type(value).__name__} {getattr(value, 'shape', len(value) if isinstance(value, list) else '')}".strip()


def _joined(parts: list[Split]) -> Split:
    return Split(np.concatenate([p.values for p in parts]), np.concatenate([p.labels for p in parts]))
