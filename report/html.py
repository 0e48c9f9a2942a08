"""The HTML report: one self-contained page from one or more results.json. No scripts or external resources; suitable for printing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import files
from . import colours, compare, view
from . import format as numbers
from .document import Document


def render(results: Document) -> str:
    """Return the page for one run's `results`. The same results give the same page, byte for byte."""
    return _environment().get_template("report.html.j2").render(view.gather(numbers.clean(results))) + "\n"


def write(results: Document, path: Path) -> Path:
    """Write the page to `path`, whole or not at all.

    Raises:
        OutputError: the folder is full or read-only.
    """
    return files.write_text(path, render(results))


def render_comparison(rows: Sequence[compare.Run]) -> str:
    """Return the page that compares the runs of `rows`, made by `compare.rows`."""
    return render_page("compare.html.j2", compare.view(rows))


def render_page(template: str, made: dict[str, Any]) -> str:
    """Return a page of one of the templates, which extend base.html.j2 and need a `title` in `made`; its texts are escaped."""
    return _environment().get_template(template).render(made) + "\n"


def write_comparison(rows: Sequence[compare.Run], path: Path) -> Path:
    """Write the comparing page to `path`, whole or not at all.

    Raises:
        OutputError: the folder is full or read-only.
    """
    return files.write_text(path, render_comparison(rows))


@functools.cache
def _environment() -> Environment:
    """The template engine: everything is escaped, since names come from files; undefined values raise an error instead of leaving a gap."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = (numbers.si, numbers.count, numbers.compact, numbers.percent, numbers.points)
    filters: dict[str, Any] = {function.__name__: function for function in shared}
    made.filters.update(filters)
    made.globals["colours"] = Markup(colours.css())  # pyright: ignore[reportArgumentType]
    return made
