"""MNIST: 60,000 training and 10,000 test images of 28 x 28 bytes, read from the four IDX files, gzipped or plain.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. CC BY-SA 3.0.
"""

from __future__ import annotations

from pathlib import Path

from ..dataset import Dataset
from ..download import Source
from ._idx import FILES, Layout, resources

__all__ = ["FILES", "SOURCE", "load", "place"]

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SUMS = (
    ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9912422),
    ("d53e105ee54ea40749a09fcbcd1e9432", 28881),
    ("9fb629c4189551a2d022fa330f9573f3", 1648877),
    ("ec29112dd5afa0611ce80d1b7f02629c", 4542),
)
SOURCE = Source("http://yann.lecun.com/exdb/mnist/", resources("MNIST/raw", MIRRORS, SUMS))
LAYOUT = Layout("mnist", "MNIST", ("MNIST/raw", "raw", "."), SOURCE)


def load(folder: Path) -> Dataset:
    """Read MNIST from `folder`/MNIST/raw, `folder`/raw or `folder`; shape (28, 28), levels 255.

    Raises:
        DataError: a file is missing, truncated, or not an IDX file of bytes with the sizes in its header.
    """
    return LAYOUT.load(folder)


def place(folder: Path) -> Path:
    """Return the folder of the files.

    Raises:
        MissingFilesError: they are in none of the places that are searched.
    """
    return LAYOUT.place(folder)
