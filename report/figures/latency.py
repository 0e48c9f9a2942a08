"""Time per sample by component."""

from __future__ import annotations

from . import _bars
from .api import Drawn, Named, Page

__all__ = ["draw"]


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure."""
    return _bars.draw(runs, page, _bars.Quantity("latency", "s", "latency"))
