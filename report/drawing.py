"""`figure`: a figure for a paper, of one run or several, drawn with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import registry
from ..checked import checked
from ..errors import UsageError, unknown_name
from ..files import write_atomically
from . import figures
from .document import Document

__all__ = ["FORMATS", "WIDTHS", "drawn", "figure", "inches", "said", "save"]

FORMATS = ("pdf", "svg", "png", "pgf")
WIDTHS = {
    "neurips": 5.5,
    "iclr": 5.5,
    "icml": 3.25,
    "icml-wide": 6.75,
    "ieee": 3.5,
    "ieee-wide": 7.16,
    "cvpr": 3.25,
    "cvpr-wide": 6.875,
    "nature": 89 / 25.4,
    "nature-wide": 183 / 25.4,
}
"""Inches: the width of a column, or with -wide of the text, by the authors' instructions of each; NeurIPS and ICLR have one column."""
INSTALL = "pip install 'spikeloom[figures]'"
Runs = Sequence[tuple[str, Document]]


@checked(
    results="Pass what spikeloom.run returned, or a dictionary of such by name; of a file or run folder, spikeloom.load_results(PATH).",
)
def figure(
    results: Document | Mapping[str, Document],
    kind: str = "accuracy-sops",
    *,
    width: str | float = "icml",
    height: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """Draw a figure for a paper, and return it as a matplotlib `Figure`; needs matplotlib, the extra `figures`.

    Runs that differ in their seed alone are one mark or bar: the mean, with the standard deviation (n - 1) as error bars.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned; of several runs, a dictionary of such by name.
        kind: accuracy-connectivity, accuracy-sops, energy, layers or latency, of one run or several; raster, weights, core-map or
            step-bound, of one.
        width: in mm, or the column of a conference or journal: neurips, iclr, icml, ieee, cvpr, nature; icml-wide etc.: of both columns.
        height: in mm; None: as the figure needs.
        options: the kind's own: at (accuracy-sops; SOPs per sample at which the methods are compared), static (energy; whether the
            static power is shown), layers (raster; which).

    Returns:
        The figure; save it with `figure.savefig("sops.pdf")`.

    Raises:
        UsageError: an unknown kind, width or option; results without what the figure shows; or matplotlib is not installed.

    Example:
        >>> spikeloom.figure({"dense": dense, "sparse": sparse}, "accuracy-sops").savefig("sops.pdf")  # doctest: +SKIP
    """
    runs = list(results.items()) if isinstance(results, Mapping) else [("the run", results)]
    return drawn(runs, kind, width, height, options or {})


def drawn(runs: Runs, kind: str, width: str | float, height: float | None, options: Mapping[str, Any]) -> Any:
    """Draw a figure of runs, each with its name; see `figure`."""
    if not runs:
        raise UsageError("results is empty; name at least one run.")
    module = _module(kind)
    built = registry.options_of(module, options, f"the figure {kind}")
    import matplotlib as mpl

    from .figures.api import RC, Page

    page = Page(inches(width, "width"), None if height is None else inches(height, "height"))
    with mpl.rc_context(RC):
        return module.draw(runs, page, built)


def said(runs: Runs, kind: str, options: Mapping[str, Any]) -> list[str]:
    """Return what a figure says in words, a line each."""
    module = _module(kind)
    lines = getattr(module, "said", None)
    return [] if lines is None else lines(runs, registry.options_of(module, options, f"the figure {kind}"))


def _module(kind: str) -> Any:
    """Return the module of a kind.

    Raises:
        UsageError: there is none, or matplotlib is missing.
    """
    registry.check(figures, "kind of figure", kind)
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(f"Figures need matplotlib, which is not installed. Run: {INSTALL}") from error
    del mpl
    return registry.load(figures, "kind of figure", kind)


def inches(value: str | float, what: str) -> float:
    """Return a length in inches, given in mm or as the name of a conference.

    Raises:
        UsageError: no such name, or a length that is not within 20 to 1,000 mm.
    """
    if isinstance(value, str):
        if value in WIDTHS and what == "width":
            return WIDTHS[value]
        try:
            value = float(value)
        except ValueError:
            raise unknown_name(f"{what}, in mm or of a conference,", value, WIDTHS) from None
    if not (math.isfinite(value) and 20 <= value <= 1000):
        raise UsageError(f"{what} is {value:g} mm; it must lie between 20 and 1,000.")
    return value / 25.4


def save(made: Any, path: Path, form: str) -> Path:
    """Write a figure, atomically.

    Raises:
        UsageError: pgf without LaTeX.
        OutputError: the file cannot be written.
    """
    return write_atomically(path, lambda place: made.savefig(place, format=form))
