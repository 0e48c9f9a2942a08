"""Energy and time of a step against SANA-FE, the simulator whose model of Loihi was fitted to boards of the chip; prints a table.

    python benchmarks/silicon.py [--steps 100] [--only "c8 ..."] [--sanafe PYTHON]

Networks of c cores with n neurons each; every neuron sends to m cores, to s neurons on each, and spikes in a share of the steps: with a
bias and a threshold of its own it counts up to a period, so that no input is needed. Both run the same file: what `export --to sanafe`
writes, mapping included. `--sanafe` names a Python that has the package (GPL-3.0; pip install sanafe), by default this one. Where it is
missing, its columns are left out. Spikes, synaptic operations and messages must be equal; the program ends with 1 if they are not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from scipy.optimize import brentq
from spikeloom.compile import compile_network, save_sanafe
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.network import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run

BIAS = 2048
COUNTS = "neurons_fired", "spikes", "packets_sent"
CHILD = """
import json, sys
import sanafe
chip = sanafe.SpikingChip(sanafe.load_loihi())
chip.load(sanafe.load_net(sys.argv[1], sanafe.load_loihi(), use_netlist_format=False))
found = chip.sim(int(sys.argv[2]), timing_model="detailed", processing_threads=1)
names = "neurons_fired", "spikes", "packets_sent", "sim_time"
print(json.dumps({name: found[name] for name in names} | {"energy": found["energy"]["total"]}))
"""


@dataclass(frozen=True)
class Case:
    """A random network: cores, neurons a core, cores that a neuron sends to, synapses on each, share of the steps with a spike."""

    cores: int
    neurons: int
    reached: int
    synapses: int
    firing: float

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"c{self.cores} n{self.neurons} m{self.reached} s{self.synapses} {self.firing:.0%}"


CASES = (
    Case(4, 256, 1, 4, 1.0),
    Case(8, 256, 4, 4, 0.5),
    Case(16, 256, 8, 8, 0.2),
    Case(32, 256, 8, 4, 0.1),
    Case(32, 255, 16, 1, 1.0),
    Case(32, 128, 1, 64, 0.05),
)


def network_of(case: Case, steps: int, seed: int = 0) -> tuple[Network, np.ndarray]:
    """Return the network and the core of each neuron."""
    rng, size = np.random.default_rng(seed), case.cores * case.neurons
    core_of = np.repeat(np.arange(case.cores), case.neurons)
    first = rng.permuted(np.tile(np.arange(case.cores), (case.neurons, 1)), axis=1).T.ravel()  # each core is reached equally often
    sources, targets = [], []
    for k in range(case.reached):
        core = (first + k) % case.cores
        for source in range(size):
            within = rng.choice(case.neurons, case.synapses, replace=False)
            sources.append(np.full(case.synapses, source))
            targets.append(core[source] * case.neurons + within)
    weights = np.zeros((size, size), np.int8)
    weights[np.concatenate(targets), np.concatenate(sources)] = 1
    periods = rng.geometric(geometric(case.firing), size)
    return counting(weights, np.minimum(periods, 127), steps), core_of


def convolutional(steps: int, seed: int = 0) -> tuple[Network, None]:
    """Return a network of maps, 18,443 neurons; the channels of the first map count up to periods of their own."""
    rng = np.random.default_rng(seed)
    shapes = ((8, 32, 32), (16, 16, 16), (16, 16, 16), (32, 8, 8))
    bias = ((BIAS << 6) // np.array([3, 5, 7, 8, 11, 13, 17, 19]) // 64 + 1) * 64  # of a channel
    start = np.zeros((int(np.prod(shapes[0])), 1), np.int8)
    start[0] = 1
    populations = [Population("input", (1,), None), Population("maps1", shapes[0], IntegerLIF(4095, 0, BIAS), bias=bias.astype(np.int32))]
    projections = [Projection("start", "input", "maps1", Synapses.from_dense(start), exponent=-6, weight_bits=8)]
    for k, (before, shape) in enumerate(pairwise(shapes), 2):
        weights = rng.integers(-40, 80, (shape[0], before[0], 3, 3)).astype(np.int8)
        taps = Convolution.from_dense(weights, before, stride=before[1] // shape[1], padding=1)
        populations.append(Population(f"maps{k}", shape, IntegerLIF(4095, 0, 2500)))
        projections.append(Projection(f"taps{k}", f"maps{k - 1}", f"maps{k}", taps, exponent=0, weight_bits=8))
    dense = rng.integers(-40, 80, (11, int(np.prod(shapes[-1])))).astype(np.int8)
    populations.append(Population("output", (11,), IntegerLIF(4095, 0, 20000)))
    projections.append(Projection("dense", "maps4", "output", Synapses.from_dense(dense), exponent=0, weight_bits=8))
    return Network(tuple(populations), tuple(projections), steps, InputSpec(1, 1.0, "events")), None


def geometric(rate: float) -> float:
    """Return the parameter q of geometric periods P for which  E[1 / P] = -q ln q / (1 - q)  is a rate; 1 for a spike in every step."""
    return 1.0 if rate == 1 else float(cast(float, brentq(lambda q: -q * np.log(q) / (1 - q) - rate, 1e-6, 1 - 1e-6)))


def counting(weights: np.ndarray, periods: np.ndarray, steps: int) -> Network:
    """Return one population of neurons that never forget: neuron i spikes about once in periods[i] steps, by its bias."""
    neuron = IntegerLIF(du=4095, dv=0, vth=BIAS)
    threshold = BIAS << 6
    bias = ((threshold // periods // 64 + 1) * 64).astype(np.int32)  # in steps that the register holds; synapses add a few units
    populations = (Population("input", (1,), None), Population("cells", (len(periods),), neuron, bias=bias))
    start = np.zeros((len(periods), 1), np.int8)
    start[0] = 1
    projections = (
        Projection("start", "input", "cells", Synapses.from_dense(start), exponent=-6, weight_bits=8),
        Projection("recurrent", "cells", "cells", Synapses.from_dense(weights), exponent=-6, weight_bits=8, lag=1),
    )
    return Network(populations, projections, steps, InputSpec(1, 1.0, "events"))


def ours(deployed: DeployedNetwork, steps: int) -> dict[str, float]:
    """Run natively; return counts of the whole run, joules and seconds of a step."""
    results = run(deployed, np.zeros((1, steps, 1), np.uint8), check=True, energy_model="loihi-silicon")
    return {
        "neurons_fired": results.spikes_per_sample,
        "spikes": results.sops_per_sample,
        "packets_sent": sum(layer.messages_per_sample or 0.0 for layer in results.layers),
        "energy": results.energy.dynamic_joules_per_sample / steps,
        "sim_time": results.latency.seconds_per_step,
    }


def theirs(path: Path, steps: int, python: str) -> dict[str, float] | None:
    """Run the file in SANA-FE, in a process of its own; None where it is not installed."""
    done = subprocess.run([python, "-c", CHILD, str(path), str(steps)], capture_output=True, text=True, check=False)
    if "No module named 'sanafe'" in done.stderr:
        return None
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found | {"energy": found["energy"] / steps, "sim_time": found["sim_time"] / steps}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", default="")
    parser.add_argument("--sanafe", default=sys.executable)
    options = parser.parse_args()
    print("| network | spikes | SOPs | messages | uJ a step, SANA-FE | ours | ratio | us a step, SANA-FE | ours | ratio |\n|" + "---|" * 10)
    wrong = 0
    made = {case.name: partial(network_of, case) for case in CASES} | {"convolutional": convolutional}
    for name in (n for n in made if options.only in n):
        network, core_of = made[name](options.steps)
        deployed = compile_network(network, chip="loihi-silicon", mapping=None if core_of is None else {"cells": core_of})
        with tempfile.TemporaryDirectory() as folder:
            path = save_sanafe(deployed, Path(folder) / "network.yaml")
            mine, other = ours(deployed, options.steps), theirs(path, options.steps, options.sanafe)
        counts = [f"{mine[n]:,.0f}" for n in COUNTS]
        wrong += other is not None and any(mine[n] != other[n] for n in COUNTS)
        print("| " + " | ".join([name, *counts, *_figures(mine, other)]) + " |", flush=True)
    return int(wrong > 0)


def _figures(mine: dict[str, float], other: dict[str, float] | None) -> list[str]:
    cells: list[str] = []
    for name in ("energy", "sim_time"):
        value = mine[name] * 1e6
        cells += (
            ["", f"{value:.4f}", ""] if other is None else [f"{other[name] * 1e6:.4f}", f"{value:.4f}", f"{mine[name] / other[name]:.3f}"]
        )
    return cells


if __name__ == "__main__":
    sys.exit(main())
