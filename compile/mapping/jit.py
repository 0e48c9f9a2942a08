"""Kernels are compiled where numba is there; elsewhere the same Python runs as it is, slowly.

numba counts references to every array that a kernel is given, up and down at each call and atomically. A kernel that makes no arrays
needs no counts; one that makes some is `jit_allocating`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["jit", "jit_allocating", "jit_inline"]

try:
    import numba
except ImportError:
    numba = None

Kernel = Callable[..., Any]


def jit(function: Kernel) -> Kernel:
    """Compile a kernel that makes no arrays; compiled code is kept on disk and runs without the interpreter's lock."""
    return _compiled(function, {"_nrt": False})


def jit_allocating(function: Kernel) -> Kernel:
    """Compile a kernel that makes arrays."""
    return _compiled(function, {})


def _compiled(function: Kernel, options: dict[str, Any]) -> Kernel:
    return function if numba is None else numba.njit(cache=True, nogil=True, **options)(function)


def jit_inline(function: Kernel) -> Kernel:
    """Compile a kernel into those that call it."""
    return function if numba is None else numba.njit(cache=True, nogil=True, inline="always")(function)
