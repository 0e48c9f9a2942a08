"""The IDX format of MNIST and its likes: a magic number, big-endian sizes, bytes; gzipped or plain.

Source of the format: http://yann.lecun.com/exdb/mnist/ ("The IDX file format").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..dataset import Dataset, Split
from ..download import Resource, Source
from ._files import labelled, missing, read

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UBYTE = 0x08
CLASSES = 10


@dataclass(frozen=True)
class Layout:
    """A data set in four IDX files.

    Args:
        name, title: as in the registry, and as people write it.
        folders: where the files may be, below the data folder; they are downloaded to the first.
        source: where they come from.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    source: Source

    def load(self, folder: Path) -> Dataset:
        """Read the four files from one of the folders below `folder`.

        Raises:
            DataError: a file is missing, truncated, or not an IDX file of bytes with the sizes in its header.
        """
        images, labels, test_images, test_labels = (self.find(folder, name) for name in FILES)
        train, test = _split(images, labels), _split(test_images, test_labels)
        return Dataset(self.name, train, test, CLASSES, 255, train.values.shape[1:])

    def place(self, folder: Path) -> Path:
        """Return the folder of the files; of the first where they lie in several.

        Raises:
            MissingFilesError: one is in none of the places that are searched.
        """
        paths = [self.find(folder, name) for name in FILES]
        return paths[0].parent

    def find(self, folder: Path, name: str) -> Path:
        """Return the path of an IDX file, gzipped or plain.

        Raises:
            DataError: it is in none of the places; the message lists files and folders and says how to name another.
        """
        places = [folder / part for part in self.folders]
        for place in places:
            for candidate in (place / f"{name}.gz", place / name):
                if candidate.is_file():
                    return candidate
        wanted = [f"{name}.gz (or {name}, unpacked)", *(f"{f}.gz" for f in FILES if f != name and not self._has(places, f))]
        raise missing(self.title, wanted, places, self.source)

    @staticmethod
    def _has(places: list[Path], name: str) -> bool:
        return any((place / n).is_file() for place in places for n in (f"{name}.gz", name))


def resources(folder: str, mirrors: tuple[str, ...], sums: tuple[tuple[str, int], ...]) -> tuple[Resource, ...]:
    """List the four files for download, `sums` being their MD5 and size in the order of `FILES`, gzipped."""
    return tuple(
        Resource(tuple(f"{m}{name}.gz" for m in mirrors), f"{folder}/{name}.gz", md5, size)
        for name, (md5, size) in zip(FILES, sums, strict=True)
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes with so many dimensions.

    Raises:
        DataError: unreadable, truncated, or its magic number or size is wrong.
    """
    content = read(path, unzip=True)
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


def _split(images: Path, labels: Path) -> Split:
    values, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(values) != len(classes):
        raise DataError(f"{images} has {len(values)} images, but {labels} has {len(classes)} labels. Get both again.")
    return labelled(labels, values, classes, CLASSES)
