"""Partitions of seeded networks: Spikeloom against layer order, METIS and Mt-KaHyPar; messages if each neuron fires once, and seconds.

python benchmarks/mapping.py [--only ff-100k-1m] [--effort best] [--time-limit 600] [--json] [--mask runs/mnist]

The peers know one limit, neurons a core; the table says which others their partitions break. Needs the extra `bench` (pymetis).
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from random_layers import RandomLayer, Room, least_messages
from spikeloom.compile import CompileOptions, pipeline
from spikeloom.compile.chain import loihi
from spikeloom.compile.compiler import read_source
from spikeloom.compile.mapping.api import Effort
from spikeloom.compile.mapping.bounds import counted as bounds
from spikeloom.compile.mapping.fill import fill
from spikeloom.compile.mapping.loads.load import RESOURCES, Layer, Wiring, core_loads, format_words, limits
from spikeloom.compile.mapping.partition import partition
from spikeloom.compile.mapping.strategies import hypergraph, layers
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution, row_pointers

Int = NDArray[np.int64]
PLENTY = 10**9
IMBALANCE = 1.03  # the peers' parts may be that much larger than the mean, so they get that many more of them


@dataclass(frozen=True)
class Case:
    """A network; `random`: its random layers as sources and fan-ins, for the bounds that only they have."""

    wiring: Wiring
    random: tuple[tuple[int, Int], ...] = ()


def with_limits(**changed: int) -> Chip:
    """Return Loihi with other limits of a core, and as many cores as are asked for."""
    chip = chips.load("loihi")
    values = {n: getattr(chip.limits, n).model_copy(update={"value": float(v)}) for n, v in {"cores": PLENTY, **changed}.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=values)})


CHIPS = {
    "all": with_limits(),
    "neurons": with_limits(synapse_words=PLENTY, input_axons=PLENTY, output_axons=PLENTY, words_per_axon=PLENTY),
}


# --- networks ----------------------------------------------------------------------------------------------------------


def wiring_of(rows: Int, columns: Int, outside: int, found: tuple[Layer, ...]) -> Wiring:
    """Return the wiring of synapses columns -> rows in which every source fires once."""
    neurons = found[-1].stop
    order = np.lexsort((columns, rows))
    places = np.concatenate([np.arange(layer.stop - layer.start, dtype=np.int32) for layer in found])
    pointers = row_pointers(rows, neurons)
    return Wiring(pointers, columns[order].astype(np.int32), outside, neurons, np.ones(outside + neurons), 8, found, places)


def distinct(draw: Callable[[int], Int], count: int, rng: np.random.Generator) -> Int:
    """Return `count` distinct numbers that `draw` gives."""
    keys = np.unique(draw(count))
    while keys.size < count:
        keys = np.unique(np.concatenate([keys, draw(count - keys.size + 16)]))
    return rng.permutation(keys)[:count]


def feed_forward(neurons: int, synapses: int, depth: int = 5) -> Case:
    """Layers of equal size, the synapses between neighbours drawn uniformly."""
    rng, width, each = np.random.default_rng(0), neurons // depth, synapses // (depth - 1)
    keys = [distinct(lambda n: rng.integers(0, width * width, n), each, rng) for _ in range(depth - 1)]
    rows = np.concatenate([k // width + (i + 1) * width for i, k in enumerate(keys)])
    columns = np.concatenate([k % width + i * width for i, k in enumerate(keys)])
    found = tuple(Layer(f"layer{i}", i * width, (i + 1) * width, (width,)) for i in range(depth))
    return Case(wiring_of(rows, columns, 0, found), tuple((width, np.bincount(k // width, minlength=width)) for k in keys))


def clustered(neurons: int, synapses: int, size: int = 1000, inside: float = 0.8) -> Case:
    """Clusters of `size` neurons that keep `inside` of their synapses to themselves, in shuffled order, recurrent."""
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(neurons)

    def draw(count: int) -> Int:
        source = rng.integers(0, neurons, count)
        near = source // size * size + rng.integers(0, size, count)
        target = np.where(rng.random(count) < inside, near, rng.integers(0, neurons, count))
        return shuffled[target] * neurons + shuffled[source]

    keys = distinct(draw, synapses, rng)
    return Case(wiring_of(keys // neurons, keys % neurons, 0, (Layer("all", 0, neurons, (neurons,)),)))


def convolutions(shape: tuple[int, int, int], layers: Sequence[tuple[int, int, int, int]], densities: Sequence[float]) -> Case:
    """Convolutions one after another: channels, kernel, stride and padding of each, and which share of its taps, drawn at random, is left.

    A kernel of 0 is as large as the map: a fully connected layer.
    """
    rng, outside = np.random.default_rng(0), math.prod(shape)
    rows: list[Int] = []
    columns: list[Int] = []
    found: list[Layer] = []
    start, source = 0, 0
    for i, ((channels, kernel, stride, padding), density) in enumerate(zip(layers, densities, strict=True)):
        window = (kernel, kernel) if kernel else shape[1:]
        kept = rng.random((channels, shape[0], *window)) < density
        taps = Convolution.from_dense(kept.astype(np.int32), shape, stride=stride, padding=padding)
        synapses, size = taps.unrolled(), math.prod(taps.target_shape)
        rows.append(synapses.rows + start)
        columns.append(synapses.indices.astype(np.int64) + source)
        found.append(Layer(f"layer{i + 1}", start, start + size, taps.target_shape))
        source, start, shape = outside + start, start + size, taps.target_shape
    return Case(wiring_of(np.concatenate(rows), np.concatenate(columns), outside, tuple(found)))


def pruned_convolutions(density: float) -> Case:
    """Five 3x3 convolutions on 32x32 images, 159,744 neurons; the first is dense, the taps of the others are pruned at random."""
    shapes = [(channels, 3, stride, 1) for channels, stride in ((32, 1), (64, 1), (128, 2), (104, 1), (32, 2))]
    return convolutions((3, 32, 32), shapes, [1.0, *[density] * 4])


def pilotnet() -> Case:
    """Of the size and build of lava-dl's PilotNet: four strided convolutions on 66 x 200 pixels and four dense layers, unpruned."""
    maps = [(24, 3, 2, 0), (36, 3, 2, 0), (64, 3, 2, 0), (64, 3, 2, 0)]
    dense = [(100, 0, 1, 0), (50, 0, 1, 0), (10, 0, 1, 0), (1, 0, 1, 0)]
    return convolutions((3, 66, 200), [*maps, *dense], [1.0] * 8)


def masked(folder: Path) -> Case:
    """Return the network of a run folder as it is compiled for Loihi, each neuron firing once."""
    source = read_source(folder)
    network = pipeline.run(source.network, loihi(CompileOptions(chips.load("loihi"), calibration=source.calibration))).network
    return Case(Wiring.of(network, np.ones(sum(p.count for p in network.senders))))


CASES: dict[str, Callable[[], Case]] = {
    "ff-10k-1m": lambda: feed_forward(10_000, 1_000_000),
    "ff-100k-1m": lambda: feed_forward(100_000, 1_000_000),
    "ff-100k-10m": lambda: feed_forward(100_000, 10_000_000),
    "clustered-100k-1m": lambda: clustered(100_000, 1_000_000),
    "conv-5%": lambda: pruned_convolutions(0.05),
    "conv-1%": lambda: pruned_convolutions(0.01),
    "pilotnet": pilotnet,
}


# --- bounds ------------------------------------------------------------------------------------------------------------


def per_synapse(wiring: Wiring, chip: Chip) -> tuple[float, float]:
    """Return (bits of a list, bits of each of its synapses) that no list of scattered targets goes below.

    The dense format is left out: it takes less than the others only where more than half of the numbers that a list spans are targets. No
    list of a random layer is, whatever the numbering, but a few hundred of its tens of thousands.
    """
    formats = [f for f in chip.formats if f.index_bits]
    slope = min(wiring.weight_bits + f.index_bits for f in formats)
    slots = np.arange(1, chip.limit("neurons") + 1)
    words = np.min([format_words(slots, f, wiring.weight_bits, chip.word_bits) for f in formats], axis=0)
    return float((words * chip.word_bits - slope * slots).min()), slope


def bounds_of(case: Case, chip: Chip) -> tuple[int, float]:
    """Return bounds on cores and messages: those of the product, and of random layers that of `random_layers`.

    Of a core's words, its lists take  a bits each and b a synapse;  with the messages as the lists that there are, that bounds the cores.
    """
    wiring, limit = case.wiring, chip.limit
    cores, messages = bounds.cores_bound(wiring, chip), bounds.messages_bound(wiring, chip)
    if not case.random:
        return cores, messages
    a, b = per_synapse(wiring, chip)
    bits = limit("synapse_words") * chip.word_bits
    room = Room(limit("neurons"), limit("input_axons"), bits / b)
    least = sum(least_messages(RandomLayer(n, fan_in), room) for n, fan_in in case.random)
    by_axons = least / min(limit("input_axons"), limit("output_axons"))
    by_words = (a * least + b * wiring.sources.size) / bits
    return max(cores, math.ceil(by_axons), math.ceil(by_words)), max(messages, least)


# --- methods -----------------------------------------------------------------------------------------------------------


def spikeloom(wiring: Wiring, chip: Chip, effort: Effort) -> Int:
    """Return Spikeloom's partition."""
    return partition(wiring, chip, PLENTY, effort=effort).core_of


def layer_order(wiring: Wiring, chip: Chip, effort: Effort) -> Int:
    """Return the layers one after another, cores filled under every limit of the chip."""
    return fill(wiring, chip, layers.propose(wiring, chip, PLENTY, effort, 0).order)[0]


def metis(wiring: Wiring, chip: Chip, effort: Effort) -> Int:
    """Return METIS' partition, which minimises the cut synapses."""
    library: Any = importlib.import_module("pymetis")  # not of the development set: looked up when asked for
    del effort
    inside = wiring.sources >= wiring.outside
    a, b = wiring.rows[inside], wiring.sources[inside].astype(np.int64) - wiring.outside
    keys = np.unique(np.concatenate([a * wiring.neurons + b, b * wiring.neurons + a]))
    keys = keys[keys // wiring.neurons != keys % wiring.neurons]
    pointers = row_pointers(keys // wiring.neurons, wiring.neurons)
    return np.asarray(library.part_graph(parts(wiring, chip), library.CSRAdjacency(pointers, keys % wiring.neurons))[1], np.int64)


def kahypar(wiring: Wiring, chip: Chip, effort: Effort) -> Int:
    """Return Mt-KaHyPar's partition with its default settings, which minimises messages."""
    del effort
    return hypergraph.split(wiring, parts(wiring, chip), 0, deterministic=False)


def parts(wiring: Wiring, chip: Chip) -> int:
    """Return the parts that the peers are asked for."""
    return math.ceil(wiring.neurons / chip.limit("neurons") * IMBALANCE)


@dataclass(frozen=True)
class Found:
    """A partition, cores numbered without gaps; its seconds, and those of the processor, which other work does not stretch."""

    core_of: Int
    seconds: float
    processor_seconds: float


METHODS = {"Spikeloom": spikeloom, "layer order": layer_order, "METIS": metis, "Mt-KaHyPar": kahypar}
PEERS = ("METIS", "Mt-KaHyPar")


def timed(method: str, case: Case, chip: Chip, effort: Effort) -> Found:
    """Run a method once its kernels are compiled."""
    tiny = feed_forward(500, 2000).wiring
    if method not in PEERS:
        METHODS[method](tiny, chip, effort)
    begun, used = time.perf_counter(), time.process_time()
    core_of = METHODS[method](case.wiring, chip, effort)
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    return Found(np.unique(core_of, return_inverse=True)[1].astype(np.int64), seconds, processor)


def _child(pipe: Any, method: str, name: str, mask: Path | None, chip: Chip, effort: Effort) -> None:
    pipe.send(timed(method, masked(mask) if mask else CASES[name](), chip, effort))


def limited(method: str, name: str, mask: Path | None, chip: Chip, effort: Effort, limit: float) -> Found | None:
    """Run a peer in a process of its own; None if it took longer than `limit` seconds."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_child, args=(theirs, method, name, mask, chip, effort))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(limit) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def row(name: str, case: Case, method: str, bound_by: str, least: tuple[int, float], found: Found | None) -> dict[str, Any]:
    """Return one row of the table; `least`: what `bounds_of` gives.

    `broken`: limits of the whole chip that the partition exceeds, whatever it was made for.
    """
    made = {"network": name, "limits": bound_by, "method": method}
    if found is None:
        return made | {"cores": None}
    core_of = found.core_of
    worst = core_loads(case.wiring, core_of, CHIPS["all"]).max(axis=0)
    broken = {n: int(w) for n, w, allowed in zip(RESOURCES, worst, limits(CHIPS["all"]), strict=True) if w > allowed}
    cores, messages = int(core_of.max()) + 1, case.wiring.messages(core_of)
    figures = {"cores": cores, "cores_bound": least[0], "messages": messages, "messages_bound": least[1]}
    return made | figures | {"seconds": found.seconds, "processor_seconds": found.processor_seconds, "broken": broken}


def line(r: dict[str, Any]) -> str:
    """Return a row as Markdown."""
    head = f"| {r['network']} | {r['limits']} | {r['method']} |"
    if r["cores"] is None:
        return f"{head} stopped | | | | | | |"
    held = ", ".join(f"{n} {w:,}" for n, w in r["broken"].items())
    times = f"{r['seconds']:.1f} | {r['processor_seconds']:.1f}"
    return (
        f"{head} {r['cores']:,} | {r['cores'] / r['cores_bound']:.2f} | {r['messages'] / 1e3:,.1f}k | "
        f"{r['messages'] / r['messages_bound']:.2f} | {times} | {f'no: {held}' if held else 'yes'} |"
    )


def main() -> None:
    """Print a table, one row a network, set of limits and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=CASES, action="append", help="a network; repeatable")
    parser.add_argument("--method", choices=METHODS, action="append", help="a method; repeatable")
    parser.add_argument("--limits", choices=CHIPS, action="append", help="all of Loihi's, or neurons only; repeatable")
    parser.add_argument("--effort", choices=get_args(Effort), default="default")
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds for each run of a peer")
    parser.add_argument("--mask", type=Path, help="run folder whose network is partitioned instead")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print("| network | limits | method | cores | / bound | messages | / bound | s | CPU s | Loihi's limits held |\n|" + "---|" * 10)
    rows: list[dict[str, Any]] = []
    for name in [str(options.mask)] if options.mask else options.only or CASES:
        case = masked(options.mask) if options.mask else CASES[name]()
        least = {bound_by: bounds_of(case, chip) for bound_by, chip in CHIPS.items()}
        for method in options.method or METHODS:
            for bound_by in ("neurons",) if method in PEERS else options.limits or CHIPS:
                chip = CHIPS[bound_by]
                limit = options.time_limit
                peer = method in PEERS
                found = (
                    limited(method, name, options.mask, chip, options.effort, limit) if peer else timed(method, case, chip, options.effort)
                )
                rows.append(row(name, case, method, bound_by, least[bound_by], found))
                if not options.json:
                    print(line(rows[-1]), flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
