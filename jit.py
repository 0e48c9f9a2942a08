"""How kernels are compiled: the one place that calls numba's compiler. Without numba, kernels run as plain Python.

Compiled code is kept on disk (beside the sources, or where NUMBA_CACHE_DIR says). numba reuses it as long as the file of the
function itself is unchanged, even if functions compiled into it have changed. Here it is reused only if everything that it was made of
is the same: the source file and the code of the function and of all that it reaches (kernels, intrinsics and their helpers, in any file),
and the values of the globals and closures that they read, which a compiled function has built in. Whatever has changed is compiled again
and the old files of that function are deleted, so that they do not pile up; only those of a function that was renamed stay.

numba also gives the file of each of a function's signatures the next free number: two processes that compile different ones at the same
time take the same number, and a later process runs the wrong code. Here a file is named by its content. A file that is damaged or cannot
be written counts as missing.

numba counts references to every array that a kernel is given, up and down at each call and atomically: a hundred nanoseconds. A kernel
that makes no arrays and keeps none needs no counts: it uses `jit`, with which numba refuses to compile kernels that make arrays. Those
use `jit_allocating`. All run without the interpreter's lock.

A fifth of the time that compiling takes goes into the code by which Python, or C, calls a kernel. No kernel here has the code for C, and
those that only other kernels call use `jit_inner`, which leaves out that for Python.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["compiling_seconds", "has_code", "jit", "jit_allocating", "jit_inline", "jit_inner", "jit_parallel", "prange", "variant"]

try:
    import numba
    from numba.core import caching, event
except ImportError:
    numba = None
    caching: Any = None
    event: Any = None

Kernel = Callable[..., Any]
PACKAGE = __name__.rpartition(".")[0]
_DAMAGES = (OSError, EOFError, ValueError, TypeError, AttributeError, ImportError, IndexError, KeyError)
DAMAGED = _DAMAGES if numba is None else (*_DAMAGES, caching.pickle.UnpicklingError)  # numba pickles its code; ours does not use pickle
VARIABLE = "SPIKELOOM_KERNELS"
"""The environment variable that names a form of the native simulator's kernels, see `runtime.native.kernels.choose`. Code that is compiled
while it is set has its own files, so that switching between forms recompiles nothing."""
prange: Any = range if numba is None else numba.prange


def jit(function: Kernel) -> Any:
    """Compile a kernel that makes no arrays."""
    return _compiled(function, _nrt=False)


def jit_allocating(function: Kernel) -> Any:
    """Compile a kernel that makes arrays."""
    return _compiled(function)


def jit_inner(function: Kernel) -> Any:
    """Compile a kernel that makes no arrays and is called by other kernels only: a call from Python raises TypeError."""
    dispatcher = _compiled(function, _nrt=False, no_cpython_wrapper=True)
    if numba is not None:

        def add(compiled: Any) -> None:
            dispatcher.overloads[tuple(compiled.signature.args)] = compiled  # not among those that a call from Python finds

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise TypeError(f"{function.__qualname__} is called by compiled kernels only; from Python, call its `py_func`.")

        dispatcher.add_overload, dispatcher._compile_for_args = add, refuse
    return dispatcher


def jit_inline(function: Kernel) -> Any:
    """Compile a kernel into those that call it."""
    return _compiled(function, inline="always")


def jit_parallel(function: Kernel) -> Any:
    """Compile a kernel whose loops over `prange` are shared out among numba's threads.

    Its attribute `alone` is the same kernel for one thread: the same bits, compiled in a third of the time.
    """
    kernel = _compiled(function, parallel=True)
    if numba is not None:
        copy = FunctionType(function.__code__, function.__globals__, f"{function.__name__}_alone", function.__defaults__)
        copy.__qualname__, copy.__module__ = f"{function.__qualname__}_alone", function.__module__
        kernel.alone = _compiled(copy)
    return kernel


def has_code(kernel: Any) -> bool:
    """Return whether a kernel was compiled before, in this process or an earlier one, so that calling it need not wait for the compiler."""
    if numba is None:
        return False
    if kernel.signatures:
        return True
    files = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if files is None:
        return False
    files.stamp()
    return bool(files._load_index())


def compiling_seconds() -> float:
    """Return how long this process has waited for numba's compiler so far, in seconds."""
    return _clock.seconds if numba is not None else 0.0


def variant(function: Kernel, name: str, **names: Any) -> Any:
    """Compile a copy of a kernel that makes no arrays, under another name, in which these global names refer to something else."""
    copy = FunctionType(function.__code__, function.__globals__ | names, name, function.__defaults__)
    copy.__qualname__ = name
    return jit(copy)


def _compiled(function: Kernel, **options: Any) -> Any:
    if numba is None:
        return function
    decorator: Any = numba.njit
    dispatcher = decorator(nogil=True, no_cfunc_wrapper=True, **options)(function)
    with suppress(RuntimeError):  # no folder can hold compiled code
        dispatcher._cache = _kept(function, repr(sorted(options.items())))
    return dispatcher


def _kept(function: Any, options: str) -> Any:
    """Return numba's cache of a function, with our files in place of its own."""
    found: Any = caching.FunctionCache(function)
    _digest_of_file(function.__code__.co_filename)  # now: it may be edited before the function is called
    found._cache_file = _files(found.cache_path, function, options)
    return found


if numba is not None:

    class _Clock(event.Listener):
        """Adds up the time from the first of nested compilations to its end; numba compiles in one thread at a time."""

        def __init__(self) -> None:
            self.seconds, self.begun, self.depth = 0.0, 0.0, 0

        def on_start(self, event: Any) -> None:
            """Begin, unless within another compilation."""
            del event
            if self.depth == 0:
                self.begun = time.perf_counter()
            self.depth += 1

        def on_end(self, event: Any) -> None:
            """End the outermost."""
            del event
            self.depth -= 1
            if self.depth == 0:
                self.seconds += time.perf_counter() - self.begun

    _clock = _Clock()
    event.register("numba:compile", _clock)

    class _Files(caching.IndexDataCacheFile):
        """The files of one function: an index of its signatures, stamped with what the function was made of, and a file for each."""

        def __init__(self, folder: str, base: str, function: Any, options: str) -> None:
            super().__init__(cache_path=folder, filename_base=base, source_stamp=None)
            self.base, self.function, self.options, self.stamped = base, function, options, False

        def stamp(self) -> None:
            """Compute the function's digest once, when code is first requested: everything that it calls is defined by then."""
            if not self.stamped:
                self._source_stamp, self.stamped = made_of(self.function, self.options), True

        def load(self, key: Any) -> Any:
            """Return the compiled code of a signature, or None."""
            self.stamp()
            try:
                return super().load(key)
            except DAMAGED:
                return None

        def _load_index(self) -> dict[Any, str]:
            try:
                return super()._load_index()
            except DAMAGED:
                return {}

        def save(self, key: Any, data: Any) -> None:
            """Keep the compiled code of a signature."""
            self.stamp()
            content = f"{self._source_stamp} {key!r}"
            name = self._data_name(int.from_bytes(hashlib.sha256(content.encode()).digest()[:7], "big"))
            with suppress(OSError):
                self._save_data(name, data)  # before the index says that it is there
                known = self._load_index()
                if not known:
                    self._forget(name)
                if known.get(key) != name:
                    self._save_index(known | {key: name})

        def _forget(self, kept: str) -> None:
            """Delete all but one of the function's files: they were made from other code. A process that still needs one recompiles it."""
            pattern = re.compile(re.escape(self.base) + r"\.\d+\.nbc")
            for path in Path(self._cache_path).iterdir():
                if path.name != kept and pattern.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def _files(folder: str, function: Any, options: str) -> Any:
    name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}".replace("<", "").replace(">", "")
    chosen = re.sub(r"\W", "", os.environ.get(VARIABLE, ""))
    return _Files(folder, f"{name}.{sys.implementation.cache_tag}{sys.abiflags}{'-' * bool(chosen)}{chosen}", function, options)


# --- What a function is made of --------------------------------------------------------------------------------------------------


def made_of(function: Any, options: str = "") -> str:
    """Return a digest of the sources, code and constants of a function and of all functions of its package and ours that it reaches."""
    roots = frozenset({PACKAGE, function.__module__.partition(".")[0]})
    seen, left = set[int](), [function]
    parts = {f"options {options}", _digest_of_file(__file__)}
    while left:
        value = _function_in(left.pop())
        if id(value) not in seen and _belongs(value, roots):
            seen.add(id(value))
            texts, members = _of_one(value, roots)
            parts |= texts
            left += members
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


@cache
def _of_one(value: Any, roots: frozenset[str]) -> tuple[frozenset[str], tuple[Any, ...]]:
    """Describe what one function or class is made of; return the description and the objects that it reads."""
    if isinstance(value, type):
        return frozenset({_file_of(value)}), tuple(v for v in vars(value).values() if isinstance(v, FunctionType))
    texts, members = {_file_of(value), _digest_of_code(value.__code__)}, list[Any]()
    for name, read in _reads(value, roots):
        texts.add(f"{value.__module__}.{value.__qualname__} {name} {_text(read)}")
        members += _members(read)
    return frozenset(texts), tuple(members)


def _function_in(value: Any) -> Any:
    """Return the Python function that a dispatcher or an intrinsic of numba's was made of; anything else as it is."""
    if isinstance(value, FunctionType | type):
        return value
    return getattr(value, "py_func", None) or getattr(value, "_defn", None) or value


def _belongs(value: Any, roots: frozenset[str]) -> bool:
    return isinstance(value, FunctionType | type) and str(value.__module__).partition(".")[0] in roots


def _reads(function: FunctionType, roots: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Yield the globals, closures and defaults that a function reads, by name; for our own modules, the attributes that it may read."""
    names, known = _names(function.__code__), function.__globals__
    for name in names:
        if name not in known:
            continue
        value = known[name]
        if not isinstance(value, ModuleType):
            yield name, value
        elif value.__name__.partition(".")[0] in roots:
            yield from ((f"{name}.{n}", vars(value)[n]) for n in names if n in vars(value))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is still empty
            yield name, cell.cell_contents
    yield from ((f"default {i}", value) for i, value in enumerate(function.__defaults__ or ()))


def _members(value: Any) -> list[Any]:
    """Return a value, or what is in it if it is a collection."""
    if isinstance(value, dict):
        return [m for v in value.values() for m in _members(v)]
    return [m for v in value for m in _members(v)] if isinstance(value, tuple | list | set | frozenset) else [value]


def _text(value: Any) -> str:
    """Write a constant so that the same one is written the same in every process; other things by their type."""
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{_text(k)}:{_text(v)}' for k, v in value.items()))}}}"
    if isinstance(value, tuple | list | set | frozenset):
        texts = [_text(v) for v in value]
        return ",".join(("(", *(texts if isinstance(value, tuple | list) else sorted(texts)), ")"))
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):  # of NumPy
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, CodeType):
        return _digest_of_code(value)
    return repr(value) if value is None or isinstance(value, bool | int | float | complex | str | bytes) else type(value).__name__


@cache
def _names(code: CodeType) -> frozenset[str]:
    """Return the names that code reads or may read, that of functions and comprehensions within it included."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset(code.co_names).union(*inner)


@cache
def _digest_of_code(code: CodeType) -> str:
    constants = _text(code.co_consts)
    text = f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {code.co_flags} {constants}"
    return hashlib.sha256(text.encode()).hexdigest()


def _file_of(value: Any) -> str:
    """Name the file that a function or class comes from, with its digest."""
    path = value.__code__.co_filename if isinstance(value, FunctionType) else getattr(sys.modules.get(value.__module__), "__file__", None)
    return f"{value.__module__} {_digest_of_file(path or '')}"


@cache
def _digest_of_file(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # typed in at a prompt, or in an archive: its code is known all the same
        return ""
