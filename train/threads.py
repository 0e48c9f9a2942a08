"""How many threads a kernel's work is worth."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numba

__all__ = ["THREAD_SIZE", "worth"]

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
