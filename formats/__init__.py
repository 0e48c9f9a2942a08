"""Formats of networks, a file or a folder each, found by its name.

A format that is read has SUFFIXES and `read(path) -> Network`; with `Options`, a frozen dataclass, `read(path, options)`; with
`known(path, options) -> Known`, what a file says of its samples; REFUSED says of options that other formats have why this one does not.
A format that is written has SUFFIXES and `write(network, path)`; with `WriteOptions`, `write(network, path, options)`; or
`write_integers(network, path)`, where it holds a deployed network's integers.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from .. import lazy, registry

__all__ = ["found", "readers", "writers"]

KIND = "format"
if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
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
