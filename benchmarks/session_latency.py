"""What a step of a session takes: 784-800-10 at 5 % of its synapses, one sample, warm.

python benchmarks/session_latency.py [STEPS]

Each backend makes STEPS steps (2,000) of samples of 20 steps, half of whose inputs are 0; printed are the median, the 90th and the 99th
percentile of a step with everything that it does (the frame is checked, the spikes are handed out), in microseconds. Thresholds are set so
that some 5 % of the hidden neurons spike at a step, which is printed, too. Frames: `held`, the same at every step of a sample; `moving`, a
twentieth of the inputs changes at each step; `new`, another one, unrelated to it, at each step.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray
from spikeloom import runtime
from spikeloom.network import InputSpec, IntegerLIF, Network, Population, Projection, Synapses

SIZES, DENSITY, TIMESTEPS = (784, 800, 10), 0.05, 20


def network(encoding: str) -> Network:
    """Return random integers in the shape of the network that the other benchmarks run."""
    rng = np.random.default_rng(0)
    populations, projections = [Population("input", (SIZES[0],), None)], list[Projection]()
    once = encoding == "current"
    for i, vth, exponent in ((1, 3200, 3) if encoding == "rate" else (1, 5500, -4), (2, 100, 0)):
        weights = rng.integers(-99, 100, (SIZES[i], SIZES[i - 1])) * (rng.random((SIZES[i], SIZES[i - 1])) < DENSITY)
        populations.append(Population(("hidden", "output")[i - 1], (SIZES[i],), IntegerLIF(-1 if once and i == 1 else 4095, 2047, vth)))
        synapses = Synapses.from_dense(weights.astype(np.int32))
        projections.append(Projection(f"p{i}", populations[i - 1].name, populations[i].name, synapses, exponent, 8))
    return Network(tuple(populations), tuple(projections), TIMESTEPS, InputSpec(255, 1 / 255, encoding))  # pyright: ignore[reportArgumentType]


def moving(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a frame of which a twentieth differs, half of its values 0."""
    changed = rng.choice(SIZES[0], SIZES[0] // 20, replace=False)
    after = frame.copy()
    after[changed] = rng.integers(0, 256, changed.size) * (rng.random(changed.size) < 0.5)
    return after


def measure(encoding: str, backend: str, frames: str, steps: int) -> str:
    """Return a line of the table."""
    rng = np.random.default_rng(1)
    opened = runtime.session(network(encoding), backend=backend)
    samples = (rng.integers(0, 256, (16, SIZES[0])) * (rng.random((16, SIZES[0])) < 0.5)).astype(np.uint8)
    times, rates, frame = list[int](), list[float](), samples[0]
    for n in range(steps + 200):
        if n % TIMESTEPS == 0:
            opened.reset(n // TIMESTEPS)
        if n % TIMESTEPS == 0 or frames == "new":
            frame = samples[(n if frames == "new" else n // TIMESTEPS) % len(samples)]
        elif frames == "moving":
            frame = moving(frame, rng)
        begun = time.perf_counter_ns()
        spikes = opened.step(frame)
        times.append(time.perf_counter_ns() - begun)
        rates.append(float(spikes["hidden"].mean()))
    found = np.percentile(np.array(times[200:]) / 1e3, (50, 90, 99))
    return f"{encoding:9} {frames:7} {backend:10} {np.mean(rates):6.1%} {found[0]:8.1f} {found[1]:8.1f} {found[2]:8.1f}"


def main(steps: int) -> None:
    """Print the table."""
    print(f"{'encoding':9} {'frames':7} {'backend':10} {'rate':>6} {'median':>8} {'90 %':>8} {'99 %':>8}   microseconds")
    for encoding, frames in (("current", "held"), ("graded", "held"), ("graded", "moving"), ("graded", "new"), ("rate", "held")):
        for backend in ("native", "reference"):
            print(measure(encoding, backend, frames, steps))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
