"""Run compiled networks: `run`, `Results`, `load_results`; step by step: `session`, `Session`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .backends.api import BackendOptions
    from .results import Results
    from .results import load as load_results
    from .sessions import Session, session
    from .simulator import run

__all__ = ["BackendOptions", "Results", "Session", "load_results", "run", "session"]

if not TYPE_CHECKING:  # type checkers would accept any name from a module with __getattr__
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "BackendOptions": ".backends.api",
            "Results": ".results",
            "Session": ".sessions",
            "load_results": ".results:load",
            "run": ".simulator",
            "session": ".sessions",
        },
    )
