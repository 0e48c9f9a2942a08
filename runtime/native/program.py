"""A network prepared for the native simulator: the layout of streams in memory, and each projection as its kernel takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, STATE_LIMIT
from ...network.model import Convolution, IntegerLIF, Network, Population, Projection, Synapses
from .kernels.lanes import BYTES, CHUNK, SAMPLES, STEPS
from .kernels.limits import MOST, PAYLOAD, POINT, most_synapses

FLAT_LANES = CHUNK  # samples of a block, a byte each
MAP_LANES = 8  # where there are maps, a bit each: so many channels stay in the cache
INT16, INT32 = 1 << 15, 1 << 31
MOST_STEPS = 255  # that a count of 8 bits holds


@dataclass(frozen=True)
class Grid:
    """How a population lies in a stream: (channels, steps, plane), with `margin` rows and columns of zeros around a map.

    index(y, x) = margin + (y + margin) pitch + x,  pitch = columns + margin: the right margin of a row is the left one of the next.
    """

    channels: int
    rows: int = 1
    columns: int = 1
    margin: int = 0

    @property
    def pitch(self) -> int:
        """Positions from one row to the next."""
        return self.columns + self.margin

    @property
    def plane(self) -> int:
        """Positions of a plane, margins included."""
        return (self.rows + 2 * self.margin) * self.pitch + self.margin

    @property
    def positions(self) -> int:
        """Neurons of a channel."""
        return self.rows * self.columns

    def index(self, y: int, x: int) -> int:
        """Return where (y, x) lies in a plane; both may lie up to `margin` outside the map."""
        return self.margin + (y + self.margin) * self.pitch + x

    def shape(self, unit: int) -> tuple[int, int, int, int]:
        """Return rows, columns, first byte and row length of a plane with `unit` bytes a position, as the kernels take them."""
        return self.rows, self.columns, self.index(0, 0) * unit, self.pitch * unit


@dataclass(frozen=True)
class Arriving:
    """A projection for a kernel: `first`, `second` and `weights` lie by row in `indptr`.

    Of a matrix, `first` are the sources. Of a convolution, `first` are channels and `second` the elements at which taps begin in a plane
    of `window`, the grid of the windows that it reads; `rows`, `geometry` as `kernels.sums.add_taps` and `add_strided_taps` take them.
    Where `most` is not 0, `first` are the places and `weights` what `sum_pairs` takes, or `sum_bits` of `bits`; a convolution's stride is 1
    then. `unit` bytes are a position of what is read; `expand`: it is made of bits first; `largest` is its largest payload.
    """

    source: str
    exponent: int
    indptr: NDArray[np.int64]
    first: NDArray[Any]
    weights: NDArray[Any]
    second: NDArray[np.int64] | None = None
    window: Grid | None = None
    pool: int = 1
    rows: NDArray[np.int64] | None = None
    geometry: tuple[int, int, int, int] = (0, 0, 0, 0)
    most: int = 0
    bits: bool = False
    unit: int = 1
    expand: bool = False
    largest: int = 1


@dataclass(frozen=True)
class Layer:
    """A population: its grid, neuron (du, dv, vth, fits 32 bits, soft reset), registers as `kernels.api.run_lanes` takes them, a bias
    a channel, the removed neurons in order, what arrives, sums' type.

    `live`: steps in which anything can arrive; `window`: width of the pooling windows of which each neuron is the OR, or 0; `halving`:
    the registers of `kernels.api.run_fused` where the neurons and their sums are such that it serves.
    """

    name: str
    grid: Grid
    neuron: tuple[int, int, int, int, int]
    registers: NDArray[np.int32]
    biases: NDArray[np.int32]
    dead: NDArray[np.int64]
    arriving: tuple[Arriving, ...]
    kind: type[np.signedinteger[Any]]
    live: int
    window: int
    halving: NDArray[np.int16] | None = None

    @cached_property
    def alive(self) -> NDArray[np.uint8]:
        """By channel, 0 for the removed neurons of a flat layer."""
        alive = np.ones(self.grid.channels, np.uint8)
        alive[self.dead] = 0
        return alive

    @cached_property
    def fused(self) -> bool:
        """Whether `kernels.api.run_fused` serves its neurons, in blocks that are full."""
        if len(self.arriving) != 1 or self.grid.plane > 1 or self.halving is None:
            return False
        a = self.arriving[0]
        return a.window is None and a.unit == CHUNK and not a.bits and a.most > 0 and len(a.weights) > 0


@dataclass(frozen=True)
class Program:
    """A network ready to run in blocks of `lanes` samples.

    `packing`: how spikes lie, see `kernels.lanes`; the input's payloads are bytes in any case. `live`: the input's steps that can hold
    anything, `levels` its largest payload.
    """

    entry: str
    timesteps: int
    lanes: int
    packing: int
    live: int
    levels: int
    grids: dict[str, Grid]
    layers: tuple[Layer, ...]

    @property
    def maps(self) -> bool:
        """Whether any population lies in planes."""
        return any(grid.plane > 1 for grid in self.grids.values())

    def check(self, events: NDArray[np.uint8]) -> None:
        """Refuse payloads above the network's levels, on which the proofs of the sums rely."""
        largest = int(events.max(initial=0))
        if largest > self.levels:
            raise BackendError(f"A payload is {largest}; the network's input has at most {self.levels}.")

    def unit(self, name: str) -> int:
        """Return the bytes of a population's position."""
        return 1 if self.packing and name != self.entry else self.lanes

    def rows(self, name: str) -> int:
        """Return the number of byte rows that hold a population's steps."""
        if name == self.entry:
            return self.live
        return -(-self.timesteps // 8) if self.packing == STEPS else self.timesteps


def prepare(network: Network, few: bool = False) -> Program | None:
    """Lay out a network; None if its maps do not fit the kernels (then its flat form does). `few`: for samples one by one."""
    grids = {p.name: _grid(network, p) for p in network.populations}
    if any(g is None for g in grids.values()):
        return None
    found: dict[str, Grid] = {name: g for name, g in grids.items() if g is not None}
    maps = any(g.plane > 1 for g in found.values())
    packing = (STEPS if few else SAMPLES) if maps and all(_narrow(p) for p in network.projections) else BYTES
    lanes = FLAT_LANES if not maps else MAP_LANES if packing == SAMPLES else 1
    live = 1 if network.input.is_once else network.timesteps
    levels = network.input.payload.largest
    empty = Program(network.populations[0].name, network.timesteps, lanes, packing, live, levels, found, ())
    return replace(empty, layers=tuple(_layer(network, p, empty) for p in network.spiking))


def _narrow(projection: Projection) -> bool:
    return int(np.abs(projection.synapses.data).max(initial=0)) < INT16


def _whole(synapses: object) -> bool:
    """Return whether a convolution has a single output position: a matrix is then better."""
    return isinstance(synapses, Convolution) and synapses.target_shape[1:] == (1, 1)


def _grid(network: Network, population: Population) -> Grid | None:
    """Return the grid that the convolutions around a population ask for; None if they disagree, or its biases differ within a channel."""
    leaving = [p.synapses for p in network.outputs_of(population.name)]
    arriving = [p.synapses for p in network.inputs_of(population.name)]
    shapes = {s.source_shape for s in leaving if isinstance(s, Convolution) and not _whole(s)}
    shapes |= {s.target_shape for s in arriving if isinstance(s, Convolution) and not _whole(s)}
    if not shapes:
        return Grid(population.size)
    if len(shapes) > 1:
        return None
    channels, rows, columns = shapes.pop()
    if population.bias is not None and population.shape[0] != channels:
        return None
    pads = [s.padding for s in leaving if isinstance(s, Convolution) and s.pool == 1 and not _whole(s)]
    return Grid(channels, rows, columns, max(pads, default=0))


def _layer(network: Network, population: Population, program: Program) -> Layer:
    neuron, grid = population.neuron, program.grids[population.name]
    if not isinstance(neuron, IntegerLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the native simulator runs compiled networks.")
    arriving: list[Arriving] = []
    bound = largest = 0.0
    for projection in network.inputs_of(population.name):
        most = largest_sum(network, projection)
        largest = max(largest, most)
        bound += np.ceil(most * 2.0**projection.exponent) + 1.0  # the shift rounds down
        arriving.append(_arriving(projection, program, most, network.payload_of(projection).largest))
    steps = max((_steps(program, a.source) for a in arriving), default=1)
    new = neuron.du == NO_MEMORY or (neuron.du == NEVER_DECAYS and steps == 1)
    fits = new and bound < STATE_LIMIT >> ALIGN and largest < INT32 and network.timesteps <= MOST_STEPS
    bias = population.biases if grid.positions == 1 else population.bias  # a flat grid has one a neuron, whatever the population's shape
    biases = np.zeros(grid.channels, np.int32) if bias is None else bias.astype(np.int32)
    dead = np.flatnonzero(~population.living)
    kind = np.int32 if max(bound, largest) < INT32 else np.int64
    window = _or_window(network, population)
    exponent = arriving[0].exponent if len(arriving) == 1 else 0  # sums of several projections are shifted one by one
    numbers = (neuron.du, neuron.dv, neuron.vth, int(fits), int(neuron.soft_reset))
    limit = np.inf if biases.any() else bound
    registers = _registers(neuron, exponent, limit)
    halving = _halving(neuron, exponent) if registers[6] and largest <= MOST else None
    return Layer(population.name, grid, numbers, registers, biases, dead, tuple(arriving), kind, steps, window, halving)


def _steps(program: Program, source: str) -> int:
    return program.live if source == program.entry else program.timesteps


def _registers(neuron: IntegerLIF, exponent: int, bound: float = np.inf) -> NDArray[np.int32]:
    """Return what `kernels.api.run_lanes` takes of a neuron whose sums are shifted by `exponent`, to at most `bound` on either side.

    A potential that halves stays within twice its current; `bound` is infinite where there are biases.
    """
    keep = DECAY_ONE - neuron.dv
    held = -1 if neuron.du == NEVER_DECAYS else 0
    simple = 2 * keep == DECAY_ONE and exponent >= 0 and not neuron.soft_reset and 2 * bound < STATE_LIMIT >> ALIGN
    shifts, soft = (max(-exponent, 0), max(exponent, 0) + ALIGN), -int(neuron.soft_reset)
    return np.asarray([*shifts, held, keep, neuron.vth << ALIGN, soft, int(simple)], np.int32)


def _halving(neuron: IntegerLIF, exponent: int) -> NDArray[np.int16] | None:
    """Return what `kernels.api.run_fused` takes of a simple neuron whose sums are shifted to the left by `exponent`; None if too far."""
    half = (1 << POINT - ALIGN - 1) >> exponent  # of the state's last place, in units of the sums
    whole, rest = divmod(neuron.vth, 1 << exponent)
    numbers = (min(whole, INT16 - 1), rest << POINT >> exponent, half, -1 if neuron.du == NEVER_DECAYS else 0, 0, 1)
    return np.asarray(numbers, np.int16) if half else None


def _or_window(network: Network, population: Population) -> int:
    """Return the width of the windows of whose spikes each neuron is the OR, exactly and without a state that stays; 0 if it is none.

    One spike gives  u = 64 w 2^e > 64 vth  and a reset; none leaves v = 0.
    """
    arriving, neuron = network.inputs_of(population.name), population.neuron
    if len(arriving) != 1 or population.bias is not None or not isinstance(neuron, IntegerLIF) or neuron.du != NO_MEMORY:
        return 0
    if neuron.soft_reset:
        return 0
    projection, c = arriving[0], arriving[0].synapses
    window = _pools(c) if isinstance(c, Convolution) and not _whole(c) else 0
    if not window or projection.source == network.populations[0].name or projection.exponent < 0:
        return 0
    fires = int(c.data.min(initial=127)) << projection.exponent > neuron.vth
    fits = largest_sum(network, projection) * 2.0**projection.exponent < STATE_LIMIT >> ALIGN
    return window if fires and fits else 0


def _pools(c: Convolution) -> int:
    """Return the width of the windows that a convolution sums, each channel by itself and apart from the next; 0 if it does not."""
    size = c.kernel[0]
    area = size * size
    if c.kernel != (size, size) or c.padding or c.stride != size or (c.pool > 1 and size > 1):
        return 0
    own = c.taps.shape[0] == c.source_shape[0] and c.weights == c.taps.shape[0] * area
    return size * c.pool if own and bool((c.taps.indices == np.arange(c.weights)).all()) else 0


def largest_sum(network: Network, projection: Projection) -> float:
    """Return the largest magnitude that any partial sum of a target's weights times payloads can reach, before the shift."""
    synapses = projection.synapses
    ones = np.ones(synapses.shape[1])
    parts = (np.maximum(synapses.data, 0), np.minimum(synapses.data, 0))
    return max(float(np.abs(synapses.forward(part, ones)).max(initial=0.0)) for part in parts) * network.payload_of(projection).largest


def _sums(largest: float) -> type[np.signedinteger[Any]]:
    if largest < INT16:
        return np.int16
    return np.int32 if largest < INT32 else np.int64


def _arriving(projection: Projection, program: Program, largest: float, payload: int) -> Arriving:
    synapses, source = projection.synapses, projection.source
    if not isinstance(synapses, Synapses) and not _whole(synapses):
        return _taps(projection, synapses, program, largest, payload)
    matrix, unit = synapses.unrolled(), program.unit(source)
    indptr, indices, weights = matrix.indptr, matrix.indices.astype(np.int64), matrix.data.astype(_sums(largest))
    bits = program.packing != BYTES and source != program.entry
    arriving = Arriving(source, projection.exponent, indptr, indices, weights, unit=unit, largest=payload)
    return _for_lanes(arriving, indices * (program.rows(source) * unit), payload, bits)


def _for_lanes(arriving: Arriving, places: NDArray[np.int64], payload: int, bits: bool) -> Arriving:
    """Return a projection for `sum_pairs` (rows padded to even numbers) or `sum_bits`; as it is if its numbers are too large."""
    weights = arriving.weights
    largest = int(np.abs(weights).max(initial=0))
    if bits:
        return replace(arriving, first=places, weights=weights.astype(np.int16), second=None, most=most_synapses(1, largest), bits=True)
    if payload > PAYLOAD or largest > 127:
        return arriving
    sizes = np.diff(arriving.indptr)
    indptr = np.concatenate([[0], np.cumsum(sizes + sizes % 2)])
    at = np.arange(len(weights)) + np.repeat(indptr[:-1] - arriving.indptr[:-1], sizes)
    padded, bytes_ = np.zeros(indptr[-1], np.int64), np.zeros(indptr[-1], np.int8)
    padded[at], bytes_[at] = places, weights
    return replace(arriving, indptr=indptr, first=padded, weights=bytes_, second=None, most=most_synapses(payload))


def _taps(projection: Projection, c: Convolution, program: Program, largest: float, payload: int) -> Arriving:
    source, lanes = program.grids[projection.source], program.lanes
    bits = program.packing != BYTES and projection.source != program.entry
    expand = bits and (c.pool > 1 or c.stride > 1)
    unit = lanes if expand else program.unit(projection.source)
    window = source if c.pool == 1 else Grid(c.source_shape[0], *c.pooled_shape, c.padding)
    area = c.kernel[0] * c.kernel[1]
    channel, place = np.divmod(c.taps.indices.astype(np.int64), area)
    y, x = np.divmod(place, c.kernel[1])
    offset = (window.margin + (y - c.padding + window.margin) * window.pitch + x - c.padding) * unit
    _, rows, columns = c.target_shape
    segments = np.stack([np.arange(rows, dtype=np.int64) * window.pitch * lanes, np.full(rows, columns * lanes)], axis=1)
    geometry = (c.stride * window.pitch * lanes, c.stride * lanes, lanes, int(c.stride > 1))
    weights, most = c.taps.data.astype(_sums(largest)), payload * c.pool**2
    head = (projection.source, projection.exponent, c.taps.indptr, channel, weights, offset, window, c.pool)
    arriving = Arriving(*head, segments, geometry, unit=unit, expand=expand, largest=most)
    if c.stride > 1:
        return arriving
    rows_of = program.timesteps if expand else program.rows(projection.source)
    places = channel * (rows_of * window.plane * unit) + offset
    return _for_lanes(arriving, places, most, bits and not expand)
