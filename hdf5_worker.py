"""Run as a program, in a separate process: copies the content of an HDF5 file to an .npz and a JSON document; see `hdf5`.

    python hdf5_worker.py FILE OUT.npz plain|ragged NAME...

The document, the array `document` of OUT.npz, is the tree below the root's members NAME: {name: group | [array number] | text | null};
{"": {"texts": [[text]]}} is an array of texts, {"": {"rows": number, "lengths": number}} rows of different lengths. Sizes are summed
from the file's headers before any array is read. Links, values in other files and kinds other than numbers and text are refused.
Exits with 0, or with 1 and the problem on standard error. Imports nothing from Spikeloom.
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
MAX_ROWS = 10_000_000
MAX_DEPTH = 32
MAX_DIMENSIONS = 8
MAX_TEXT = 1 << 20
MAX_NAME = 200
DEFLATE = 1032  # zlib's best ratio: a file cannot hold more than this many times its size
SLACK = 1 << 20
FILTERS = (None, "gzip", "lzf", "szip")


class Copier:
    """Walks the tree; `arrays` collects the arrays found, by number."""

    def __init__(self, size: int, *, ragged: bool) -> None:
        self.size, self.ragged, self.declared, self.objects = size, ragged, 0, 0
        self.arrays: list[Any] = []

    def group(self, group: Any, path: str, depth: int) -> dict[str, Any]:
        """Return the tree below a group."""
        if depth > MAX_DEPTH:
            raise ValueError(f"{path} is nested deeper than {MAX_DEPTH} groups, or contains itself")
        return {name: self.member(group, name, f"{path}/{name}", depth) for name in group}

    def member(self, group: Any, name: str, path: str, depth: int) -> Any:
        """Return the tree below a member of a group."""
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise ValueError(f"it has more than {MAX_OBJECTS:,} groups and arrays")
        if len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"the name {name[:40]!r} is longer than {MAX_NAME} characters or not printable")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is a link to elsewhere; only self-contained files are read")
        member = group[name]
        return self.group(member, path, depth + 1) if isinstance(member, h5py.Group) else self.dataset(member, path)

    def dataset(self, dataset: Any, path: str) -> Any:
        """Return text, the number of an array in a list, or None where there is no value."""
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{path} is neither a group nor an array")
        if dataset.shape is None:
            return None
        if dataset.external or dataset.is_virtual or dataset.compression not in FILTERS:
            raise ValueError(f"{path} keeps its values in another file, or in a form that is not read")
        row = h5py.check_vlen_dtype(dataset.dtype) if self.ragged else None
        if row is not None and row.kind in "fiu":
            return self._rows(dataset, path, row)
        text = h5py.check_string_dtype(dataset.dtype)
        if text is None and (dataset.dtype.kind not in "fiub" or dataset.dtype.itemsize > 8):
            raise ValueError(f"{path} is of the kind {dataset.dtype}; only numbers and text are read")
        if dataset.ndim > MAX_DIMENSIONS:
            raise ValueError(f"{path} has {dataset.ndim} dimensions; at most {MAX_DIMENSIONS} are read")
        self._count(dataset, path, text is not None)
        return self._text(dataset, path) if text is not None else [self._keep(np.asarray(dataset[()]))]

    def _keep(self, values: Any) -> int:
        self.arrays.append(values.astype(values.dtype.newbyteorder("=")))
        return len(self.arrays) - 1

    def _count(self, dataset: Any, path: str, text: bool) -> None:
        size = int(np.prod(dataset.shape, dtype=object)) * (64 if text else dataset.dtype.itemsize)
        self.declared += size
        if size > DEFLATE * dataset.id.get_storage_size() + SLACK or self.declared > min(MAX_BYTES, DEFLATE * self.size + SLACK):
            raise ValueError(f"{path} declares {size:,} bytes of values, {self.declared:,} in all, in a file of {self.size:,} bytes")

    def _rows(self, dataset: Any, path: str, kind: Any) -> Any:
        """Copy rows of different lengths, which are never compressed: together they are no longer than the file."""
        if dataset.ndim != 1 or dataset.shape[0] > MAX_ROWS:
            raise ValueError(f"{path} has rows of shape {dataset.shape}; one dimension of at most {MAX_ROWS:,} is read")
        rows: list[Any] = []
        for index in range(dataset.shape[0]):
            rows.append(np.asarray(dataset[index]))
            self.declared += rows[-1].nbytes
            if rows[-1].ndim != 1 or rows[-1].dtype.kind not in "fiu" or self.declared > self.size + SLACK:
                raise ValueError(f"row {index} of {path} is no row of numbers, or longer than the file of {self.size:,} bytes")
        lengths = np.array([len(row) for row in rows], np.int64)
        return {"": {"rows": self._keep(np.concatenate([np.zeros(0, kind), *rows])), "lengths": self._keep(lengths)}}

    def _text(self, dataset: Any, path: str) -> Any:
        if dataset.size > MAX_OBJECTS:
            raise ValueError(f"{path} has {dataset.size:,} texts; at most {MAX_OBJECTS:,} are read")
        value = dataset[()]
        if isinstance(value, np.ndarray):
            return {"": {"texts": [[_decoded(t, path) for t in np.atleast_1d(row).tolist()] for row in value]}}
        return _decoded(value, path)


def _decoded(value: Any, path: str) -> str:
    if len(value) > MAX_TEXT:
        raise ValueError(f"{path} has a text of {len(value):,} characters; at most {MAX_TEXT:,} are read")
    return value.decode("utf8") if isinstance(value, bytes) else str(value)


def copy(source: Path, target: Path, names: list[str], *, ragged: bool) -> None:
    """Copy the root's members of these names, as far as they exist."""
    copier = Copier(source.stat().st_size, ragged=ragged)
    with h5py.File(source, "r") as opened:
        file: Any = opened
        document = {name: copier.member(file, name, name, 0) for name in names if name in file}
    arrays = {f"a{i}": array for i, array in enumerate(copier.arrays)}
    content = np.frombuffer(json.dumps(document).encode(), np.uint8)
    with target.open("wb") as handle:
        np.savez(handle, document=content, **arrays)  # pyright: ignore[reportArgumentType]


def main() -> int:
    """Copy; report what is wrong in one line."""
    try:
        copy(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4:], ragged=sys.argv[3] == "ragged")
    except Exception as error:  # whatever the library finds wrong with a foreign file, the parent process reports
        named = "" if type(error) in (ValueError, OSError) else f"{type(error).__name__}: "
        sys.stderr.write(f"{named}{error}".replace("\n", " ") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
