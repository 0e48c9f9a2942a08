"""Run deployed networks: `run`, `Results`, `load_results`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends.api import BackendOptions
    from .results import Results
    from .results import load as load_results
    from .simulator import run

__all__ = ["BackendOptions", "Results", "load_results", "run"]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    from importlib import import_module

    homes = {
        "run": ("simulator", "run"),
        "Results": ("results", "Results"),
        "load_results": ("results", "load"),
        "BackendOptions": ("backends.api", "BackendOptions"),
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = homes[name]
    return getattr(import_module(f".{module}", __name__), attribute)
