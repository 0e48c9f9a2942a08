"""Kernels are compiled where numba is there; elsewhere the same Python runs as it is, slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["jit", "jit_inline"]

try:
    import numba
except ImportError:
    numba = None

Kernel = Callable[..., Any]


def jit(function: Kernel) -> Kernel:
    """Compile a kernel; compiled code is kept on disk and runs without the interpreter's lock."""
    return function if numba is None else numba.njit(cache=True, nogil=True)(function)


def jit_inline(function: Kernel) -> Kernel:
    """Compile a kernel into those that call it."""
    return function if numba is None else numba.njit(cache=True, nogil=True, inline="always")(function)
