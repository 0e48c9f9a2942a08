"""The command `spikeloom report`: one run as an HTML page, or several side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, unknown_name
from .shared import print_json, render, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..runtime.results import Results

__all__ = ["add_to"]

FORMATS = ("html", "json", "md", "text", "csv", "latex")
TABULAR = ("csv", "latex")  # of one table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Write an HTML report, or compare runs.")(report)


def report(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, folders of runs, or results.json files.", show_default=False)
    ],
    form: Annotated[
        str, typer.Option("--format", help="html: a page; json, md, text, csv or latex: on standard output, or to --out.")
    ] = "html",
    out: Annotated[
        Path | None, typer.Option(help="File to write [default for html: report.html, or compare.html for several runs].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    table: Annotated[
        str | None, typer.Option(help="Which table of a run csv or latex is of, such as energy or cores [default: layers].")
    ] = None,
) -> None:
    """Write one self-contained HTML page from results.json, or compare several runs: accuracy against connectivity, SOPs and energy.

    A page's path is printed. A folder of runs, such as that of a sweep, stands for all runs in it.
    """
    form = "json" if as_json else form
    if form not in FORMATS:
        raise unknown_name("report format", form, FORMATS)
    if table is not None and form not in TABULAR:
        raise UsageError(f"--table chooses the table of --format csv or latex; --format {form} has all of them.")
    places = _places(sources)
    if len(places) == 1:
        _one(*places[0], form, out, table)
    elif table is not None:
        raise UsageError(f"--table is one of a single run, and there are {len(places)}; the comparison of several is one table.")
    else:
        _several(places, form, out)


def _places(sources: list[Path]) -> list[tuple[Path, Results]]:
    """Return every run with its results, each once; folders without results are named and left out, unless they are all there is."""
    found: dict[Path, Path] = {}
    empty: list[Path] = []
    for source in sources:
        runs = _runs(source)
        if not runs:
            empty.append(source)
        for run in runs:
            found.setdefault(run.resolve(), run)
    if not found:
        raise UsageError(
            f"{', '.join(map(str, empty))}: no results.json in or below it. Run a network first: spikeloom run RUN/model.loom --data NAME."
        )
    for source in empty:
        say(f"{source} has no results and is left out.")
    return [(path, _read(path)) for path in found.values()]


def _runs(source: Path) -> list[Path]:
    """Return the run folders (or the file) that `source` stands for."""
    if not source.is_dir():
        return [source]
    if any(source.glob("results*.json")):
        return [source]
    return sorted({path.parent for path in source.rglob("results*.json")})


def _read(path: Path) -> Results:
    from ..runtime.results import gather, load

    return gather(path) if path.is_dir() else load(path)


def _one(path: Path, results: Results, form: str, out: Path | None, table: str | None = None) -> None:
    from ..report import markdown, terminal, writing

    if form == "json":
        _put_json(results.document(), out)
        return
    if form == "html":
        print(results.write_report(out or (path if path.is_dir() else path.parent) / "report.html"))
    elif form == "md":
        _put(markdown.report(results), out)
    elif form in TABULAR:
        _put(writing.tabular(results, form, table or "layers"), out)
    else:
        _put_table(terminal.summary(results), out)


def _several(places: list[tuple[Path, Results]], form: str, out: Path | None) -> None:
    from ..report import compare, html, markdown, terminal, writing

    folder, names = _names([path for path, _ in places])
    rows = compare.rows([(name, results) for name, (_, results) in zip(names, places, strict=True)])
    if form == "html":
        print(html.write_comparison(rows, out or folder / "compare.html"))
    elif form == "json":
        _put_json(compare.document(rows), out)
    elif form == "md":
        _put(markdown.comparison(rows), out)
    elif form in TABULAR:
        _put(writing.RENDERERS[form](compare.table(rows)), out)
    else:
        _put_table(terminal.comparison(rows), out)


def _names(paths: list[Path]) -> tuple[Path, list[str]]:
    """Return the deepest folder that holds all runs, and each run's path below it."""
    whole = [path.resolve() for path in paths]
    folder = Path(os.path.commonpath([path.parent for path in whole]))
    return folder, [str(path.relative_to(folder)) for path in whole]


def _put_json(document: dict[str, Any], out: Path | None) -> None:
    from ..files import write_json

    if out is None:
        print_json(document)
    else:
        print(write_json(out, document))


def _put(text: str, out: Path | None) -> None:
    from ..files import write_text

    if out is None:
        print(text, end="")
    else:
        print(write_text(out, text))


def _put_table(table: RenderableType, out: Path | None) -> None:
    """Print what rich renders, or write it as plain text of 100 columns."""
    import io

    from rich.console import Console

    if out is None:
        render(table)
        return
    stream = io.StringIO()
    Console(file=stream, width=100, force_terminal=False, color_system=None).print(table)
    _put(stream.getvalue(), out)
