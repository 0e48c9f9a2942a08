"""Errors in a chip file, located by line: where a key is in a TOML text, and what was expected there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Key = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def lines(text: str) -> dict[Key, int]:
    """Return the line, from 1, of every table and key of a TOML text, by its path; the n-th table of an array has n in its path.

    Keys of inline tables and arrays are not listed: the line of the enclosing key is used for them.
    """
    found: dict[Key, int] = {(): 1}
    table: Key = ()
    counts: dict[Key, int] = {}
    inside = ""  # the quotes of a multi-line string
    for number, line in enumerate(text.split("\n"), 1):
        if inside:
            inside = "" if inside in line else inside
            continue
        if header := _HEADER.match(line):
            path = _anchored(_split(header.group(2)), counts)
            if header.group(1) == "[[":
                counts[path] = counts.get(path, -1) + 1
                found.setdefault(path, number)
                path = (*path, counts[path])
            table = path
            found[table] = number
        elif assignment := _ASSIGNMENT.match(line):
            found.setdefault((*table, *_split(assignment.group(1))), number)
            inside = next((q for q in ('"""', "'''") if line.count(q) == 1), "")
    return found


def _split(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[^.]+", dotted))


def _anchored(path: Key, counts: dict[Key, int]) -> Key:
    """Return a header's path, with the number of the latest table wherever it passes through an array of tables."""
    full: Key = ()
    for part in path[:-1]:
        full = (*full, part)
        if full in counts:
            full = (*full, counts[full])
    return (*full, *path[-1:])


def line_of(found: dict[Key, int], path: Sequence[str | int]) -> int:
    """Return the line of a key, or of the nearest table that contains it."""
    key = tuple(path)
    while key not in found:
        key = key[:-1]
    return found[key]


def faults(error: ValidationError, text: str, where: str, schema: type[BaseModel], most: int = 5) -> str:
    """Return the errors found by a schema, one sentence each: file, line, key, value, and what it must be."""
    found, wrong = lines(text), _own_faults(error)
    said = [_fault(one, found, where, schema) for one in wrong[:most]]
    more = len(wrong) - most
    return " ".join(said) + (f" And {more} more." if more > 0 else "")


def _own_faults(error: ValidationError) -> list[Any]:
    """Leave out lists that are too short only because one of their items is wrong, which is already reported."""
    wrong: list[Any] = list(error.errors())
    within = {tuple(one["loc"][:depth]) for one in wrong for depth in range(len(one["loc"]))}
    return [one for one in wrong if one["type"] != "too_short" or tuple(one["loc"]) not in within]


def _fault(one: Any, found: dict[Key, int], where: str, schema: type[BaseModel]) -> str:
    path: Key = tuple(one["loc"])
    name, place = ".".join(map(str, path)) or "the file", f"{where} line {line_of(found, path)}"
    if one["type"] == "missing":
        return f"{place}: {name} is missing."
    if one["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _known(schema, path[:-1]), 1)
        return f"{place}: there is no key {name}." + (f" Did you mean {near[0]}?" if near else "")
    expected = one.get("ctx", {}).get("expected")
    if expected is not None:
        return f"{place}: {name} is {one['input']!r}; it must be {expected}."
    given = "" if isinstance(one["input"], (dict, list)) else f" is {one['input']!r}"
    return f"{place}: {name}{given}: {one['msg'].removeprefix('Value error, ')}."


def _known(schema: Any, path: Key) -> list[str]:
    """Return the keys of the schema at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        one = schema.model_fields.get(str(part)) if isinstance(schema, type) and issubclass(schema, BaseModel) else None
        schema = _model_of(one.annotation) if one is not None else None
    return list(schema.model_fields) if isinstance(schema, type) and issubclass(schema, BaseModel) else []


def _model_of(annotation: Any) -> Any:
    """Return the model within an annotation such as `System | None` or `tuple[SynapseFormat, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_of, getattr(annotation, "__args__", ())) if m is not None), None)
