"""Mappings made for few messages, for short steps and for little energy, beside layer order and Mt-KaHyPar, priced on recorded spikes.

    python benchmarks/map_time.py [--only conv] [--chip loihi-silicon] [--effort default] [--data mnist]

Each network is mapped with the rates of calibration samples. It then runs, and the step is timed as every run is: each step by its slowest
core, then the mean. All mappings of a network are on one chip. `layer order` fills core after core; `shared out` cuts the layer order into
as many equal parts as the mapping for latency has cores, and Mt-KaHyPar cuts the network into as few and into as many. Both know one limit,
the neurons of a core; the last column names others that a mapping breaks.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import silicon
from numpy.typing import NDArray
from spikeloom.compile import Calibration, compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.mapping.api import OBJECTIVES, Effort, Partition
from spikeloom.compile.mapping.build import placed_mapping
from spikeloom.compile.mapping.fill import fill
from spikeloom.compile.mapping.loads.load import RESOURCES, core_loads, limits
from spikeloom.compile.mapping.strategies import hypergraph, layers
from spikeloom.data import load_dataset
from spikeloom.network import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run

Int = NDArray[np.int64]
STEPS = 100


@dataclass(frozen=True)
class Case:
    """A network, samples that its rates are measured on, and others that it runs on."""

    network: Network
    calibration: NDArray[np.uint8]
    values: NDArray[np.uint8]


def by_itself(network: Network) -> Case:
    """Return a network that needs no input."""
    still = np.zeros((1, STEPS, 1), np.uint8)
    return Case(network, still, still)


def clustered(neurons: int = 8000, size: int = 500, fan_in: int = 20, inside: float = 0.8, firing: float = 0.1) -> Network:
    """Return clusters, most of whose synapses stay inside, the neurons numbered at random; each spikes by its bias."""
    rng = np.random.default_rng(0)
    rows, number = np.repeat(np.arange(neurons), fan_in), rng.permutation(neurons)
    near = rows // size * size + rng.integers(0, size, rows.size)
    columns = np.where(rng.random(rows.size) < inside, near, rng.integers(0, neurons, rows.size))
    weights = np.zeros((neurons, neurons), np.int8)
    weights[number[rows], number[columns]] = 1
    periods = np.minimum(rng.geometric(silicon.geometric(firing), neurons), 127)
    return silicon.counting(weights, periods, STEPS)


def digits(data: str) -> Case:
    """Return 784-800-10 with 5 % of the weights, at random, on images as a rate code."""
    rng, sizes = np.random.default_rng(0), (784, 800, 10)
    held = load_dataset(data)
    populations, projections = [Population("input", (1, 28, 28), None)], list[Projection]()
    for i, (before, after) in enumerate(pairwise(sizes), 1):
        weights = rng.integers(-60, 128, (after, before)) * (rng.random((after, before)) < 0.05)
        populations.append(Population(f"layer{i}", (after,), IntegerLIF(4095, 1024, 200)))
        source = populations[i - 1].name
        projections.append(Projection(f"p{i}", source, f"layer{i}", Synapses.from_dense(weights.astype(np.int32)), 0, 8))
    network = Network(tuple(populations), tuple(projections), 16, InputSpec(255, 1 / 255, "rate"))
    flat = [np.asarray(part.values[:64]).reshape(64, -1) for part in (held.train, held.test)]
    return Case(network, flat[0], flat[1])


def cases(data: str) -> dict[str, Any]:
    """Return what makes each network, by name."""
    chosen = {silicon.CASES[k].name: silicon.CASES[k] for k in (1, 2, 3, 5)}
    made: dict[str, Any] = {name: lambda case=case: by_itself(silicon.network_of(case, STEPS)[0]) for name, case in chosen.items()}
    made["clustered, 8,000 neurons"] = lambda: by_itself(clustered())
    made["convolutional, 18,443 neurons"] = lambda: by_itself(silicon.convolutional(STEPS)[0])
    return made | {"784-800-10 at 5 %": partial(digits, data)}


def others(deployed: DeployedNetwork, cores: int) -> Iterator[tuple[str, Int]]:
    """Yield the mappings of other tools, (neurons,) core of each."""
    wiring, chip = deployed.wiring, deployed.chip
    proposal = layers.propose(wiring, chip, chip.cores_available, "fast", 0)
    few = fill(wiring, chip, proposal.order, proposal.breaks)[0]
    yield "layer order", few
    yield "layer order, shared out", np.arange(wiring.neurons) * cores // wiring.neurons
    if importlib.util.find_spec("mtkahypar") is None:
        return
    for name, parts in (("Mt-KaHyPar, few", int(few.max()) + 1), ("Mt-KaHyPar, shared out", cores)):
        if parts > 1:
            yield name, np.unique(hypergraph.split(wiring, parts, 0), return_inverse=True)[1].astype(np.int64)


def mapped(deployed: DeployedNetwork, core_of: Int) -> DeployedNetwork:
    """Return the network with another partition, placed as ours are."""
    load = core_loads(deployed.wiring, core_of, deployed.chip)[:, :4]
    return replace(deployed, mapping=placed_mapping(deployed.wiring, Partition(core_of, "other"), load, (1, 0.0), deployed.chip))


def row(name: str, method: str, deployed: DeployedNetwork, case: Case, before: float | None, seconds: float) -> tuple[str, float]:
    """Return a line of the table, and the seconds of a step."""
    results = run(deployed, case.values, energy_model=deployed.chip.name)
    step, joules = results.latency.seconds_per_step, results.energy.dynamic_joules_per_sample / deployed.network.timesteps
    over = core_loads(deployed.wiring, deployed.mapping.core_of, deployed.chip).max(axis=0) > limits(deployed.chip)
    cells = [
        name,
        method,
        f"{deployed.mapping.cores}",
        f"{results.messages_per_sample / deployed.network.timesteps:,.0f}",
        f"{step * 1e6:.2f}",
        "" if before is None else f"{before / step:.2f}",
        f"{joules * 1e6:.3f}",
        f"{seconds:.0f}",
        ", ".join(r for r, broken in zip(RESOURCES, over, strict=True) if broken),
    ]
    return "| " + " | ".join(cells) + " |", step


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="")
    parser.add_argument("--chip", default="loihi-silicon")
    parser.add_argument("--effort", default="default")
    parser.add_argument("--data", default="mnist")
    options = parser.parse_args()
    print("| network | mapping | cores | messages a step | us a step | times shorter | uJ a step | CPU s | breaks |\n|" + "---|" * 9)
    for name, make in cases(options.data).items():
        if options.only not in name:
            continue
        case: Case = make()
        calibration = Calibration(case.calibration, np.zeros(len(case.calibration), np.int64))
        before: float | None = None
        found: dict[str, DeployedNetwork] = {}
        for objective in OBJECTIVES:
            start, chip, effort = time.process_time(), options.chip, cast(Effort, options.effort)
            found[objective] = compile_network(
                case.network, calibration=calibration, chip=chip, max_chips=1, effort=effort, objective=objective
            )
            line, step = row(name, objective, found[objective], case, before, time.process_time() - start)
            before = step if before is None else before
            print(line, flush=True)
        for method, core_of in others(found["messages"], found["latency"].mapping.cores):
            print(row(name, method, mapped(found["messages"], core_of), case, before, 0.0)[0], flush=True)
        print(f"{name} done", file=sys.stderr)


if __name__ == "__main__":
    main()
