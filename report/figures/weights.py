"""The weights of each projection before quantisation and as deployed: shares of the weights per bin, zero weights left out."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...errors import UsageError
from ..colours import COMPONENTS
from ..document import Histogram
from ..format import count, shorten
from .api import DIM, GRID, Drawn, Named, Page, axes, legend, one_run

__all__ = ["draw"]

MOST = 12
AFTER, BEFORE = COMPONENTS["c1"].light, COMPONENTS["c2"].light


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure.

    Raises:
        UsageError: several runs, no weights known, or more than `MOST` projections.
    """
    name, results = one_run(runs, "weights")
    found = results.weights.rows if results.weights else []
    if not found:
        raise UsageError(f"{name} holds no histograms of weights. Run the network again with spikeloom run.")
    if len(found) > MOST:
        raise UsageError(f"{name} has {len(found)} projections with weights, and this figure shows at most {MOST}.")
    across = min(len(found), 2 if page.width < 4 else 3)
    down = math.ceil(len(found) / across)
    figure, panels = axes(page, 0.4 + 1.5 * down, down, across)
    several = len({row.layer for row in found}) < len(found)
    for panel, row in zip(panels, found, strict=False):
        _panel(panel, row, row.projection if several else row.layer)
    for panel in panels[len(found) :]:
        panel.set_visible(False)
    for index in range(0, len(found), across):
        panels[index].set_ylabel("weights per bin, %")
    handles = [Line2D([], [], color=BEFORE, label="before quantisation"), Patch(color=AFTER, label="deployed integers")]
    legend(figure, handles if any(row.before for row in found) else handles[1:])
    return figure


def _panel(panel: Axes, row: Histogram, name: str) -> None:
    edges = row.first + row.width * np.arange(len(row.after) + 1)
    panel.stairs(_shares(row.after), edges, fill=True, color=AFTER, linewidth=0)
    if row.before is not None:
        panel.stairs(_shares(row.before), edges, color=BEFORE, linewidth=0.9)
    reach = max(abs(float(row.largest_after)), abs(float(row.largest_before or 0)), row.width)
    panel.set_xlim(-1.05 * reach, 1.05 * reach)
    panel.set_title(f"{shorten(name, 24)}, {row.bits} bits\n{count(row.weights_after)} weights", loc="left", fontsize=7, color=DIM, pad=3)
    panel.set_xlabel("weight")
    panel.locator_params(axis="x", nbins=4)
    panel.grid(axis="y", color=GRID, linewidth=0.5)


def _shares(counts: list[int]) -> list[float]:
    """Return each bin's share of all, in per cent."""
    whole = max(1, sum(counts))
    return [100 * value / whole for value in counts]
