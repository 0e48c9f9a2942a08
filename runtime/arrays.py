"""The arrays of results, one number or row per sample: inline in results.json if small, else in a safetensors file beside it.

What probes recorded is always in a file of its own, which is read when it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save, save_file

from ..errors import FormatError, unknown_name
from ..files import read_bytes, require_readable, sha256, write_atomically, write_bytes

__all__ = ["INLINE", "ProbeArrays", "beside", "read", "write"]

Int = NDArray[np.int64]
INLINE = 200_000
"""Arrays with more elements than this are written beside results.json, which stays below about 2 MB."""


def beside(path: Path, what: str = "arrays") -> Path:
    """Return the path of a results file's arrays: results-arrays.safetensors for results.json."""
    return path.with_name(f"{path.stem}-{what}.safetensors")


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


class ProbeArrays:
    """What the probes of a run recorded, by name: `results.probes["hidden1.v"]` is (samples, timesteps, neurons).

    bool of spikes, int32 of u and v; `results.probed` has units, thresholds, and which samples they are. Results that were loaded read
    a probe from its file when it is first used. Iterating gives the names.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], path: Path | None = None, said: tuple[str, ...] = (), sha256: str = "") -> None:
        """Hold arrays, or the names `said` of those in the file `path` with this SHA-256."""
        self._arrays, self._path, self._sha256 = arrays, path, sha256
        self._names = said or tuple(arrays)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a probe's array.

        Raises:
            UsageError: the run has no such probe.
            FormatError: its file is missing, damaged or of another run.
        """
        if name not in self._names:
            raise unknown_name("probe of this run", name, self._names)
        if name not in self._arrays:
            self._read()
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"<Probes {', '.join(self._names) or '(none)'}>"

    def write(self, results: Path, sample_ids: Int, units: dict[str, str]) -> dict[str, str]:
        """Write the arrays beside the results file `results`; return its entry for them.

        The file also holds `sample_ids`, and in its metadata the axes and the unit of each array.
        """
        arrays = {name: np.ascontiguousarray(self[name]) for name in self._names}
        metadata = {"format": "spikeloom.probes", "axes": "samples, timesteps, neurons"} | units
        place = beside(results, "probes")
        write_atomically(place, lambda path: save_file(arrays | {"sample_ids": sample_ids}, path, metadata))
        return {"file": place.name, "sha256": _digest(place)}

    def _read(self) -> None:
        path = self._path
        assert path is not None  # only arrays that lie in a file are not held
        require_readable(path, "the arrays of the probes", "They belong to the results: copy both, or run the network again.")
        if _digest(path) != self._sha256:
            raise FormatError(f"{path} is damaged or of another run than the results. Run the network again.")
        try:
            found = load_file(path)
        except SafetensorError as error:
            raise FormatError(f"{path} is damaged: {error}. Run the network again.") from error
        missing = [name for name in self._names if name not in found]
        if missing:
            raise FormatError(f"{path} lacks the probes {', '.join(missing)}. Run the network again.")
        for name in self._names:
            found[name].setflags(write=False)
            self._arrays[name] = found[name]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
