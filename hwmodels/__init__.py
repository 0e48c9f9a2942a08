"""Models of chips: limits, energy and time, each number with its source (`load`, `names`, `Chip`), and the chips' integer arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from . import fixed_point
    from .chip import Chip, load, names

__all__ = ["Chip", "fixed_point", "load", "names"]

if not TYPE_CHECKING:  # type checkers assume that a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Chip": ".chip",
            "fixed_point": ".fixed_point:",
            "load": ".chip",
            "names": ".chip",
        },
    )
