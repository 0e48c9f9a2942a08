"""Energy or time by component: a stacked bar per setting, the mean over its seeds, with the standard deviation of the sum."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.patches import Patch

from ...errors import UsageError
from .. import models
from ..colours import COMPONENTS
from ..compared import common_model
from ..document import Document
from ..format import clean, plain
from ..seeds import Spread, spread
from .api import GRID, INK, Drawn, Named, Page, Setting, axes, legend, scaled, settings, spread_said

__all__ = ["Quantity", "draw"]

MOST = 40


@dataclass(frozen=True)
class Quantity:
    """What is drawn: its name, its unit, the attribute of a model's parts, and components that are left out."""

    name: str
    unit: str
    parts: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Bar:
    """A setting with the mean of each part, and the spread of their sum."""

    setting: Setting
    parts: dict[str, float]
    total: Spread


def draw(runs: Named, page: Page, quantity: Quantity) -> Drawn:
    """Draw the bars.

    Raises:
        UsageError: no chip model has priced all runs, or there are more than `MOST` settings.
    """
    model = common_model([clean(results) for _, results in runs])
    if model is None:
        raise UsageError(
            "No chip model has priced all of these runs, so their energies and times cannot share an axis. Draw those of one target."
        )
    found = settings(runs)
    if len(found) > MOST:
        raise UsageError(f"There are {len(found)} settings, and this figure shows at most {MOST}. Name fewer runs.")
    bars = [_bar(setting, [runs[run.number - 1][1] for run in setting.group.runs], model, quantity) for setting in found]
    return _drawn(bars, page, quantity, model, _status(runs, model, quantity))


def _parts(results: Document, model: str, quantity: Quantity) -> dict[str, tuple[float, str]]:
    """Return the parts of a run under a model, by name: value and status."""
    priced = next((row for row in (results.models.rows if results.models else []) if row.model == model), None)
    if priced is not None:
        listed = [(plain(part.name), float(part.value), part.status) for part in getattr(priced, quantity.parts)]
    elif quantity.parts == "energy":
        listed = [(_family(one.name), float(one.joules_per_sample), one.status) for one in results.energy.components]
    else:
        steps = results.latency.steps
        listed = [(_family(one.name), float(one.seconds_per_step) * steps, one.status) for one in results.latency.components]
    found: dict[str, tuple[float, str]] = {}
    for name, value, status in listed:
        if name not in quantity.without:
            found[name] = found.get(name, (0.0, ""))[0] + value, status
    return found


def _family(name: str) -> str:
    """Return the part that a component belongs to: "neuron updates, active" is of the neuron updates."""
    return re.split(r"[,(]", plain(name))[0].strip()


def _status(runs: Named, model: str, quantity: Quantity) -> str:
    """Return the status of the least certain of the numbers in the figure."""
    ranks = ("assumed", "derived", "published")
    held = {status for _, results in runs for value, status in _parts(results, model, quantity).values() if value}
    return next((rank for rank in ranks if rank in held), "")


def _bar(setting: Setting, results: Sequence[Document], model: str, quantity: Quantity) -> _Bar:
    each = [{name: value for name, (value, _) in _parts(one, model, quantity).items()} for one in results]
    names = dict.fromkeys(name for parts in each for name in parts)
    total = spread(sum(parts.values()) for parts in each) or Spread(0.0, None, 0)
    return _Bar(setting, {name: fmean(parts.get(name, 0.0) for parts in each) for name in names}, total)


def _drawn(bars: Sequence[_Bar], page: Page, quantity: Quantity, model: str, status: str) -> Drawn:
    figure, (panel,) = axes(page, 0.95 + 0.19 * len(bars))
    factor, unit = scaled(max(bar.total.mean for bar in bars), quantity.unit)
    names = [name for name in dict.fromkeys(n for bar in bars for n in bar.parts) if any(bar.parts.get(name) for bar in bars)]
    for row, bar in enumerate(bars):
        left = 0.0
        for name in names:
            value = factor * bar.parts.get(name, 0.0)
            panel.barh(row, value, left=left, height=0.68, color=_colour(name), linewidth=0)
            left += value
        if bar.total.deviation is not None:
            panel.errorbar(left, row, xerr=factor * bar.total.deviation, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2, capthick=0.8)
    panel.set_yticks(range(len(bars)), [bar.setting.name for bar in bars])
    panel.set_ylim(len(bars) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    if any(bar.setting.name != bar.setting.series.name for bar in bars):
        panel.set_ylabel("setting, connectivity")
    panel.grid(axis="x", color=GRID, linewidth=0.5)
    panel.set_xlabel(f"{quantity.name} per sample, {unit}\nmodel {model}{f', {status}' if status else ''}")
    legend(figure, [Patch(color=_colour(name), label=name) for name in names], spread_said(bar.total for bar in bars))
    return figure


def _colour(name: str) -> str:
    return COMPONENTS[models.STYLES.get(name, "c6")].light
