"""MNIST: 60,000 training and 10,000 test images of 28 x 28 bytes, read from the four IDX files, gzipped or plain."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..data import Dataset, Split

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = ("MNIST/raw", "raw", ".")
UBYTE = 0x08
MAX_BYTES = 1 << 30  # of one file, unpacked


def load(folder: Path) -> Dataset:
    """Read MNIST from `folder`/MNIST/raw, `folder`/raw or `folder`.

    Raises:
        DataError: a file is missing, truncated, or no IDX file of bytes with the sizes its header says.
    """
    images, labels, test_images, test_labels = (find(folder, name) for name in FILES)
    train = _split(images, labels)
    test = _split(test_images, test_labels)
    return Dataset("mnist", train, test, 10, 255, train.values.shape[1:])


def find(folder: Path, name: str) -> Path:
    """Return the path of an IDX file, gzipped or plain.

    Raises:
        DataError: it is in none of the places; the message lists files and folders and says how to name another.
    """
    places = [folder / part for part in FOLDERS]
    for place in places:
        for candidate in (place / f"{name}.gz", place / name):
            if candidate.is_file():
                return candidate
    looked = ", ".join(str(p) for p in places)
    files = ", ".join(f"{f}.gz" for f in FILES)
    raise DataError(
        f"MNIST is missing {name}.gz (or {name}, unpacked). Looked in: {looked}. "
        f"Put {files} in one of them, or name their folder with --data-dir or SPIKELOOM_DATA."
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes with so many dimensions.

    Raises:
        DataError: unreadable, truncated, or its magic number or size is wrong.
    """
    content = _unpack(path)
    header = 4 + 4 * dimensions
    expected = struct.pack(">HBB", 0, UBYTE, dimensions)
    if len(content) < header or content[:4] != expected:
        raise DataError(f"{path} is not an IDX file of bytes with {dimensions} dimensions (it begins {content[:4].hex()}). Get it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = 1
    for extent in shape:
        size *= int(extent)
    if len(content) - header != size:
        raise DataError(
            f"{path} is truncated or damaged: its header says {size} bytes ({shape}), it has {len(content) - header}. Get it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _unpack(path: Path) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged: {error}. Get it again.") from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path} unpacks to more than {MAX_BYTES} bytes; MNIST's files have at most 47 MB. Get it again.")
    return content


def _split(images: Path, labels: Path) -> Split:
    values, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(values) != len(classes):
        raise DataError(f"{images} has {len(values)} images, but {labels} has {len(classes)} labels. Get both again.")
    if classes.size and classes.max() > 9:
        raise DataError(f"{labels} holds the label {classes.max()}; MNIST has 0..9. Get it again.")
    return Split(values, classes.astype(np.int64))
