"""Allocate neurons to crossbar cores: 256 axons and 256 neurons each, a neuron's copies included.

A source takes an axon on a core for each type and copy that any weight there needs. A neuron sends to one axon only, so it needs one
copy on its core for each axon it drives; the layers are therefore placed from the output backwards. Within a layer, a core takes,
out of the first few remaining neurons, the one that needs the fewest new axons; it is closed when none of them fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from ...network.model import CrossbarLIF, Network, Population
from .artefact import AXONS, SLOTS, Crossbars
from .weights import COPIES, EXACT

LOOKAHEAD = 64
Axon = tuple[int, int, int, int]  # source, type, copy, delay


@dataclass
class _Core:
    """A core being filled: its axons in order, and the logical neuron of each physical one."""

    axons: dict[Axon, int] = field(default_factory=dict[Axon, int])
    slots: list[int] = field(default_factory=list[int])
    bits: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    targets: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])


@dataclass(frozen=True)
class Room:
    """The capacity of a core of the chip; never more than the arrays of `Crossbars` hold."""

    axons: int = AXONS
    slots: int = SLOTS

    @classmethod
    def of(cls, chip: Chip) -> Room:
        """Return the capacity that a chip file gives."""
        axons = (chip.limit("input_axons"), chip.limit("synapse_words"))
        return cls(min(AXONS, *axons), min(SLOTS, chip.limit("neurons"), chip.limit("output_axons")))


def allocate(network: Network, mode: str, room: Room | None = None) -> tuple[Crossbars, NDArray[np.int64]]:
    """Place a flat network's chip neurons on cores.

    Args:
        network: without maps and removed neurons (`Network.flat`), CrossbarLIF neurons with levels.
        room: capacity of a core; 256 axons and neurons if None.

    Returns:
        The cores, and the core of each logical neuron.

    Raises:
        DoesNotFitError: a neuron needs more axons, or more copies, than a core has; layer, limit, need and a way out are named.
    """
    room = room or Room()
    first = _numbers(network)
    outside = sum(p.size for p in network.senders) - sum(p.size for p in network.on_chip)
    cores: list[_Core] = []
    reached: dict[int, list[tuple[int, int]]] = {}  # source -> its axons as (core, axon)
    core_of = np.zeros(sum(p.size for p in network.on_chip), np.int64)
    for population in reversed(network.on_chip):
        needs = [_needs(network, population, j, first, mode) for j in range(population.size)]
        start = first[population.name]
        copies = [max(1, len(reached.get(start + j, ()))) for j in range(population.size)]
        _check(population, needs, copies, mode, room)
        for members in _fill(needs, copies, room):
            core = _place(members, needs, [reached.get(start + j, []) for j in range(population.size)], start - outside)
            core_of[[start - outside + j for j in members]] = len(cores)
            for (source, *_), axon in core.axons.items():
                reached.setdefault(source, []).append((len(cores), axon))
            cores.append(core)
    return _arrays(network, cores, mode, outside, reached), core_of


def _numbers(network: Network) -> dict[str, int]:
    """Return the number of each sender's first source; those off chip come first."""
    ends = np.cumsum([p.size for p in network.senders]).tolist()
    return {p.name: end - p.size for p, end in zip(network.senders, ends, strict=True)}


def _needs(network: Network, population: Population, neuron: int, first: dict[str, int], mode: str) -> list[Axon]:
    """Return the axons that make up a neuron's weights."""
    levels = population.levels[neuron] if population.levels is not None else np.zeros(4, np.int64)
    axons: list[Axon] = []
    for projection in network.inputs_of(population.name):
        matrix = projection.synapses.unrolled()
        span = slice(int(matrix.indptr[neuron]), int(matrix.indptr[neuron + 1]))
        for source, weight in zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True):
            for kind, count in enumerate(_counts(weight, levels, mode)):
                axons += [(first[projection.source] + source, kind, copy, 1 + projection.delay) for copy in range(count)]
    return axons


def _counts(weight: int, levels: NDArray[np.int64], mode: str) -> tuple[int, ...]:
    """Return how often each level goes into a weight."""
    if mode == "exact" and tuple(levels.tolist()) == EXACT:
        rest, counts = weight + 128 * (weight < 0), [int(weight < 0)]
        for k in range(1, 4):
            counts.append(min(rest // EXACT[k], COPIES["exact"][k]))
            rest -= counts[-1] * EXACT[k]
        return tuple(counts)
    fewest = min((s for s in range(16) if int(((s >> np.arange(4)) & 1) @ levels) == weight), key=int.bit_count)
    return tuple((fewest >> k) & 1 for k in range(4))


def _check(population: Population, needs: list[list[Axon]], copies: list[int], mode: str, room: Room) -> None:
    for j, (axons, times) in enumerate(zip(needs, copies, strict=True)):
        if len(axons) > room.axons:
            sources, other = len({a[0] for a in axons}), "" if mode == "ternary" else "--mode ternary, which takes 1 or 2 a source, or "
            raise DoesNotFitError(
                f"Layer {population.name}: neuron {j} receives input from {sources:,} sources, for which the mode {mode} needs "
                f"{len(axons):,} axons; a core has {room.axons}. Try {other}a higher sparsity."
            )
        if times > room.slots:
            raise DoesNotFitError(
                f"Layer {population.name}: neuron {j} sends to {times:,} axons, each from its own copy; "
                f"a core has {room.slots} neurons. Try a higher sparsity."
            )


def _fill(needs: list[list[Axon]], copies: list[int], room: Room) -> list[list[int]]:
    """Return the neurons of each core."""
    left, filled = list(range(len(needs))), list[list[int]]()
    sets = [set(axons) for axons in needs]
    while left:
        members, axons, free = list[int](), set[Axon](), room.slots
        while True:
            fits = [j for j in left[:LOOKAHEAD] if copies[j] <= free and len(axons | sets[j]) <= room.axons]
            if not fits:
                break
            best = min(fits, key=lambda j: (len(sets[j] - axons), j))
            members.append(best)
            left.remove(best)
            axons |= sets[best]
            free -= copies[best]
        filled.append(sorted(members))
    return filled


def _place(members: list[int], needs: list[list[Axon]], targets: list[list[tuple[int, int]]], start: int) -> _Core:
    core = _Core()
    for j in members:
        for target in targets[j] or [(-1, -1)]:
            slot = len(core.slots)
            core.slots.append(start + j)
            core.targets[slot] = target
            for axon in needs[j]:
                core.bits.append((core.axons.setdefault(axon, len(core.axons)), slot))
    return core


def _arrays(network: Network, cores: list[_Core], mode: str, outside: int, reached: dict[int, list[tuple[int, int]]]) -> Crossbars:
    count = len(cores)
    made = Crossbars(
        mode,
        np.full((count, AXONS), -1, np.int8),
        np.zeros((count, AXONS), np.int32),
        np.zeros((count, AXONS), np.int8),
        np.zeros((count, AXONS, SLOTS), np.uint8),
        np.full((count, SLOTS), -1, np.int32),
        np.zeros((count, SLOTS, 4), np.int16),
        np.ones((count, SLOTS), np.int32),
        np.zeros((count, SLOTS), np.int32),
        np.full((count, SLOTS, 2), -1, np.int32),
        np.array([(s, *where) for s in sorted(reached) if s < outside for where in reached[s]], np.int32).reshape(-1, 3),
    )
    registers = [p.neuron for p in network.on_chip for _ in range(p.size)]
    levels = np.concatenate([p.levels for p in network.on_chip if p.levels is not None])
    for c, core in enumerate(cores):
        for (source, kind, _, delay), axon in core.axons.items():
            made.axon_type[c, axon], made.axon_source[c, axon], made.axon_delay[c, axon] = kind, source, delay
        for axon, slot in core.bits:
            made.bits[c, axon, slot] = 1
        for slot, logical in enumerate(core.slots):
            neuron = registers[logical]
            made.logical[c, slot], made.levels[c, slot], made.target[c, slot] = logical, levels[logical], core.targets[slot]
            if isinstance(neuron, CrossbarLIF):
                made.threshold[c, slot], made.leak[c, slot] = neuron.threshold, neuron.leak
    return made
