"""Reads the pickles of CIFAR's "python" layout as data: an interpreter of the few opcodes that build what those files hold.

It can build dict, list, tuple, bytes, str, int, float, bool, None and arrays of bytes, nothing else; no object's code is found, imported
or called. The format: https://peps.python.org/pep-0307/ and the standard library's `pickletools`, which names the opcodes.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import DAMAGE, DataError

CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
RECONSTRUCT = frozenset(f"{core} _reconstruct" for core in CORES)
ALLOWED = RECONSTRUCT | {"numpy ndarray", "numpy dtype", "_codecs encode"}
BYTE_TYPES = ("u1", "|u1")
MAX_OPCODES = 5_000_000
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
VALUES = frozenset({"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"})
OLD_STRINGS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})  # Python 2's str: bytes
GETS, PUTS = frozenset({"GET", "BINGET", "LONG_BINGET"}), frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
SILENT = frozenset({"PROTO", "FRAME", "STOP"})
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Name:
    """A global that the file names; it is never looked up."""

    name: str


@dataclass
class _Made:
    """The arguments with which a global would be called, and the state it would be given."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


class _RefusedError(Exception):
    """Something that such a file does not need."""


MARK = object()


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list[Any])
    memo: dict[int, Any] = field(default_factory=dict[int, Any])
    left: int = 0  # characters that may still be encoded: as many as the file has bytes, so that a few opcodes cannot fill the memory

    def step(self, code: str, argument: Any) -> None:
        if code in CONSTANTS:
            self.stack.append(CONSTANTS[code])
        elif code in EMPTY:
            self.stack.append(EMPTY[code]())
        elif code in VALUES or code in TEXTS:
            self.stack.append(argument)
        elif code in OLD_STRINGS:
            self.stack.append(argument.encode("latin-1"))
        elif code in GETS:
            self.stack.append(self.memo[int(argument)])
        elif code in PUTS:
            self.memo[int(argument)] = self.stack[-1]
        elif code in TUPLES:
            self._tuple(TUPLES[code])
        elif code not in SILENT:
            self._rest(code, argument)

    def _rest(self, code: str, argument: Any) -> None:
        match code:
            case "MARK":
                self.stack.append(MARK)
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "POP":
                self.stack.pop()
            case "TUPLE":
                self.stack.append(tuple(self._since_mark()))
            case "LIST":
                self.stack.append(self._since_mark())
            case "DICT":
                self.stack.append(_pairs(self._since_mark()))
            case "APPEND" | "APPENDS":
                items = self._since_mark() if code == "APPENDS" else [self.stack.pop()]
                _of(self.stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._since_mark() if code == "SETITEMS" else [self.stack.pop(-2), self.stack.pop()]
                _of(self.stack[-1], dict).update(_pairs(items))
            case "GLOBAL" | "STACK_GLOBAL":
                self._name(argument)
            case "REDUCE":
                self._reduce()
            case "BUILD":
                state = self.stack.pop()
                _of(self.stack[-1], _Made).state = state
            case _:
                raise _RefusedError(f"the opcode {code}")

    def _tuple(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count or any(item is MARK for item in items):
            raise _RefusedError("a tuple of nothing")
        del self.stack[-count:]
        self.stack.append(items)

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not MARK:
            items.append(item)
        return items[::-1]

    def _name(self, argument: str | None) -> None:
        if argument is None:
            name, module = self.stack.pop(), self.stack.pop()
            argument = f"{module} {name}"
        if argument not in ALLOWED:
            raise _RefusedError(f"the object {argument[:80]!r}")
        self.stack.append(_Name(argument))

    def _reduce(self) -> None:
        arguments, name = _of(self.stack.pop(), tuple), _of(self.stack.pop(), _Name).name
        if name == "_codecs encode":  # how Python 3 writes bytes in the old protocols
            text, encoding = arguments
            if encoding != "latin1":
                raise _RefusedError(f"the encoding {encoding!r}")
            self.left -= len(_of(text, str))
            if self.left < 0:
                raise _RefusedError("the same text encoded again and again")
            self.stack.append(text.encode("latin-1"))
        else:
            self.stack.append(_Made(name, arguments))


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _RefusedError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise _RefusedError("a key without a value")
    return dict(zip(items[::2], items[1::2], strict=True))


def read(content: bytes, path: Path) -> dict[str, Any]:
    """Read a pickled dictionary; its keys are returned as text, arrays of bytes as NumPy's.

    Raises:
        DataError: truncated, or holding anything else; the message names it. Nothing of the file is ever executed.
    """
    machine = _Machine(left=len(content))
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number >= MAX_OPCODES:
                raise _RefusedError(f"more than {MAX_OPCODES} opcodes")
            machine.step(opcode.name, argument)
        found = cast("dict[Any, Any]", _of(machine.stack.pop(), dict))
        return {_key(key): _array(value) if isinstance(value, _Made) else value for key, value in found.items()}
    except _RefusedError as error:
        raise DataError(
            f"{path} contains {error}, which CIFAR's files do not; nothing in it was executed. Get it again, or use the binary layout."
        ) from error
    except DAMAGE as error:
        raise DataError(f"{path} is truncated or damaged: {error}; it must be a pickled dictionary of CIFAR. Get it again.") from error


def _key(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else cast(str, _of(key, str))


def _array(made: _Made) -> NDArray[np.uint8]:
    """Build an array of bytes from NumPy's state (version, shape, dtype, whether columns come first, bytes)."""
    if made.name not in RECONSTRUCT:
        raise _RefusedError(f"the object {made.name!r}")
    _, shape, kind, fortran, content = _of(made.state, tuple)
    if _of(kind, _Made).name != "numpy dtype" or _text(kind.arguments[0]) not in BYTE_TYPES or fortran:
        raise _RefusedError("an array that is not of bytes, row by row")
    return np.frombuffer(_of(content, bytes), np.uint8).reshape(tuple(int(extent) for extent in _of(shape, tuple)))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
