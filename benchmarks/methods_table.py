"""Every method on MNIST 784-800-10 at 10, 5, 2.25 and 1 % connectivity: a `spikeloom sweep`, printed as a Markdown table.

    python benchmarks/methods_table.py --epochs 12 --seeds 0,1 --out runs/methods
    python benchmarks/methods_table.py --methods grad-r --epochs 30 --set augment=gentle --out runs/gentle

Repeat it to go on where it stopped; finished cells are only read.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from spikeloom import registry
from spikeloom.report.markdown import table
from spikeloom.sweep import Grid, page, sweep
from spikeloom.train import methods
from spikeloom.train.recipe import merged

SPARSITIES = (0.9, 0.95, 0.9775, 0.99)


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the sweep's table in Markdown."""
    return table(page.table(rows))


def progress(done: int, cells: int, row: dict[str, Any], seconds_left: float) -> None:
    """Say on standard error which cell is done, and the minutes left."""
    left = "" if math.isnan(seconds_left) else f"  {seconds_left / 60:.0f} min left"
    print(f"{done}/{cells} {row['folder']}{left}", file=sys.stderr)


def main() -> int:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--methods", default=",".join(registry.names(methods)))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting of train; repeatable")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None, help="of a cell; None: its share of the cores")
    parser.add_argument("--out", default="runs/methods")
    options = parser.parse_args()
    settings = merged({}, {"data": options.data, "epochs": options.epochs, "data_dir": options.data_dir}, options.set)
    seeds = tuple(int(seed) for seed in options.seeds.split(","))
    grid = Grid(settings, tuple(options.methods.split(",")), SPARSITIES, seeds, Path(options.out))
    rows = sweep(grid, jobs=options.jobs, threads=options.threads, report=progress)
    print(markdown(rows))
    for row in rows:
        if "error" in row:
            print(f"{row['folder']}: {row['error']}", file=sys.stderr)
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
