"""The command `spikeloom report`: one run as an HTML page, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, unknown_name
from .runs import names, places
from .shared import print_json, render

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..runtime.results import Results

__all__ = ["add_to"]

FORMATS = ("html", "json", "md", "text", "csv", "latex", "parquet")
TABULAR = ("csv", "latex", "parquet")  # of one table


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Write an HTML report, or compare runs.")(report)


def report(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, folders of runs, or results.json files.", show_default=False)
    ],
    form: Annotated[
        str, typer.Option("--format", help="html: a page; json, md, text, csv or latex: on standard output, or to --out; parquet: a file.")
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write [default for html: report.html, or compare.html for several runs; for parquet: TABLE.parquet]."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    table: Annotated[
        str | None,
        typer.Option(
            help="Which table csv, latex or parquet is of, such as energy or cores; of several runs: runs or seeds [default: layers, runs]."
        ),
    ] = None,
) -> None:
    """Write one self-contained HTML page from results.json, or compare several runs: accuracy against connectivity, SOPs and energy.

    A page's path is printed. A folder of runs, such as that of a sweep, stands for all runs in it.
    """
    form = "json" if as_json else form
    if form not in FORMATS:
        raise unknown_name("report format", form, FORMATS)
    if table is not None and form not in TABULAR:
        raise UsageError(f"--table chooses the table of --format csv, latex or parquet; --format {form} has all of them.")
    found = places(sources)
    if len(found) == 1:
        _one(*found[0], form, out, table)
    else:
        _several(found, form, out, table or "runs")


def _one(path: Path, results: Results, form: str, out: Path | None, table: str | None = None) -> None:
    from ..report import frames, markdown, terminal, writing

    if form == "json":
        _put_json(results.document(), out)
        return
    if form == "html":
        print(results.write_report(out or _beside(path) / "report.html"))
    elif form == "md":
        _put(markdown.report(results), out)
    elif form == "parquet":
        print(frames.write_parquet(results.records(table or "layers"), out or _beside(path) / f"{table or 'layers'}.parquet"))
    elif form in TABULAR:
        _put(writing.tabular(results, form, table or "layers"), out)
    else:
        _put_table(terminal.summary(results), out)


def _beside(path: Path) -> Path:
    """Return the folder of a run, or of its results."""
    return path if path.is_dir() else path.parent


def _several(found: list[tuple[Path, Results]], form: str, out: Path | None, table: str) -> None:
    from ..report import compare, frames, html, markdown, terminal, writing

    folder, named = names([path for path, _ in found])
    runs = [(name, results) for name, (_, results) in zip(named, found, strict=True)]
    rows = compare.rows(runs)
    if form == "html":
        print(html.write_comparison(rows, out or folder / "compare.html"))
    elif form == "json":
        _put_json(compare.document(rows), out)
    elif form == "md":
        _put(markdown.comparison(rows), out)
    elif form == "parquet":
        print(frames.write_parquet(frames.records_of_runs(runs, table), out or folder / f"{table}.parquet"))
    elif form in TABULAR:
        _put(writing.tabular_of_several(rows, form, table), out)
    else:
        _put_table(terminal.comparison(rows), out)


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
