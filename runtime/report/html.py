"""The HTML report: one self-contained page made of results.json. No script, no font or image from elsewhere; opens offline and prints."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ... import files
from . import format as numbers
from . import view


def render(results: dict[str, Any]) -> str:
    """Return the page for one run's `results` (results.json, parsed). The same results give the same page, byte for byte."""
    return _environment().get_template("report.html.j2").render(view.gather(numbers.clean(results))) + "\n"


def write(results: dict[str, Any], path: Path) -> Path:
    """Write the page to `path`, whole or not at all.

    Raises:
        OutputError: the folder is full or read-only.
    """
    return files.write_text(path, render(results))


@functools.cache
def _environment() -> Environment:
    """The template engine: everything is escaped, since names come from files; what is undefined is our error, never an empty spot."""
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
    return made
