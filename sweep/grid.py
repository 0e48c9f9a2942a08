"""`spikeloom sweep`: a grid of methods, sparsities and seeds, each cell trained, compiled and run; resumable.

A cell is an ordinary run folder, OUT/METHOD/sSPARSITY/seedSEED, that every other command understands.
"""

from __future__ import annotations

import os
import shlex
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import __version__, registry
from ..checked import check_fields, checked
from ..errors import InUseError, OutputError, SpikeloomError, SpikeloomWarning, UsageError, unknown_name
from ..files import make_folder, owned, write_json
from . import cluster, workers

if TYPE_CHECKING:
    from ..runtime import Results
    from ..train import TrainedRun
    from ..train.settings import TrainSettings

__all__ = ["Cell", "Grid", "sweep"]

DENSE = "dense"
FLAGS = {
    "data": "--data",
    "net": "--net",
    "method": "--method",
    "sparsity": "--sparsity",
    "epochs": "--epochs",
    "seed": "--seed",
    "threads": "--threads",
    "data_dir": "--data-dir",
}
LEASE = 150.0  # seconds; a file server keeps the locks of a vanished machine for about 90
Row = dict[str, Any]
Report = Callable[[int, int, Row, float], None]


@dataclass(frozen=True)
class Grid:
    """The grid of a sweep.

    Args:
        settings: settings of `spikeloom train` that all cells share, by name; see `TrainSettings`. An option in method_options is passed
            to every method that has an option of that name.
        methods: pruning methods; dense, which prunes nothing, is trained once per seed, all others at each sparsity.
        sparsities: shares of zero weights, 0..1.
        seeds: seeds of the cells.
        out: folder of the sweep.
        deploy: whether cells are compiled and run on the test set, for SOPs and energy.
        target: what they are compiled for.
    """

    settings: Mapping[str, Any]
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    out: Path
    deploy: bool = True
    target: str = "lava"

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("methods", "sparsities", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UsageError(f"{name} is {', '.join(map(str, values)) or 'empty'}; give at least one, each only once.")
        if any(not 0.0 < s < 1.0 for s in self.sparsities):
            raise UsageError(f"sparsities are {', '.join(map(str, self.sparsities))}; each must lie between 0 and 1, such as 0.95.")

    def cells(self) -> Iterator[Cell]:
        """Yield the cells, all of one seed before the next, so that an interrupted sweep has complete curves."""
        for seed in self.seeds:
            for method in self.methods:
                for sparsity in (0.0,) if method == DENSE else self.sparsities:
                    yield Cell(method, sparsity, seed, self.out / method / f"s{sparsity}" / f"seed{seed}")

    def settings_of(self, cell: Cell) -> TrainSettings:
        """Return the whole recipe of a cell.

        Raises:
            UsageError: an invalid name, option or value.
        """
        from ..train.settings import TrainSettings

        given = cast("Mapping[str, Any]", self.settings.get("method_options", {}))
        chosen = {name: value for name, value in given.items() if name in _options_of(cell.method)}
        return TrainSettings.read(
            {**self.settings, "method": cell.method, "sparsity": cell.sparsity, "seed": cell.seed, "method_options": chosen}
        )

    def check(self) -> None:
        """Check for mistakes that would fail in every cell, before any is trained.

        Raises:
            UsageError: an unknown name, an option that none of the methods has, an invalid value.
        """
        from ..train.parts import Parts

        known = sorted({option for method in self.methods for option in _options_of(method)})
        for name in cast("Mapping[str, Any]", self.settings.get("method_options", {})):
            if name not in known:
                raise unknown_name(f"option of the methods {', '.join(self.methods)}", name, known)
        for method in self.methods:
            Parts.of(self.settings_of(Cell(method, 0.0 if method == DENSE else self.sparsities[0], self.seeds[0], self.out)))


@dataclass(frozen=True)
class Cell:
    """One training run of the grid."""

    method: str
    sparsity: float
    seed: int
    folder: Path


def _options_of(method: str) -> set[str]:
    from ..train import methods

    options = getattr(registry.load(methods, "method", method), "Options", None)
    return set() if options is None else {field.name for field in fields(options)}


@checked(grid="Make one with spikeloom.sweep.Grid(...).")
def sweep(
    grid: Grid,
    *,
    jobs: int = 1,
    threads: int | None = None,
    scheduler: str | None = None,
    command: str = "",
    report: Report | None = None,
) -> list[Row]:
    """Train, compile and run every cell; write OUT/sweep.json after each and OUT/sweep.html at the end.

    Finished cells are kept, and interrupted ones continue. A cell that fails, or whose process dies, is a row with an `error`; the
    others continue.

    Args:
        grid: the cells.
        jobs: number of cells trained at once, each in a process of its own.
        threads: threads per cell; None: its share of the processor's cores. Sums are split among threads, so the last bits of the weights
            may depend on their number; with the same one they do not depend on `jobs` or `scheduler`.
        scheduler: address of the scheduler of a Dask cluster, on whose workers the cells are trained (docs/sweep.md says what these must
            share), with 1 thread per cell unless `threads` says otherwise; None: they are trained on this machine.
        command: the command that repeats this sweep, for sweep.json.
        report: called as report(cells done, cells, row, seconds left), nan while there is nothing yet to estimate them from.

    Returns:
        A row for each cell, in the grid's order.

    Raises:
        UsageError: an invalid setting, fewer than one job or thread, or jobs and a scheduler; or a scheduler without
            dask.distributed.
        OutputError: the folder cannot be written to.
        BackendError: the cluster does not answer, or cannot do the same as this machine; see `cluster.each`.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; it must be at least 1.")
    if scheduler is not None and jobs != 1:
        raise UsageError(f"jobs is {jobs}; on a cluster, the workers' threads say how many cells are trained at once. Leave --jobs out.")
    grid.check()
    make_folder(grid.out)
    cells, rows = list(grid.cells()), dict[Cell, Row]()
    clock = _Clock({cell for cell in cells if not (cell.folder / "train.json").exists()}, time.monotonic())
    try:
        for cell, row in _rows(grid, cells, jobs, threads, scheduler):
            rows[cell] = row
            _write(grid, [rows[c] for c in cells if c in rows], command)
            if report is not None:
                report(len(rows), len(cells), row, clock.left(cell))
    finally:
        if rows:
            from .page import write_page

            write_page([rows[c] for c in cells if c in rows], grid.out / "sweep.html", dict(grid.settings))
    return [rows[c] for c in cells]


@dataclass
class _Clock:
    """Estimates the time left from the cells that had to be trained; cells that existed already do not count."""

    to_train: set[Cell]
    begun: float
    trained: int = 0

    def left(self, cell: Cell) -> float:
        """Return the seconds left once `cell` is done."""
        self.trained += cell in self.to_train
        return (time.monotonic() - self.begun) * (len(self.to_train) / self.trained - 1) if self.trained else float("nan")


def _rows(grid: Grid, cells: Sequence[Cell], jobs: int, threads: int | None, scheduler: str | None) -> Iterator[tuple[Cell, Row]]:
    if scheduler is not None:  # the number of threads must not depend on the worker
        work = partial(_run_cell_once_free, grid, threads=threads)
        yield from cluster.each(work, cells, scheduler, threads or 1, grid.out, partial(_lost_on_cluster, grid, threads))
        return
    if jobs == 1 and threads is None:  # in this process, with its current threads
        for cell in cells:
            yield cell, run_cell(grid, cell)
        return
    share = threads or max(1, (os.cpu_count() or 1) // jobs)
    yield from workers.each(partial(run_cell, grid, threads=threads), cells, jobs, share, partial(_lost, grid, threads))


def _named(grid: Grid, cell: Cell, threads: int | None) -> Row:
    named = {"method": cell.method, "sparsity_asked": cell.sparsity, "seed": cell.seed, "folder": str(cell.folder)}
    return named | {"command": command_of(grid, cell, threads)}


def command_of(grid: Grid, cell: Cell, threads: int | None) -> str:
    """Return the command that trains a cell again, to the same weights, into a folder beside it. `threads`: as used; None: not known."""
    return training_command(replace(grid.settings_of(cell), threads=threads), Path(f"{cell.folder}-again"))


def training_command(settings: TrainSettings, out: Path) -> str:
    """Return the command that trains with these settings into a folder."""
    words = ["spikeloom", "train", "--out", str(out)]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in FLAGS:
            words += [] if value is None else [FLAGS[field.name], str(value)]
        elif isinstance(value, Mapping):
            prefix = field.name.removesuffix("_options")
            options = cast("Mapping[str, Any]", value)
            words += [word for name in sorted(options) for word in ("--set", f"{prefix}.{name}={_written(options[name])}")]
        elif value != field.default:
            words += ["--set", f"{field.name}={_written(value)}"]
    return shlex.join(words)


def _written(value: Any) -> str:
    """Return a setting as `--set` reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_written, cast("list[Any]", value))) if isinstance(value, list | tuple) else str(value)


def _lost(grid: Grid, threads: int | None, cell: Cell, how: str) -> Row:
    return _named(grid, cell, threads) | {
        "error": f"The process that trained {cell.folder} {how}. Repeat the sweep to continue, with fewer --jobs if necessary."
    }


def _lost_on_cluster(grid: Grid, threads: int | None, cell: Cell, how: str) -> Row:
    return _named(grid, cell, threads) | {
        "error": f"The cell {cell.folder} {how}. Repeat the sweep to continue, with more memory per worker if necessary."
    }


def _run_cell_once_free(grid: Grid, cell: Cell, threads: int | None = None) -> Row:
    """Run a cell that a vanished worker may still hold locked for a while."""
    end = time.monotonic() + LEASE
    while time.monotonic() < end:
        try:
            with owned(cell.folder):
                break
        except InUseError:
            time.sleep(1)
        except OutputError:  # reported by run_cell
            break
    return run_cell(grid, cell, threads)


def run_cell(grid: Grid, cell: Cell, threads: int | None = None) -> Row:
    """Complete one cell and return its row, with an `error` if it failed. `threads`: the number that was requested."""
    row = _named(grid, cell, threads)
    try:
        run = _train(grid, cell, threads)
        row |= {"command": command_of(grid, cell, run.settings.threads)}
        return row | _trained(run) | (_deployed(grid, run) if grid.deploy else {})
    except SpikeloomError as error:
        return row | {"error": str(error)}
    except (MemoryError, OSError, RuntimeError) as error:  # torch raises RuntimeError when memory runs out
        return row | {"error": f"{type(error).__name__}: {error}"}


def _train(grid: Grid, cell: Cell, threads: int | None) -> TrainedRun:
    from ..train.finished import SETTINGS
    from ..train.running import train_run

    # a sweep may be killed after it made the folder and before there was anything in it
    settings = grid.settings_of(cell)
    settings = settings if threads is None else replace(settings, threads=threads)
    return train_run(settings, cell.folder, resume=(cell.folder / SETTINGS).exists())


def _trained(run: TrainedRun) -> Row:
    from ..train.metrics import read_metrics

    rows = read_metrics(run.folder)
    kept = next((row for row in rows if row["epoch"] == run.best_epoch), rows[-1])
    return {
        "sparsity": run.sparsity,
        "integer_sparsity": run.integer_sparsity,
        "connectivity": 1.0 - run.sparsity,
        "connectivity_unrolled": kept.get("connectivity_unrolled", 1.0 - run.sparsity),
        **({} if run.connectivity_reachable is None else {"connectivity_reachable": run.connectivity_reachable}),
        "pruned": sum(row.get("pruned", 0.0) for row in rows),
        "regrown": sum(row.get("regrown", 0.0) for row in rows),
        "stages": {stage.name: stage.accuracy for stage in run.stages},
        "accuracy": run.accuracy,
        "epochs": run.epochs,
        "best_epoch": run.best_epoch,
        "seconds": sum(run.epoch_seconds),
        "epoch_seconds": sorted(run.epoch_seconds)[len(run.epoch_seconds) // 2],
    }


def _deployed(grid: Grid, run: TrainedRun) -> Row:
    results = _results(run) or _deploy(grid, run)
    return {
        "deployed_accuracy": results.accuracy,
        "checked": results.check is not None and results.check.equal,
        "sops": results.sops_per_sample,
        "energy_joules": results.energy.joules_per_sample,
        "dynamic_energy_joules": results.energy.dynamic_joules_per_sample,
        "energy_model": results.energy.model,
        "warnings": list(results.warnings),
    }


def _results(run: TrainedRun) -> Results | None:
    """Existing results, unless the cell was run in another way: on part of the test set, or with the energies of another chip."""
    from ..runtime.results import load

    path = run.folder / "results.json"
    if not path.exists():
        return None
    found = load(path)
    whole = found.samples == run.stages[-1].samples and found.data == run.settings.data
    return found if whole and found.backend == "native" and found.energy.model == found.chip.name else None


def _deploy(grid: Grid, run: TrainedRun) -> Results:
    from ..compile import compile_network
    from ..runtime import run as run_network
    from ..train import load_dataset

    settings = run.settings
    deployed = compile_network(run.folder, target=grid.target)
    deployed.save(run.folder / "model.loom")
    folder = None if settings.data_dir is None else Path(settings.data_dir)
    split = load_dataset(settings.data, folder, settings.data_options).test
    steps = ["compile", str(run.folder), "--target", grid.target], ["run", str(run.folder / "model.loom"), "--check"]
    commands = [training_command(settings, run.folder), *(shlex.join(["spikeloom", *words]) for words in steps)]
    with warnings.catch_warnings(action="ignore", category=SpikeloomWarning):  # the cell's results have them
        results = run_network(deployed, split, check=True, data_name=settings.data, command=commands[-1], folder=run.folder)
    results = results.with_commands(commands[:-1])
    results.save(run.folder / "results.json")
    return results


def _write(grid: Grid, rows: list[Row], command: str) -> None:
    provenance = {name: version(name) for name in ("torch", "spikingjelly", "numpy")} | {"spikeloom": __version__, "command": command}
    document = {
        "format": "spikeloom.sweep",
        "version": 1,
        "settings": dict(grid.settings),
        "methods": list(grid.methods),
        "sparsities": list(grid.sparsities),
        "seeds": list(grid.seeds),
        "target": grid.target if grid.deploy else None,
        "provenance": provenance,
        "cells": rows,
    }
    write_json(grid.out / "sweep.json", document)
