"""Refuses wrong types where a user passes them: `checked` validates the arguments of a public function against its annotations.

    @checked(source="Name a run folder, a model.onnx or a model.nir.")
    def compile_network(source: Network | Path | str, *, target: str = "lava") -> DeployedNetwork:

A call with a wrong type raises a UsageError that names the argument, what it got, what it accepts and a way out; values within a type
are left to the function. A dataclass calls `check_fields(self)` when it is made. Protocols, tuples and mappings are checked by
their members, arrays only for being arrays; NumPy's numbers pass for Python's.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import UsageError
from .registry import described, shown

__all__ = ["WAYS", "check_fields", "checked", "fits"]

P = ParamSpec("P")
R = TypeVar("R")
WAYS = "__ways_out__"  # the attribute that marks a checked function
PYTHONS = ("__call__", "__getitem__", "__len__")
NUMBERS: dict[Any, type[Any]] = {int: numbers.Integral, float: numbers.Real}
UNIONS = (Union, types.UnionType)


def checked(**ways_out: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that checks a function's arguments against its annotations.

    Args:
        ways_out: by argument, what to do instead of passing a wrong type; by default a link to the function's help.

    Raises (from the decorated function):
        UsageError: an argument of another type.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            hints = _hints(function)
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                if name in hints and not fits(value, hints[name]):
                    raise _wrong(name, value, hints[name], function.__name__, ways_out.get(name, _help(function)))
            return function(*args, **kwargs)

        setattr(call, WAYS, ways_out)
        return call

    return decorate


def check_fields(made: Any) -> None:
    """Check the fields of a dataclass against their annotations.

    Raises:
        UsageError: a field of another type.
    """
    kind = cast("type[Any]", type(made))
    hints = _hints(kind)
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if not fits(value, hints[field.name]):
            raise _wrong(field.name, value, hints[field.name], kind.__name__, _help(kind))


def _help(what: Any) -> str:
    name = f"{what.__module__}.{what.__qualname__}"
    return f"See help({name})."


def _wrong(name: str, value: object, hint: Any, taker: str, way_out: str) -> UsageError:
    kind = type(value)
    if value is None:
        got = "None"
    elif isinstance(value, str | bytes | int | float | complex):
        got = f"{shown(value)} ({kind.__name__})"
    else:  # its repr may fill a page
        got = f"a value of the type {kind.__module__}.{kind.__qualname__}".replace(" builtins.", " ")
    return UsageError(f"{name} is {got}; {taker} takes {described(hint)}. {way_out}")


@functools.cache
def _hints(what: Any) -> dict[str, Any]:
    found = get_type_hints(what)
    return {name: hint for name, hint in found.items() if name != "return"}


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type, as far as can be told without changing or reading through it."""
    origin, members = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in UNIONS:
        return any(fits(value, member) for member in members)
    if origin is Literal:  # whether it is one of the choices is left to the function, which knows the nearest
        return any(type(value) is type(choice) for choice in members)
    return _fits_container(value, origin or hint, members)


def _fits_container(value: object, kind: Any, members: tuple[Any, ...]) -> bool:
    if kind is tuple:
        return _fits_tuple(value, members)
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return isinstance(value, Mapping) and _all_fit(cast("Mapping[object, object]", value), members)
    if kind is Callable:
        return callable(value)
    if kind is Sequence and members == (str,):  # of other members reading one may take long
        return isinstance(value, Sequence) and all(isinstance(v, str) for v in cast("Sequence[object]", value))
    return _fits_plain(value, kind)


def _fits_tuple(value: object, members: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple | list):
        return False
    held = tuple(cast("Iterable[object]", value))
    if len(members) == 2 and members[1] is Ellipsis:
        return all(fits(v, members[0]) for v in held)
    return len(held) == len(members) and all(map(fits, held, members))


def _all_fit(value: Mapping[object, object], members: tuple[Any, ...]) -> bool:
    return not members or all(fits(k, members[0]) and fits(v, members[1]) for k, v in value.items())


def _fits_plain(value: object, kind: Any) -> bool:
    if isinstance(value, bool) and kind in NUMBERS:  # bool is an int in Python
        return False
    if getattr(kind, "_is_protocol", False):
        return all(_has(value, name) for name in _members(kind))
    wanted: Any = NUMBERS.get(kind, kind)
    return isinstance(value, wanted)


@functools.cache
def _members(protocol: type[Any]) -> tuple[str, ...]:
    """Return what a Protocol requires: methods, properties, attributes, and of the dunder methods those in PYTHONS."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    names = {name for base in bases for name in (*vars(base), *inspect.get_annotations(base))}
    return tuple(sorted(name for name in names if not name.startswith("_") or name in PYTHONS))


def _has(value: object, name: str) -> bool:
    """Whether a value has an attribute, without computing a property of its class."""
    if name == "__call__":  # every class has it, as calling a class makes its instances
        return callable(value)
    return hasattr(type(value), name) or hasattr(value, name)
