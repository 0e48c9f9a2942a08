"""Run as a program, in a process of its own: copies the values of a .net file to an .npz. The HDF5 library can crash on damaged files.

    python _hdf5_worker.py FILE.net OUT.npz

Only what lies in the groups `layer`, `simulation` and `spikeloom` of the file itself is copied, each value under its path. Shapes are
checked before anything is allocated: a file of a few bytes may claim any.
Ends with 0, or with 1 and what is wrong on standard error. Imports nothing of Spikeloom.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GROUPS = ("layer", "simulation", "spikeloom")
MAX_DEPTH = 4  # layer / 3 / neuron / type
MAX_VALUES = 20_000
MAX_NUMBERS = 1 << 27
MAX_TEXT = 1 << 20


def walk(group: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield every dataset below `group` with its path."""
    for name in group:
        where = f"{path}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{where} is a link to somewhere else, which is not followed")
        found = group[name]
        if isinstance(found, h5py.Dataset):
            yield where, found
        elif isinstance(found, h5py.Group):
            if depth == MAX_DEPTH:
                raise ValueError(f"{where} lies more than {MAX_DEPTH} groups deep")
            yield from walk(found, where, depth + 1)
        else:
            raise ValueError(f"{where} is neither a group nor a dataset")


def value(where: str, dataset: Any, left: int) -> Any:
    """Return a dataset's numbers, or its text."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{where} keeps its values in another file, which is not read")
    if dataset.shape is None or dataset.ndim > 6:
        raise ValueError(f"{where} has no values, or too many dimensions")
    if dataset.size > left:
        raise ValueError(f"{where} claims {dataset.size:,} values; a file may hold {MAX_NUMBERS:,} in all")
    text = h5py.check_string_dtype(dataset.dtype)
    if text is not None:
        if dataset.size != 1 or (text.length or 0) > MAX_TEXT:
            raise ValueError(f"{where} is text of {dataset.size} entries of {text.length} bytes; one of at most {MAX_TEXT:,} is read")
        said = dataset.asstr(errors="replace")[()]
        return np.array(str(said if dataset.shape == () else said.ravel()[0])[:MAX_TEXT])
    if dataset.dtype.kind not in "biuf" or dataset.dtype.itemsize > 8:
        raise ValueError(f"{where} holds {dataset.dtype}, not numbers")
    return np.asarray(dataset[()])


def copy(source: Path, target: Path) -> None:
    """Copy what the groups hold."""
    held: dict[str, Any] = {}
    left = MAX_NUMBERS
    with h5py.File(source, "r") as opened:
        file: Any = opened
        for name in GROUPS:
            if name not in file:
                continue
            if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Group):
                raise ValueError(f"{name} is not a group of the file itself")
            for where, dataset in walk(file[name], name, 1):
                held[where] = value(where, dataset, left)
                left -= held[where].size
                if len(held) > MAX_VALUES:
                    raise ValueError(f"it holds more than {MAX_VALUES:,} datasets")
    np.savez(target, **held)


def main() -> int:
    """Copy; report what is wrong in one line."""
    try:
        copy(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # whatever the library finds wrong with a foreign file, the parent process reports
        sys.stderr.write(f"{type(error).__name__}: {error}".replace("\n", " ") + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
