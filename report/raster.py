"""The spike raster of one sample: time to the right, one row per neuron, or per group of neighbours if there are many.

Above it, on the same time axis, the layer's mean rate at each step over many samples, if results.json has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from . import svg
from .document import Raster, RasterOfPopulation, Rates
from .format import count, percent, shorten

_MOST_ROWS = 200
_MOST_COLUMNS = 200
_MOST_CELLS = 24_000
"""Over all populations of a page, to keep it below half a megabyte."""
_PANEL = 300.0
_LEFT, _TOP, _BOTTOM = 54.0, 8.0, 34.0
_STRIP = 46.0
"""Height of the rates above a raster."""


@dataclass(frozen=True)
class Panel:
    """A population's raster, `width` pixels wide: a `note` on its spikes, and one on its `rate`, "" where it is not known."""

    name: str
    note: str
    rate: str
    width: int
    chart: Markup


def panels(raster: Raster | None, rates: Rates | None = None) -> list[Panel]:
    """Return one panel per population. Empty where there is no raster."""
    if raster is None:
        return []
    by_step = {p.name: p.rate_per_step for p in rates.populations} if rates and rates.samples else {}
    steps, budget = max(1, raster.timesteps), _MOST_CELLS // max(1, len(raster.populations))
    return [_panel(p, by_step.get(p.name), steps, budget) for p in raster.populations]


def _panel(population: RasterOfPopulation, rates: list[float] | None, steps: int, budget: int) -> Panel:
    ids, times = (np.asarray(values, dtype=np.int64) for values in (population.ids, population.times))
    neurons = max(1, population.neurons)
    a_row = -(-neurons // _MOST_ROWS)
    a_column = -(-steps // max(1, min(_MOST_COLUMNS, budget // -(-neurons // a_row))))
    cells = np.zeros((-(-neurons // a_row), -(-steps // a_column)), dtype=np.int64)
    np.add.at(cells, (ids // a_row, times // a_column), 1)
    shown, said = _shown(population, neurons)
    note = f"{said}{count(ids.size)} spikes; {count(shown - np.unique(ids).size)} of {count(shown)} neurons silent"
    if a_row * a_column > 1:
        cell = f"{a_row} neurons" + (f" by {a_column} steps" if a_column > 1 else "")
        note += f"; a mark is {cell}, the strongest {count(int(cells.max(initial=0)))} spikes"
    drawn = _chart(population.name, cells, (neurons, steps), (a_row, a_column), rates)
    width = round(max(_LEFT + min(34.0 * cells.shape[1], _PANEL) + 14, 240))
    return Panel(population.name, note, _rate(rates), width, drawn)


def _rate(rates: list[float] | None) -> str:
    """Say the mean rate and the highest; empty if they are unknown."""
    if not rates:
        return ""
    said = f"mean rate {percent(sum(rates) / len(rates), 1)} per neuron and step, highest {percent(max(rates), 1)}"
    return said.replace(" %", "\u00a0%")


def _shown(population: RasterOfPopulation, neurons: int) -> tuple[int, str]:
    """Return how many neurons were recorded, and a note if that is not all of them."""
    every = population.every
    shown = -(-neurons // every)
    return shown, "" if every == 1 else f"{count(shown)} of {count(neurons)} neurons, every {_ordinal(every)}: "


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _chart(name: str, cells: NDArray[np.int64], whole: tuple[int, int], bins: tuple[int, int], rates: list[float] | None = None) -> Markup:
    """Draw `cells` (rows, columns), each with the spikes of `bins` (neurons, steps) out of the `whole`; above them the `rates`."""
    (rows, columns), (neurons, steps) = cells.shape, whole
    high = min(18.0, max(1.0, 260.0 / rows))
    wide = min(34.0, _PANEL / columns)
    across, down = wide * columns, high * rows
    top = _TOP + (_STRIP + 8 if rates else 0)
    parts = _rates(rates, wide / bins[1], across) if rates else []
    parts += [svg.rect((_LEFT, top, across, down), "frame"), *_spikes(cells, wide, high, top)]
    parts += _time_axis(steps, wide / bins[1], top + down, across)
    parts += [*_neuron_axis(neurons, high / bins[0], top), _turned("neuron", top + down / 2)]
    said = f"Spikes of {shorten(name, 60)}: {neurons} neurons, {steps} steps" + ("; above, its mean rate at each step" if rates else "")
    return svg.figure(max(_LEFT + across + 14, 150), top + down + _BOTTOM, said, parts)


def _rates(rates: list[float], pitch: float, across: float) -> list[Markup]:
    """Draw the rates from zero to their peak as bars over their steps, or over a few where a step is less than a pixel wide."""
    peak, base = max(rates), _TOP + _STRIP
    together = max(1, round(1 / pitch))
    groups = [rates[start : start + together] for start in range(0, len(rates), together)]
    thin = 0.8 if pitch >= 4 else 1.0
    boxes: list[tuple[float, float, float, float]] = []
    for index, group in enumerate(groups):
        tall = (_STRIP - 8) * sum(group) / len(group) / (peak or 1.0)
        if tall > 0:
            boxes.append((_LEFT + (index * together + (1 - thin) / 2) * pitch, base - tall, len(group) * pitch * thin, tall))
    named = [svg.text(_LEFT - 5, base - _STRIP + 12, percent(peak, 1 if peak < 0.1 else 0), "end", "small")] if peak else []
    return [
        svg.boxes(boxes, "rate"),
        svg.line(_LEFT, base, _LEFT + across, base, "axis"),
        *named,
        svg.text(_LEFT - 5, base, "0", "end", "small"),
        _turned("rate", base - (_STRIP - 8) / 2),
    ]


def _turned(name: str, y: float) -> Markup:
    """Write the name of an axis upwards."""
    text = Markup('<text x="9" y="{0}" text-anchor="middle" class="small" transform="rotate(-90 9 {0})">{1}</text>')
    return text.format(svg.num(y), name)


def _spikes(cells: NDArray[np.int64], wide: float, high: float, top: float) -> list[Markup]:
    """Draw the cells that hold spikes as dashes, one path per colour step, in units of cells, so that a dash takes few characters."""
    marks: dict[int, list[str]] = {}
    peak, dash = float(cells.max(initial=0)), "h.8" if wide >= 4 else "h1"
    for row, column in np.argwhere(cells).tolist():
        step = max(2, svg.level(float(cells[row, column]), peak))
        marks.setdefault(step, []).append(f"M{column} {row}{dash}")
    thick = 0.8 if high >= 4 else 1.0
    parts = [Markup('<path d="{}" class="s{}"/>').format("".join(marks[step]), step) for step in sorted(marks)]
    shift = f"translate({svg.num(_LEFT + 0.1 * wide)} {svg.num(top + 0.5 * high)}) scale({wide:.4f} {high:.4f})"
    return [Markup('<g transform="{}" stroke-width="{}" fill="none">{}</g>').format(shift, thick, Markup("").join(parts))]


def _time_axis(steps: int, pitch: float, bottom: float, across: float) -> list[Markup]:
    every = _round_step(steps, int(across / 24))
    parts = [svg.text(_LEFT + (t + 0.5) * pitch, bottom + 13, t, "middle", "small") for t in range(0, steps, every)]
    return [*parts, svg.text(_LEFT + across / 2, bottom + 27, "time step", "middle", "small")]


def _neuron_axis(neurons: int, pitch: float, top: float) -> list[Markup]:
    every = _round_step(neurons, int(neurons * pitch / 16))
    return [svg.text(_LEFT - 5, top + (i + 0.5) * pitch + 3.5, f"{i:,}", "end", "small") for i in range(0, neurons, every)]


def _round_step(total: int, room: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50... that puts at most `room` labels on an axis of `total`."""
    scales = (factor * 10**power for power in range(19) for factor in (1, 2, 5))
    return next(step for step in scales if total <= step * max(1, room))
