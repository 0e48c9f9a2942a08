"""Accuracy against connectivity: the share of the trained weights that are left."""

from __future__ import annotations

from . import _against
from .api import Drawn, Named, Page

__all__ = ["draw"]

COST = _against.Cost("connectivity", "connectivity: weights left, of all", lambda value: f"{100 * value:.3g} %")


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure."""
    return _against.draw(runs, page, COST)
