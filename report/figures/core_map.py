"""The chips from above: tiles and cores, coloured by the limit that each core is closest to."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Rectangle

from ...errors import UsageError
from .. import core_map
from ..format import count, shorten
from .api import DIM, INK, Drawn, Named, Page, axes, one_run

__all__ = ["draw"]

SHADES = ListedColormap(["#d6e6f4", "#abcfe6", "#7fb4d8", "#3079b3", "#08306b"])
UNUSED = "#d5dbe1"
NUMBERED = 7.0
"""Cores at least this many points wide carry their number."""


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure.

    Raises:
        UsageError: several runs, or results without cores.
    """
    name, results = one_run(runs, "core-map")
    if not results.cores:
        raise UsageError(f"{name} lists no cores. Run the network again with spikeloom run.")
    cores, chip, one_box = core_map.drawn(results.cores, results.chip)
    grid = core_map.layout(cores, chip)
    right, bottom = grid.extent
    left, top = core_map.LEFT, core_map.TOP
    scale = (page.width - 0.75) / (right - left)
    figure, (panel,) = axes(page, min(max(0.8 * page.width, 2.0), 0.45 + scale * (bottom - top + (12 if len(grid.chips) > 1 else 0))))
    panel.add_collection(
        PatchCollection([Rectangle(b[:2], *b[2:]) for b in _places(grid)], facecolor="none", edgecolor=UNUSED, linewidth=0.4)
    )
    for at, tile, slot, core in core_map.slots(cores, chip.cores_per_tile):
        x, y, wide, high = grid.box(at, tile, slot)
        share = core.tightest[1]
        panel.add_patch(Rectangle((x, y), wide, high, facecolor=SHADES(Normalize(0, 1)(min(share, 1.0))), linewidth=0))
        if 72 * scale * wide >= NUMBERED:
            colour = "white" if share > 0.6 else INK
            panel.text(x + wide / 2, y + high / 2, core_map.per_cent(share), ha="center", va="center", fontsize=5, color=colour)
    _finish(panel, grid)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 100), SHADES), ax=panel, shrink=0.9, aspect=25, pad=0.02)
    bar.set_label("% of the tightest limit" + (", fullest core of a chip" if one_box else ""), fontsize=7)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    on = "" if results.chip.chips_in_use == 1 else f" on {count(results.chip.chips_in_use)} chips"
    panel.set_title(
        f"{count(len(results.cores))} {'core' if len(results.cores) == 1 else 'cores'}{on} of {shorten(results.chip.name, 30)}",
        loc="left",
        fontsize=8,
    )
    return figure


def _places(grid: core_map.Grid) -> list[tuple[float, float, float, float]]:
    chips, sides = range(len(grid.chips)), (range(grid.rows), range(grid.columns), range(grid.per_tile))
    return [grid.box(chip, (x, y), slot) for chip in chips for y in sides[0] for x in sides[1] for slot in sides[2]]


def _finish(panel: Axes, grid: core_map.Grid) -> None:
    right, bottom = grid.extent
    panel.set_xlim(core_map.LEFT - 1, right)
    panel.set_ylim(bottom, core_map.TOP - (10 if len(grid.chips) > 1 else 1))
    panel.set_aspect("equal")
    panel.axis("off")
    if len(grid.chips) > 1:
        for chip in range(len(grid.chips)):
            x, y = grid.corner(chip)
            panel.text(x, y - 3, f"chip {chip}", fontsize=5, color=DIM)
