"""A network of a million neurons and fifty million synapses: made, compiled with --effort fast and run for 100 steps.

    python benchmarks/big_network.py [--neurons 1000000] [--fan-in 50] [--layers 10] [--steps 100]

Integer weights, drawn by seed: each neuron receives from `fan-in` random neurons of a window of the layer below, as wide as 1,500 neurons.
The input's spikes are random.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from spikeloom.compile import compile_network
from spikeloom.network import reference
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

WINDOW = 1500
Made = TypeVar("Made")


def main() -> None:
    """Print seconds, memory and counts of each stage."""
    parser = argparse.ArgumentParser(description="A million neurons.")
    for name, value in (("--neurons", 1_000_000), ("--fan-in", 50), ("--layers", 10), ("--steps", 100), ("--seed", 0)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--check", action="store_true", help="Compare every spike with the reference, too (minutes).")
    options = parser.parse_args()
    width = options.neurons // max(options.layers, 1)
    if options.layers < 1 or options.steps < 1 or not 1 <= options.fan_in <= min(WINDOW, width):
        parser.error(
            f"at least a layer and a step, and a fan-in of 1 to {min(WINDOW, width)}: a neuron receives from those of a window below it"
        )
    network = timed("made", lambda: layered(options.layers, width, options.fan_in, options.steps, options.seed))
    events = (np.random.default_rng(1).random((1, options.steps, width)) < 0.1).astype(np.uint8)
    print(f"  {network.neurons:,} neurons, {network.synapses:,} synapses")
    deployed = timed("compiled", lambda: compile_network(network, chip="loihi2", effort="fast"))
    for record in deployed.passes:
        print(f"  {record.seconds:7.1f} s  {record.name}")
    mapping = deployed.mapping
    print(f"  {mapping.cores:,} cores on {mapping.chips} chips, bound {mapping.cores_bound:,}; {deployed.network.synapses:,} synapses left")
    payload = reference.encode(deployed.network, events.reshape(1, -1))
    found = timed(f"run, {options.steps} steps, one sample", lambda: native.simulate(deployed.network, payload, BackendOptions()))
    rates = {name: float(raster.mean()) for name, raster in found.spikes.items()}
    sops = sum(
        int((np.count_nonzero(payload if p.source == "input" else found.spikes[p.source], axis=(0, 1)) * deployed.network.fan_out(p)).sum())
        for p in deployed.network.projections
    )
    print(f"  {sops:,} synaptic operations; spike rates from {min(rates.values()):.3f} to {max(rates.values()):.3f}")
    if options.check:
        values = timed("checked", lambda: compare(reference.simulate(deployed.network, payload), found.spikes, "native"))
        print(f"  {values:,} values equal")


def timed(what: str, work: Callable[[], Made]) -> Made:
    """Do the work and print its seconds and the peak memory so far."""
    start = time.perf_counter()
    made = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - start:7.1f} s  {what}; peak memory so far {peak:.2f} GiB", flush=True)
    return made


def layered(layers: int, width: int, fan_in: int, steps: int, seed: int) -> Network:
    """Return layers of `width` neurons, each with `fan_in` distinct sources in a window of the layer below."""
    rng = np.random.default_rng(seed)
    populations, projections = [Population("input", (width,), None)], list[Projection]()
    window = min(WINDOW, width)
    for i in range(1, layers + 1):
        base = np.clip(np.arange(width) - window // 2, 0, width - window)
        step = window // fan_in  # one source in each of `fan_in` stretches of the window: distinct, and in order
        offsets = np.arange(fan_in) * step + rng.integers(0, step, (width, fan_in), dtype=np.int32)
        indices = (base[:, None] + offsets).astype(np.int32).ravel()
        data = rng.integers(-64, 80, indices.size, dtype=np.int32)
        data[data == 0] = 1
        synapses = Synapses(np.arange(width + 1, dtype=np.int64) * fan_in, indices, data, (width, width))
        projections.append(Projection(f"p{i}", populations[-1].name, f"layer{i}", synapses, 0, 8))
        populations.append(Population(f"layer{i}", (width,), IntegerLIF(4095, 2048, 150)))
    return Network(tuple(populations), tuple(projections), steps, InputSpec(1, 1.0, "events"))


if __name__ == "__main__":
    main()
