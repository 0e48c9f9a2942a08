"""Discovery by file name: a pruning rule, data set, network, reader, pass, target or backend is one file in its folder.

Folders that the environment variable SPIKELOOM_PARTS names, separated as in PATH, add to those of the package: a file
`train/methods/mine.py` in one of them is found like a built-in one, and imports like one (`from ..layers import SpikingNetwork`).

A module may have its own options: a frozen dataclass called `Options`, which `options_of` builds from names and values.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import UsageError, unknown_name

Built = TypeVar("Built")
API = "api"  # what the modules of a package build on
LONGEST = 200  # characters of a value in a message
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def names(package: ModuleType) -> list[str]:
    """List a package's plug-ins: its modules' names with `_` written as `-`, without `api` and names that start with `_`.

    Nothing is imported, so listing is cheap.
    """
    _add_places(package)
    found = pkgutil.iter_modules(package.__path__)
    return sorted(m.name.replace("_", "-") for m in found if not m.name.startswith("_") and m.name != API)


def _add_places(package: ModuleType) -> None:
    """Let Python search the user's folders for the package's modules, too; built-in names take precedence."""
    for folder in filter(None, os.environ.get("SPIKELOOM_PARTS", "").split(os.pathsep)):
        place = str(Path(folder).resolve().joinpath(*package.__name__.split(".")[1:]))
        if place not in package.__path__ and Path(place).is_dir():
            package.__path__.append(place)


def check(package: ModuleType, kind: str, name: str) -> None:
    """Look a name up, without importing its module.

    Raises:
        UsageError: there is none; the message lists the nearest names.
    """
    known = names(package)
    if name not in known:
        raise unknown_name(kind, name, known)


def load(package: ModuleType, kind: str, name: str) -> ModuleType:
    """Import the module of `package` called `name`.

    Raises:
        UsageError: there is none; the message lists the nearest names.
    """
    check(package, kind, name)
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


def options_of(module: ModuleType, given: Mapping[str, Any], what: str, called: str = "Options") -> Any:
    """Build a module's `Options` from `given`, defaults for the rest; None where the module has none and none are given.

    Args:
        module: a method, network, data set, ...; its `Options`, if any, is a dataclass.
        given: values by name. Text, as it comes from a command line, is read as the field's type: bool, int, float, str, a tuple
            ("400,200") of those, a Literal, or a union of them with None ("none").
        what: what the messages call the module, e.g. "the method grad-r".
        called: the dataclass's name; a format that is written has `WriteOptions`.

    Raises:
        UsageError: an unknown option (the message names the nearest), or a value of the wrong type; also whatever the
            module's own checks raise.
    """
    kind = getattr(module, called, None)
    if kind is None:
        if given:
            raise UsageError(f"{_capital(what)} has no options, but {', '.join(given)} was given. Leave it out.")
        return None
    return build(kind, given, what)


def build(kind: type[Built], given: Mapping[str, Any], what: str) -> Built:
    """Build a dataclass from values by name, text read as each field's type; see `options_of`.

    Raises:
        UsageError: a name that is not one of its fields, or a value of the wrong type; also whatever its own checks raise.
    """
    hints = get_type_hints(kind)
    fields = [f.name for f in dataclasses.fields(cast(Any, kind)) if f.init]
    for name in given:
        if name not in fields:
            raise unknown_name(f"option of {what}", name, fields)
    return kind(**{name: _typed(value, hints[name], f"{name} of {what}") for name, value in given.items()})


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _typed(value: Any, hint: Any, what: str) -> Any:
    """Return `value` as the type `hint`, read from text where it is text."""
    try:
        return _read(value, hint)
    except (TypeError, ValueError):
        raise UsageError(f"{what} is {shown(value)}; it must be {described(hint)}.") from None


def shown(value: Any) -> str:
    """Return a value for a message; Python refuses to write whole numbers of more than 4,300 digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _read(value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(value, get_args(hint))
    if origin is Literal:
        return _read_choice(value, get_args(hint))
    if origin is Mapping:
        return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else _refuse()
    if origin is tuple:
        return _read_tuple(value, get_args(hint))
    return _read_plain(value, hint)


def _refuse() -> Any:
    raise ValueError


def _read_choice(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if (type(value) is type(choice) and value == choice) or (isinstance(value, str) and value == str(choice)):
            return choice
    raise ValueError


def _read_union(value: Any, members: tuple[Any, ...]) -> Any:
    """Use the first member that fits; None, and the text "none", take precedence."""
    if type(None) in members and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    for member in sorted(members, key=lambda m: m is str):  # text fits everything, so it comes last
        if member is not type(None):
            try:
                return _read(value, member)
            except (TypeError, ValueError):
                continue
    raise ValueError


def _read_tuple(value: Any, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str):
        parts: list[Any] = [part.strip() for part in value.split(",") if part.strip()]
    else:
        parts = list(cast("list[Any]", value)) if isinstance(value, list | tuple) else [value]
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(_read(part, members[0]) for part in parts)
    if len(parts) != len(members):
        raise ValueError
    return tuple(_read(part, member) for part, member in zip(parts, members, strict=True))


def _read_plain(value: Any, hint: Any) -> Any:
    if hint is bool:
        if isinstance(value, str):
            return _read_bool(value)
        return value if isinstance(value, bool) else _refuse()
    if hint is str:
        return value if isinstance(value, str) else _refuse()
    if hint in (int, float):
        return _read_number(value, hint)
    return value if isinstance(value, hint) else _refuse()


def _read_number(value: Any, hint: type[int] | type[float]) -> Any:
    allowed = (str, int) if hint is int else (str, int, float)
    if not isinstance(value, allowed) or isinstance(value, bool):
        return _refuse()
    try:
        return hint(value)
    except OverflowError:  # a whole number that no double holds
        return _refuse()


def _read_bool(text: str) -> bool:
    word = text.strip().lower()
    return word in TRUE if word in TRUE + FALSE else cast(bool, _refuse())


def whole(value: Any) -> int | None:
    """Return a whole number given as a number or as text; None if it is not one, which is left to the option's own check."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()) else None


def described(hint: Any) -> str:
    """Name a type for a message, in words: "a whole number or none"."""
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(described(m) for m in members)
    if origin is Literal:
        return " or ".join(repr(m) for m in members)
    if origin is tuple:
        several = len(members) == 2 and members[1] is Ellipsis
        if several:
            return f"{described(members[0])}, or several with commas"
        return f"({', '.join(described(m) for m in members)})"
    if origin is Mapping:
        return "names with values"
    plain: dict[Any, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        type(None): "none",
        Any: "anything",
    }
    plain[Callable] = "a function"
    kind = origin or hint
    return plain.get(kind, getattr(kind, "__name__", str(kind)))
