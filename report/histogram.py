"""Weights before and after quantisation: two histograms back to back on one axis of real weights."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from . import svg
from .format import count, shorten

__all__ = ["panels"]

_WIDTH, _LEFT, _RIGHT, _HALF, _TOP = 330.0, 12.0, 12.0, 62.0, 14.0
_MOST = 24
"""Layers that are drawn; all are in the table."""


def panels(weights: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the section: `rows` for the table, a `chart` in the first of them, `before` and `why_not`; None where nothing is known."""
    rows = (weights or {}).get("rows") or []
    if not weights or not rows:
        return None
    several = len({row["layer"] for row in rows}) < len(rows)
    made = [{**row, "name": row["projection"] if several else row["layer"]} for row in rows]
    drawn = [{**row, "chart": _chart(row)} for row in made[:_MOST]]
    return {"rows": made, "drawn": drawn, "before": weights.get("before"), "why_not": weights.get("why_not"), "in_all": len(made)}


def _chart(row: dict[str, Any]) -> Markup:
    """Draw the float weights upwards and the deployed ones downwards, each half on its own scale; alone, the deployed ones upwards."""
    after, before = row["after"], row["before"]
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
    said = f"Weights of {shorten(row['name'], 60)}: {count(row['weights_after'])} deployed"
    said += "" if before is None else f", {count(row['weights_before'])} before quantisation"
    return svg.figure(_WIDTH, end + 40, said, parts)


def _half(counts: list[int], pitch: float, base: float, direction: int, style: str) -> Markup:
    peak = max([*counts, 1])
    tall = [(index, (_HALF - 12) * value / peak) for index, value in enumerate(counts) if value]
    thin = pitch * 0.88 if pitch > 3 else pitch
    shapes = [(_LEFT + index * pitch, base if direction > 0 else base - max(high, 0.6), thin, max(high, 0.6)) for index, high in tall]
    return svg.boxes(shapes, style)


def _axis(row: dict[str, Any], y: float) -> list[Markup]:
    """Name round weights below the drawing, zero among them."""
    first, whole = float(row["first"]), float(row["width"]) * len(row["after"])
    reach = whole / 2
    step = _round(reach / 2.2)
    parts: list[Markup] = []
    for k in range(-math.floor(reach / step), math.floor(reach / step) + 1):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (k * step - first) / whole
        parts += [svg.line(x, y - 6, x, y - 2, "tick"), svg.text(x, y + 9, f"{k * step:.4g}".replace("-", "−"), "middle", "small")]
    return [*parts, svg.text(_WIDTH / 2, y + 25, f"weight; one integer step is {count(row['step'])}", "middle", "small")]


def _round(value: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(value))
    return magnitude * next(m for m in (1, 2, 5, 10) if m * magnitude >= value * (1 - 1e-9))
