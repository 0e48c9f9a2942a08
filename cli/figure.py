"""The command `spikeloom figure`: a figure for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError, unknown_name
from .runs import names, places
from .shared import listed, say

__all__ = ["add_to"]

WIDTH = "icml"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Draw a figure for a paper, with matplotlib.")(figure)


def figure(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, folders of runs, or results.json files.", show_default=False)
    ],
    kind: Annotated[str, typer.Option(help=f"What to draw: {listed('report.figures')}.")] = "accuracy-sops",
    form: Annotated[str | None, typer.Option("--format", help="pdf, svg, png or pgf [default: the suffix of --out, or pdf].")] = None,
    width: Annotated[
        str, typer.Option(help="In mm, or the column of neurips, iclr, icml, ieee, cvpr or nature; icml-wide etc.: of both columns.")
    ] = WIDTH,
    height: Annotated[float | None, typer.Option(help="In mm [default: as the figure needs].")] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of the figure: at=20000 (accuracy-sops), static=true (energy), layers=hidden1 (raster). Repeatable.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [default: KIND.pdf in the folder of the runs].")] = None,
) -> None:
    """Draw a figure for a paper from results.json: the same results give the same file. Needs matplotlib: pip install 'spikeloom[figures]'.

    Runs that differ in their seed alone are one mark or bar: the mean, with the standard deviation as error bars. A method has the same
    colour in every figure and on every page. The path is printed.
    """
    from ..report import drawing

    named_form = "" if out is None else out.suffix.removeprefix(".")
    form = form or named_form or drawing.FORMATS[0]
    if form not in drawing.FORMATS:
        raise unknown_name("format of figures", form, drawing.FORMATS)
    if named_form in drawing.FORMATS and named_form != form:
        raise UsageError(f"--out {out} ends in .{named_form}, and --format is {form}. Leave one of the two out.")
    options = dict(_pair(text) for text in chosen or [])
    found = places(sources)
    folder, named = names([path for path, _ in found])
    if len(found) == 1 and found[0][0].is_dir():
        folder = found[0][0]
    runs = [(name, results) for name, (_, results) in zip(named, found, strict=True)]
    made = drawing.drawn(runs, kind, width, height, options)
    print(drawing.save(made, out or folder / f"{kind}.{form}", form))
    for line in drawing.said(runs, kind, options):
        say(line)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"--set {text!r} is not NAME=VALUE, such as at=20000.")
    return name.strip(), value.strip()
