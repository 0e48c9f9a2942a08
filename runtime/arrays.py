"""The arrays of results, one number or row per sample: inline in results.json if small, else in a safetensors file beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import FormatError
from ..files import read_bytes, sha256, write_bytes

__all__ = ["INLINE", "read", "write"]

Int = NDArray[np.int64]
INLINE = 200_000
"""Arrays with more elements than this are written beside results.json, which stays below about 2 MB."""


def beside(path: Path) -> Path:
    """Return the path of a results file's arrays: results-arrays.safetensors for results.json."""
    return path.with_name(f"{path.stem}-arrays.safetensors")


def write(path: Path, arrays: dict[str, Int]) -> dict[str, str] | None:
    """Write `arrays` beside the results file `path`; return its entry for them. Without any, an old array file is removed."""
    if not arrays:
        beside(path).unlink(missing_ok=True)
        return None
    content = save({name: array.astype(_smallest(array)) for name, array in arrays.items()})
    return {"file": write_bytes(beside(path), content).name, "sha256": sha256(content)}


def _smallest(array: Int) -> np.dtype[Any]:
    """Return the smallest type that holds the values: unsigned, or int64 if any is negative."""
    return np.dtype(np.int64) if array.min(initial=0) < 0 else np.min_scalar_type(int(array.max(initial=0)))


def read(path: Path, said: dict[str, str] | None) -> dict[str, Int]:
    """Return the arrays stored beside the results file `path`.

    Raises:
        FormatError: the file is missing, damaged, or belongs to another run.
    """
    if said is None:
        return {}
    place = beside(path)
    content = read_bytes(place, "the arrays of the results", f"It belongs to {path.name}: copy both, or run the network again.")
    if sha256(content) != said.get("sha256"):
        raise FormatError(f"{place} is damaged or of another run than {path}. Run the network again.")
    try:
        return {name: array.astype(np.int64) for name, array in load(content).items()}
    except SafetensorError as error:
        raise FormatError(f"{place} is damaged: {error}. Run the network again.") from error
