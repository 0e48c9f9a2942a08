"""Images per second of the Lava backend, start-up included, on a random sparse 784-800-10 network.

python benchmarks/lava_speed.py --samples 500 --timesteps 8 --density 0.05
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from numpy.typing import NDArray
from spikeloom.hwmodels import fixed_point
from spikeloom.hwmodels.quantise import input_bound
from spikeloom.network.model import IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import lava
from spikeloom.runtime.backends.api import BackendOptions


def random_synapses(rng: np.random.Generator, targets: int, sources: int, density: float) -> Synapses:
    """Return 8-bit synapses of which a share `density` of all possible ones exist."""
    weights = rng.integers(-127, 128, (targets, sources)).astype(np.int32)
    return Synapses.from_dense(np.where(rng.random(weights.shape) < density, weights, 0))


def build(rng: np.random.Generator, density: float, timesteps: int) -> Network:
    """Return 784-800-10 with random weights; the input is a current that never decays."""
    first = random_synapses(rng, 800, 784, density)
    exponent = fixed_point.safe_exponent(input_bound(first.to_dense(), 255))
    vth = max(1, int(20000 * 2.0**exponent))
    populations = (
        Population("input", (784,), None),
        Population("hidden", (800,), IntegerLIF(fixed_point.NEVER_DECAYS, 2048, vth)),
        Population("output", (10,), IntegerLIF(4095, 2048, 200)),
    )
    projections = (
        Projection("fc1", "input", "hidden", first, exponent, 8),
        Projection("fc2", "hidden", "output", random_synapses(rng, 10, 800, density), 0, 8),
    )
    return Network(populations, projections, timesteps)


def build_events(rng: np.random.Generator, samples: int, timesteps: int) -> NDArray[np.uint8]:
    """Return MNIST-like events: 19 % of the pixels are lit, and each is sent once, as a byte."""
    events = np.zeros((samples, timesteps, 784), np.uint8)
    events[:, 0] = np.where(rng.random((samples, 784)) < 0.19, rng.integers(1, 256, (samples, 784)), 0)
    return events


def main() -> None:
    """Parse the command line, run once, print the speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=None, help="samples side by side; chosen if not given")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    network = build(rng, options.density, options.timesteps)
    events = build_events(rng, options.samples, options.timesteps)
    start = time.perf_counter()
    recording = lava.simulate(network, events, BackendOptions(batch_size=options.batch_size))
    seconds = time.perf_counter() - start
    rates = ", ".join(f"{name} {spikes.mean():.3f}" for name, spikes in recording.spikes.items())
    sys.stdout.write(
        f"{options.samples} samples in {seconds:.2f} s: {options.samples / seconds:.0f} images/s (spikes per neuron and step: {rates})\n"
    )


if __name__ == "__main__":
    main()
