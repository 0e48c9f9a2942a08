"""How many threads a process has, and how many a kernel's work justifies."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numba
import torch

__all__ = ["THREAD_SIZE", "kept", "limit", "run", "suitable", "use"]

THREAD_SIZE = 1 << 14  # elements that justify a thread: waking one takes as long as a few thousand of them, far longer on a busy machine


THREAD_WORK = 1 << 25  # synapses times samples of a batch that justify one of torch's threads, which wait for each other in every operation


def run(kernel: Any, elements: int, *args: Any) -> None:
    """Call a parallel kernel on as many threads as `elements` justify, at most numba's current number; if that is 1, its form `alone`."""
    most = numba.get_num_threads()
    if most == 1:
        kernel.alone(*args)
        return
    numba.set_num_threads(max(1, min(most, elements // THREAD_SIZE)))
    try:
        kernel(*args)
    finally:
        numba.set_num_threads(most)


def suitable(work: int, most: int) -> int:
    """Return how many of torch's threads a training step is worth, 1..`most`; `work` is synapses times samples of a batch."""
    return max(1, min(most, work // THREAD_WORK))


@contextmanager
def kept() -> Generator[None]:
    """Restore the numbers of threads of torch and numba afterwards."""
    before, numbas = torch.get_num_threads(), numba.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        numba.set_num_threads(numbas)


def use(threads: int) -> None:
    """Let torch use exactly this number of threads, which the order of its sums depends on, and numba as many of these as possible."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]


def limit(threads: int) -> None:
    """Let torch and numba use this number of threads in this process, but numba no more than it was started with."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # initially the maximum
