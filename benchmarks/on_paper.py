"""Published sparse networks on Loihi, Loihi 2 and Hala Point, on paper: what docs/results/mapping.md shows.

python benchmarks/on_paper.py [--rate 0.1]

Each network has the shape and the connectivity that its paper states. The weights that are left are drawn at random, the same share in
each layer, since no paper prints the shares of its layers; only the output layer of fc, 1 % of its weights, keeps them all: at the same
share as the others, three hidden neurons of four would have no synapse to any class.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from spikeloom.compile.compiler import Compilation
from spikeloom.compile.estimate import estimate
from spikeloom.hwmodels import chip as chips
from spikeloom.network import Network
from spikeloom.train import untrained


class Published(NamedTuple):
    """A network of a paper: its name here, the shape of a sample, classes, time steps, and connectivities in percent with their methods."""

    net: str
    data: str
    shape: tuple[int, ...]
    classes: int
    timesteps: int
    connectivity: tuple[tuple[str, float], ...]


PUBLISHED = (
    Published("fc", "MNIST", (784,), 10, 8, (("dense", 100), ("CH-SNN", 2.25))),
    Published(
        "6conv2fc", "CIFAR-10", (3, 32, 32), 10, 8, (("dense", 100), ("Grad R", 5.08), ("UPR", 1.16), ("Grad R", 0.73), ("UPR", 0.63))
    ),
    Published("vggsnn", "CIFAR10-DVS", (2, 48, 48), 10, 10, (("dense", 100), ("ESL", 10), ("UPR", 4.46), ("UPR", 0.77))),
    Published("resnet19", "CIFAR-100", (3, 32, 32), 100, 4, (("dense", 100), ("ESL", 50))),
    Published("sew-resnet18", "CIFAR-100", (3, 32, 32), 100, 4, (("dense", 100), ("UPR", 3.6))),
)


def integers(one: Published, percent: float) -> Network:
    """Return the network after the compiler's passes: those of Loihi 2 would give the same one."""
    temporal, left, by_layer = one.data.endswith("DVS"), percent / 100, dict[str, float]()
    if one.net == "fc":
        hidden, output = 784 * 800, 800 * one.classes
        left, by_layer = (left * (hidden + output) - output) / hidden, {"output": 0.0}
    network = untrained(
        one.net,
        one.shape,
        classes=one.classes,
        timesteps=one.timesteps,
        sparsity=1 - left,
        by_layer=by_layer,
        temporal=temporal,
    )
    return Compilation(network, chip="loihi", encoding=None if temporal else "rate").run_passes().network


def row(one: Published, method: str, percent: float, rate: float) -> str:
    """Return a row of the table."""
    network = integers(one, percent)
    first, second = (chips.load(name) for name in ("loihi", "loihi2"))
    on_first, found = estimate(network, first, rate), estimate(network, second, rate)
    bound = max(found.cores_for, key=lambda name: found.cores_for[name]).replace("_", " ")
    low, high = found.static_watts
    cells = (
        f"{one.net}, {one.data}, T {one.timesteps}",
        f"{percent:g} % ({method})",
        f"{network.neurons:,}",
        f"{network.synapses / 1e6:,.3g} M" if network.synapses < 1e9 else f"{network.synapses / 1e9:,.3g} G",
        f"{on_first.cores:,} on {on_first.chips:,}",
        f"{found.cores:,} on {found.chips:,}",
        bound,
        f"{100 * found.cores / second.cores_available:.2g} %" if found.fits else "does not fit",
        f"{found.messages / one.timesteps / 1e3:,.1f}k",
        f"{found.seconds_per_sample * 1e3:.3f} ms",
        f"{low:.2g} to {high:.2g} W",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=0.1, help="spikes per neuron, input and time step")
    rate = parser.parse_args().rate
    heads = (
        "network",
        "connectivity",
        "neurons",
        "synapses",
        "Loihi cores, chips",
        "Loihi 2 cores, chips",
        "limited by",
        "of Hala Point",
        "messages / step",
        "time / sample",
        "static power",
    )
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for one in PUBLISHED:
        for method, percent in one.connectivity:
            print(row(one, method, percent, rate), flush=True)


if __name__ == "__main__":
    main()
