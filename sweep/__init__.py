"""Grids of methods, sparsities and seeds: trained, compiled, run, drawn. It stands above all rooms, since it needs them all."""

from .grid import Cell, Grid, sweep

__all__ = ["Cell", "Grid", "sweep"]
