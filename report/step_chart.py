"""The picture of a step: what every core is busy with, the slowest first, against the step that they make.

A model with queues lets a core receive and send at the same time: receiving goes up from the line, sending down, and the longer side
counts. With other models all work of a core adds up, and all of it goes up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from . import svg
from .format import count, percent, si
from .step_bound import StepBound, StepOfCore
from .table import Column, Table, row

__all__ = ["PARTS", "Stack", "bound_of", "chart", "sentences", "stacks", "table"]

PARTS = (("synapses", "c1"), ("messages in", "c3"), ("updates", "c2"), ("messages out", "c4"))
"""The parts of a core's work and their colours; the first two are receiving."""
MOST = 128
"""Cores that are drawn, the slowest ones."""
LISTED = 5
"""Cores in the table."""
_READ = " Line: a step without its barrier, a mean over single steps; bars: mean loads."
_SAID = {
    "memory": "synaptic operations (memory)",
    "compute": "updates and spikes (compute)",
    "traffic": "messages and their ways (traffic)",
    "barrier": "the barrier",
}
_LEFT, _TOP, _WIDE, _HIGH = 56.0, 26.0, 560.0, 190.0


@dataclass(frozen=True)
class Stack:
    """The work of a core, in the order of `PARTS`: seconds that go up from the line, and those that go down."""

    core: StepOfCore
    up: tuple[float, ...]
    down: tuple[float, ...]


def stacks(found: StepBound) -> list[Stack]:
    """Return the cores that are drawn."""
    made: list[Stack] = []
    for core in found.cores[:MOST]:
        receiving, sending = (float(core.synapses), float(core.messages_in)), (float(core.updates), float(core.messages_out))
        queue = found.overlap == "queue"
        made.append(Stack(core, (*receiving, 0.0, 0.0) if queue else (*receiving, *sending), (0.0, 0.0, *sending) if queue else (0.0,) * 4))
    return made


def bound_of(found: StepBound) -> float:
    """Return the seconds that the slowest core of a step takes on average: the step without its barrier."""
    return max(float(found.seconds) - float(found.barrier), 0.0)


def sentences(found: StepBound) -> list[str]:
    """Say what binds, and what would help most."""
    parts = sorted(("memory", "compute", "traffic", "barrier"), key=lambda name: -float(getattr(found, name)))
    shares = ", ".join(f"{_SAID[name]} {si(float(getattr(found, name)), 's')}" for name in parts)
    share = percent(float(getattr(found, found.binds)) / found.seconds, 1) if found.seconds else ""
    said = [f"{found.binds.capitalize()} binds, {share} of the {si(found.seconds, 's')} of a step: {shares}."]
    change = found.change
    if change is None:
        return [*said, "No change of the mapping that was tried shortens the step."]
    times = f"{change.before / change.after:.2f} times shorter" if change.after else "no time"
    return [
        *said,
        f"What would help most: {change.what}; a step of mean loads then takes {si(change.after, 's')} instead of "
        f"{si(change.before, 's')}, {times}.",
    ]


def table(found: StepBound | None) -> Table:
    """Return the slowest cores with what they are busy with; in the note what binds and what would help most. Empty where not known."""
    figures = (Column(name, "per time step") for name, _ in PARTS)
    columns = (Column("core", figure=False), Column("slowest in", "share of the steps"), *figures)
    if found is None:
        return Table("What a step waits for", columns, ())
    rows = [
        row(
            str(core.core),
            percent(core.slowest),
            *(si(float(value), "s") for value in (core.synapses, core.messages_in, core.updates, core.messages_out)),
        )
        for core in found.cores[:LISTED]
    ]
    more = f" Listed: the {LISTED} of {count(found.of_cores)} cores that are busy the longest." if found.of_cores > LISTED else ""
    return Table("What a step waits for", columns, tuple(rows), note=" ".join(sentences(found)) + _READ + more)


def chart(found: StepBound) -> Markup | None:
    """Draw the cores; None where there are none."""
    drawn = stacks(found)
    if not drawn:
        return None
    up, down = max(sum(one.up) for one in drawn), max(sum(one.down) for one in drawn)
    bound = bound_of(found)
    peak, lowest = max(up, bound, 1e-30), down
    scale = _HIGH / (peak + lowest)
    zero = _TOP + peak * scale
    wide = min(_WIDE / len(drawn), 36.0)
    parts = [*_bars(drawn, zero, scale, wide), svg.line(_LEFT, zero, _LEFT + wide * len(drawn), zero, "axis")]
    right = _LEFT + max(wide * len(drawn), 300.0)
    for sign in (1, -1) if down else (1,):
        y = zero - sign * bound * scale
        if y <= _TOP + _HIGH + 1:
            parts.append(svg.line(_LEFT, y, right, y, "axis"))
    parts.append(
        svg.text(
            _LEFT,
            zero - bound * scale - 5,
            f"a step without its barrier: {si(bound, 's')}",
            style="small strong",
        )
    )
    parts += _axis(drawn, zero, scale, wide, bool(down))
    bottom = _TOP + _HIGH + 26
    parts += _legend(bottom)
    words = f"The work of {count(len(drawn))} of {count(found.of_cores)} cores in a step of {si(found.seconds, 's')}; {found.binds} binds"
    return svg.figure(max(right, _LEFT + 430) + 8, bottom + 18, words, parts)


def _bars(drawn: Sequence[Stack], zero: float, scale: float, wide: float) -> list[Markup]:
    parts: list[Markup] = []
    gap = 1.0 if wide > 4 else 0.0
    for number, one in enumerate(drawn):
        x, above, below = _LEFT + number * wide, zero, zero
        for (name, style), up, down in zip(PARTS, one.up, one.down, strict=True):
            value = up + down
            if not value:
                continue
            high = value * scale
            tip = f"core {one.core.core}, {name}: {si(value, 's')}; the slowest in {percent(one.core.slowest)} of the steps"
            above -= high if up else 0.0
            parts.append(svg.rect((x, above if up else below, wide - gap, high), style, tip))
            below += high if down else 0.0
    return parts


def _axis(drawn: Sequence[Stack], zero: float, scale: float, wide: float, both: bool) -> list[Markup]:
    """Name cores as far as there is room, and the two sides of the line."""
    every = max(1, -(-int(26 / wide) // 1)) if wide < 26 else 1
    y = _TOP + _HIGH + 13
    parts = [
        svg.text(_LEFT + (number + 0.5) * wide, y, one.core.core, "middle", "small")
        for number, one in enumerate(drawn)
        if number % every == 0
    ]
    parts.append(svg.text(_LEFT - 6, y, "core", "end", "small"))
    if both:
        parts.append(svg.text(_LEFT - 6, zero - 6, "receives", "end", "small"))
        parts.append(svg.text(_LEFT - 6, zero + 13, "sends", "end", "small"))
    else:
        highest = max(sum(one.up) for one in drawn)
        parts.append(svg.text(_LEFT - 6, zero - highest * scale + 4, si(highest, "s"), "end", "small"))
    return parts


def _legend(y: float) -> list[Markup]:
    x, parts = _LEFT, list[Markup]()
    for name, style in PARTS:
        parts += [svg.rect((x, y, 11, 11), style), svg.text(x + 16, y + 10, name, style="small")]
        x += 32 + 6.4 * len(name)
    return parts
