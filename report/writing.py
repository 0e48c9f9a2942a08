"""`write`: the report of a run, or of several side by side, into one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..checked import checked
from ..errors import UsageError, unknown_name
from ..files import write_json, write_text
from . import compare, delimited, frames, html, latex, markdown, tables
from .document import Document
from .format import clean

__all__ = ["RENDERERS", "tabular", "tabular_of_several", "write"]

RENDERERS = {"csv": delimited.table, "latex": latex.table}
"""What writes one table, by format."""
OF_ONE_TABLE = {".csv": "csv", ".tex": "latex"}
SUFFIXES = (".html", ".md", ".json", *OF_ONE_TABLE, ".parquet")


@checked(
    results="Pass what spikeloom.run returned, or a dictionary of such by name; of a file or run folder, spikeloom.load_results(PATH).",
)
def write(results: Document | Mapping[str, Document], path: Path | str, *, table: str | None = None) -> Path:
    """Write the report of one run, or the comparison of several, atomically.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned; to compare runs, a dictionary of such by name.
        path: the file; its suffix says what is written: .html, one self-contained page; .md, Markdown; .json, the figures; .csv or .tex
            (LaTeX), one table as on the page; .parquet, one table at full precision.
        table: which table a .csv or .tex is of: headlines, stages, layers (the default), weights, cores, energy, latency, ...; of several
            runs: runs (the default) or seeds. A .parquet is of layers, cores, energy, latency, stages or samples; runs or seeds.

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
        return _comparison(list(results.items()), place, table or "runs")
    return _page(results, place, table or "layers")


def tabular(results: Document, form: str, table: str) -> str:
    """Return one table of a run as csv or latex.

    Raises:
        UsageError: a table that the results do not have.
    """
    made = tables.of_run(clean(results))
    if table not in made:
        raise unknown_name("table of these results", table, made)
    return RENDERERS[form](made[table])


def tabular_of_several(rows: Sequence[compare.Run], form: str, table: str) -> str:
    """Return a table of several runs as csv or latex: runs, or seeds.

    Raises:
        UsageError: another table, or no two runs that differ in their seed alone.
    """
    if table not in frames.OF_SEVERAL:
        raise unknown_name("table of several runs", table, frames.OF_SEVERAL)
    made = compare.table(rows) if table == "runs" else compare.seeds(rows)
    if not made.rows:
        raise UsageError("No two of these runs differ in their seed alone, so there is no table of means. Take --table runs.")
    return RENDERERS[form](made)


def _page(results: Document, place: Path, table: str) -> Path:
    if place.suffix in OF_ONE_TABLE:
        return write_text(place, tabular(results, OF_ONE_TABLE[place.suffix], table))
    if place.suffix == ".parquet":
        return frames.write_parquet(frames.records(results, table), place)
    if place.suffix == ".json":
        return write_json(place, results.model_dump(mode="json"))
    return write_text(place, html.render(results) if place.suffix == ".html" else markdown.report(results))


def _comparison(runs: list[tuple[str, Document]], place: Path, table: str) -> Path:
    if not runs:
        raise UsageError("results is empty; name at least one run.")
    rows = compare.rows(runs)
    if place.suffix == ".json":
        return write_json(place, compare.document(rows))
    if place.suffix in OF_ONE_TABLE:
        return write_text(place, tabular_of_several(rows, OF_ONE_TABLE[place.suffix], table))
    if place.suffix == ".parquet":
        return frames.write_parquet(frames.records_of_runs(runs, table), place)
    return write_text(place, html.render_comparison(rows) if place.suffix == ".html" else markdown.comparison(rows))
