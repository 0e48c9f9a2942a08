"""`write`: the report of a run, or of several side by side, into one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from jinja2 import UndefinedError

from ..checked import checked
from ..errors import DAMAGE, FormatError, SpikeloomError, UsageError
from ..files import write_json, write_text
from . import compare, html, markdown

__all__ = ["Reported", "write"]

SUFFIXES = (".html", ".md", ".json")


class Reported(Protocol):
    """What a run found, such as a `Results`."""

    def document(self) -> dict[str, Any]:
        """Return it as results.json has it."""
        ...


@checked(
    results="Pass what spikeloom.run returned, or a dictionary of such by name; of a file or run folder, spikeloom.load_results(PATH).",
)
def write(results: Reported | Mapping[str, Reported], path: Path | str) -> Path:
    """Write the report of one run, or the comparison of several, atomically.

    Args:
        results: what `spikeloom.run` or `spikeloom.load_results` returned; to compare runs, a dictionary of such by name.
        path: the file; its suffix says what is written: .html, one self-contained page; .md, Markdown; .json, the figures.

    Returns:
        The path.

    Raises:
        UsageError: another suffix, no results at all, or something that is no results.
        FormatError: results that lack something that the report shows.
        OutputError: the file cannot be written.

    Example:
        >>> spikeloom.report.write({"dense": dense, "sparse": sparse}, "compare.html")  # doctest: +SKIP
    """
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise UsageError(f"A report is written as {', '.join(SUFFIXES)}; {place} ends in {place.suffix or 'nothing'}. Name another file.")
    try:
        if isinstance(results, Mapping):
            return _comparison({name: value.document() for name, value in results.items()}, place)
        return _page(results.document(), place)
    except SpikeloomError:
        raise
    except (UndefinedError, *DAMAGE) as error:
        raise FormatError(f"The results are damaged: {type(error).__name__}: {error}. Run the network again.") from error


def _page(document: dict[str, Any], place: Path) -> Path:
    if place.suffix == ".json":
        return write_json(place, document)
    return write_text(place, html.render(document) if place.suffix == ".html" else markdown.report(document))


def _comparison(documents: dict[str, dict[str, Any]], place: Path) -> Path:
    if not documents:
        raise UsageError("results is empty; name at least one run.")
    rows = compare.rows(list(documents.items()))
    if place.suffix == ".json":
        return write_json(place, compare.document(rows))
    return write_text(place, html.render_comparison(rows) if place.suffix == ".html" else markdown.comparison(rows))
