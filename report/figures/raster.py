"""The spikes of one sample: a mark for each, time to the right, neurons upwards, a panel per population."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...checked import check_fields
from ...errors import UsageError, unknown_name
from ..document import Raster, RasterOfPopulation
from ..format import count, shorten
from .api import DIM, INK, Drawn, Named, Page, axes, formatter, one_run

__all__ = ["Options", "draw"]

VECTORS = 20_000
"""More spikes than this are drawn as pixels, also in vector formats."""


@dataclass(frozen=True)
class Options:
    """Options of the figure.

    Args:
        layers: the populations to draw; none: all.
    """

    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)


def draw(runs: Named, page: Page, options: Options) -> Drawn:
    """Draw the figure.

    Raises:
        UsageError: several runs, no spikes recorded, or an unknown population.
    """
    name, results = one_run(runs, "raster")
    raster = results.raster
    if raster is None or not raster.populations:
        raise UsageError(f"{name} recorded no spikes of a sample. Run the network again with spikeloom run.")
    found = _chosen(raster, options.layers)
    ratios = [math.log2(2 + population.neurons) for population in found]
    heights = [0.13 * ratio for ratio in ratios]
    figure, panels = axes(page, 0.75 + sum(heights) + 0.2 * len(found), len(found), sharex=True, height_ratios=ratios)
    for panel, population, tall in zip(panels, found, heights, strict=True):
        _panel(panel, population, 72 * tall)
    panels[-1].set_xlabel("time step")
    panels[-1].set_xlim(-0.5, max(1, raster.timesteps) - 0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(_title(raster), fontsize=8, x=0.02, ha="left")
    return figure


def _chosen(raster: Raster, names: tuple[str, ...]) -> list[RasterOfPopulation]:
    known = [population.name for population in raster.populations]
    for name in names:
        if name not in known:
            raise unknown_name("population in the raster", name, known)
    return [population for population in raster.populations if not names or population.name in names]


def _panel(panel: Axes, population: RasterOfPopulation, points: float) -> None:
    """Draw one population into `points` of height."""
    times, ids = np.asarray(population.times, dtype=np.int64), np.asarray(population.ids, dtype=np.int64)
    thick = min(4.0, max(0.5, 0.8 * points * population.every / max(1, population.neurons)))
    panel.hlines(ids, times - 0.4, times + 0.4, colors=INK, linewidth=thick, rasterized=ids.size > VECTORS)
    panel.set_ylim(-0.5, max(1, population.neurons) - 0.5)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=max(1, int(points / 16)), integer=True))
    panel.yaxis.set_major_formatter(formatter(count))
    panel.set_ylabel("neuron")
    shown = "" if population.every == 1 else f", every {population.every}th neuron"
    panel.set_title(f"{shorten(population.name, 30)}: {count(ids.size)} spikes{shown}", loc="left", fontsize=7, color=DIM, pad=2)


def _title(raster: Raster) -> str:
    said = f"sample {count(raster.sample)}"
    said += "" if raster.label is None else f", label {raster.label}"
    return said + ("" if raster.prediction is None else f", prediction {raster.prediction}")
