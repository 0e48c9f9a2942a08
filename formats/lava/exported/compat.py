"""Makes lava-nc 0.10.0 importable where it is not: on Python 3.11 and later, and after other code chose how processes start."""

from __future__ import annotations

import dataclasses
import importlib
import multiprocessing
from typing import Any


def repair_import() -> None:
    """Import the two modules of Lava that may fail; all others follow without help.

    A dataclass that is used as a field's default must be hashable from Python 3.11 on. And Lava sets the start method of processes to
    "fork" at its import, which Python refuses if it was set before, even to "fork".
    """
    dataclass: Any = dataclasses.dataclass
    set_start_method: Any = multiprocessing.set_start_method

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda decorated: hashable(decorated, **options)
        if cls.__module__ == "lava.magma.compiler.var_model" and not options.get("frozen"):
            options.setdefault("unsafe_hash", True)
        return dataclass(cls, **options)

    def unless_set(method: Any) -> None:
        if multiprocessing.get_start_method(allow_none=True) != method:
            set_start_method(method)

    dataclasses.dataclass = hashable
    multiprocessing.set_start_method = unless_set  # pyright: ignore[reportAttributeAccessIssue]
    try:
        importlib.import_module("lava.magma.compiler.var_model")
        importlib.import_module("lava.magma.runtime.message_infrastructure.multiprocessing")
    finally:
        dataclasses.dataclass = dataclass
        multiprocessing.set_start_method = set_start_method
