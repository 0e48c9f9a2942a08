"""What `runtime_speed.py` measures of the native simulator alone: the bound of its machine, threads, single samples, counters."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peers import clock
from peers.case import Case, load_case
from peers.clock import now
from peers.native import network_of, prepare
from spikeloom.compile import compile_network
from spikeloom.network import reference
from spikeloom.network.model import Network
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.counts import Tally, count
from spikeloom.runtime.native.kernels.api import sum_bits, sum_pairs
from spikeloom.runtime.native.kernels.limits import most_synapses
from spikeloom.runtime.native.latency import one_sample
from spikeloom.runtime.simulator import compare

LANES = 512  # 64 samples and 8 steps
STREAM = 1 << 15  # bytes, fewer than any first cache of today holds
SYNAPSES = 1 << 14  # of a call; their places and weights are read once each, as the simulator does
CHECKED = 128  # samples whose every spike is held against the integer reference
LEAST_SECONDS, LEAST_ROUND = 0.2, 0.003


def seconds(work: Callable[[], object], rounds: int, least: float = 0.0) -> list[float]:
    """Return the time of a call of `work` in each round, after one that does not count; rounds shorter than `least` s are repeated."""
    begun = now()
    work()
    if least:
        begun = now()
        work()
    repeats = max(1, math.ceil(least / (now() - begun))) if least else 1
    times: list[float] = []
    for _ in range(rounds):
        begun = now()
        for _ in range(repeats):
            work()
        times.append((now() - begun) / repeats)
    return times


def masked_adds() -> dict[str, Callable[[], object]]:
    """Return SYNAPSES * LANES masked 16-bit adds by the simulator's two innermost loops, on a stream in the first cache."""
    rng = np.random.default_rng(0)
    out = np.zeros(LANES, np.int32)
    ones, most = rng.choice([-1, 1], SYNAPSES), most_synapses(1, 1)
    bits = rng.integers(0, 256, STREAM + LANES // 8).astype(np.uint8)
    bytes_ = rng.integers(0, 2, STREAM + LANES).astype(np.uint8)
    rows = rng.permutation(SYNAPSES)
    tail = (0, SYNAPSES, most, LANES, out, 0, 0)
    forms = {
        "a bit a lane": (sum_bits, (bits, 0, rows * (LANES // 8) % STREAM, ones.astype(np.int16), *tail)),
        "a byte a lane": (sum_pairs, (bytes_, 0, rows * LANES % STREAM, ones.astype(np.int8), *tail)),
    }
    return {name: partial(kernel, *given) for name, (kernel, given) in forms.items()}


def share_of_bound(case: Case, adds: Callable[[], object], rounds: int) -> float:
    """Return the adds that a run on one thread is worth, one a synapse, step and sample, as a share of those that `adds` does meanwhile.

    Both in turns, and the median of the rounds, so that a machine whose speed changes does not blur it.
    """
    run, needed = prepare(case, 1), case.synapses * case.events.shape[0] * case.events.shape[1]
    run()
    shares: list[float] = []
    before = seconds(adds, 1, LEAST_ROUND)[0]
    for _ in range(rounds):
        (taken,) = seconds(run, 1)
        after = seconds(adds, 1, LEAST_ROUND)[0]
        shares.append(needed / taken / (SYNAPSES * LANES / ((before + after) / 2)))
        before = after
    return statistics.median(shares)


def output_spikes(case: Case) -> NDArray[np.int64]:
    """Return the output spikes of each sample, natively; the first samples are held against the integer reference.

    Raises:
        MismatchError: a spike that differs.
    """
    network = network_of(case)
    spikes = native.simulate(network, case.events, BackendOptions(threads=1)).spikes
    compare(reference.simulate(network, case.events[:CHECKED]), {name: raster[:CHECKED] for name, raster in spikes.items()}, "native")
    return spikes["output"].sum(axis=(1, 2))


def report(cases: dict[float, Path], rounds: int) -> dict[str, object]:
    """Measure all of this, print it, and return it."""
    loaded = {density: load_case(path) for density, path in cases.items()}
    loops = masked_adds()
    found = {name: SYNAPSES * LANES / min(seconds(loop, 100, LEAST_ROUND)) for name, loop in loops.items()}
    print("\nMasked 16-bit adds on one core, from the first cache: " + ", ".join(f"{name} {g / 1e9:.0f} G/s" for name, g in found.items()))
    print("\n| density | of the bound | 2 threads / 1 | one sample us | slowest us | all spikes | sums of batches | counts once, ms |")
    print("|---|---|---|---|---|---|---|---|")
    fastest = loops[max(found, key=lambda name: found[name])]
    rows = [_row(density, case, fastest, rounds) for density, case in loaded.items()]
    return {"masked_adds_per_second": found, "native": rows}


def _row(density: float, case: Case, adds: Callable[[], object], rounds: int) -> dict[str, float | None]:
    """Measure one density and print its line."""
    share = share_of_bound(case, adds, 8 * rounds)
    scaling, single = threads(case, rounds), latency(network_of(case), case.events[:100])
    median, slowest = single or (None, None)
    rasters, sums, counts = counter_costs(case, rounds)
    microseconds = ["" if t is None else f"{t * 1e6:.0f}" for t in (median, slowest)]
    cells = [f"{density:.0%}", f"{share:.0%}", f"{scaling:.2f}", *microseconds, f"{rasters:+.0%}", f"{sums:+.1%}", f"{counts * 1e3:.0f}"]
    print("| " + " | ".join(cells) + " |")
    row = {"density": density, "of_bound": share, "two_threads": scaling, "latency": median, "slowest": slowest}
    return row | {"rasters": rasters, "sums": sums, "counts_seconds": counts}


def threads(case: Case, rounds: int) -> float:
    """Return how much faster two threads are than one, by the wall's clock; the rounds of both alternate."""
    times: dict[int, list[float]] = {1: [], 2: []}
    runs = {n: prepare(case, n) for n in times}
    held = clock.choose("wall")
    for _ in range(rounds):
        for n, run in runs.items():
            times[n] += seconds(run, 1, LEAST_SECONDS)
    clock.choose(held)
    return statistics.median(times[1]) / statistics.median(times[2])


def latency(network: Network, events: NDArray[np.uint8], repeats: int = 9) -> tuple[float, float] | None:
    """Return the median and the slowest time of single samples, prepared once, each the median of `repeats`; None if they cannot be run."""
    runner = one_sample(network)
    if runner is None:
        return None
    each = [statistics.median(seconds(partial(runner.run, one), repeats)) for one in events]
    return statistics.median(each), max(each)


def counter_costs(case: Case, rounds: int) -> tuple[float, float, float]:
    """Return what counters cost beyond those of spikes and active updates by neuron, which are part of the kernels.

    What is added to a run on one thread by returning the hidden layer's spikes, and by the sums that `runtime.run` keeps over batches; and
    the seconds in which it makes all counts of them, once a run. The last two are those of the network as the compiler leaves it, without
    neurons that reach no output.
    """
    network = network_of(case)
    deployed = compile_network(network, chip="loihi2", effort="fast")
    recording = native.simulate(deployed.network, case.events, BackendOptions(threads=1, rasters=False))
    tally = Tally(deployed)
    given = (case.events, recording.fired or {}, recording.active or {}, deployed.network.populations[0].name)
    runs = [partial(native.simulate, network, case.events, BackendOptions(threads=1, rasters=r)) for r in (False, True)]
    plain, whole, summed, counted = _fastest([*runs, partial(tally.add, *given), partial(count, deployed, tally)], rounds)
    return whole / plain - 1.0, summed / plain, counted


def _fastest(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    return [min(times) for times in zip(*[[seconds(w, 1, 0.05)[0] for w in works] for _ in range(rounds)], strict=True)]
