"""How many threads a process has, and how many a kernel's work justifies."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numba
import torch

__all__ = ["THREAD_SIZE", "held", "limit", "worth"]

THREAD_SIZE = 1 << 14  # elements that justify a thread: waking one takes as long as a few thousand of them, far longer on a busy machine


@contextmanager
def worth(elements: int) -> Generator[None]:
    """Let numba's parallel kernels run on as many threads as `elements` justify, at most its current number."""
    most = numba.get_num_threads()
    numba.set_num_threads(max(1, min(most, elements // THREAD_SIZE)))
    try:
        yield
    finally:
        numba.set_num_threads(most)


@contextmanager
def held(threads: int) -> Generator[None]:
    """Let torch use exactly this number of threads, which the order of its sums depends on, and numba as many of these as possible."""
    before, numbas = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.set_num_threads(before)
        numba.set_num_threads(numbas)


def limit(threads: int) -> None:
    """Let torch and numba use this number of threads in this process, but numba no more than it was started with."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # initially the maximum
