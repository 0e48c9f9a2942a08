"""Run as a program, in a process of its own: copies SHD's arrays from an HDF5 file to an .npz. The HDF5 library can crash on damaged files.

    python _hdf5_worker.py FILE.h5 OUT.npz

Ends with 0, or with 1 and what is wrong on standard error. Imports nothing of Spikeloom.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MAX_SAMPLES = 10_000_000


def copy(source: Path, target: Path) -> None:
    """Copy labels (samples,), lengths (samples,), and times and units of all samples, one after the other."""
    with h5py.File(source, "r") as opened:
        file: Any = opened
        times, units, labels = (file[key] for key in ("spikes/times", "spikes/units", "labels"))
        if labels.ndim != 1 or times.shape != labels.shape or units.shape != labels.shape or len(labels) > MAX_SAMPLES:
            raise ValueError(f"labels, times and units are of shape {labels.shape}, {times.shape} and {units.shape}")
        if labels.dtype.kind not in "iu":
            raise ValueError(f"labels are {labels.dtype}, not whole numbers")
        rows = [(np.asarray(times[index]), np.asarray(units[index])) for index in range(len(labels))]
        if any(t.ndim != 1 or t.shape != u.shape or t.dtype.kind != "f" or u.dtype.kind not in "iu" for t, u in rows):
            raise ValueError("a sample's times and units do not go together")
        lengths = np.array([len(t) for t, _ in rows], np.int64)
        seconds = np.concatenate([np.zeros(0, np.float16), *(t for t, _ in rows)])
        channels = np.concatenate([np.zeros(0, np.uint16), *(u for _, u in rows)])
        np.savez(target, labels=np.asarray(labels[:]), lengths=lengths, times=seconds, units=channels)


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
