"""Above which density matrix products beat the sparse kernels: 784-800-10, T 8, inputs at 11.6 %, one thread, processor time.

python benchmarks/dense_threshold.py [--densities 0.1,0.2,0.3,0.4,0.6,1] [--samples 2048] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.native import dense

OPTIONS = BackendOptions(threads=1, rasters=False)


def build(density: float) -> Network:
    """Return a random network whose hidden layer spikes at a few percent."""
    rng = np.random.default_rng(0)

    def synapses(targets: int, sources: int) -> Synapses:
        weights = rng.integers(-127, 128, (targets, sources)) * (rng.random((targets, sources)) < density)
        return Synapses.from_dense(weights.astype(np.int32))

    bar = int(1300 * np.sqrt(density * 20))
    populations = (
        Population("input", (784,), None),
        Population("hidden", (800,), IntegerLIF(4095, 2048, bar)),
        Population("output", (10,), IntegerLIF(4095, 2048, 200)),
    )
    projections = (
        Projection("fc1", "input", "hidden", synapses(800, 784), 0, 8),
        Projection("fc2", "hidden", "output", synapses(10, 800), 0, 8),
    )
    return Network(populations, projections, 8, InputSpec(1, 1.0, "rate"))


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of some rounds, after one that does not count."""
    work()
    times: list[float] = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def main() -> None:
    """Print samples per second of both forms, by density; their spikes must be equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--densities", default="0.1,0.2,0.3,0.4,0.6,1")
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    events = (np.random.default_rng(1).random((options.samples, 8, 784)) < 0.116).astype(np.uint8)
    print("| density | sparse kernels, samples/s | matrix products, samples/s | products / sparse |\n|---|---|---|---|")
    for density in map(float, options.densities.split(",")):
        speeds: list[float] = []
        spikes: list[np.ndarray] = []
        for products in (False, True):
            dense.TRIED, dense.SURE = (0.0, 0.0) if products else (2.0, 2.0)  # always, never
            network = build(density)  # anew, since what was prepared is remembered
            spikes.append(native.simulate(network, events, OPTIONS).spikes["output"])
            speeds.append(options.samples / seconds(lambda network=network: native.simulate(network, events, OPTIONS), options.rounds))
        if (spikes[0] != spikes[1]).any():
            raise SystemExit(f"At density {density} the spikes differ.")
        print(f"| {density:g} | {speeds[0]:,.0f} | {speeds[1]:,.0f} | {speeds[1] / speeds[0]:.2f} |")


if __name__ == "__main__":
    main()
