"""What a run left behind, read in Python: counts by layer, energy by part, the busiest core.

python examples/reading_results.py RUN_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from spikeloom.runtime import load_results


def main(run: str) -> None:
    """Print what RUN_FOLDER/results.json holds."""
    results = load_results(Path(run) / "results.json")
    right = "no labels" if results.accuracy is None else f"{results.accuracy:.2%}"
    print(f"{right} of {results.samples} samples of {results.data}, {results.sops_per_sample:,.0f} SOPs per sample")
    if results.predictions is not None:
        print(f"  predictions of the first: {results.predictions[:10].tolist()}")
    for layer in results.layers:
        print(f"  {layer.name}: {layer.neurons} neurons, {layer.spike_rate:.3f} spikes per step, {layer.sops_per_sample:,.0f} SOPs")
    for part in results.energy.components:
        print(f"  {part.name}: {part.joules_per_sample:.3g} J ({part.status})")
    busiest = max(results.cores, key=lambda core: core.sops_per_sample)
    print(f"  core {busiest.core} is the busiest, with {busiest.sops_per_sample:,.0f} SOPs per sample")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
