"""Energy of hops per message, and seconds, of placements of a pruned convolutional network on one or more chips.

python benchmarks/placement.py [--density 0.05] [--neurons 1024] [--chip loihi] [--effort default]

The network is random (seeded): 3x32x32 - 64 - 64 - (stride 2) 96 - (stride 2) 48 maps, kernels of 3x3 in which a share of all
taps is left. Its neurons are numbered patch by patch and cut into cores of the same size, by neurons alone; each fires once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from spikeloom.compile.mapping import place as placing
from spikeloom.compile.mapping.system import hop_energy, hops_of_all, slots_in_use
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution

LAYERS = ((64, 1), (64, 1), (96, 2), (48, 2))
Int = NDArray[np.int64]


def patch_order(shape: tuple[int, int, int]) -> Int:
    """Return the new number of each neuron of a map: in Z-order of the places, all channels of a place together."""
    channels, rows, columns = shape
    c, y, x = np.meshgrid(np.arange(channels), np.arange(rows), np.arange(columns), indexing="ij")
    key = np.zeros(c.size, np.int64)
    for bit in range(max(rows, columns).bit_length()):
        key |= ((x.ravel() >> bit) & 1) << (2 * bit) | ((y.ravel() >> bit) & 1) << (2 * bit + 1)
    number = np.empty(c.size, np.int64)
    number[np.argsort(key * channels + c.ravel())] = np.arange(c.size)
    return number


def traffic_of_cores(density: float, neurons: int, seed: int) -> tuple[sp.csr_array[Any], NDArray[np.float64]]:
    """Return messages between cores, and those entering, when every neuron and input fires once."""
    rng = np.random.default_rng(seed)
    shape, first, sizes = (3, 32, 32), 0, 0
    numbers = np.arange(3 * 32 * 32)
    reached: list[tuple[Int, Int, bool]] = []  # source, core; whether the source is a neuron of the chip
    for layer, (channels, stride) in enumerate(LAYERS):
        taps = rng.normal(size=(channels, shape[0], 3, 3)) * (rng.random((channels, shape[0], 3, 3)) < density)
        synapses = Convolution.from_dense(taps.astype(np.float32), shape, stride=stride, padding=1)
        matrix = synapses.unrolled().matrix(np.float32).tocoo()
        shape = synapses.target_shape
        targets = patch_order(shape) + sizes
        reached.append((numbers[matrix.col] + first, targets[matrix.row] // neurons, layer > 0))
        first, numbers, sizes = 0, targets, sizes + targets.size
    cores = -(-sizes // neurons)
    entering = np.zeros(cores)
    between = sp.csr_array((cores, cores))
    for source, core, inside in reached:
        pairs = np.unique(source * cores + core)
        if inside:
            between = between + sp.csr_array((np.ones(pairs.size), (pairs // cores // neurons, pairs % cores)), shape=(cores, cores))
        else:
            entering += np.bincount(pairs % cores, minlength=cores)
    return between, entering


def main() -> None:
    """Print pJ and hops per message of each placement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--neurons", type=int, default=1024, help="neurons a core")
    parser.add_argument("--chip", default="loihi")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=0, help="measure on one chip, as if it had a mesh of so many columns of tiles")
    parser.add_argument("--efforts", nargs="+", default=["fast", "default"])
    options = parser.parse_args()
    between, entering = traffic_of_cores(options.density, options.neurons, options.seed)
    chip = wide_chip(chips.load(options.chip), len(entering), options.columns) if options.columns else chips.load(options.chip)
    places = slots_in_use(chip, len(entering))[1]
    messages = float(between.sum() + entering.sum())
    print(
        f"{len(entering)} cores on {chip.chips_for(len(entering))} {options.chip} chips, {messages:,.0f} messages, {between.nnz:,} pairs\n"
    )
    print("| placement | pJ a message | hops a message | of them between chips | seconds |\n|---|---|---|---|---|")

    def row(name: str, made: Callable[[], Int]) -> None:
        begun = time.perf_counter()
        found = made()
        taken = time.perf_counter() - begun
        pj = hop_energy(between, entering, found, chip) / messages
        hops = hops_of_all(between, entering, found, chip)
        print(f"| {name} | {pj:.2f} | {sum(hops) / messages:.2f} | {hops[2] / messages:.3f} | {taken:.2f} |", flush=True)

    flow = placing.symmetric(between)
    found = list(placing.starts(flow, places))
    row("row by row", lambda: places[found[0]])
    row("Hilbert curve", lambda: places[found[1]])
    row(
        "spectral",
        lambda: places[min(list(placing.starts(flow, places))[2:], key=lambda s: hop_energy(between, entering, places[s], chip))],
    )
    placing.place(between[:4, :4], entering[:4], chip, effort="fast")  # compiles the kernel
    for effort in options.efforts:
        row(f"annealed, {effort}", lambda effort=effort: placed(between, entering, chip, options.seed, effort))


def placed(between: sp.csr_array[Any], entering: NDArray[np.float64], chip: Chip, seed: int, effort: placing.Effort) -> Int:
    """Return the places that the compiler would choose."""
    from spikeloom.compile.mapping.system import joint_places

    found = placing.place(between, entering, chip, seed=seed, effort=effort)
    return joint_places(chip, found.tile_of, found.chip_of)


def wide_chip(chip: Chip, cores: int, columns: int) -> Chip:
    """Return a chip large enough for all cores, its mesh `columns` wide."""
    tiles = -(-cores // chip.mesh.cores_per_tile)
    mesh = chip.mesh.model_copy(update={"columns": columns, "rows": -(-tiles // columns)})
    held = chip.limits.cores.model_copy(update={"value": float(mesh.columns * mesh.rows * mesh.cores_per_tile)})
    return chip.model_copy(update={"mesh": mesh, "system": None, "limits": chip.limits.model_copy(update={"cores": held})})


if __name__ == "__main__":
    main()
