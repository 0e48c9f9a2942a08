"""Samples per second of the torch backend on a CUDA device, beside the native simulator and torch on the CPU, in turn in the same run.

    python benchmarks/gpu_runtime.py                                   # a machine with CUDA: 784-800-10 at 1, 5 and 100 %, 6conv2fc at 1 %
    python benchmarks/gpu_runtime.py --device cpu --samples 512 --width 16         # without one: native and torch on the CPU, made small

Networks are random. Inputs of 784-800-10 are spikes at 11.6 % of the pixels and steps; 6conv2fc takes random images and is quantised as
`spikeloom compile` does. Before anything is timed, every engine's spikes are held against the integer reference on --check samples.
Spikes are counted by neuron, and those of the output returned, as in a run without --check.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from conv_compile import random_network
from numpy.typing import NDArray
from spikeloom.compile.compiler import Compilation
from spikeloom.compile.pipeline import Calibration
from spikeloom.network import reference
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends import torch as tensors
from spikeloom.runtime.backends.api import BackendOptions, Recording
from spikeloom.runtime.simulator import compare

ACTIVE = 0.116  # of MNIST's pixels and steps, rate-coded
Engine = Callable[[Network, NDArray[np.uint8], BackendOptions], Recording]


@dataclass(frozen=True)
class Case:
    """A network and what enters it."""

    name: str
    network: Network
    events: NDArray[np.uint8]


def fc(density: float, samples: int, timesteps: int = 8) -> Case:
    """Return 784-800-10 with random weights of 8 bits; a neuron fires at one standard deviation of a step's input."""
    rng = np.random.default_rng(0)
    sizes, names = (784, 800, 10), ("input", "hidden", "output")
    populations, projections = [Population("input", (784,), None)], list[Projection]()
    for i, rate in ((1, ACTIVE), (2, 0.2)):
        weights = rng.integers(-127, 128, (sizes[i], sizes[i - 1])) * (rng.random((sizes[i], sizes[i - 1])) < density)
        spread = max(73.0 * np.sqrt(sizes[i - 1] * density * rate), 1.0)
        populations.append(Population(names[i], (sizes[i],), IntegerLIF(4095, 2048, int(spread))))
        synapses = Synapses.from_dense(weights.astype(np.int32))
        projections.append(Projection(f"{names[i - 1]}-{names[i]}", names[i - 1], names[i], synapses, 0, 8))
    network = Network(tuple(populations), tuple(projections), timesteps, InputSpec(255, 1 / 255, "rate"))
    events = (rng.random((samples, timesteps, 784), np.float32) < ACTIVE).astype(np.uint8)
    return Case(f"784-800-10, {density:.0%}", network, events)


def conv(width: int, density: float, samples: int) -> Case:
    """Return 6conv2fc, quantised, on random images."""
    rng = np.random.default_rng(1)
    network = random_network(width, density, 8)
    values = rng.integers(0, 256, (samples, network.populations[0].size), np.uint8)
    ready = Compilation(network, calibration=Calibration(values[:8], np.zeros(min(samples, 8), np.int64))).run_passes().network
    return Case(f"6conv2fc of width {width}, {density:.0%}", ready, reference.encode(ready, values))


def engines(device: str, threads: int) -> dict[str, tuple[Engine, BackendOptions]]:
    """Return what is measured, by name."""
    found: dict[str, tuple[Engine, BackendOptions]] = {
        f"native, {threads} thread(s)": (native.simulate, BackendOptions(threads=threads)),
        f"torch, {threads} thread(s)": (tensors.simulate, BackendOptions(threads=threads, device="cpu")),
    }
    if device == "cuda":
        name = f"torch, {torch.cuda.get_device_name()}"
        found[name] = (tensors.simulate, BackendOptions(device="cuda", compile_neurons=False))
        found[f"{name}, neurons compiled"] = (tensors.simulate, BackendOptions(device="cuda", compile_neurons=True))
    return found


def check(case: Case, samples: int, device: str, threads: int) -> int:
    """Compare every spike of the first samples with the reference, on every engine; return how many values that were."""
    events = case.events[:samples]
    expected = reference.simulate(case.network, events)
    return sum(compare(expected, run(case.network, events, o).spikes, name) for name, (run, o) in engines(device, threads).items())


def measure(case: Case, rounds: int, device: str, threads: int) -> Iterator[tuple[str, float, str]]:
    """Yield each engine with its median samples per second and its number formats; engines take turns, and a first round warms up."""
    times: dict[str, list[float]] = {}
    formats: dict[str, str] = {}
    for number in range(rounds + 1):
        for name, (run, options) in engines(device, threads).items():
            begun = time.perf_counter()
            recording = run(case.network, case.events, replace(options, rasters=False))
            if number:
                times.setdefault(name, []).append(time.perf_counter() - begun)
            rows = recording.arithmetic["projections"] if recording.arithmetic else []
            formats[name] = ", ".join(dict.fromkeys(str(row["format"]) for row in rows)) or "integers"
    for name, taken in times.items():
        yield name, len(case.events) / statistics.median(taken), formats[name]


def main() -> int:
    """Check, measure, print a table."""
    parser = argparse.ArgumentParser(description="Measure the torch backend on a CUDA device.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--samples", type=int, default=8192, help="Of 784-800-10; 6conv2fc takes a sixteenth.")
    parser.add_argument("--width", type=int, default=256, help="Of 6conv2fc.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="Of the engines on the CPU.")
    parser.add_argument("--check", type=int, default=4, help="Samples that are compared with the integer reference.")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "torch finds no CUDA device here, so there is nothing to measure. Made small, on the CPU: --device cpu --samples 512 --width 16"
        )
        return 1
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}; medians of {options.rounds} rounds, T 8\n")
    print("| network | spikes equal | engine | formats | samples/s | to native |\n|---|---|---|---|---|---|")
    cases: list[Callable[[], Case]] = [partial(fc, density, options.samples) for density in (0.01, 0.05, 1.0)]
    cases.append(partial(conv, options.width, 0.01, max(options.samples // 16, options.check)))
    for build in cases:
        case = build()
        compared = check(case, options.check, options.device, options.threads)
        first: float | None = None
        for engine, rate, formats in measure(case, options.rounds, options.device, options.threads):
            first = first or rate
            print(f"| {case.name} | {compared:,} | {engine} | {formats} | {rate:,.0f} | {rate / first:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
