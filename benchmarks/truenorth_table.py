"""Networks on TrueNorth-style crossbars: cores by mode of random ones, and accuracy, cores and energy of trained ones.

    python benchmarks/truenorth_table.py [RUN_FOLDER ...] [--samples 500] [--density 0.01 --density 0.005]

The random networks are 784-800-10 without dead-code elimination. Trained ones are compiled in every mode that they fit; all test samples
run natively, `--samples` of them on the cores, each spike compared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from spikeloom.compile import compile_network
from spikeloom.compile.crossbar.allocate import allocate
from spikeloom.compile.crossbar.quantise import fit_layer
from spikeloom.compile.crossbar.weights import MODES
from spikeloom.data.dataset import load_dataset
from spikeloom.errors import SpikeloomError
from spikeloom.network.model import LIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Networks on crossbars.")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--density", type=float, action="append")
    options = parser.parse_args()
    print("| random 784-800-10 at | " + " | ".join(f"cores, {mode}" for mode in MODES) + " |\n|---|---|---|---|")
    for density in options.density or [0.01, 0.005]:
        print(f"| {density:.1%} | " + " | ".join(_cores(density, mode) for mode in MODES) + " |", flush=True)
    if options.runs:
        columns = "network", "input", "mode", "float", "deployed", "cores", "SOPs", "events", "all-in", "term by term", "equal on the cores"
        print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for folder in options.runs:
        for encoding in ("rate", "host"):
            for mode in MODES:
                print(_row(folder, encoding, mode, options.samples), flush=True)


def _cores(density: float, mode: str) -> str:
    rng = np.random.default_rng(0)
    sizes, names = (784, 800, 10), ("input", "hidden", "output")
    populations = (Population("input", (784,), None), *(Population(n, (s,), LIF()) for n, s in zip(names[1:], sizes[1:], strict=True)))
    network = Network(
        populations,
        tuple(
            Projection(b, a, b, Synapses.from_dense((rng.normal(0, 1, (m, n)) * (rng.random((m, n)) < density)).astype(np.float32)))
            for a, b, n, m in zip(names, names[1:], sizes, sizes[1:], strict=False)
        ),
        8,
    )
    try:
        for population in network.spiking:
            network, _ = fit_layer(network, network, population, mode, 1.0)
        return f"{allocate(network, mode)[0].cores:,}"
    except SpikeloomError as error:
        return f"does not fit: {error}"


def _row(folder: Path, encoding: str, mode: str, samples: int) -> str:
    try:
        deployed = compile_network(folder, target="truenorth", mode=mode, encoding=encoding)  # pyright: ignore[reportArgumentType]
    except SpikeloomError as error:
        return f"| {folder} | {encoding} | {mode} | does not fit: {error} | | | | | | | |"
    test = load_dataset(deployed.network.provenance["data"]).test
    found = run(deployed, test)
    apart = run(deployed, test, energy_model="truenorth-separable")
    checked = run(deployed, test, backend="truenorth", samples=samples, check=True).check
    values = 0 if checked is None else checked.spikes_compared
    return (
        f"| {folder} | {encoding} | {mode} | {deployed.network.stages[0].accuracy:.2%} | {found.accuracy:.2%} | {found.mapping.cores} "
        f"| {found.sops_per_sample:,.0f} | {found.crossbar_events_per_sample:,.0f} | {found.energy.joules_per_sample * 1e9:,.0f} nJ "
        f"| {apart.energy.joules_per_sample * 1e9:,.0f} nJ | {values:,} |"
    )


if __name__ == "__main__":
    main()
