"""Run compiled networks: `run`, `Results`, `load_results`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .backends.api import BackendOptions
    from .results import Results
    from .results import load as load_results
    from .simulator import run

__all__ = ["BackendOptions", "Results", "load_results", "run"]

if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "BackendOptions": ".backends.api",
            "Results": ".results",
            "load_results": ".results:load",
            "run": ".simulator",
        },
    )
