"""Accuracy of a trained float network by weight bits, with an exponent a layer and by channel.

python benchmarks/bits_table.py RUN_FOLDER [--bits 8,4,3,ternary] [--samples N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from spikeloom.compile import compile_network
from spikeloom.compile.summary import first_drift
from spikeloom.data.dataset import load_dataset
from spikeloom.runtime import run


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(description="Accuracy by weight bits.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--bits", default="8,6,5,4,3,ternary")
    parser.add_argument("--samples", type=int, default=None)
    options = parser.parse_args()
    print("| bits | exponents | synapses | projections | float | deployed | drift by layer |")
    print("|---|---|---|---|---|---|---|")
    for bits in options.bits.split(","):
        for granularity in ("layer", "channel"):
            deployed = compile_network(options.run, weight_bits=bits, granularity=granularity, effort="fast")
            network = deployed.network
            results = run(deployed, load_dataset(network.provenance["data"]).test, samples=options.samples)
            drift = ", ".join(f"{name} {share:.1%}" for name, share in deployed.drift.items())
            first = first_drift(deployed)
            drift += f" (first: {first['layer']})" if first else ""
            print(
                f"| {bits} | {granularity} | {network.synapses:,} | {len(network.projections)} | {network.stages[0].accuracy:.2%} "
                f"| {results.accuracy:.2%} | {drift} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
