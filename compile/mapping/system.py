"""The joint mesh of all chips in use: slots, places, hops, and which links carry which messages.

A place is (column, row) of a tile on the joint mesh. Chips lie in a grid and the mesh of one continues in the next, so messages
are routed in dimension order (along the row first, then the column), within a chip and across chips. A hop is horizontal or vertical
within a chip, or crosses to the next chip; each of the three kinds has its own energy and time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...hwmodels.chip import Chip

Int = NDArray[np.int64]
Float = NDArray[np.float64]
Traffic: TypeAlias = "sp.csr_array[Any]"  # in quotes: SciPy before 1.15 cannot subscript it; (cores, cores) messages from core to core


def entries(matrix: Traffic) -> tuple[Int, Int, Float]:
    """Return the row, column and value of every stored entry."""
    pairs: Any = matrix.tocoo()
    return pairs.row.astype(np.int64), pairs.col.astype(np.int64), pairs.data.astype(np.float64)


def slot_positions(chip: Chip) -> Int:
    """Return the (column, row) on its chip of every core slot of one chip, tile by tile in row-major order: (slots, 2)."""
    tiles = np.arange(chip.limit("cores")) // chip.mesh.cores_per_tile
    return np.stack([tiles % chip.mesh.columns, tiles // chip.mesh.columns], axis=1)


def chip_positions(chip: Chip) -> Int:
    """Return the (column, row) in the system's grid of every chip: (chips, 2).

    Numbered in growing squares from a corner, so that the first n chips, the ones used when n are needed, lie close together.
    """
    if chip.system is None:
        return np.zeros((1, 2), np.int64)
    columns, rows = np.meshgrid(np.arange(chip.system.columns), np.arange(chip.system.rows), indexing="ij")
    places = np.stack([columns.ravel(), rows.ravel()], axis=1)
    order = np.lexsort((places[:, 0], places[:, 1], places.max(axis=1)))
    return places[order][: chip.chips]


def joint_places(chip: Chip, tile_of: Int, chip_of: Int) -> Int:
    """Return the place on the joint mesh of tiles (..., 2) of the chips (...)."""
    return chip_positions(chip)[chip_of] * [chip.mesh.columns, chip.mesh.rows] + tile_of


def slots_in_use(chip: Chip, cores: int) -> tuple[Int, Int]:
    """Return the slots available to the given number of cores, on the fewest chips that hold them, and the places of these slots.

    A slot is numbered chip * (cores of a chip) + slot on the chip; in a system the last slots of every chip may remain unused.
    """
    chips = chip.chips_for(cores)
    local = np.arange(chip.cores_offered(chips))
    slots = (np.arange(chips)[:, None] * chip.limit("cores") + local).ravel()
    places = joint_places(chip, slot_positions(chip)[slots % chip.limit("cores")], slots // chip.limit("cores"))
    return slots, places


def hop_parts(a: Int, b: Int, chip: Chip) -> Int:
    """Return the (horizontal, vertical, chip-crossing) hops of messages between the places `a` and `b` (..., 2): (..., 3)."""
    mesh = np.asarray([chip.mesh.columns, chip.mesh.rows])
    crossing = np.abs(a // mesh - b // mesh)
    within = np.abs(a - b) - crossing
    return np.concatenate([within, crossing.sum(axis=-1, keepdims=True)], axis=-1)


def hop_prices(chip: Chip) -> tuple[float, float, float]:
    """Return the pJ of a hop (horizontal, vertical, chip-crossing); 1 per hop if the chip file has no hop energy.

    A crossing without a system never happens; it counts as a horizontal hop.
    """
    horizontal, vertical = chip.energy.hop_horizontal.value, chip.energy.hop_vertical.value
    if horizontal + vertical == 0:
        horizontal = vertical = 1.0
    return horizontal, vertical, chip.system.hop_energy.value if chip.system else horizontal


def price_coordinates(places: Int, chip: Chip) -> Float:
    """Return (..., 2) coordinates whose city-block distance is the pJ of a message between two places, by `hop_prices`."""
    mesh = np.asarray([chip.mesh.columns, chip.mesh.rows])
    horizontal, vertical, crossing = hop_prices(chip)
    chips = places // mesh
    return (places - chips) * np.asarray([horizontal, vertical]) + chips * crossing


def hop_energy(between: Traffic, entering: Float, places: Int, chip: Chip) -> float:
    """Return the pJ of all hops:  sum over messages of hops * pJ per hop, from `hop_prices`; input enters at the mesh's entry."""
    return float((_parts_of_all(between, entering, places, chip) * np.asarray(hop_prices(chip))).sum())


def hops_of_all(between: Traffic, entering: Float, places: Int, chip: Chip) -> tuple[float, float, float]:
    """Return the (horizontal, vertical, chip-crossing) hops of all messages.

    Args:
        between: (cores, cores) messages from core to core; entering: (cores,) messages from off chip.
        places: (cores, 2) on the joint mesh.
    """
    horizontal, vertical, crossing = _parts_of_all(between, entering, places, chip).tolist()
    return horizontal, vertical, crossing


def _parts_of_all(between: Traffic, entering: Float, places: Int, chip: Chip) -> Float:
    rows, columns, messages = entries(between)
    inside = messages @ hop_parts(places[rows], places[columns], chip)
    return inside + entering @ hop_parts(np.asarray(chip.mesh.entry), places, chip)


@dataclass(frozen=True)
class Links:
    """Messages over every link of the joint mesh, by direction; `east[x, y]` is the link from (x, y) to (x + 1, y).

    `east`, `west`: (columns - 1, rows); `south`, `north`: (columns, rows - 1); west and north are the opposite directions over the same
    places. `ports`: (cores,) messages from the router into each core.
    """

    east: Float
    west: Float
    south: Float
    north: Float
    ports: Float

    def busiest(self, chip: Chip, times: tuple[float, float, float, float]) -> Busiest:
        """Return the link that is busy the longest.

        Args:
            times: of a message over a (horizontal, vertical, chip-crossing) link, and from a router into its core.
        """
        across = _kinds(self.east.shape[0], chip.mesh.columns, 0)
        down = _kinds(self.south.shape[1], chip.mesh.rows, 1)
        entered = self.ports * times[3]
        core = int(entered.argmax())
        found = [Busiest(float(entered[core]), 3, f"into core {core}")]
        for loads, kinds, (dx, dy) in (
            (self.east, across[:, None], (1, 0)),
            (self.west, across[:, None], (-1, 0)),
            (self.south, down[None], (0, 1)),
            (self.north, down[None], (0, -1)),
        ):
            busy = loads * np.asarray(times)[kinds]
            if busy.size:
                x, y = (int(i) for i in np.unravel_index(int(busy.argmax()), busy.shape))
                kind = int(np.broadcast_to(kinds, busy.shape)[x, y])
                x, y = x + (dx < 0), y + (dy < 0)  # the opposite directions begin at the far end
                found.append(Busiest(float(busy.max()), kind, f"tile {x},{y} to {x + dx},{y + dy}"))
        return max(found, key=lambda one: one.time)


@dataclass(frozen=True)
class Busiest:
    """A link: the time that it is busy, its kind (0 horizontal, 1 vertical, 2 chip-crossing, 3 into a core), its name."""

    time: float
    kind: int
    name: str


def _kinds(links: int, tiles_a_chip: int, within: int) -> Int:
    """Return the kind of each link of a row or column of the mesh: every `tiles_a_chip`-th leads to the next chip."""
    return np.where((np.arange(links) + 1) % tiles_a_chip == 0, 2, within)


def link_loads(between: Traffic, entering: Float, places: Int, chip: Chip) -> Links:
    """Route every message along its row, then its column, and return the load of each link.

    Args: as `hops_of_all`. A message within a tile uses the port of its target core only.
    """
    senders, receivers, sent = entries(between)
    fed = np.flatnonzero(entering)
    a = np.concatenate([places[senders], np.broadcast_to(np.asarray(chip.mesh.entry), (fed.size, 2))])
    b = np.concatenate([places[receivers], places[fed]])
    messages = np.concatenate([sent, entering[fed]])
    columns, rows = (np.maximum(a.max(axis=0, initial=0), b.max(axis=0, initial=0)) + 1).tolist()
    ports = np.bincount(receivers, weights=sent, minlength=len(places)) + entering
    return Links(
        _carried(a[:, 0], b[:, 0], a[:, 1], messages, (columns, rows)),
        _carried(b[:, 0], a[:, 0], a[:, 1], messages, (columns, rows)),
        _carried(a[:, 1], b[:, 1], b[:, 0], messages, (rows, columns)).T,
        _carried(b[:, 1], a[:, 1], b[:, 0], messages, (rows, columns)).T,
        ports,
    )


def _carried(start: Int, end: Int, lane: Int, messages: Float, size: tuple[int, int]) -> Float:
    """Sum the messages that run upwards from `start` to `end` in their `lane` over every step of it: (size[0] - 1, size[1])."""
    up = end > start
    change = np.zeros(size)
    np.add.at(change, (start[up], lane[up]), messages[up])
    np.add.at(change, (end[up], lane[up]), -messages[up])
    return np.maximum(np.cumsum(change, axis=0)[:-1], 0.0)  # cancelled sums may leave a rounding below zero


@dataclass(frozen=True)
class Link:
    """A link of the joint mesh, from one place to the next, or the port from a router into a core (`core`)."""

    kind: int
    start: tuple[int, int]
    end: tuple[int, int]
    core: int | None = None

    @property
    def name(self) -> str:
        """What results call it."""
        if self.core is not None:
            return f"into core {self.core}"
        return f"tile {self.start[0]},{self.start[1]} to {self.end[0]},{self.end[1]}"


@dataclass(frozen=True)
class Routes:
    """Which links every message crosses.

    `links`: those that any message crosses; `crossed`: (links, messages) CSR, 1 where the message crosses the link.
    """

    links: tuple[Link, ...]
    crossed: Traffic


def routes(start: Int, receivers: Int, places: Int, chip: Chip) -> Routes:
    """Route messages from places `start` (messages, 2) to the cores `receivers` (messages,), each along its row, then its column.

    The same routes as those of `link_loads`, message by message.
    """
    end, mesh = places[receivers], (chip.mesh.columns, chip.mesh.rows)
    corner = np.stack([end[:, 0], start[:, 1]], axis=1)
    parts = [_legs(start, corner, 0), _legs(corner, end, 1)]
    message = np.concatenate([part[0] for part in parts] + [np.arange(len(receivers))])
    ports = np.stack([np.full(len(receivers), -1), receivers, np.zeros_like(receivers), np.zeros_like(receivers)], axis=1)
    keys, link = np.unique(np.concatenate([part[1] for part in parts] + [ports]), axis=0, return_inverse=True)
    ones = np.ones(len(message), np.int64)
    crossed = sp.csr_array((ones, (link.ravel(), message)), shape=(len(keys), len(receivers)))
    return Routes(tuple(_link(key, mesh) for key in keys.tolist()), crossed)


def _legs(start: Int, end: Int, axis: int) -> tuple[Int, Int]:
    """Return, for straight ways along an axis, the message and the key (axis, x, y, direction) of each link that it crosses."""
    way = end[:, axis] - start[:, axis]
    lengths = np.abs(way)
    message = np.repeat(np.arange(len(way)), lengths)
    step = np.arange(message.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    sign = np.sign(way)[message]
    at = start[message].copy()
    at[:, axis] += sign * step
    return message, np.stack([np.full(message.size, axis), at[:, 0], at[:, 1], sign], axis=1)


def _link(key: list[int], mesh: tuple[int, int]) -> Link:
    axis, x, y, sign = key
    if axis < 0:
        return Link(3, (0, 0), (0, 0), core=x)
    end = (x + sign, y) if axis == 0 else (x, y + sign)
    crossing = (x, y)[axis] // mesh[axis] != end[axis] // mesh[axis]
    return Link(2 if crossing else axis, (x, y), end)
