"""What the native simulator makes of a network before it runs: how streams lie in memory, and each projection as its kernel takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compile.network import Convolution, IntegerLIF, Network, Population, Projection, Synapses
from ...errors import BackendError
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NEVER_DECAYS, NO_MEMORY, STATE_LIMIT
from ..kernels.vectors import PAYLOAD, most_synapses

FLAT_LANES = 64
MAP_LANES = 8  # samples of a block where there are maps: their planes shall stay in the cache
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

    def shape(self, lanes: int) -> tuple[int, int, int, int, int]:
        """Return rows, columns, lanes, first element and row length, as the kernels take them."""
        return self.rows, self.columns, lanes, self.index(0, 0) * lanes, self.pitch * lanes


@dataclass(frozen=True)
class Arriving:
    """A projection for a kernel: `first`, `second` and `weights` lie by row in `indptr`.

    Of a matrix, `first` are the sources. Of a convolution, `first` are channels and `second` the elements at which taps begin in a plane
    of `window`, the grid of the windows that it reads; `acc` the size of its scratch; `rows`, `geometry` as `kernels.sums.add_taps` and
    `add_strided_taps` take them. Where `most` is not 0, `first` are the places and `weights` the bytes that `sum_pairs` takes, with `plane`
    bytes from step to step.
    """

    source: str
    exponent: int
    indptr: NDArray[np.int64]
    first: NDArray[Any]
    weights: NDArray[Any]
    second: NDArray[np.int64] | None = None
    window: Grid | None = None
    pool: int = 1
    acc: int = 0
    rows: NDArray[np.int64] | None = None
    geometry: tuple[int, int, int, int] = (0, 0, 0, 0)
    most: int = 0
    plane: int = 0


@dataclass(frozen=True)
class Layer:
    """A population: its grid, neuron (du, dv, vth, fits 32 bits), registers as `kernels.vectors.run_lanes` takes them, a bias a channel,
    flags of live neurons, what arrives, sums' type.

    `live`: steps in which anything can arrive; `window`: width of the pooling windows of which each neuron is the OR, or 0.
    """

    name: str
    grid: Grid
    neuron: tuple[int, int, int, int]
    registers: NDArray[np.int32]
    biases: NDArray[np.int32]
    flags: NDArray[np.uint8]
    arriving: tuple[Arriving, ...]
    kind: type[np.signedinteger[Any]]
    live: int
    window: int


@dataclass(frozen=True)
class Program:
    """A network ready to run in blocks of `lanes` samples. `live`: the input's steps that can hold anything."""

    entry: str
    timesteps: int
    lanes: int
    live: int
    grids: dict[str, Grid]
    layers: tuple[Layer, ...]


def prepare(network: Network) -> Program | None:
    """Lay out a network; None if its maps do not fit the kernels (then its flat form does)."""
    grids = {p.name: _grid(network, p) for p in network.populations}
    if any(g is None for g in grids.values()):
        return None
    found: dict[str, Grid] = {name: g for name, g in grids.items() if g is not None}
    maps = any(g.positions > 1 for g in found.values())
    lanes = MAP_LANES if maps else FLAT_LANES
    live = 1 if network.input.encoding in ("current", "host") else network.timesteps
    layers = tuple(_layer(network, p, found, lanes, live) for p in network.spiking)
    return Program(network.populations[0].name, network.timesteps, lanes, live, found, layers)


def _whole(synapses: object) -> bool:
    """Return whether a convolution has one output position: a matrix serves it better."""
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


def _layer(network: Network, population: Population, grids: dict[str, Grid], lanes: int, live: int) -> Layer:
    neuron, grid = population.neuron, grids[population.name]
    if not isinstance(neuron, IntegerLIF):
        raise BackendError(f"Layer {population.name} is not quantised; the native simulator runs compiled networks.")
    entry = network.populations[0].name
    arriving: list[Arriving] = []
    bound = largest = 0.0
    for projection in network.inputs_of(population.name):
        most = largest_sum(network, projection)
        largest = max(largest, most)
        bound += np.ceil(most * 2.0**projection.exponent) + 1.0  # the shift rounds down
        steps = live if projection.source == entry else network.timesteps
        arriving.append(_arriving(projection, grids[projection.source], most, lanes, steps, _payload(network, projection)))
    steps = max((live if a.source == entry else network.timesteps for a in arriving), default=1)
    new = neuron.du == NO_MEMORY or (neuron.du == NEVER_DECAYS and steps == 1)
    fits = new and bound < STATE_LIMIT >> ALIGN and largest < INT32 and network.timesteps <= MOST_STEPS
    biases = np.zeros(grid.channels, np.int32) if population.bias is None else population.bias.astype(np.int32)
    flags = population.living.astype(np.uint8).reshape(grid.channels, grid.positions)
    kind = np.int32 if max(bound, largest) < INT32 else np.int64
    window = _or_window(network, population)
    exponent = arriving[0].exponent if len(arriving) == 1 else 0  # sums of several projections are shifted one by one
    numbers, registers = (neuron.du, neuron.dv, neuron.vth, int(fits)), _registers(neuron, exponent)
    return Layer(population.name, grid, numbers, registers, biases, flags, tuple(arriving), kind, steps, window)


def _registers(neuron: IntegerLIF, exponent: int) -> NDArray[np.int32]:
    """Return what `kernels.vectors.run_lanes` takes of a neuron whose sums are shifted by `exponent`."""
    keep = DECAY_ONE - neuron.dv
    places = next((n for n in range(13) if keep << n == DECAY_ONE), 24 if keep == 0 else -1)  # 24 places leave nothing of 24 bits
    held = -1 if neuron.du == NEVER_DECAYS else 0
    return np.asarray([max(-exponent, 0), max(exponent, 0) + ALIGN, held, keep, places, neuron.vth << ALIGN], np.int32)


def _or_window(network: Network, population: Population) -> int:
    """Return the width of the windows of whose spikes each neuron is the OR, exactly and without a state that stays; 0 if it is none.

    One spike gives  u = 64 w 2^e > 64 vth  and a reset; none leaves v = 0.
    """
    arriving, neuron = network.inputs_of(population.name), population.neuron
    if len(arriving) != 1 or population.bias is not None or not isinstance(neuron, IntegerLIF) or neuron.du != NO_MEMORY:
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


def _payload(network: Network, projection: Projection) -> int:
    """Return the largest payload that a projection's source sends."""
    return network.input.levels if projection.source == network.populations[0].name and network.input.encoding != "rate" else 1


def largest_sum(network: Network, projection: Projection) -> float:
    """Return the largest magnitude that any partial sum of a target's weights times payloads can reach, before the shift."""
    synapses = projection.synapses
    ones = np.ones(synapses.shape[1])
    parts = (np.maximum(synapses.data, 0), np.minimum(synapses.data, 0))
    return max(float(np.abs(synapses.forward(part, ones)).max(initial=0.0)) for part in parts) * _payload(network, projection)


def _sums(largest: float) -> type[np.signedinteger[Any]]:
    if largest < INT16:
        return np.int16
    return np.int32 if largest < INT32 else np.int64


def _arriving(projection: Projection, source: Grid, largest: float, lanes: int, steps: int, payload: int) -> Arriving:
    synapses = projection.synapses
    if isinstance(synapses, Synapses) or _whole(synapses):
        matrix = synapses.unrolled()
        indptr, indices, weights = matrix.indptr, matrix.indices.astype(np.int64), matrix.data.astype(_sums(largest))
        arriving = Arriving(projection.source, projection.exponent, indptr, indices, weights)
        return _paired(arriving, indices * (steps * lanes), payload)
    arriving = _taps(projection, synapses, source, largest, lanes)
    window = arriving.window
    if window is None or arriving.second is None or synapses.stride > 1:
        return arriving
    plane = window.plane * lanes
    places = arriving.first * (steps * plane) + arriving.second
    return replace(_paired(arriving, places, payload * synapses.pool**2), plane=plane)


def _paired(arriving: Arriving, places: NDArray[np.int64], payload: int) -> Arriving:
    """Return a projection as `sum_pairs` takes it, each row padded to an even number; as it is if its weights or payloads are too large."""
    weights = arriving.weights
    if payload > PAYLOAD or np.abs(weights).max(initial=0) > 127:
        return arriving
    sizes = np.diff(arriving.indptr)
    indptr = np.concatenate([[0], np.cumsum(sizes + sizes % 2)])
    at = np.arange(len(weights)) + np.repeat(indptr[:-1] - arriving.indptr[:-1], sizes)
    padded, bytes_ = np.zeros(indptr[-1], np.int64), np.zeros(indptr[-1], np.int8)
    padded[at], bytes_[at] = places, weights
    return replace(arriving, indptr=indptr, first=padded, weights=bytes_, second=None, most=most_synapses(max(payload, 1)))


def _taps(projection: Projection, c: Convolution, source: Grid, largest: float, lanes: int) -> Arriving:
    window = source if c.pool == 1 else Grid(c.source_shape[0], *c.pooled_shape, c.padding)
    area = c.kernel[0] * c.kernel[1]
    channel, place = np.divmod(c.taps.indices.astype(np.int64), area)
    y, x = np.divmod(place, c.kernel[1])
    offset = (window.margin + (y - c.padding + window.margin) * window.pitch + x - c.padding) * lanes
    _, rows, columns = c.target_shape
    if c.stride == 1:
        starts = np.arange(rows, dtype=np.int64) * window.pitch * lanes
        extent, geometry = ((rows - 1) * window.pitch + columns) * lanes, (0, 0, lanes, 0)
        segments = np.stack([starts, np.full(rows, columns * lanes)], axis=1)
    else:
        extent, geometry = columns * lanes, (c.stride * window.pitch * lanes, c.stride * lanes, lanes, 1)
        segments = np.zeros((0, 2), np.int64)
    weights = c.taps.data.astype(_sums(largest))
    return Arriving(
        projection.source,
        projection.exponent,
        c.taps.indptr,
        channel,
        weights,
        offset,
        window,
        c.pool,
        extent,
        segments,
        geometry,
    )
