"""Makes lava-nc 0.10.0 importable on Python 3.11 and later; Python 3.10, for which it was written, does not need it."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any


def repair_import() -> None:
    """Import the one module of Lava that Python 3.11 and later reject: a dataclass used as a field's default must be hashable there."""
    original: Any = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda decorated: hashable(decorated, **options)
        if cls.__module__ == "lava.magma.compiler.var_model" and not options.get("frozen"):
            options.setdefault("unsafe_hash", True)
        return original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original
