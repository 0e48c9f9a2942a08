"""Messages between cores, as a matrix: who sends (rows) to whom (columns), tile by tile where the cores are many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from . import svg
from .format import compact, count, percent
from .sizes import CoreLoad, TrafficTable

_MOST_CORES = 40
_MOST_ROWS = 64
_WORDED = 12
"""Up to so many cores, every cell says its number."""


@dataclass(frozen=True)
class Matrix:
    """Messages per sample from every sender (row) to every receiver (column); row 0 is the input.

    `unit`: core, tile or chip, or a plural where neighbours are summed.
    """

    senders: list[str]
    receivers: list[str]
    messages: NDArray[np.float64]
    unit: str


def matrix(found: TrafficTable, cores: Sequence[CoreLoad]) -> Matrix | None:
    """Arrange the traffic of results.json; None where there is none.

    More than 40 cores are summed by tile; what then has more than 64 rows by chip where there are several, and at last by neighbours.
    """
    if not found.ends:
        return None
    names, unit = found.ends, found.unit
    between = np.asarray(found.messages_per_sample, dtype=np.float64).reshape(len(names), len(names))
    given = found.input_messages_per_sample
    entering = np.zeros(len(names)) if given is None else np.asarray(given, dtype=np.float64)
    table = np.vstack([entering, between])
    if unit == "core" and len(names) > _MOST_CORES:
        several = any(c.chip for c in cores)
        tiles = {str(c.core): tile_name(c, several) for c in cores}
        table, names = _merge(table, [tiles.get(n, "") for n in names])
        unit = "tile"
    if len(names) > _MOST_ROWS and unit == "tile" and any(":" in name for name in names):
        table, names = _merge(table, [name.partition(":")[0] for name in names])
        unit = "chip"
    if len(names) > _MOST_ROWS:
        size = -(-len(names) // _MOST_ROWS)
        ends = [f"{names[i]}–{names[min(i + size, len(names)) - 1]}" for i in range(0, len(names), size)]
        table, names = _merge(table, [ends[i // size] for i in range(len(names))])
        unit = f"{unit}s"
    return Matrix(["input", *names], names, table, unit)


def tile_name(core: CoreLoad, several: bool) -> str:
    """Write a core's tile as "1,2", or as "3:1,2" on chip 3 of several."""
    tile = ",".join(map(str, core.tile))
    return f"{core.chip}:{tile}" if several else tile


def _merge(table: NDArray[np.float64], labels: list[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Sum the rows (all but the first) and columns that share a label: chip by chip, tiles row by row, else in order of appearance."""
    chips = {name: int(name.partition(":")[0]) if name.partition(":")[0].isdecimal() else 0 for name in labels}
    names = sorted(dict.fromkeys(labels), key=lambda name: (chips[name], _place(name)))
    member = np.zeros((len(labels), len(names)))
    member[np.arange(len(labels)), [names.index(one) for one in labels]] = 1.0
    return np.vstack([table[:1] @ member, member.T @ table[1:] @ member]), names


def _place(name: str) -> tuple[int, int]:
    """Return row and column of a tile "3:1,2" or "1,2", so that a chip's tiles come row by row; (0, 0) of other names."""
    column, comma, row = name.rpartition(":")[2].partition(",")
    return (int(row), int(column)) if comma and row.isdecimal() and column.isdecimal() else (0, 0)


@dataclass(frozen=True)
class _Layout:
    """Pixels: a cell's width and height, where the first one starts, and the gap between the input's row and the others."""

    wide: float
    high: float
    left: float
    top: float = 34.0
    gap: float = 5.0

    def y(self, row: int) -> float:
        """Where a row starts; row 0 is the input."""
        return self.top + row * self.high + (self.gap if row else 0.0)


def chart(found: Matrix) -> Markup:
    """Draw the matrix; small ones carry their numbers, and all name the peak that the darkest colour stands for."""
    many = len(found.receivers)
    high = 26.0 if many <= _WORDED else max(7.0, 480.0 / many)
    layout = _Layout(46.0 if many <= _WORDED else high, high, 8 + 6.2 * max(len(n) for n in found.senders))
    peak = float(found.messages.max(initial=0.0))
    parts = [*_cells(found, layout, peak), *_names(found, layout)]
    bottom = layout.y(many + 1) + 10
    parts.append(svg.legend(layout.left, bottom, range(1, svg.LEVELS + 1), "0", f"{compact(peak)} messages per sample"))
    parts.append(svg.text(layout.left, 10, f"to {found.unit}{_notation(found)}", style="small strong"))
    parts += _between_chips(found, layout)
    width = layout.left + max(layout.wide * many + 8, 320.0)
    return svg.figure(width, bottom + 18, f"Messages per sample between {many} {found.unit}s, at most {compact(peak)}", parts)


def _notation(found: Matrix) -> str:
    """Say how tiles are named."""
    if not found.unit.startswith("tile"):
        return ""
    return " (chip:column,row)" if any(":" in name for name in found.receivers) else " (column,row)"


def _between_chips(found: Matrix, layout: _Layout) -> list[Markup]:
    """Draw lines where one chip ends and the next begins; none where most chips have one tile, since every line would be one."""
    chips = [name.partition(":")[0] if ":" in name else "" for name in found.receivers]
    ends = [index for index in range(1, len(chips)) if chips[index] != chips[index - 1]]
    if 2 * len(ends) >= len(chips):
        return []
    right, bottom = layout.left + len(chips) * layout.wide - 1, layout.y(len(chips) + 1) - 1
    return [
        line
        for index in ends
        for line in (
            svg.line(layout.left + index * layout.wide - 0.5, layout.top, layout.left + index * layout.wide - 0.5, bottom, "axis"),
            svg.line(layout.left, layout.y(index + 1) - 0.5, right, layout.y(index + 1) - 0.5, "axis"),
        )
    ]


def _cells(found: Matrix, layout: _Layout, peak: float) -> list[Markup]:
    groups: dict[int, list[tuple[float, float, float, float]]] = {step: [] for step in range(svg.LEVELS + 1)}
    words: list[Markup] = []
    many = len(found.receivers)
    for row in range(many + 1):
        for column in range(many):
            value = float(found.messages[row, column])
            step = svg.level(value, peak)
            x, y = layout.left + column * layout.wide, layout.y(row)
            groups[step].append((x, y, layout.wide - 1, layout.high - 1))
            if many <= _WORDED:
                shown = compact(value, 2) if value else "·"
                words.append(svg.text(x + (layout.wide - 1) / 2, y + layout.high / 2 + 3, shown, "middle", f"in-f{step}"))
    return [svg.boxes(shapes, f"f{step}") for step, shapes in groups.items()] + words


def _names(found: Matrix, layout: _Layout) -> list[Markup]:
    """Name the rows and columns, every so many that the words do not touch."""
    longest = 8 + 6.2 * max(len(n) for n in found.receivers)
    down, across = math.ceil(13 / layout.high), math.ceil(longest / layout.wide)
    parts = [svg.text(layout.left - 5, layout.y(0) + layout.high / 2 + 3, "input", "end", "small")]
    for index, name in enumerate(found.receivers):
        if index % down == 0:
            parts.append(svg.text(layout.left - 5, layout.y(index + 1) + layout.high / 2 + 3, name, "end", "small"))
        if index % across == 0:
            parts.append(svg.text(layout.left + (index + 0.5) * layout.wide, layout.top - 6, name, "middle", "small"))
    return parts


def sentence(found: Matrix) -> str:
    """Say what the matrix holds: the messages that enter, those that cores send, and how many stay where they are."""
    entering, between = float(found.messages[0].sum()), float(found.messages[1:].sum())
    local = float(np.trace(found.messages[1:]))
    said = f"{count(entering)} messages per sample enter from the input; the cores send {count(between)}"
    if between <= 0:
        return f"{said}."
    return f"{said}, {percent(local / between, 1)} of them within their own {found.unit.removesuffix('s')}."
