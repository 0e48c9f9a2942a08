"""The command `spikeloom repeat`."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SpikeloomError
from .progress import Bar
from .shared import AsJson, DataDir, print_json, render, say

if TYPE_CHECKING:
    from ..sweep.again import Repeated

__all__ = ["add_to"]

SHOWN = 12  # digits of a digest


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Train, compile and run a run folder again, and compare digests.")(repeat)


def repeat(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Keep what was made again in this folder [default: it is removed].")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the training [default: as recorded].")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train, compile and run again by what a run folder recorded, and compare weights, deployed network and results bit by bit.

    Exit code 0: all are equal; 1: something differs.
    """
    from ..sweep.again import repeat as run_again

    with _folder(out) as folder, Bar("training again") as bar:
        found = run_again(run, folder, data_dir=data_dir, threads=threads, progress=bar.epoch)
    if as_json:
        print_json(found.document() | {"again": None if out is None else str(out)})
    else:
        _print(found, out)
    if found.first is not None:
        raise SpikeloomError(f"The repetition of {run} differs from it, first in {found.first.name}: {found.first.first}.")


@contextmanager
def _folder(out: Path | None) -> Generator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="spikeloom-repeat-") as name:
        yield Path(name) / "run"


def _print(found: Repeated, out: Path | None) -> None:
    from rich.text import Text

    lines: list[str] = []
    for part in found.parts:
        digests = part.before[:SHOWN] if part.equal else f"{part.before[:SHOWN]}, again {part.again[:SHOWN]}"
        lines.append(f"{part.name:8}  {part.file:18}  {'equal  ' if part.equal else 'differs'}  {digests}")
        lines += [] if part.first is None else [f"          first: {part.first}"]
    lines += [f"Not as before: {line}." for line in found.left_out]
    if not found.equal:
        unknown = "none of those recorded (threads, processor, libraries, versions); was a file of the folder changed since?"
        lines.append(f"Conditions that differ: {'; '.join(found.conditions) or unknown}")
    elif found.conditions:
        lines.append(f"Equal although conditions differ: {'; '.join(found.conditions)}")
    render(Text("\n".join(lines)))
    if out is not None:
        say(f"The new run is in {out}.")
