"""Stacked bars: one row per model or network, its parts from left to right, its sum at the end. All rows share one scale."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from . import svg
from .format import percent, shorten, si

__all__ = ["Bar", "Part", "chart"]

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 520.0, 130.0, 74.0, 30.0, 4.0


@dataclass(frozen=True)
class Part:
    """A part of a bar; `style` is one of the categories c1..c6 of the style sheet; `note` is added to its tooltip."""

    name: str
    value: float
    style: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A row: its name, and its parts, not negative."""

    name: str
    parts: tuple[Part, ...]

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return sum(part.value for part in self.parts)


def chart(bars: list[Bar], unit: str, said: str) -> Markup:
    """Draw the bars from zero on one scale; `said` is the drawing's description for screen readers, before the sums."""
    peak = max((bar.total for bar in bars), default=0.0)
    pieces: list[Markup] = []
    for row, bar in enumerate(bars):
        pieces += _row(bar, _TOP + row * _ROW, peak, unit)
    bottom = _TOP + _ROW * len(bars)
    pieces.append(svg.line(_LEFT, _TOP, _LEFT, bottom - 2, "axis"))
    spoken = ", ".join(f"{bar.name} {si(bar.total, unit)}" for bar in bars)
    return svg.figure(_WIDTH, bottom + 4, f"{said}: {spoken}", pieces)


def _row(bar: Bar, y: float, peak: float, unit: str) -> list[Markup]:
    room, x = _WIDTH - _LEFT - _RIGHT, _LEFT
    pieces = [svg.text(_LEFT - 8, y + 17, shorten(bar.name, 20), "end")]
    for part in bar.parts:
        wide = room * part.value / peak if peak > 0 else 0.0
        if wide > 0:
            share = percent(part.value / bar.total, 1)
            tip = f"{bar.name}, {part.name}: {si(part.value, unit)}, {share}{part.note}"
            pieces.append(svg.rect((x, y + 4, max(wide, 0.4), 18), part.style, tip))
            x += wide
    return [*pieces, svg.text(x + 7, y + 17, si(bar.total, unit), style="strong")]
