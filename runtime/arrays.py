"""The arrays of results, a number or a row a sample: inline in results.json while they are small, in a safetensors file beside it above."""

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
"""Arrays of more numbers than this are written beside results.json, which stays below some 2 MB."""


def beside(path: Path) -> Path:
    """Return the file of the arrays of a results file: results.json has results-arrays.safetensors."""
    return path.with_name(f"{path.stem}-arrays.safetensors")


def write(path: Path, arrays: dict[str, Int]) -> dict[str, str] | None:
    """Write `arrays` beside the results file `path`; return what it says of them. Without any, an old file of arrays is removed."""
    if not arrays:
        beside(path).unlink(missing_ok=True)
        return None
    content = save({name: array.astype(_smallest(array)) for name, array in arrays.items()})
    return {"file": write_bytes(beside(path), content).name, "sha256": sha256(content)}


def _smallest(array: Int) -> np.dtype[Any]:
    """Return the smallest type that holds the numbers: unsigned, or int64 where one lies below 0."""
    return np.dtype(np.int64) if array.min(initial=0) < 0 else np.min_scalar_type(int(array.max(initial=0)))


def read(path: Path, said: dict[str, str] | None) -> dict[str, Int]:
    """Return the arrays that the results file `path` says lie beside it.

    Raises:
        FormatError: the file is missing, damaged, or that of another run.
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
