"""How many threads a process has, and how many a kernel's work is worth."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numba
import torch

__all__ = ["THREAD_SIZE", "held", "limit", "worth"]

THREAD_SIZE = 1 << 14  # elements worth a thread: waking one takes as long as some thousand of them, and on a busy machine far longer


@contextmanager
def worth(elements: int) -> Generator[None]:
    """Let numba's parallel kernels run on as many threads as `elements` are worth, at most those that it has now."""
    most = numba.get_num_threads()
    numba.set_num_threads(max(1, min(most, elements // THREAD_SIZE)))
    try:
        yield
    finally:
        numba.set_num_threads(most)


@contextmanager
def held(threads: int) -> Generator[None]:
    """Let torch use exactly so many threads, on which the order of its sums depends, and numba as many of them as there can be."""
    before, numbas = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.set_num_threads(before)
        numba.set_num_threads(numbas)


def limit(threads: int) -> None:
    """Let torch and numba use so many threads in this process, or as many as numba was started with if that is less."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))  # at first as many as there can be
