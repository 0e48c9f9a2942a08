"""Partition: neurons to cores in layer order, each core filled as far as EVERY limit allows.

Layer order keeps the targets of a layer together, so a spike reaches few cores; what a further neuron costs is counted in
encoded words and axons, not estimated. Output axons depend on where the targets went, so cores that break that limit are
halved afterwards until none does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from ..network import Network
from .bounds import cores_bound
from .load import CoreLoad, Wiring, range_load

Int = NDArray[np.int64]


def partition(network: Network, wiring: Wiring, chip: Chip) -> Int:
    """Assign a core to every neuron of the chip.

    Returns:
        (neurons,) core numbers from 0, rising along the global numbering.

    Raises:
        DoesNotFitError: one neuron exceeds a core, or all of them the chip; layer, limit, need and a way out are named.
    """
    least = cores_bound(wiring, chip)
    if least > chip.cores_available:  # known at once, where filling thousands of cores would take minutes
        raise _too_many(network, chip, f"at least {least:,}")
    starts = [0]
    while starts[-1] < wiring.neurons:
        starts.append(_fill(network, wiring, starts[-1], chip))
    core_of = _split_for_outputs(wiring, starts, chip)
    cores = int(core_of[-1]) + 1
    if cores > chip.cores_available:
        raise _too_many(network, chip, f"{cores:,}")
    return core_of


def _too_many(network: Network, chip: Chip, cores: str) -> DoesNotFitError:
    return DoesNotFitError(
        f"The network needs {cores} cores; {_held(chip)}. "
        f"{_widest(network)} Try a higher --sparsity or a smaller network{_other_chip(chip)}."
    )


def _held(chip: Chip) -> str:
    """Say how many cores there are, on one chip or on all that may be used."""
    if chip.chips == 1:
        return f"a {chip.name} chip has {chip.cores_available:,}"
    return f"{chip.chips:,} {chip.name} chips have {chip.cores_available:,}"


def _widest(network: Network) -> str:
    heaviest = max(network.projections, key=network.synapses_of)
    return f"Most of it is layer {heaviest.target} with {network.synapses_of(heaviest):,} synapses."


def _other_chip(chip: Chip) -> str:
    return "" if chip.name == "loihi2" else ", or --chip loihi2"


def _fill(network: Network, wiring: Wiring, start: int, chip: Chip) -> int:
    """Return the end of the longest range from `start` that one core holds: a gallop, then a bisection (loads only grow)."""
    alone = range_load(wiring, start, start + 1, chip)
    if alone.breach(chip):
        raise _too_large(network, start, alone, chip)
    good, step = start + 1, 64
    limit = min(wiring.neurons, start + chip.limit("neurons"))
    bad = limit + 1
    while good < limit:
        probe = min(limit, good + step)
        if range_load(wiring, start, probe, chip).breach(chip):
            bad = probe
            break
        good, step = probe, step * 2
    while bad - good > 1 and good < limit:
        probe = (good + bad) // 2
        if range_load(wiring, start, probe, chip).breach(chip):
            bad = probe
        else:
            good = probe
    return good


def _too_large(network: Network, neuron: int, load: CoreLoad, chip: Chip) -> DoesNotFitError:
    name = str(load.breach(chip))
    for population in network.on_chip:
        if neuron < population.count:
            break
        neuron -= population.count
    else:
        population = network.on_chip[-1]
    neuron = int(np.flatnonzero(population.living)[neuron])
    fan_in = sum(int(network.fan_in(p)[neuron]) for p in network.inputs_of(population.name))
    limit = chip.limit(name)
    return DoesNotFitError(
        f"Layer {population.name}: neuron {neuron} alone, with {fan_in:,} synapses, needs {getattr(load, name):,} {name.replace('_', ' ')} "
        f"of a core; {chip.name} allows {limit:,}. Try a sparsity that leaves at most {limit:,} synapses a neuron{_other_chip(chip)}."
    )


def output_axons(wiring: Wiring, core_of: Int) -> Int:
    """Return, by core, its output axons: one per neuron on it and core that the neuron reaches."""
    sources, _ = wiring.core_pairs(core_of)
    inside = sources[sources >= wiring.outside] - wiring.outside
    return np.bincount(core_of[inside], minlength=int(core_of.max(initial=0)) + 1)


def _split_for_outputs(wiring: Wiring, starts: list[int], chip: Chip) -> Int:
    while True:
        core_of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        over = np.flatnonzero(output_axons(wiring, core_of) > chip.limit("output_axons"))
        halves = {(starts[c] + starts[c + 1]) // 2 for c in over if starts[c + 1] - starts[c] > 1}
        if (over.size and not halves) or len(starts) > 64 * chip.cores_available:
            raise DoesNotFitError(
                f"Core {int(over[0])} reaches more cores than its {chip.limit('output_axons'):,} output axons on {chip.name}. "
                f"Try a higher --sparsity or a smaller network{_other_chip(chip)}."
            )
        if not halves:
            return core_of
        starts = sorted({*starts, *halves})
