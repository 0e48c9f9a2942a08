"""CIFAR-100: 50,000 training and 10,000 test images of 100 (fine) classes, (3, 32, 32) bytes; binary or python layout."""

from __future__ import annotations

from pathlib import Path

from ..dataset import Dataset
from ..download import Resource, Source
from ._cifar import PAGE, Layout

SOURCE = Source(
    PAGE,
    (
        Resource(
            ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
            "cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            holds="cifar-100-binary",
        ),
    ),
)
LAYOUT = Layout(
    name="cifar100",
    title="CIFAR-100",
    classes=100,
    binary="cifar-100-binary",
    python="cifar-100-python",
    train=("train",),
    test=("test",),
    label_bytes=2,  # the coarse class first, then the fine one
    key="fine_labels",
    source=SOURCE,
)


def load(folder: Path) -> Dataset:
    """Read CIFAR-100 from `folder`/cifar-100-binary or cifar-100-python, or `folder` itself; shape (3, 32, 32), levels 255.

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
