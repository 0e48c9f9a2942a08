"""Compile a whole 6Conv2FC (CIFAR-10, width 256) for Loihi 2 and print seconds and peak memory, pass by pass.

    python benchmarks/conv_compile.py [--density 0.01] [--width 256] [--run RUN_FOLDER] [--samples 16]

Without --run the network is pruned at random, with weights drawn so that each layer spikes now and then; the images are random too. Its
size is that of a trained one, its rates and masks are not.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
from spikeloom.compile import compile_network
from spikeloom.compile.compiler import read_source
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import SpikeloomError
from spikeloom.network.model import LIF, Convolution, InputSpec, Network, Population, Projection, Synapses, Threshold


def main() -> int:
    """Build or read the network, compile it, print."""
    options = _arguments()
    start = time.perf_counter()
    if options.run:
        source = read_source(options.run)
        network, calibration = source.network, source.calibration
    else:
        network = random_network(options.width, options.density, options.timesteps)
        calibration = random_images(network, options.samples)
    weights = sum(p.synapses.weights for p in network.projections)
    print(f"{network.neurons:,} neurons, {weights:,} weights, {network.synapses:,} synapses; made in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    try:
        deployed = compile_network(network, chip=options.chip, calibration=calibration)
    except SpikeloomError as error:
        print(f"{time.perf_counter() - start:.1f} s: {error}")
        return error.exit_code
    for record in deployed.passes:
        print(f"  {record.seconds:7.2f} s  {record.name}")
    seconds = time.perf_counter() - start
    print(f"  {seconds - sum(r.seconds for r in deployed.passes):7.2f} s  partition, placement, limits")
    print(f"{seconds:.1f} s in all; {deployed.mapping.cores:,} cores of {options.chip}, bound {deployed.mapping.cores_bound:,}")
    print(f"{deployed.network.neurons:,} neurons and {deployed.network.synapses:,} synapses deployed")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compile a whole 6Conv2FC.")
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--chip", default="loihi2")
    parser.add_argument("--run", default=None, help="A trained run folder instead.")
    return parser.parse_args()


def random_network(width: int, density: float, timesteps: int, seed: int = 0) -> Network:
    """Return 6Conv2FC on (3, 32, 32) samples with weights pruned at random, biases as a folded normalisation would leave them."""
    rng = np.random.default_rng(seed)
    populations, projections = [Population("input", (3, 32, 32), None)], list[Projection]()
    size = 32
    for block in (0, 1):
        for i in range(3 * block + 1, 3 * block + 4):
            shape = populations[-1].shape
            taps = _pruned(rng, width, shape[0] * 9, density, 0.6 if i > 1 else 0.3)
            projections.append(Projection(f"conv{i}", populations[-1].name, f"conv{i}", Convolution(taps, shape, (3, 3), 1, 1)))  # pyright: ignore[reportArgumentType]
            bias = rng.normal(0.1, 0.3, width).astype(np.float32)
            populations.append(Population(f"conv{i}", (width, size, size), LIF(), bias=bias))
        each = Convolution.from_dense(np.eye(width, dtype=np.float32)[:, :, None, None], (width, size, size), pool=2)
        projections.append(Projection(f"pool{block + 1}", populations[-1].name, f"pool{block + 1}", each))
        size //= 2
        populations.append(Population(f"pool{block + 1}", (width, size, size), Threshold(1.0)))
    for name, outputs in (("fc1", 8 * width), ("output", 100)):
        source = populations[-1]
        projections.append(Projection(name, source.name, name, _pruned(rng, outputs, source.size, density, 0.8)))
        populations.append(Population(name, (outputs,), LIF()))
    return Network(tuple(populations), tuple(projections), timesteps, InputSpec(), votes=10)


def _pruned(rng: np.random.Generator, rows: int, columns: int, density: float, spread: float) -> Synapses:
    """Draw  density * columns  weights a row, of a sum that stands at the threshold's height."""
    fan_in = np.maximum(1, rng.binomial(columns, density, rows))
    indptr = np.concatenate([[0], np.cumsum(fan_in)]).astype(np.int64)
    indices = np.concatenate([np.sort(rng.choice(columns, n, replace=False)) for n in fan_in]).astype(np.int32)
    data = rng.normal(spread, 1.0, indices.size) / np.sqrt(np.repeat(fan_in, fan_in)) * 2.0
    return Synapses(indptr, indices, data.astype(np.float32), (rows, columns))


def random_images(network: Network, samples: int) -> Calibration:
    values = np.random.default_rng(1).integers(0, 256, (samples, network.populations[0].size), np.uint8)
    return Calibration(values, np.zeros(samples, np.int64))


if __name__ == "__main__":
    sys.exit(main())
