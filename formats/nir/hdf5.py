"""Reads the tree of a NIR file, which is HDF5, through a process of its own, and trusts nothing in it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError
from ...files import reading_time, require_readable

__all__ = ["read_tree"]

WORKER = Path(__file__).with_name("_hdf5_worker.py")


def read_tree(path: Path) -> dict[str, Any]:
    """Return the graph of a NIR file as nested dictionaries of arrays and text, in the form of `nir.NIRGraph.to_dict()`.

    Raises:
        FormatError: it is missing, damaged, no NIR file, or holds what no such file needs (links, other files' data, huge arrays).
    """
    if path.exists() and not path.is_file():
        raise FormatError(f"{path} is no plain file, so it is not a NIR file. Write it with nir.write.")
    require_readable(path, "the network")
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as folder:
        out = Path(folder) / "tree.npz"
        limit = reading_time(path)
        command = [sys.executable, "-P", str(WORKER), str(path), str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise FormatError(f"{path} is damaged: the HDF5 library did not end within {limit:.0f} s. Write it again.") from error
        if done.returncode < 0:
            raise FormatError(f"{path} is damaged: the HDF5 library crashed on it. Write it again.")
        if done.returncode or not out.exists():
            said = done.stderr.strip().splitlines() or ["nothing"]
            raise FormatError(f"{path} is not a NIR file, or is damaged: {said[-1]}. Write it again with nir.write.")
        with np.load(out, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    document = json.loads(arrays.pop("document").tobytes())
    return {name: _rebuilt(member, arrays) for name, member in document.items()}


def _rebuilt(member: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(member, dict):
        return member[""] if "" in member else {name: _rebuilt(inner, arrays) for name, inner in member.items()}
    return arrays[f"a{member[0]}"] if isinstance(member, list) else member
