"""The convolutional network of SANA-FE's DVS gesture example with and without shapes, and with shared lists of synapses; prints two tables.

    python benchmarks/locality.py [--effort fast --effort default] [--words]

17,654 neurons in maps of 16 x 15 x 15, 32 x 13 x 13, 64 x 11 x 11 and 11 x 9 x 9 and 11 outputs, seeded weights. The first table has the
cores and messages if each neuron fires once: with shapes, as flat populations, and flat with the neurons of every layer in random order.
With `--words`, the second has the words of mappings with lists stored for each source, and once: Spikeloom's own, and one onto 49 cores as
published mappings are cut, rows of maps and halves of channels, which is written to a file and read again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from spikeloom.compile import compile_network
from spikeloom.compile.mapping.api import Effort
from spikeloom.compile.mapping.loads.load import Wiring, core_loads
from spikeloom.compile.mapping.partition import partition
from spikeloom.errors import DoesNotFitError
from spikeloom.hwmodels import chip as chips
from spikeloom.network import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses

Int = NDArray[np.int64]
MAPS = ((1, 32, 32), (16, 15, 15), (32, 13, 13), (64, 11, 11), (11, 9, 9))
STRIDES = (2, 1, 1, 1)
CUTS = ((4, 1), (13, 1), (11, 2), (9, 1), (1, 1))  # of each layer: bands of rows, and of channels; 49 cores
PLENTY = 10**6


def gesture() -> Network:
    """Return the network with shapes; weights of 8 bits, none of them 0."""
    rng = np.random.default_rng(0)
    populations, projections = [Population("input", MAPS[0], None)], list[Projection]()
    for k, (before, shape) in enumerate(pairwise(MAPS), 1):
        weights = rng.integers(1, 80, (shape[0], before[0], 3, 3)) * rng.choice([1, 1, 1, -1], (shape[0], before[0], 3, 3))
        taps = Convolution.from_dense(weights.astype(np.int8), before, stride=STRIDES[k - 1])
        populations.append(Population(f"maps{k}", shape, IntegerLIF(4095, 0, 50)))
        projections.append(Projection(f"taps{k}", populations[-2].name, f"maps{k}", taps, 0, 8))
    dense = rng.integers(1, 80, (11, int(np.prod(MAPS[-1]))))
    populations.append(Population("output", (11,), IntegerLIF(4095, 0, 50)))
    projections.append(Projection("dense", "maps4", "output", Synapses.from_dense(dense.astype(np.int8)), 0, 8))
    return Network(tuple(populations), tuple(projections), 128, InputSpec(1, 1.0, "events"))


def flat(network: Network, seed: int | None = None) -> Network:
    """Return the same synapses between populations without shapes, in random order if there is a seed."""
    rng = np.random.default_rng(seed)
    order = {p.name: np.arange(p.size) if seed is None or p.name == "output" else rng.permutation(p.size) for p in network.populations}
    populations = tuple(replace(p, shape=(p.size,)) for p in network.populations)
    projections = tuple(
        replace(p, synapses=Synapses.from_dense(p.synapses.unrolled().to_dense()[np.ix_(order[p.target], order[p.source])]))
        for p in network.projections
    )
    return Network(populations, projections, network.timesteps, network.input)


def wiring_of(network: Network, *, labelled: bool = False) -> Wiring:
    """Return the wiring, each neuron firing once."""
    return Wiring.of(network, np.ones(sum(p.count for p in network.senders)), labelled=labelled)


def bands(network: Network) -> dict[str, Int]:
    """Return the core of each neuron in a mapping that cuts every layer into bands of rows, and of channels."""
    found, first = dict[str, Int](), 0
    for p, (rows, parts) in zip(network.on_chip, CUTS, strict=True):
        channels, height, _ = p.shape if len(p.shape) == 3 else (1, 1, p.size)
        channel, y, _ = np.unravel_index(np.arange(p.size), p.shape if len(p.shape) == 3 else (1, 1, p.size))
        found[p.name] = first + y * rows // height * parts + channel * parts // channels
        first += rows * parts
    return found


def write(mapping: dict[str, Int], path: Path) -> Path:
    """Write a mapping as `compile --mapping` reads it."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("population", "neuron", "core"))
        rows.writerows((name, neuron, core) for name, cores in mapping.items() for neuron, core in enumerate(cores.tolist()))
    return path


def locality(efforts: list[Effort]) -> None:
    """Print the first table."""
    print("| network | effort | cores | messages | strategy | CPU s |\n|" + "---|" * 6)
    chip, shaped = chips.load("loihi"), gesture()
    cases = {"with shapes": shaped, "flat": flat(shaped), "flat, shuffled": flat(shaped, 0), "flat, shuffled again": flat(shaped, 1)}
    partition(wiring_of(shaped), chip, PLENTY, effort="fast")  # compiles the kernels
    partition(wiring_of(cases["flat"]), chip, PLENTY, effort="fast")
    for name, network in cases.items():
        wiring = wiring_of(network)
        for effort in efforts:
            begun = time.process_time()
            found = partition(wiring, chip, PLENTY, effort=effort)
            cells = name, effort, found.core_of.max() + 1, f"{wiring.messages(found.core_of):,.0f}", found.strategy
            print("|", " | ".join(map(str, cells)), f"| {time.process_time() - begun:.1f} |", flush=True)


def words(effort: Effort) -> None:
    """Print the second table, and what the compiler says of the mapping onto 49 cores."""
    print("\n| mapping | lists | cores | words, all cores | fullest core | input axons, most |\n|" + "---|" * 6)
    network, mapping = gesture(), bands(gesture())
    for name in ("loihi-silicon", "loihi-shared"):
        chip, wiring = chips.load(name), wiring_of(network, labelled=name == "loihi-shared")
        own = partition(wiring, chip, PLENTY, effort=effort).core_of
        for what, core_of in (("Spikeloom's", own), ("49 bands", np.concatenate([mapping[p.name] for p in network.on_chip]))):
            load = core_loads(wiring, core_of, chip)
            cells = what, "once" if wiring.labels is not None else "for each source", len(load)
            print("|", " | ".join(map(str, cells)), f"| {load[:, 1].sum():,} | {load[:, 1].max():,} | {load[:, 2].max():,} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = write(mapping, Path(folder) / "bands.csv")
        for name in ("loihi-silicon", "loihi-shared"):
            try:
                found = compile_network(network, chip=name, mapping=path)
                print(f"\n{name}: compiled onto {found.mapping.cores} cores")
            except DoesNotFitError as error:
                print(f"\n{name}: {str(error).replace(str(path), path.name)}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--effort", choices=get_args(Effort), action="append", help="repeatable")
    parser.add_argument("--words", action="store_true", help="print the second table, too")
    options = parser.parse_args()
    locality(options.effort or ["fast"])
    if options.words:
        words("fast")


if __name__ == "__main__":
    main()
