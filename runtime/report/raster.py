"""The spike raster of one sample: time to the right, one row per neuron, or per few neighbours where they are many."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from . import svg
from .format import count, shorten

_MOST_ROWS = 200
_MOST_COLUMNS = 200
_MOST_CELLS = 24_000
"""Over all populations of a page, which keeps it below half a megabyte."""
_PANEL = 300.0
_LEFT, _TOP, _BOTTOM = 44.0, 8.0, 34.0


def panels(raster: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return one entry per population: its `name`, a `note` on its spikes, and its `chart`. Empty where there is no raster."""
    if not raster:
        return []
    steps = _steps(raster)
    populations = raster.get("populations") or []
    return [_panel(population, steps, _MOST_CELLS // len(populations)) for population in populations]


def _steps(raster: dict[str, Any]) -> int:
    """The time steps of the axis: those of the network, or more where a spike came later."""
    latest = [int(max(p["times"])) + 1 for p in raster.get("populations") or [] if p.get("times")]
    return max(1, int(raster.get("timesteps") or 0), *latest)


def _panel(population: dict[str, Any], steps: int, budget: int) -> dict[str, Any]:
    ids = np.asarray(population.get("ids") or [], dtype=np.int64)
    times = np.asarray(population.get("times") or [], dtype=np.int64)
    neurons = max(1, int(population.get("neurons") or 0), int(ids.max(initial=0)) + 1)
    a_row = -(-neurons // _MOST_ROWS)
    a_column = -(-steps // max(1, min(_MOST_COLUMNS, budget // -(-neurons // a_row))))
    cells = np.zeros((-(-neurons // a_row), -(-steps // a_column)), dtype=np.int64)
    np.add.at(cells, (ids // a_row, times // a_column), 1)
    silent = neurons - np.unique(ids).size
    note = f"{count(ids.size)} spikes; {count(silent)} of {count(neurons)} neurons silent"
    if a_row * a_column > 1:
        cell = f"{a_row} neurons" + (f" by {a_column} steps" if a_column > 1 else "")
        note += f"; a mark is {cell}, the darkest {count(int(cells.max(initial=0)))} spikes"
    name = str(population.get("name"))
    return {"name": name, "note": note, "chart": _chart(name, cells, (neurons, steps), (a_row, a_column))}


def _chart(name: str, cells: NDArray[np.int64], whole: tuple[int, int], bins: tuple[int, int]) -> Markup:
    """Draw `cells` (rows, columns), each of which holds the spikes of `bins` (neurons, steps) out of the `whole`."""
    (rows, columns), (neurons, steps) = cells.shape, whole
    high = min(18.0, max(1.0, 260.0 / rows))
    wide = min(34.0, _PANEL / columns)
    across, down = wide * columns, high * rows
    parts = [svg.rect((_LEFT, _TOP, across, down), "frame"), *_spikes(cells, wide, high)]
    parts += _time_axis(steps, wide / bins[1], _TOP + down, across)
    parts += _neuron_axis(neurons, high / bins[0])
    return svg.figure(_LEFT + across + 14, _TOP + down + _BOTTOM, f"Spikes of {shorten(name, 60)}: {neurons} neurons, {steps} steps", parts)


def _spikes(cells: NDArray[np.int64], wide: float, high: float) -> list[Markup]:
    """Draw the cells that hold spikes as dashes, one path per colour step, in units of cells so that a dash takes few letters."""
    marks: dict[int, list[str]] = {}
    peak, dash = float(cells.max(initial=0)), "h.8" if wide >= 4 else "h1"
    for row, column in np.argwhere(cells).tolist():
        step = max(2, svg.level(float(cells[row, column]), peak))
        marks.setdefault(step, []).append(f"M{column} {row}{dash}")
    thick = 0.8 if high >= 4 else 1.0
    parts = [Markup('<path d="{}" class="s{}"/>').format("".join(marks[step]), step) for step in sorted(marks)]
    shift = f"translate({svg.num(_LEFT + 0.1 * wide)} {svg.num(_TOP + 0.5 * high)}) scale({wide:.4f} {high:.4f})"
    return [Markup('<g transform="{}" stroke-width="{}" fill="none">{}</g>').format(shift, thick, Markup("").join(parts))]


def _time_axis(steps: int, pitch: float, bottom: float, across: float) -> list[Markup]:
    every = _round_step(steps, int(across / 24))
    parts = [svg.text(_LEFT + (t + 0.5) * pitch, bottom + 13, t, "middle", "small") for t in range(0, steps, every)]
    return [*parts, svg.text(_LEFT + across / 2, bottom + 27, "time step", "middle", "small")]


def _neuron_axis(neurons: int, pitch: float) -> list[Markup]:
    every = _round_step(neurons, int(neurons * pitch / 16))
    return [svg.text(_LEFT - 5, _TOP + (i + 0.5) * pitch + 3.5, f"{i:,}", "end", "small") for i in range(0, neurons, every)]


def _round_step(total: int, room: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50... that puts at most `room` labels on an axis of `total`."""
    scales = (factor * 10**power for power in range(19) for factor in (1, 2, 5))
    return next(step for step in scales if total <= step * max(1, room))
