"""Weights before and after quantisation: two histograms back to back on one axis of real weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from . import svg
from .document import Histogram, Histograms
from .format import count, shorten

__all__ = ["Panel", "panels"]

_WIDTH, _LEFT, _RIGHT, _HALF, _TOP = 330.0, 12.0, 12.0, 62.0, 14.0
_MOST = 24
"""Layers that are drawn; all are in the table."""


@dataclass(frozen=True)
class Panel:
    """A drawing of a projection's weights."""

    name: str
    chart: Markup


def panels(weights: Histograms | None) -> list[Panel]:
    """Return a drawing of each of the first projections; none where nothing is known."""
    rows = weights.rows if weights else []
    several = len({row.layer for row in rows}) < len(rows)
    named = [(row.projection if several else row.layer, row) for row in rows[:_MOST]]
    return [Panel(name, _chart(name, row)) for name, row in named]


def _chart(name: str, row: Histogram) -> Markup:
    """Draw the float weights upwards and the deployed ones downwards, each half on its own scale; alone, the deployed ones upwards."""
    after, before = row.after, row.before
    middle = _TOP + _HALF
    pitch = (_WIDTH - _LEFT - _RIGHT) / max(1, len(after))
    parts: list[Markup] = []
    if before is not None:
        parts += [_half(before, pitch, middle - 0.5, -1, "before"), svg.text(_WIDTH - _RIGHT, _TOP + 2, "before", "end", "small")]
        parts += [svg.text(_LEFT, _TOP + 2, f"peak {count(max(before))}", style="small")]
        parts += [_half(after, pitch, middle + 0.5, 1, "after")]
        end = middle + _HALF
        parts += [svg.text(_WIDTH - _RIGHT, end, "after", "end", "small"), svg.text(_LEFT, end, f"peak {count(max(after))}", style="small")]
    else:
        parts += [_half(after, pitch, middle, -1, "after"), svg.text(_WIDTH - _RIGHT, _TOP + 2, "deployed", "end", "small")]
        parts += [svg.text(_LEFT, _TOP + 2, f"peak {count(max(after))}", style="small")]
        end = middle
    parts += [svg.line(_LEFT, middle, _WIDTH - _RIGHT, middle, "axis"), *_axis(row, end + 8)]
    said = f"Weights of {shorten(name, 60)}: {count(row.weights_after)} deployed"
    said += "" if before is None else f", {count(row.weights_before)} before quantisation"
    return svg.figure(_WIDTH, end + 40, said, parts)


def _half(counts: list[int], pitch: float, base: float, direction: int, style: str) -> Markup:
    peak = max([*counts, 1])
    tall = [(index, (_HALF - 12) * value / peak) for index, value in enumerate(counts) if value]
    thin = pitch * 0.88 if pitch > 3 else pitch
    shapes = [(_LEFT + index * pitch, base if direction > 0 else base - max(high, 0.6), thin, max(high, 0.6)) for index, high in tall]
    return svg.boxes(shapes, style)


def _axis(row: Histogram, y: float) -> list[Markup]:
    """Name round weights below the drawing, zero among them."""
    first, whole = row.first, row.width * len(row.after)
    reach = whole / 2
    step = _round_down(reach / 1.1)
    parts: list[Markup] = []
    for k in range(-math.floor(reach / step), math.floor(reach / step) + 1):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (k * step - first) / whole
        parts += [svg.line(x, y - 6, x, y - 2, "tick"), svg.text(x, y + 9, f"{k * step:.4g}".replace("-", "−"), "middle", "small")]
    return [*parts, svg.text(_WIDTH / 2, y + 25, f"weight; one integer step is {count(row.step)}", "middle", "small")]


def _round_down(value: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a value."""
    magnitude = 10.0 ** math.floor(math.log10(value))
    return magnitude * next(m for m in (5, 2, 1) if m * magnitude <= value * (1 + 1e-9))
