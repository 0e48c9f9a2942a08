"""Reads foreign HDF5 files in a separate process: the library can crash or loop on a damaged file. Nothing in them is trusted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DAMAGE, SpikeloomError
from .files import reading_time

__all__ = ["Ragged", "Tree", "read_tree"]

WORKER = Path(__file__).with_name("hdf5_worker.py")
Tree = dict[str, Any]  # groups by name; arrays, text, lists of texts, `Ragged`, and None where there is no value


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, one after the other: `values` (sum of lengths,), `lengths` (rows,) int64."""

    values: NDArray[Any]
    lengths: NDArray[np.int64]


def read_tree(path: Path, names: Sequence[str], refuse: Callable[[str], SpikeloomError], *, ragged: bool = False) -> Tree:
    """Return the content of the root's groups or arrays called `names`, as far as they exist.

    Args:
        path: a file that can be opened.
        names: of groups or arrays at the root; nothing else is read.
        refuse: builds the error for a file that cannot be read, from a description of the problem.
        ragged: whether arrays of rows of different lengths are read.

    Raises:
        SpikeloomError: built by `refuse`: h5py is not installed, or the file is damaged, is not an HDF5 file, or holds what no file of
            numbers and text needs (links, values in other files, arrays larger than such a file can hold).
    """
    if importlib.util.find_spec("h5py") is None:
        raise refuse("the library h5py, which reads it, is not installed. Run: pip install h5py")
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as folder:
        out = Path(folder) / "tree.npz"
        limit = reading_time(path)
        command = [sys.executable, "-P", str(WORKER), str(path), str(out), "ragged" if ragged else "plain", *names]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise refuse(f"the HDF5 library did not finish within {limit:.0f} s") from error
        if done.returncode or not out.exists():
            said = (done.stderr.strip().splitlines() or ["the HDF5 library crashed on it"])[-1]
            raise refuse("the HDF5 library crashed on it" if done.returncode < 0 else said)
        try:
            with np.load(out, allow_pickle=False) as held:
                arrays = {name: held[name] for name in held.files}
        except (OSError, zipfile.BadZipFile, *DAMAGE) as error:
            raise refuse(str(error)) from error
    return cast("Tree", _rebuilt(json.loads(arrays.pop("document").tobytes()), arrays))


def _rebuilt(member: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Put the arrays back into the tree, where a list is an array's number and an object called "" is neither an array nor a group."""
    if isinstance(member, list):
        return arrays[f"a{member[0]}"]
    if not isinstance(member, dict):
        return member
    found = cast("dict[str, Any]", member)
    if "" not in found:
        return {name: _rebuilt(inner, arrays) for name, inner in found.items()}
    special = found[""]
    if "rows" in special:
        return Ragged(arrays[f"a{special['rows']}"], arrays[f"a{special['lengths']}"])
    return special["texts"]
