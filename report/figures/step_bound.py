"""What a step waits for: the work of every core, the slowest first, against the step that they make."""

from __future__ import annotations

from matplotlib.patches import Patch

from ...errors import UsageError
from .. import step_chart
from ..colours import COMPONENTS
from ..format import clean, count, shorten
from .api import DIM, GRID, INK, Drawn, Named, Page, axes, formatter, legend, one_run, scaled

__all__ = ["draw", "said"]


def draw(runs: Named, page: Page, options: None = None) -> Drawn:
    """Draw the figure.

    Raises:
        UsageError: several runs, or results that do not say what their steps wait for.
    """
    name, results = one_run(runs, "step-bound")
    found = results.step_bound
    if found is None or not found.cores:
        raise UsageError(
            f"{name} does not say what a step waits for. Run the network again with spikeloom run; crossbars have no such figure."
        )
    drawn = step_chart.stacks(found)
    figure, (panel,) = axes(page, 2.3)
    factor, unit = scaled(max(float(found.seconds), 1e-15), "s")
    for number, one in enumerate(drawn):
        above = below = 0.0
        for (_, style), up, down in zip(step_chart.PARTS, one.up, one.down, strict=True):
            panel.bar(number, factor * up, 0.85, bottom=above, color=COMPONENTS[style].light, linewidth=0)
            panel.bar(number, -factor * down, 0.85, bottom=below, color=COMPONENTS[style].light, linewidth=0)
            above, below = above + factor * up, below - factor * down
    bound = factor * step_chart.bound_of(found)
    panel.axhline(0.0, color=DIM, linewidth=0.6)
    panel.axhline(bound, color=INK, linewidth=0.8, linestyle="--")
    ticks = range(0, len(drawn), max(1, len(drawn) // 8))
    panel.set_xticks(ticks, [str(drawn[k].core.core) for k in ticks])
    panel.yaxis.set_major_formatter(formatter(lambda value: f"{abs(value):g}"))
    panel.grid(axis="y", color=GRID, linewidth=0.5)
    some = "" if len(drawn) == found.of_cores else f" ({len(drawn)} of {count(found.of_cores)})"
    panel.set_xlabel(f"core, the slowest first{some}; model {shorten(found.model, 30)}")
    panel.set_ylabel(f"{unit} a step" + (", sends | receives" if found.overlap == "queue" else ""))
    title = f"{found.binds} binds; dashed: a step without barrier"
    legend(figure, [Patch(color=COMPONENTS[style].light, label=name) for name, style in step_chart.PARTS], title)
    return figure


def said(runs: Named, options: None = None) -> list[str]:
    """Say what binds, and what would help most."""
    _, results = one_run(runs, "step-bound")
    found = clean(results).step_bound
    return [] if found is None else step_chart.sentences(found)
