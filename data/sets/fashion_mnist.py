"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28 bytes, in MNIST's four IDX files.

Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017. MIT licence.
"""

from __future__ import annotations

from pathlib import Path

from ..dataset import Dataset
from ..download import Source
from ._idx import Layout, resources

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
SUMS = (
    ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26421880),
    ("25c81989df183df01b3e8a0aad5dffbe", 29515),
    ("bef4ecab320f06d8554ea6380940ec79", 4422102),
    ("bb300cfdad3c16e7a12a480ee83cd310", 5148),
)
SOURCE = Source("https://github.com/zalandoresearch/fashion-mnist", resources("FashionMNIST/raw", MIRRORS, SUMS))
# not the data folder itself: MNIST's files, of the same names, may lie there
LAYOUT = Layout("fashion-mnist", "Fashion-MNIST", ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist"), SOURCE)


def load(folder: Path) -> Dataset:
    """Read Fashion-MNIST from `folder`/FashionMNIST/raw, FashionMNIST or fashion-mnist; shape (28, 28), levels 255.

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
