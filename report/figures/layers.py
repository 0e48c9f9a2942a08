"""The layers: synaptic operations, spike rate and connectivity of each, one bar per setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from ...errors import UsageError
from ..document import Document
from ..format import clean, shorten
from ..seeds import Spread, spread
from ..sizes import Layer
from .api import GRID, INK, Drawn, Named, Page, Setting, axes, brief, formatter, legend, settings, spread_said

__all__ = ["draw"]

MOST = 12
FIGURES: tuple[tuple[str, Callable[[Layer], float]], ...] = (
    ("SOPs per sample", lambda layer: float(layer.sops_per_sample)),
    ("spikes per neuron and step, %", lambda layer: 100 * float(layer.spike_rate)),
    ("synapses left, %", lambda layer: 100 * float(layer.connectivity)),
)


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure.

    Raises:
        UsageError: more than `MOST` settings, or no layers.
    """
    found = settings(runs)
    if len(found) > MOST:
        raise UsageError(f"There are {len(found)} settings, and this figure shows at most {MOST}. Name fewer runs.")
    held = [[clean(runs[run.number - 1][1]) for run in setting.group.runs] for setting in found]
    names = list(dict.fromkeys(layer.name for runs_of in held for results in runs_of for layer in results.layers))
    if not names:
        raise UsageError("None of these runs lists layers. Run the networks again with spikeloom run.")
    rows = len(names) * (len(found) + 1)
    narrow = page.width < 4
    tall = 0.55 + max(0.7, 0.11 * rows)
    figure, panels = axes(page, 0.25 + (3 * tall if narrow else tall), *((3, 1) if narrow else (1, 3)), sharey=True)
    colours = _colours(found)
    bars: list[Spread] = []
    for panel, (label, figure_of) in zip(panels, FIGURES, strict=True):
        for number, results in enumerate(held):
            bars += _bars(panel, names, results, figure_of, (number, len(found)), colours[number])
        _finish(panel, names, label)
    handles = [Patch(color=colour, label=setting.name) for setting, colour in zip(found, colours, strict=True)]
    legend(figure, handles if len(found) > 1 else [], spread_said(bars))
    return figure


def _colours(found: Sequence[Setting]) -> list[tuple[float, float, float]]:
    """Return the colour of each setting: that of its method, paler from one setting of a method to the next."""
    made: list[tuple[float, float, float]] = []
    for index, setting in enumerate(found):
        colour = setting.series.colour
        before = sum(other.series.colour == colour for other in found[:index])
        many = sum(other.series.colour == colour for other in found)
        pale = 0.6 * before / max(1, many - 1) if many > 1 else 0.0
        red, green, blue = (value + (1 - value) * pale for value in to_rgb(colour.light))
        made.append((red, green, blue))
    return made


def _bars(
    panel: Axes,
    names: Sequence[str],
    results: Sequence[Document],
    figure_of: Callable[[Layer], float],
    place: tuple[int, int],
    colour: tuple[float, float, float],
) -> list[Spread]:
    """Draw one setting's bars; `place`: its number of how many."""
    number, many = place
    high = 0.84 / many
    drawn: list[Spread] = []
    for row, name in enumerate(names):
        found = spread(figure_of(layer) for one in results for layer in one.layers if layer.name == name)
        if found is None:
            continue
        drawn.append(found)
        y = row - 0.42 + high * (number + 0.5)
        panel.barh(y, found.mean, height=high * 0.92, color=colour, linewidth=0)
        if found.deviation is not None:
            panel.errorbar(found.mean, y, xerr=found.deviation, fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.2, capthick=0.7)
    return drawn


def _finish(panel: Axes, names: Sequence[str], label: str) -> None:
    panel.set_yticks(range(len(names)), [shorten(name, 24) for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", color=GRID, linewidth=0.5)
    panel.locator_params(axis="x", nbins=4)
    panel.xaxis.set_major_formatter(formatter(brief))
    panel.set_xlabel(label)
