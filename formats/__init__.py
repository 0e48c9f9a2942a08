"""Formats of network files. Each format is a file or a folder here, found by its name.

A format that can be read offers SUFFIXES and `read(path) -> Network`, or, with `Options` (a frozen dataclass), `read(path, options)`.
It may offer `known(path, options) -> Known`, what a file says about its samples, and REFUSED, why it has no options of other formats.
A format that can be written offers SUFFIXES and `write(network, path)`, or, with `WriteOptions`, `write(network, path, options)`; or
`write_integers(network, path)`, if it holds the integers of a compiled network.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from .. import lazy, registry

__all__ = ["found", "readers", "writers"]

KIND = "format"
if not TYPE_CHECKING:  # type checkers would accept any name from a module with __getattr__
    __getattr__, __dir__ = lazy.exports(__name__, {}, here=("found", "readers", "writers"))


def found() -> dict[str, ModuleType]:
    """Return every format by name."""
    package = sys.modules[__name__]
    return {name: registry.load(package, KIND, name) for name in registry.names(package)}


def readers() -> dict[str, ModuleType]:
    """Return the formats that are read, by name."""
    return {name: module for name, module in found().items() if hasattr(module, "SUFFIXES") and hasattr(module, "read")}


def writers() -> dict[str, ModuleType]:
    """Return the formats that are written, by name."""
    return {name: module for name, module in found().items() if hasattr(module, "write") or hasattr(module, "write_integers")}
