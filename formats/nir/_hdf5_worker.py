"""Run as a program, in a process of its own: copies a NIR file to an .npz and a JSON document. The HDF5 library can crash on damaged files.

    python _hdf5_worker.py FILE.nir OUT.npz

The document, the array `document` of OUT.npz, is the tree of groups: {name: group | [array number] | text | null}. Sizes are summed from
the file's headers before any array is read; links that leave the tree, virtual and external storage and kinds other than numbers and text
are refused.
Ends with 0, or with 1 and what is wrong on standard error. Imports nothing of Spikeloom.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_BYTES = 1 << 32
MAX_OBJECTS = 100_000
MAX_DEPTH = 32
MAX_TEXT = 1 << 20
MAX_NAME = 200
DEFLATE = 1032  # zlib's best ratio: a file cannot hold more than that many times its size
SLACK = 1 << 20
FILTERS = (None, "gzip", "lzf", "szip")


class Copier:
    """Walks the tree; `arrays` are what was found, numbered."""

    def __init__(self, size: int) -> None:
        self.size, self.declared, self.objects = size, 0, 0
        self.arrays: list[Any] = []

    def group(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        """Return the tree below a group."""
        if depth > MAX_DEPTH:
            raise ValueError(f"{path} is nested deeper than {MAX_DEPTH} groups, or contains itself")
        tree: dict[str, Any] = {}
        for name in group:
            self.objects += 1
            if self.objects > MAX_OBJECTS:
                raise ValueError(f"it has more than {MAX_OBJECTS:,} groups and arrays")
            if len(name) > MAX_NAME or not name.isprintable():
                raise ValueError(f"the name {name[:40]!r} below {path} is longer than {MAX_NAME} characters or not printable")
            where = f"{path}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link to elsewhere; only self-contained files are read")
            member = group[name]
            tree[name] = self.group(member, where, depth + 1) if isinstance(member, h5py.Group) else self.dataset(member, where)
        return tree

    def dataset(self, dataset: Any, path: str) -> Any:
        """Return text, the number of an array in a list, or None where there is no value."""
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{path} is neither a group nor an array")
        if dataset.shape is None:
            return None
        if dataset.external or dataset.is_virtual or dataset.compression not in FILTERS:
            raise ValueError(f"{path} keeps its values in another file, or in a form that is not read")
        text = h5py.check_string_dtype(dataset.dtype)
        if dataset.dtype.kind not in "fiub" and text is None:
            raise ValueError(f"{path} is of the kind {dataset.dtype}; only numbers and text are read")
        self._count(dataset, path, text is not None)
        if text is None:
            self.arrays.append(np.asarray(dataset[()]).astype(dataset.dtype.newbyteorder("=")))
            return [len(self.arrays) - 1]
        return self._text(dataset, path)

    def _count(self, dataset: Any, path: str, text: bool) -> None:
        size = int(np.prod(dataset.shape, dtype=object)) * (64 if text else dataset.dtype.itemsize)
        self.declared += size
        if size > DEFLATE * dataset.id.get_storage_size() + SLACK or self.declared > min(MAX_BYTES, DEFLATE * self.size + SLACK):
            raise ValueError(f"{path} declares {size:,} bytes of values, {self.declared:,} in all, in a file of {self.size:,} bytes")

    def _text(self, dataset: Any, path: str) -> Any:
        if dataset.size > MAX_OBJECTS:
            raise ValueError(f"{path} has {dataset.size:,} texts; at most {MAX_OBJECTS:,} are read")
        value = dataset[()]
        if isinstance(value, np.ndarray):
            return {"": [[_decoded(t, path) for t in np.atleast_1d(row).tolist()] for row in value]}
        return _decoded(value, path)


def _decoded(value: Any, path: str) -> str:
    if len(value) > MAX_TEXT:
        raise ValueError(f"{path} has a text of {len(value):,} characters; at most {MAX_TEXT:,} are read")
    return value.decode("utf8") if isinstance(value, bytes) else str(value)


def copy(source: Path, target: Path) -> None:
    """Copy what lies below `node`, the graph, and the version."""
    copier = Copier(source.stat().st_size)
    with h5py.File(source, "r") as opened:
        file: Any = opened
        if not isinstance(file.get("node"), h5py.Group) or not isinstance(file.get("node", getlink=True), h5py.HardLink):
            raise ValueError("it has no group called node, so it is an HDF5 file but no NIR file")
        document = copier.group(file["node"], "node", 0)
    arrays = {f"a{i}": array for i, array in enumerate(copier.arrays)}
    content = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with target.open("wb") as handle:
        np.savez(handle, document=content, **arrays)  # pyright: ignore[reportArgumentType]


def main() -> int:
    """Copy; report what is wrong in one line."""
    try:
        copy(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # whatever the library finds wrong with a foreign file, the parent process reports
        sys.stderr.write(f"{error}".replace("\n", " ") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
