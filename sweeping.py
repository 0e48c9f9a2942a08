"""`spikeloom sweep`: a grid of methods, sparsities and seeds, each cell trained, compiled and run; resumable.

It stands at the front door, since it needs all rooms: train hands over, compile maps, runtime counts. A cell is an ordinary run folder,
OUT/METHOD/sSPARSITY/seedSEED, that every other command understands.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._version import VERSION
from .errors import PausedError, SpikeloomError, UsageError
from .files import make_folder, read_bytes, write_json

__all__ = ["Cell", "Grid", "sweep"]

DENSE = "dense"
Report = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class Grid:
    """What is trained.

    Args:
        settings: those of `spikeloom train` that all cells share, by name, see `TrainSettings`.
        methods: dense, which prunes nothing, is trained once a seed; all others at each sparsity.
        sparsities: shares of zero weights, 0..1.
        seeds: of the cells.
        out: the sweep's folder.
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
        for name in ("methods", "sparsities", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UsageError(f"{name} is {', '.join(map(str, values)) or 'empty'}; name at least one, each once.")
        if any(not 0.0 < s < 1.0 for s in self.sparsities):
            raise UsageError(f"sparsities are {', '.join(map(str, self.sparsities))}; each must lie between 0 and 1, such as 0.95.")

    def cells(self) -> Iterator[Cell]:
        """Yield the cells, all of one seed before the next, so that a sweep that is cut short has whole curves."""
        for seed in self.seeds:
            for method in self.methods:
                for sparsity in (0.0,) if method == DENSE else self.sparsities:
                    yield Cell(method, sparsity, seed, self.out / method / f"s{sparsity:g}" / f"seed{seed}")


@dataclass(frozen=True)
class Cell:
    """One training."""

    method: str
    sparsity: float
    seed: int
    folder: Path


def sweep(grid: Grid, *, jobs: int = 1, report: Report | None = None) -> list[dict[str, Any]]:
    """Train, compile and run every cell; write OUT/sweep.json after each and OUT/sweep.html at the end.

    Finished cells are taken as they are, interrupted ones go on. A cell that fails is a row with an `error`, and the others go on.

    Args:
        grid: the cells.
        jobs: how many are trained at once, each in a process of its own that has its share of the processor's cores.
        report: called as report(cells done, cells, row).

    Returns:
        A row for each cell, in the grid's order.

    Raises:
        UsageError: a setting that makes no sense, or fewer than one job.
        OutputError: the folder cannot be written to.
    """
    from .train.parts import Parts
    from .train.settings import TrainSettings

    if jobs < 1:
        raise UsageError(f"jobs is {jobs}; it must be at least 1.")
    cells = list(grid.cells())
    for method in grid.methods:  # a name or option that there is not would fail in every cell
        Parts.of(TrainSettings.read({**grid.settings, "method": method}))
    make_folder(grid.out)
    rows: dict[Cell, dict[str, Any]] = {}
    for cell, row in _rows(grid, cells, jobs):
        rows[cell] = row
        _write(grid, [rows[c] for c in cells if c in rows])
        if report is not None:
            report(len(rows), len(cells), row)
    done = [rows[c] for c in cells]
    from .sweep_page import write_page

    write_page(done, grid.out / "sweep.html", dict(grid.settings))
    return done


def _rows(grid: Grid, cells: list[Cell], jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    if jobs == 1:
        for cell in cells:
            yield cell, run_cell(grid, cell)
        return
    context = multiprocessing.get_context("spawn")  # torch and its threads do not survive a fork
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, context, _share_cores, (threads,)) as pool:
        waiting = {pool.submit(run_cell, grid, cell): cell for cell in cells}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _share_cores(threads: int) -> None:
    import numba
    import torch

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)


def run_cell(grid: Grid, cell: Cell) -> dict[str, Any]:
    """Bring one cell to its end; return its row, with an `error` where that failed."""
    row: dict[str, Any] = {"method": cell.method, "sparsity_asked": cell.sparsity, "seed": cell.seed, "folder": str(cell.folder)}
    try:
        return row | _train(grid, cell) | (_deploy(grid, cell) if grid.deploy else {})
    except PausedError:
        raise
    except SpikeloomError as error:
        return row | {"error": str(error)}


def _train(grid: Grid, cell: Cell) -> dict[str, Any]:
    from .train.fitting import train_run
    from .train.settings import TrainSettings

    settings = TrainSettings.read({**grid.settings, "method": cell.method, "sparsity": cell.sparsity, "seed": cell.seed})
    run = train_run(settings, cell.folder, resume=cell.folder.exists())
    rows = [json.loads(line) for line in read_bytes(cell.folder / "metrics.jsonl", "the metrics").splitlines()]
    return {
        "sparsity": run.sparsity,
        "connectivity": rows[-1].get("connectivity", 1.0 - run.sparsity),
        "connectivity_unrolled": rows[-1].get("connectivity_unrolled", 1.0 - run.sparsity),
        "pruned": sum(r.get("pruned", 0.0) for r in rows),
        "regrown": sum(r.get("regrown", 0.0) for r in rows),
        "stages": {stage.name: stage.accuracy for stage in run.stages},
        "accuracy": run.accuracy,
        "epochs": run.epochs,
        "epoch_seconds": sorted(run.epoch_seconds)[len(run.epoch_seconds) // 2],
    }


def _deploy(grid: Grid, cell: Cell) -> dict[str, Any]:
    from .compile import compile_network
    from .runtime import run
    from .runtime.results import load
    from .train.data import load_dataset
    from .train.settings import TrainSettings

    path = cell.folder / "results.json"
    if path.exists():
        results = load(path)
    else:
        settings = TrainSettings.read(grid.settings)
        deployed = compile_network(cell.folder, target=grid.target)
        deployed.save(cell.folder / "model.loom")
        split = load_dataset(settings.data, settings.data_dir, settings.data_options).test
        results = run(deployed, split, data_name=settings.data)
        results.save(path)
    return {
        "deployed_accuracy": results.accuracy,
        "sops": results.sops_per_sample,
        "energy_joules": results.energy.joules_per_sample,
        "dynamic_energy_joules": results.energy.dynamic_joules_per_sample,
        "energy_model": results.energy.model,
    }


def _write(grid: Grid, rows: list[dict[str, Any]]) -> None:
    document = {"format": "spikeloom.sweep", "version": 1, "spikeloom": VERSION, "settings": dict(grid.settings), "cells": rows}
    write_json(grid.out / "sweep.json", document)
