"""A run over several processes: each runs a part of the samples, counts are summed as integers, and all end with the same result.

Process r of R runs samples  r n / R  to  (r + 1) n / R.  The rate code draws by the index of a sample in its data set, so a sample's
spikes do not depend on which process runs it; sums of 64-bit integer counts do not depend on their order. So every process ends with
the counts that a single process would find.

Processes communicate through a `Peers`; that for torchrun is in `train/peers.py`, since only train and the torch backend import torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..errors import BackendError, SpikeloomError, UsageError
from .by_step import StepTally
from .counts import Tally
from .rates import StepRates

__all__ = ["ALONE", "Alone", "Peers", "add_up", "gather_rows", "part", "together"]

Int = NDArray[np.int64]
Done = TypeVar("Done")


class Peers(Protocol):
    """The process group that runs one data set, as seen by one of its processes."""

    @property
    def rank(self) -> int:
        """This process's rank."""
        ...

    @property
    def size(self) -> int:
        """The number of processes."""
        ...

    def add(self, values: Int) -> Int:
        """Return the sum of all processes' arrays of the same shape; every process takes part."""
        ...

    def exchange(self, message: bytes) -> list[bytes]:
        """Return each process's message, by rank; every process takes part. This clears a request to stop; OSError: a process died."""
        ...

    def stop(self) -> None:
        """Ask the other processes to join the next exchange."""
        ...

    def stopped(self) -> bool:
        """Return, without waiting, whether a process has asked for that."""
        ...


@dataclass(frozen=True)
class Alone:
    """A single process."""

    rank: int = 0
    size: int = 1

    def add(self, values: Int) -> Int:
        """Return the values."""
        return values

    def exchange(self, message: bytes) -> list[bytes]:
        """Return the message."""
        return [message]

    def stop(self) -> None:
        """Do nothing: there are no other processes."""

    def stopped(self) -> bool:
        """Return False: there are no other processes."""
        return False


ALONE = Alone()


class _StoppedError(Exception):
    """Another process failed."""


def part(samples: int, peers: Peers) -> tuple[int, int]:
    """Return the first of this process's samples and the one after its last.

    Raises:
        UsageError: there are fewer samples than processes.
    """
    if samples < peers.size:
        raise UsageError(f"There are {samples} samples for {peers.size} processes; each needs at least one. Start at most {samples}.")
    return samples * peers.rank // peers.size, samples * (peers.rank + 1) // peers.size


def go_on(peers: Peers) -> None:
    """Abort the work inside `together` if another process has failed; cheap enough to call for every batch."""
    if peers.size > 1 and peers.stopped():
        raise _StoppedError


def together(peers: Peers, work: Callable[[], Done]) -> Done:
    """Do this process's part; return once all processes are done.

    Raises:
        SpikeloomError: a process failed. All raise the error of the lowest rank that failed; the other processes name that rank.
        BackendError: a process died, or failed with an error that is not ours.
    """
    if peers.size == 1:
        return work()
    done: Done | None = None
    failed: Exception | None = None
    try:
        done = work()
    except Exception as error:  # whatever it is, the others must not wait in vain
        failed = error
        if not isinstance(error, _StoppedError):
            peers.stop()
    reports = _reports(peers, failed)
    for rank, report in enumerate(reports):
        if report is not None and rank == peers.rank and failed is not None:
            raise failed
        if report is not None:
            raise _error_of(rank, report) from failed
    return done  # pyright: ignore[reportReturnType]


def _reports(peers: Peers, failed: Exception | None) -> list[dict[str, Any] | None]:
    """Return each process's error, None if it had none or stopped only because another failed."""
    said = None if failed is None or isinstance(failed, _StoppedError) else {"kind": type(failed).__name__, "message": str(failed)}
    try:
        return [json.loads(message) for message in peers.exchange(json.dumps(said).encode())]
    except OSError as error:
        if failed is not None and not isinstance(failed, _StoppedError):
            raise failed from error
        raise BackendError(f"Another process of this run died ({error}). Its own output says why; start all of them again.") from error


def _error_of(rank: int, report: dict[str, Any]) -> SpikeloomError:
    kind: Any = getattr(errors, str(report["kind"]), None)
    ours = isinstance(kind, type) and issubclass(kind, SpikeloomError)
    said = f"Process {rank}: {report['message']}" if ours else f"Process {rank} failed with {report['kind']}: {report['message']}"
    error: SpikeloomError = kind(said) if ours else BackendError(said)
    error.of_process = rank
    return error


def add_up(tally: Tally | StepTally | StepRates, peers: Peers) -> None:
    """Replace a tally's contents, its number of samples and its arrays of 64-bit integers, by the sums over all processes.

    Raises:
        TypeError: a field of another type; this function must be told how to sum it.
    """
    if peers.size == 1:
        return
    for name, value in sorted(vars(tally).items()):
        if name == "samples":
            tally.samples = int(peers.add(np.array([value], np.int64))[0])
        elif isinstance(value, np.ndarray) and value.dtype == np.int64:
            setattr(tally, name, peers.add(value))
        elif isinstance(value, dict) and all(isinstance(v, np.ndarray) and v.dtype == np.int64 for v in value.values()):
            setattr(tally, name, _add_all(value, peers))
        elif value is not None:
            raise TypeError(f"The field {name} of a tally, a {type(value).__name__}, cannot be added up over processes.")


def _add_all(arrays: dict[str, Int], peers: Peers) -> dict[str, Int]:
    """Sum arrays in one call."""
    if not arrays:
        return {}
    flat = peers.add(np.concatenate([a.ravel() for a in arrays.values()]))
    parts = np.split(flat, np.cumsum([a.size for a in arrays.values()])[:-1])
    return {name: p.reshape(a.shape) for (name, a), p in zip(arrays.items(), parts, strict=True)}


def gather_rows(rows: Int, start: int, total: int, peers: Peers) -> Int:
    """Return the rows of all samples in order; this process holds those from `start` on."""
    if peers.size == 1:
        return rows
    whole = np.zeros((total, *rows.shape[1:]), np.int64)
    whole[start : start + len(rows)] = rows
    return peers.add(whole)
