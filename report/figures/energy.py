"""Energy per sample by component: the dynamic one, or with `static=true` all of it."""

from __future__ import annotations

from dataclasses import dataclass

from ...checked import check_fields
from . import _bars
from .api import Drawn, Named, Page

__all__ = ["Options", "draw"]

STATIC = "static power"


@dataclass(frozen=True)
class Options:
    """Options of the figure.

    Args:
        static: whether the static power is shown, which flows whatever a network does.
    """

    static: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


def draw(runs: Named, page: Page, options: Options) -> Drawn:
    """Draw the figure."""
    if options.static:
        return _bars.draw(runs, page, _bars.Quantity("energy", "J", "energy"))
    return _bars.draw(runs, page, _bars.Quantity("dynamic energy", "J", "energy", (STATIC,)))
