"""The command `spikeloom sweep`."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import SpikeloomError, StoppedError, UsageError
from .shared import AsJson, DataDir, print_json, render, said, say

if TYPE_CHECKING:
    from ..sweep import Grid

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(short_help="Train a grid of methods and sparsities, and plot it.")(sweep)


def sweep(
    out: Annotated[Path, typer.Option(help="Folder of the sweep; each cell is a run folder in it.")],
    methods: Annotated[str, typer.Option(help="Pruning rules, e.g. dense,grad-r,stds.")],
    sparsities: Annotated[str, typer.Option(help="Shares of weights to prune, e.g. 0.9,0.95,0.99.")],
    data: Annotated[str | None, typer.Option(help="Data set.")] = None,
    net: Annotated[str | None, typer.Option(help="Network [default: fc].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data [default: 20].")] = None,
    weight_bits: Annotated[
        int | None, typer.Option(help="Train in the chip's integers, with weights of 2..8 bits, in the last epochs (net fc only).")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2; means and standard deviations are plotted.")] = "0",
    jobs: Annotated[int, typer.Option(help="Cells trained at once, each in a process of its own.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads per cell; the same number gives the same bits everywhere [default: its share of the cores; 1 on a cluster]."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train the cells on the workers of this Dask scheduler, e.g. tcp://10.0.0.1:8786."),
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy/--no-deploy", help="Also compile and run each cell, for SOPs and energy.")] = True,
    chosen: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting of train, e.g. lr=0.005 or net.hidden=400. Repeatable.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="TOML file of settings, or the name of a paper's recipe; flags override it.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train, compile and run a grid of methods, sparsities and seeds. Writes sweep.json and sweep.html. To continue, repeat the command."""
    from ..sweep import Grid
    from ..sweep import sweep as run_sweep
    from ..train.recipe import merged, read_recipe

    flags = {
        "data": data,
        "net": net,
        "epochs": epochs,
        "weight_bits": weight_bits,
        "data_dir": None if data_dir is None else str(data_dir),
    }
    settings = merged({} if recipe is None else read_recipe(recipe), flags, chosen or [])
    for name in ("method", "sparsity", "seed"):
        if name in settings:
            raise UsageError(f"A sweep varies {name} itself. Use --methods, --sparsities and --seeds.")
    grid = Grid(settings, _words(methods), _numbers("sparsities", sparsities), tuple(map(int, _numbers("seeds", seeds))), out, deploy)
    command = shlex.join(["spikeloom", *sys.argv[1:]])
    try:
        with said():
            rows = run_sweep(grid, jobs=jobs, threads=threads, scheduler=scheduler, command=command, report=_report)
    except KeyboardInterrupt as stop:
        done = f"Finished cells are in {out / 'sweep.json'}. Repeat the command to continue."
        raise StoppedError(f"Interrupted. {done}") from stop
    if as_json:
        print_json(rows)
    else:
        _print(grid, rows)
    failed = [row for row in rows if "error" in row]
    if failed:
        raise SpikeloomError(
            f"{len(failed)} of {len(rows)} cells failed; {out}/sweep.json has the error of each. The first: {failed[0]['error']}"
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) if name == "sparsities" else int(word) for word in _words(text))
    except ValueError:
        kind = "numbers" if name == "sparsities" else "whole numbers"
        raise UsageError(f"--{name} is {text!r}; it must be {kind} separated by commas, e.g. 0.9,0.95.") from None


def _report(done: int, cells: int, row: dict[str, Any], seconds_left: float) -> None:
    what = f"{row['method']} {row['sparsity_asked']:g} seed {row['seed']}"
    shown = f"failed: {row['error']}" if "error" in row else f"test accuracy {row['accuracy']:.2%}"
    left = "" if math.isnan(seconds_left) or done == cells else f"  {int(seconds_left) // 60}:{int(seconds_left) % 60:02d} left"
    say(f"{done}/{cells}  {what}: {shown}{left}")


def _print(grid: Grid, rows: list[dict[str, Any]]) -> None:
    from ..report import terminal
    from ..sweep.page import table

    render(terminal.table(table(rows)))
    say(f"Wrote {grid.out / 'sweep.json'} and {grid.out / 'sweep.html'}")
