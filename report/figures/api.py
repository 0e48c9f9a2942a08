"""What the kinds of figures share: widths, fonts, axes, error bars and legends. Needs matplotlib, the extra `figures`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends import backend_pgf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pgf import FigureCanvasPgf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import FuncFormatter

from ...errors import UsageError
from .. import latex
from ..compared import Run, rows
from ..document import Document
from ..format import clean, shorten
from ..seeds import Group, Spread, groups
from ..series import Series, of_runs

__all__ = [
    "DIM",
    "GRID",
    "INK",
    "MARKERS",
    "Drawn",
    "Named",
    "Page",
    "Setting",
    "axes",
    "legend",
    "one_run",
    "scaled",
    "settings",
    "spread_said",
]

Named = Sequence[tuple[str, Document]]
"""Runs as (name, results)."""
INK, DIM, GRID = "#1a2027", "#56616c", "#e3e7eb"
MARKERS = ("o", "s", "^", "D", "P", "v", "d")
"""Of the shapes of series."""
RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "axes.edgecolor": DIM,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": DIM,
    "ytick.color": DIM,
    "text.parse_math": False,  # names come from files
    "pdf.fonttype": 42,  # TrueType, which conferences accept; not Type 3
    "svg.hashsalt": "spikeloom",  # the same results give the same file
    "savefig.dpi": 300,
    "figure.dpi": 150,
}
"""The style; set while a figure is drawn and while it is saved."""


@dataclass(frozen=True)
class Page:
    """Where a figure goes: its width in inches, and its height, None being the kind's own."""

    width: float
    height: float | None = None


class Drawn(Figure):
    """A matplotlib figure that is saved in the style it was drawn in, and that shows itself in a notebook."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as `Figure.savefig` does; without dates, so that the same results give the same file."""
        form = str(options.get("format") or str(fname).rpartition(".")[2]).lower()
        undated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        options = ({"metadata": undated[form]} if form in undated else {}) | options
        with mpl.rc_context(RC):
            if form == "pgf":
                self._save_pgf(fname)
                return
            super().savefig(fname, **options)

    def _save_pgf(self, fname: Any) -> None:
        """Save for LaTeX, every text as itself: names come from files, and per cent signs begin comments."""
        usual = backend_pgf.RendererPgf
        backend_pgf.RendererPgf = _Literal  # pyright: ignore[reportAttributeAccessIssue]
        try:
            with mpl.rc_context({"pgf.texsystem": _texsystem(), "pgf.rcfonts": False}):
                FigureCanvasPgf(self).print_pgf(str(fname))
        finally:
            backend_pgf.RendererPgf = usual
            FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Show the figure in a notebook."""
        import io

        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=150)
        return stream.getvalue()


class _Literal(backend_pgf.RendererPgf):
    """A renderer for which texts hold no LaTeX."""

    def draw_text(self, gc: Any, x: Any, y: Any, s: Any, prop: Any, angle: Any, ismath: Any = False, mtext: Any = None) -> None:
        """Draw a text, escaped."""
        super().draw_text(gc, x, y, latex.text(s), prop, angle, ismath, mtext)

    def get_text_width_height_descent(self, s: Any, prop: Any, ismath: Any) -> Any:
        """Measure a text, escaped."""
        return super().get_text_width_height_descent(latex.text(s), prop, ismath)


def _texsystem() -> str:
    """Return the TeX that is installed.

    Raises:
        UsageError: there is none.
    """
    import shutil

    found = next((name for name in ("pdflatex", "xelatex", "lualatex") if shutil.which(name)), None)
    if found is None:
        raise UsageError(
            "The format pgf needs LaTeX (pdflatex, xelatex or lualatex) to measure texts, and none is installed. Take pdf or svg."
        )
    return found


def axes(page: Page, height: float, down: int = 1, across: int = 1, **layout: Any) -> tuple[Drawn, list[Axes]]:
    """Return a figure of the page's width with `down` x `across` axes, in rows; `height` in inches where the page has none."""
    made = Drawn(figsize=(page.width, page.height or height), layout="constrained")
    FigureCanvasAgg(made)
    found = made.subplots(down, across, squeeze=False, **layout)
    plain: list[Axes] = list(found.ravel())
    for one in plain:
        one.spines[["top", "right"]].set_visible(False)
        one.set_axisbelow(True)
    return made, plain


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed alone: the series they belong to, and what tells them from others of it."""

    group: Group
    series: Series
    name: str


def settings(runs: Named) -> list[Setting]:
    """Return the runs grouped over their seeds; names of the same series differ in the connectivity."""
    made = rows(runs)
    series = {run.number: one for run, one in zip(made, of_runs(made), strict=True)}
    found = groups(made)
    plain = [series[group.first.number].name for group in found]
    several = {name for name in plain if plain.count(name) > 1}
    named = [f"{name}, {_connectivity(group)}" if name in several else name for group, name in zip(found, plain, strict=True)]
    return [
        Setting(group, series[group.first.number], name if named.count(name) == 1 else shorten(group.first.run, 30))
        for group, name in zip(found, named, strict=True)
    ]


def _connectivity(group: Group) -> str:
    found = group.of("connectivity")
    return "" if found is None else f"{100 * found.mean:.3g} %"


def spread_said(found: Iterable[Spread]) -> str:
    """Say what error bars are: "mean ± SD, n = 3 seeds"; empty if no setting has several seeds."""
    several = sorted({one.n for one in found if one.n > 1})
    if not several:
        return ""
    many = str(several[0]) if len(several) == 1 else f"{several[0]} to {several[-1]}"
    return f"mean ± standard deviation, n = {many} seeds"


def one_run(runs: Named, kind: str) -> tuple[str, Document]:
    """Return the only run.

    Raises:
        UsageError: there are several.
    """
    if len(runs) != 1:
        raise UsageError(f"The figure {kind} is of one run, and there are {len(runs)}. Name one of them.")
    return runs[0][0], clean(runs[0][1])


def legend(figure: Figure, handles: Sequence[Any], title: str = "") -> None:
    """Put the legend above the axes, in as many columns as fit."""
    if not handles and not title:
        return
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    columns = max(1, min(len(handles), int(figure.get_figwidth() * 72 / (24 + 3.9 * longest))))
    made = figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.2,
    )
    if title:
        made.set_title(title, prop=FontProperties(size=7))
        made.get_title().set_color(DIM)
        made.set_alignment("left")


def scaled(largest: float, unit: str) -> tuple[float, str]:
    """Return the factor and the unit in which a value is written: 1.2e-7 and "J" give (1e9, "nJ")."""
    for power, prefix in ((0, ""), (-3, "m"), (-6, "µ"), (-9, "n"), (-12, "p"), (-15, "f")):
        if largest >= 10.0**power:
            return 10.0**-power, f"{prefix}{unit}"
    return 1.0, unit


def formatter(write: Callable[[float], str]) -> FuncFormatter:
    """Return a formatter of ticks."""
    return FuncFormatter(lambda value, _: write(float(value)))


def brief(value: float) -> str:
    """Write a count on an axis: 20k."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.4g}"


def labelled(runs: Named) -> list[Run]:
    """Return the rows of the runs.

    Raises:
        UsageError: no run has an accuracy.
    """
    made = rows(runs)
    if all(run.accuracy is None for run in made):
        raise UsageError("None of these runs has an accuracy, because their samples had no labels. Run samples with labels.")
    return made
