"""Accuracy by stage: how much each step from the float network to the chip's integers cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from . import svg
from .document import StageResult
from .format import percent, points, samples_said, shorten

_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 460.0, 30.0, 140.0, 18.0, 6.0


@dataclass(frozen=True)
class StageRow:
    """A stage: its samples, its `change` from the previous stage on the same samples, its 95 % `interval`.

    `change` is None for the first stage on its samples: on other samples, accuracy differs by chance alone.
    """

    name: str
    split: str
    over: str
    accuracy: float
    samples: str
    change: float | None
    interval: tuple[float, float] | None


def rows(stages: Sequence[StageResult]) -> list[StageRow]:
    """Return the stages with their figures."""
    made: list[StageRow] = []
    last: dict[tuple[object, ...], float] = {}
    for stage in stages:
        split, accuracy, said = tested_on(stage.split, stage.samples, stage.of, stage.chosen), stage.accuracy, samples_said(stage)
        change = accuracy - last[split] if split in last else None
        over = said.replace(" samples", "").replace(" sample", "")  # 10,000; 20 of 100, evenly spread; the first 20 of 100
        made.append(StageRow(stage.name, stage.split, over, accuracy, said, change, interval(accuracy, stage.samples)))
        last[split] = accuracy
    return made


def tested_on(split: str, samples: int, of: int | None, chosen: str | None) -> tuple[object, ...]:
    """Return a key that is equal for two stages if their accuracies are on the same samples."""
    return split, samples, *(() if chosen in (None, "all") else (of, chosen))


def interval(accuracy: float | None, samples: int) -> tuple[float, float] | None:
    """Return the 95 % interval of Wilson (1927) for a fraction over this many samples; None if it is meaningless."""
    if accuracy is None or samples < 1 or not 0 <= accuracy <= 1:
        return None
    z = 1.959964
    spread = z * math.sqrt(accuracy * (1 - accuracy) / samples + z * z / (4 * samples * samples))
    middle = accuracy + z * z / (2 * samples)
    scale = 1 + z * z / samples
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def chart(stages: Sequence[StageResult]) -> Markup:
    """Draw one row per stage: a dot at the accuracy, a whisker over its 95 % interval, on an axis that starts where the data require."""
    shown = rows(stages)
    if not shown:
        return Markup("")
    low, high, step = _axis(shown)
    height = _TOP + _ROW * len(shown) + 26
    parts = _grid(low, high, step, height - 26)
    for row, stage in enumerate(shown):
        parts.append(_row(stage, _TOP + _ROW * (row + 0.5), low, high))
    return svg.figure(_WIDTH, height, f"Accuracy by stage: {_spoken(shown)}", parts)


def from_zero(stages: Sequence[StageResult]) -> bool:
    """Return whether the axis of `chart` starts at zero."""
    shown = rows(stages)
    return bool(shown) and _axis(shown)[0] <= 0


def _row(stage: StageRow, y: float, low: float, high: float) -> Markup:
    x = _place(stage.accuracy, low, high)
    left, right = (_place(v, low, high) for v in stage.interval or (stage.accuracy, stage.accuracy))
    tip = f"{stage.name}: {percent(stage.accuracy)} on {stage.samples}, change {points(stage.change)}"
    caps = [svg.line(edge, y - 4, edge, y + 4, "whisker") for edge in (left, right)]
    dot = Markup('<circle cx="{}" cy="{}" r="5.5" class="dot"><title>{}</title></circle>').format(svg.num(x), svg.num(y), tip)
    name = svg.text(_LEFT - 14, y + 4, shorten(stage.name, 20), "end")
    return Markup("").join([name, svg.line(left, y, right, y, "whisker"), *caps, dot])


def _axis(shown: list[StageRow]) -> tuple[float, float, float]:
    """Choose round ends and a round step so that every dot and whisker lies inside."""
    ends = [v for s in shown for v in (s.interval or (s.accuracy, s.accuracy))]
    span = max(max(ends) - min(ends), 0.002)
    raw = span / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = magnitude * next(m for m in (1, 2, 5, 10) if m * magnitude >= raw * (1 - 1e-9))
    return step * math.floor(min(ends) / step + 1e-9), step * math.ceil(max(ends) / step - 1e-9), step


def _grid(low: float, high: float, step: float, bottom: float) -> list[Markup]:
    decimals = max(0, math.ceil(-math.log10(100 * step) - 1e-9))
    parts: list[Markup] = []
    for tick in range(round((high - low) / step) + 1):
        x = _place(low + tick * step, low, high)
        parts.append(svg.line(x, _TOP, x, bottom, "grid"))
        parts.append(svg.text(x, bottom + 17, f"{100 * (low + tick * step):.{decimals}f}", "middle", "small"))
    return parts


def _place(value: float, low: float, high: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / ((high - low) or 1.0)


def _spoken(shown: list[StageRow]) -> str:
    return ", ".join(f"{s.name} {percent(s.accuracy)}" for s in shown)
