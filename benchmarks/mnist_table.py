"""MNIST 784-800-10 at several sparsities: trained in integers, compiled, run on the whole test set; prints a Markdown table.

Each row is one run folder, kept and resumed: a second call continues where a first was interrupted.

    python benchmarks/mnist_table.py --epochs 30 --out runs/mnist-table
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spikeloom.compile import compile_network
from spikeloom.runtime import Results, run
from spikeloom.train import TrainedRun, fit, load_dataset


def train(sparsity: float, options: argparse.Namespace, *, weight_bits: int | None) -> TrainedRun:
    """Train or resume one row."""
    folder = Path(options.out) / f"s{round(sparsity * 1000):03d}{'' if weight_bits else '-float'}"
    return fit(
        options.data,
        method="grad-r" if sparsity else "dense",
        sparsity=sparsity,
        epochs=options.epochs,
        weight_bits=weight_bits,
        seed=options.seed,
        out=folder,
        resume=folder.exists(),
    )


def deploy(trained: TrainedRun, options: argparse.Namespace) -> Results:
    """Compile for Loihi 2 and run all test images with the check."""
    deployed = compile_network(trained)
    deployed.save(trained.folder / "model.loom")
    results = run(deployed, load_dataset(options.data).test, check=True, data_name=options.data)
    results.save(trained.folder / "results.json")
    return results


def row(sparsity: float, options: argparse.Namespace, *, weight_bits: int | None) -> str:
    """Return one line of the table."""
    trained = train(sparsity, options, weight_bits=weight_bits)
    results = deploy(trained, options)
    floating = trained.stages[0].accuracy
    assert results.accuracy is not None  # the test set has labels
    how = "in integers" if weight_bits else "calibrated"
    cells = [
        f"{sparsity:.2f}",
        how,
        f"{trained.sparsity:.2%}",
        f"{floating:.2%}",
        f"{results.accuracy:.2%}",
        f"{100 * (results.accuracy - floating):+.2f}",
        f"{results.sops_per_sample:,.0f}",
        f"{results.energy.dynamic_joules_per_sample * 1e9:,.0f}",
        f"{results.energy.joules_per_sample * 1e9:,.0f}",
        f"{results.mapping.cores} / {results.mapping.cores_bound}",
        f"{sorted(trained.epoch_seconds)[len(trained.epoch_seconds) // 2]:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/mnist-table")
    parser.add_argument("--sparsities", default="0,0.9,0.95,0.98")
    parser.add_argument("--calibrated", action="store_true", help="also train without integers and quantise by calibration")
    options = parser.parse_args()
    head = ["sparsity asked", "weights", "reached", "float", "deployed", "points", "SOPs", "dynamic nJ", "nJ", "cores / bound", "s/epoch"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for sparsity in (float(s) for s in options.sparsities.split(",")):
        for bits in (8, None) if options.calibrated else (8,):
            print(row(sparsity, options, weight_bits=bits), flush=True)


if __name__ == "__main__":
    sys.exit(main())
