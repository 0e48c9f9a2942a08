"""The xylosim backend: the maker's simulator of Xylo, bit for bit, in a child process, where the user has installed it.

xylosim states no licence, so it is no dependency of Spikeloom, and nothing here imports it: a worker (`xylosim_worker/`) reads arrays from
a file and writes arrays. A crash of its compiled code is an error here, and ends nothing else.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile.xylo.layout import GROUPS, Layout
from ...errors import BackendError, UsageError
from ...network.model import Network
from ..native import xylo
from .api import BackendOptions, Recording, empty_registers

__all__ = ["INSTALL", "available", "simulate"]

BATCH = 2048
RECORDS = ("u", "v")
INSTALL = "pip install xylosim==0.1.3"
WORKER = Path(__file__).resolve().parent.parent / "xylosim_worker" / "main.py"
MISSING = 4  # exit code of the worker
TAIL = 20  # lines of its output in an error


def available() -> str | None:
    """Return None if this interpreter has xylosim, else what is missing and the way out. It is not imported."""
    if importlib.util.find_spec("xylosim") is not None:
        return None
    return (
        f"The xylosim backend needs xylosim, the simulator of Xylo's maker, which {sys.executable} does not have. It is not part of "
        f"Spikeloom and states no licence. Install it with: {INSTALL}   (a C++ compiler is needed). Or use --backend native."
    )


def simulate(network: Network, events: NDArray[np.uint8], options: BackendOptions) -> Recording:
    """Run the network in xylosim; see `backends.api` for the interface.

    Args:
        network: one that was compiled for Xylo.
        events: the encoded input, (samples, timesteps, channels), 0..15 events.
        options: `time_limit` covers the call.

    Raises:
        BackendError: xylosim is missing, dies or exceeds the time limit, or the network was not compiled for Xylo.
        UsageError: a number of threads, which xylosim does not have.
    """
    if not xylo.holds(network):
        raise BackendError("This network was not compiled for Xylo. Compile it with --target xylo, or use --backend native.")
    reason = available()
    if reason is not None:
        raise BackendError(reason)
    if options.threads is not None:
        raise UsageError("xylosim runs in one thread; the number of threads cannot be set. Leave it out.")
    flat = network.flat
    layout = Layout.of(flat.network)
    try:
        with tempfile.TemporaryDirectory(prefix="loom-xylosim-") as name:
            folder = Path(name)
            _write_job(layout, events, folder / "job.npz", states=bool(options.registers))
            _run_worker(folder, options.time_limit)
            return _read(layout, flat.network, len(events), folder, options).spread(flat)
    except OSError as error:
        raise BackendError(f"The files of xylosim cannot be kept in {tempfile.gettempdir()}: {error}. Free space or set TMPDIR.") from error


def _write_job(layout: Layout, events: NDArray[np.uint8], path: Path, *, states: bool) -> None:
    padded = np.zeros((len(events), layout.steps, events.shape[2]), np.uint8)
    padded[:, : events.shape[1]] = events
    arrays: dict[str, Any] = {f"weights_{group}": layout.weights[group] for group in GROUPS}
    for kind, neurons in (("hidden", layout.hidden), ("output", layout.output)):
        arrays |= {f"{kind}_{name}": values for name, values in asdict(neurons).items()}
    shifts = np.array([layout.shifts[group] for group in GROUPS])
    np.savez(path, events=padded, shifts=shifts, states=np.array(states), **arrays)


def _run_worker(folder: Path, time_limit: float) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, str(WORKER), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=time_limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"xylosim was stopped at the time limit of {time_limit:g} s. Run fewer samples or raise the limit.") from error
    said = "\n".join(done.stdout.decode(errors="replace").splitlines()[-TAIL:]) or "(nothing)"
    if done.returncode == MISSING:
        raise BackendError(f"{sys.executable} cannot import xylosim ({said}). Install it with: {INSTALL}")
    if done.returncode:
        what = f"was killed by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise BackendError(f"The xylosim worker {what}. Run it again, or use --backend native. Its output:\n{said}")


def _read(layout: Layout, network: Network, samples: int, folder: Path, options: BackendOptions) -> Recording:
    registers = empty_registers(options.registers, network, samples)
    spikes: dict[str, NDArray[Any]] = {}
    for place in layout.places:
        kind = "output" if place.output else "hidden"
        raster = layout.local(place, _array(folder, kind), network.timesteps)
        spikes[place.name] = raster.astype(np.bool_ if place.output else np.uint8)
        for state in "uv":
            if (name := f"{place.name}.{state}") in registers:
                registers[name][:] = layout.local(place, _array(folder, f"{kind}_{state}"), network.timesteps)
    return Recording(spikes, registers=registers or None)


def _array(folder: Path, name: str) -> NDArray[Any]:
    return np.load(folder / f"{name}.npy", allow_pickle=False)
