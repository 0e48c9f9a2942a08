"""The time of the work alone: without imports, which come first, and without compiling kernels, which is timed separately."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Clock"]

JIT = f"{__name__.rpartition('.runtime')[0]}.jit"


class Clock:
    """Adds up the seconds spent within it: `working`, and `compiling` kernels."""

    def __init__(self) -> None:
        self.working = self.compiling = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        self._begun, self._compiled = time.perf_counter(), _compiling()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End, and add the elapsed time."""
        compiling = _compiling() - self._compiled
        self.compiling += compiling
        self.working += max(time.perf_counter() - self._begun - compiling, 1e-9)


def _compiling() -> float:
    """Return what `jit` has counted; importing it here would import numba."""
    jit = sys.modules.get(JIT)
    return 0.0 if jit is None else jit.compiling_seconds()
