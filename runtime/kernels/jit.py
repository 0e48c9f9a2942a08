"""How kernels are compiled: without the interpreter's lock, kept on disk, and so that processes that compile at once do not mix up theirs.

numba numbers the files of a function's signatures as it finds them free: two processes that compile different ones at the same moment take
the same number, and a later one runs the wrong code. Here a file is named by what is in it. What a closure holds would make the name
another in each process, so variants of a kernel differ by their globals instead.

Every call of a kernel by a kernel would count references to its arrays up and down, atomically: a hundred nanoseconds, in which a row's
sums are done. No kernel makes arrays or keeps them, so nothing is counted, and numba refuses to compile one that makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from types import FunctionType
from typing import Any

import numba

__all__ = ["jit", "variant"]


def jit(function: Callable[..., Any]) -> Any:
    """Compile a kernel."""
    options: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
    dispatcher: Any = numba.njit(**options)(function)
    held = dispatcher._cache._cache_file  # pyright: ignore[reportPrivateUsage]

    def save(key: Any, data: Any) -> None:
        name = held._data_name(int.from_bytes(sha256(repr(key).encode()).digest()[:7], "big"))
        held._save_data(name, data)  # before the index says that it is there
        known = held._load_index()
        if known.get(key) != name:
            held._save_index(known | {key: name})

    held.save = save
    return dispatcher


def variant(function: Callable[..., Any], name: str, **names: Any) -> Any:
    """Compile a copy of a kernel, of another name, in which these global names stand for something else."""
    copy = FunctionType(function.__code__, function.__globals__ | names, name, function.__defaults__)
    copy.__qualname__ = name
    return jit(copy)
