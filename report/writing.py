"""`write`: the report of a run, or of several side by side, into one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..checked import checked
from ..errors import UsageError
from ..files import write_json, write_text
from . import compare, html, markdown
from .document import Document

__all__ = ["write"]

SUFFIXES = (".html", ".md", ".json")


@checked(
    results="Pass what spikeloom.run returned, or a dictionary of such by name; of a file or run folder, spikeloom.load_results(PATH).",
)
def write(results: Document | Mapping[str, Document], path: Path | str) -> Path:
    """Write the report of one run, or the comparison of several, atomically.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned; to compare runs, a dictionary of such by name.
        path: the file; its suffix says what is written: .html, one self-contained page; .md, Markdown; .json, the figures.

    Returns:
        The path.

    Raises:
        UsageError: another suffix, no results at all, or something that is no results.
        OutputError: the file cannot be written.

    Example:
        >>> spikeloom.report.write({"dense": dense, "sparse": sparse}, "compare.html")  # doctest: +SKIP
    """
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise UsageError(f"A report is written as {', '.join(SUFFIXES)}; {place} ends in {place.suffix or 'nothing'}. Name another file.")
    if isinstance(results, Mapping):
        return _comparison(list(results.items()), place)
    return _page(results, place)


def _page(results: Document, place: Path) -> Path:
    if place.suffix == ".json":
        return write_json(place, results.model_dump(mode="json"))
    return write_text(place, html.render(results) if place.suffix == ".html" else markdown.report(results))


def _comparison(runs: list[tuple[str, Document]], place: Path) -> Path:
    if not runs:
        raise UsageError("results is empty; name at least one run.")
    rows = compare.rows(runs)
    if place.suffix == ".json":
        return write_json(place, compare.document(rows))
    return write_text(place, html.render_comparison(rows) if place.suffix == ".html" else markdown.comparison(rows))
