"""`write`: the report of a run, or of several side by side, into one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..checked import checked
from ..errors import UsageError, unknown_name
from ..files import write_json, write_text
from . import compare, delimited, html, latex, markdown, tables
from .document import Document
from .format import clean

__all__ = ["RENDERERS", "tabular", "write"]

RENDERERS = {"csv": delimited.table, "latex": latex.table}
"""What writes one table, by format."""
OF_ONE_TABLE = {".csv": "csv", ".tex": "latex"}
SUFFIXES = (".html", ".md", ".json", *OF_ONE_TABLE)


@checked(
    results="Pass what spikeloom.run returned, or a dictionary of such by name; of a file or run folder, spikeloom.load_results(PATH).",
)
def write(results: Document | Mapping[str, Document], path: Path | str, *, table: str = "layers") -> Path:
    """Write the report of one run, or the comparison of several, atomically.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned; to compare runs, a dictionary of such by name.
        path: the file; its suffix says what is written: .html, one self-contained page; .md, Markdown; .json, the figures; .csv or .tex
            (LaTeX), one table.
        table: of one run, which table a .csv or .tex is of: headlines, stages, layers, weights, cores, energy, latency, ...

    Returns:
        The path.

    Raises:
        UsageError: another suffix, no results at all, something that is no results, or a table that they do not have.
        OutputError: the file cannot be written.

    Example:
        >>> spikeloom.report.write({"dense": dense, "sparse": sparse}, "compare.html")  # doctest: +SKIP
    """
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise UsageError(f"A report is written as {', '.join(SUFFIXES)}; {place} ends in {place.suffix or 'nothing'}. Name another file.")
    if isinstance(results, Mapping):
        return _comparison(list(results.items()), place)
    return _page(results, place, table)


def tabular(results: Document, form: str, table: str) -> str:
    """Return one table of a run as csv or latex.

    Raises:
        UsageError: a table that the results do not have.
    """
    made = tables.of_run(clean(results))
    if table not in made:
        raise unknown_name("table of these results", table, made)
    return RENDERERS[form](made[table])


def _page(results: Document, place: Path, table: str) -> Path:
    if place.suffix in OF_ONE_TABLE:
        return write_text(place, tabular(results, OF_ONE_TABLE[place.suffix], table))
    if place.suffix == ".json":
        return write_json(place, results.model_dump(mode="json"))
    return write_text(place, html.render(results) if place.suffix == ".html" else markdown.report(results))


def _comparison(runs: list[tuple[str, Document]], place: Path) -> Path:
    if not runs:
        raise UsageError("results is empty; name at least one run.")
    rows = compare.rows(runs)
    if place.suffix == ".json":
        return write_json(place, compare.document(rows))
    if place.suffix in OF_ONE_TABLE:
        return write_text(place, RENDERERS[OF_ONE_TABLE[place.suffix]](compare.table(rows)))
    return write_text(place, html.render_comparison(rows) if place.suffix == ".html" else markdown.comparison(rows))
