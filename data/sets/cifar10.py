"""CIFAR-10: 50,000 training and 10,000 test images of 10 classes, (3, 32, 32) bytes; binary or python layout. Free for research."""

from __future__ import annotations

from pathlib import Path

from ..dataset import Dataset
from ..download import Resource, Source
from ._cifar import PAGE, Layout

SOURCE = Source(
    PAGE,
    (
        Resource(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            170052171,
            holds="cifar-10-batches-bin",
        ),
    ),
)
LAYOUT = Layout(
    name="cifar10",
    title="CIFAR-10",
    classes=10,
    binary="cifar-10-batches-bin",
    python="cifar-10-batches-py",
    train=tuple(f"data_batch_{k}" for k in range(1, 6)),
    test=("test_batch",),
    label_bytes=1,
    key="labels",
    source=SOURCE,
)


def load(folder: Path) -> Dataset:
    """Read CIFAR-10 from `folder`/cifar-10-batches-bin or cifar-10-batches-py, or `folder` itself; shape (3, 32, 32), levels 255.

    Raises:
        DataError: files are missing, truncated, or hold anything that they should not.
    """
    return LAYOUT.load(folder)


def place(folder: Path) -> Path:
    """Return the folder of the files.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    return LAYOUT.place(folder)
