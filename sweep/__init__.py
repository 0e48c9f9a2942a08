"""Grids of methods, sparsities and seeds: train, compile, run and plot every cell (`Grid`, `sweep`); one run again (`repeat`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from .again import Repeated, repeat
    from .grid import Cell, Grid, sweep

__all__ = ["Cell", "Grid", "Repeated", "repeat", "sweep"]

if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Cell": ".grid",
            "Grid": ".grid",
            "sweep": ".grid",
            "Repeated": ".again",
            "repeat": ".again",
        },
    )
