"""Placement: cores to slots of the chips in use, such that the hops of all messages cost little energy.

The cheapest of three starting placements (row by row, along a Hilbert curve, by the eigenvectors of the traffic) is annealed. The
result never costs more than row by row, and is the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from .api import Effort, check_effort
from .loads.load import Wiring
from .system import Traffic, entries, price_coordinates, slot_positions, slots_in_use

if TYPE_CHECKING:
    from .anneal import Problem

Int = NDArray[np.int64]
Float = NDArray[np.float64]

# Moves tried per core, and the budget of all moves in evaluations of a pair of cores, some 200 million per second; every move costs a
# further MOVE evaluations.
EFFORTS: dict[str, tuple[int, float]] = {"fast": (500, 1e8), "default": (20_000, 2e9), "best": (100_000, 2e10)}
HEATS = (1.0, 0.1)  # hot at first, for the overall arrangement, then cooler from the best so far
MOVE = 20.0
FEW_WIDTHS = 6
DENSE_EIGEN = 32


@dataclass(frozen=True)
class Placement:
    """The location of each core.

    `slot_of`: (cores,), chip * (cores of a chip) + slot on it; `tile_of`: (cores, 2) on its chip; `chip_of`: (cores,).
    """

    slot_of: Int
    tile_of: Int
    chip_of: Int


def traffic(wiring: Wiring, core_of: Int) -> tuple[Traffic, Float]:
    """Return messages per step from core to core as CSR (cores, cores), and from off chip to each core (cores,)."""
    cores = int(core_of.max(initial=0)) + 1
    sources, targets = wiring.core_pairs(core_of)
    rates = wiring.rates[sources]
    inside = (sources >= wiring.outside) & (rates != 0)
    start = core_of[sources[inside] - wiring.outside]
    between = sp.csr_array((rates[inside], (start, targets[inside])), shape=(cores, cores))
    outside = sources < wiring.outside
    entering = np.bincount(targets[outside], weights=rates[outside], minlength=cores).astype(np.float64)
    return between, entering


def place(between: Traffic, entering: Float, chip: Chip, *, seed: int = 0, effort: Effort = "default") -> Placement:
    """Place cores on the fewest chips that hold them, chips 0, 1, ... of the system.

    Args:
        between: (cores, cores) messages from core to core; entering: (cores,) messages from off chip.
        seed: of the annealing.
        effort: fast (a fraction of a second for a thousand cores), default (seconds), best (minutes if there are many cores).

    Raises:
        DoesNotFitError: more cores than the system has.
        UsageError: an unknown effort.
    """
    check_effort(effort)
    slots, places = _room(chip, len(entering))
    return _at(slots[_search(between, entering, places, chip, seed, effort)], chip)


def places_tried(between: Traffic, entering: Float, chip: Chip, *, seed: int = 0, effort: Effort = "default") -> Iterator[Placement]:
    """Yield placements whose steps differ: that of `place`, those on the fewest tiles of a few areas, and the starting ones.

    Arguments and errors are those of `place`.
    """
    yield place(between, entering, chip, seed=seed, effort=effort)
    cores, held = len(entering), chip.mesh.cores_per_tile
    slots, places = _room(chip, cores)
    if cores == 1:
        return
    needed = -(-cores // held) * held
    for area in _areas(places, needed) if needed <= len(places) else []:
        inside = area[np.lexsort((area, np.abs(places[area] - np.asarray(chip.mesh.entry)).sum(axis=1)))][:needed]
        inside.sort()
        yield _at(slots[inside[_search(between, entering, places[inside], chip, seed, "fast")]], chip)
    for start in starts(symmetric(between), places):
        yield _at(slots[start], chip)


def _room(chip: Chip, cores: int) -> tuple[Int, Int]:
    """Return the slots for a number of cores, and their places.

    Raises:
        DoesNotFitError: more cores than the system has.
    """
    if chip.chips_for(cores) > chip.chips:
        raise DoesNotFitError(
            f"The network needs {chip.chips_for(cores):,} {chip.name} chips for {cores:,} cores; {chip.chips:,} may be used, with "
            f"{chip.cores_available:,} cores. Try more --chips, a higher sparsity or a smaller network."
        )
    return slots_in_use(chip, cores)


def _at(slot_of: Int, chip: Chip) -> Placement:
    held = chip.limit("cores")
    return Placement(slot_of, slot_positions(chip)[slot_of % held], slot_of // held)


def _search(between: Traffic, entering: Float, places: Int, chip: Chip, seed: int, effort: Effort) -> Int:
    """Return one of the `places` for each core: the best starting placement, annealed."""
    if len(entering) == 1:
        return _nearest(places, chip)
    from .anneal import anneal, cost  # numba takes a while to import

    cores, flow = len(entering), symmetric(between)
    task = problem(flow, entering, places, chip)
    begin = min(starts(flow, places), key=lambda slot_of: cost(task, slot_of))  # the first of equals
    each, looks = EFFORTS[effort]
    moves = int(min(each * cores, looks / (MOVE + 2.0 * flow.nnz / max(cores, 1))))
    for heat in HEATS:
        begin = anneal(task, begin, moves=moves // len(HEATS), heat=heat, seed=seed)
    return begin


def _nearest(places: Int, chip: Chip) -> Int:
    """Return the place nearest to the entry (the first of equals): the best for a single core."""
    away = np.abs(price_coordinates(places, chip) - price_coordinates(np.asarray(chip.mesh.entry), chip)).sum(axis=1)
    return np.array([int(away.argmin())])


def problem(flow: Traffic, entering: Float, places: Int, chip: Chip) -> Problem:
    """Return the annealer's problem: the symmetric traffic `flow`, and slots at `places` with distances in pJ."""
    from .anneal import Problem

    return Problem(
        flow.indptr.astype(np.int64),
        flow.indices.astype(np.int64),
        np.asarray(flow.data, np.float64),
        entering,
        price_coordinates(places, chip),
        price_coordinates(np.asarray(chip.mesh.entry), chip),
        places,
        _table(places),
    )


def symmetric(between: Traffic) -> Traffic:
    """Return the traffic of every pair of different cores, both directions added."""
    rows, columns, messages = entries(between)
    apart = rows != columns
    a, b, sent = rows[apart], columns[apart], messages[apart]
    return sp.csr_array((np.concatenate([sent, sent]), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=between.shape)


def _table(places: Int) -> Int:
    """Return the slots of each tile (columns, rows, depth), -1 where there is none; the slots of a tile are consecutive."""
    columns, rows = (places.max(axis=0) + 1).tolist()
    tile = places[:, 0] * rows + places[:, 1]
    first = np.concatenate([[True], tile[1:] != tile[:-1]])
    depth = np.arange(len(tile)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    table = np.full((columns * rows, int(depth.max()) + 1), -1, np.int64)
    table[tile, depth] = np.arange(len(tile))
    return table.reshape(columns, rows, -1)


def starts(flow: Traffic, places: Int) -> Iterator[Int]:
    """Yield starting placements, (cores,) indices into `places`: row by row, along Hilbert curves, then by eigenvectors."""
    cores = len(flow.indptr) - 1
    yield np.arange(cores)
    yield np.argsort(hilbert(places), kind="stable")[:cores]
    axes = eigenvectors(flow)
    if axes is None:
        return
    for area in _areas(places, cores):
        for flip in (False, True):
            for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                yield strips(axes * signs, places, area, transposed=flip)


def hilbert(places: Int) -> Int:
    """Return how far along the Hilbert curve of the smallest enclosing power-of-two square each place (n, 2) lies."""
    x, y = places[:, 0].copy(), places[:, 1].copy()
    along = np.zeros(len(places), np.int64)
    side = 1 << max(int(places.max(initial=0)).bit_length() - 1, 0)
    while side:
        right, low = (x & side) > 0, (y & side) > 0
        along += side * side * ((3 * right) ^ low)
        turned = ~low  # such a quadrant is entered turned: x and y swap, mirrored first where it lies on the right
        mirrored = turned & right
        x, y = (
            np.where(mirrored, side - 1 - (x & (side - 1)), x & (side - 1)),
            np.where(mirrored, side - 1 - (y & (side - 1)), y & (side - 1)),
        )
        x, y = np.where(turned, y, x), np.where(turned, x, y)
        side >>= 1
    return along


def eigenvectors(flow: Traffic) -> Float | None:
    """Return two coordinates of each core (cores, 2) that put cores with much traffic close together; None if none are found.

    They are the second and third eigenvector of the normalised Laplacian  1 - D^-1/2 A D^-1/2  of the traffic A, divided by
    sqrt(D). The start vector is fixed.
    """
    cores = len(flow.indptr) - 1
    if cores < 4:
        return None
    degree = np.asarray(flow.sum(axis=1)).ravel()
    scale = 1.0 / np.sqrt(np.where(degree > 0, degree, 1.0))
    scaled = sp.csr_array(sp.diags_array(scale) @ flow @ sp.diags_array(scale))
    if cores <= DENSE_EIGEN:
        vectors = np.linalg.eigh(scaled.toarray())[1][:, -3:]
    else:
        begin = np.random.default_rng(0).standard_normal(cores)
        try:
            vectors = eigsh(scaled, k=3, which="LA", v0=begin, tol=1e-4, maxiter=300)[1]  # pyright: ignore[reportArgumentType]
        except ArpackNoConvergence as error:
            vectors = error.eigenvectors
        except ArpackError:
            return None
    if vectors.shape[1] < 3:
        return None
    return np.round(vectors[:, [1, 0]] * scale[:, None], 9)


def _areas(places: Int, cores: int) -> list[Int]:
    """Return parts of the mesh with room for the cores: the tiles nearest the first corner, in a few proportions."""
    columns, rows = (places.max(axis=0) + 1).tolist()
    areas: list[Int] = []
    for width in sorted({-(-columns * i // FEW_WIDTHS) for i in range(1, FEW_WIDTHS + 1)}):
        for height in range(1, rows + 1):
            inside = np.flatnonzero((places[:, 0] < width) & (places[:, 1] < height))
            if inside.size >= cores:
                areas.append(inside)
                break
    return areas


def strips(axes: Float, places: Int, area: Int, *, transposed: bool) -> Int:
    """Return a place in `area` for each core: the first axis sorts cores into columns (rows if `transposed`), the second along each."""
    major, minor = (places[area, 1], places[area, 0]) if transposed else (places[area, 0], places[area, 1])
    order = np.lexsort((minor, major))
    chosen, strip = area[order], major[order]
    cores = np.argsort(axes[:, 0], kind="stable")
    strip_of = np.empty(cores.size, np.int64)
    strip_of[cores] = strip[: cores.size]
    slot_of = np.empty(cores.size, np.int64)
    slot_of[np.lexsort((axes[:, 1], strip_of))] = chosen[: cores.size]
    return slot_of
