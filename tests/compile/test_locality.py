"""The order by shared sources: modes and cuts are what their definitions say; maps that lost their shapes are found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.compile.mapping.fill import fill
from spikeloom.compile.mapping.loads.load import Layer, Wiring
from spikeloom.compile.mapping.partition import partition
from spikeloom.compile.mapping.strategies import _spectral, layers, locality, tiles
from spikeloom.compile.mapping.strategies._spectral import Graph
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution, row_pointers

Int = NDArray[Any]


def cores_of(neurons: int, words: int = 2048) -> Chip:
    chip = chips.load("loihi")
    values = {"cores": 10**6, "neurons": neurons, "synapse_words": words}
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in values.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


def wiring_of(rows: Int, columns: Int, outside: int, found: tuple[Layer, ...], rates: Int | None = None) -> Wiring:
    neurons = found[-1].stop
    order = np.lexsort((columns, rows))
    places = np.concatenate([np.arange(layer.stop - layer.start, dtype=np.int32) for layer in found])
    rates = np.ones(outside + neurons) if rates is None else rates
    return Wiring(row_pointers(rows, neurons), columns[order].astype(np.int32), outside, neurons, rates, 8, found, places)


def maps(density: float = 1.0) -> Wiring:
    """Two convolutions: 4 channels of 16 x 16 from 2 of 16 x 16, then 8 of 8 x 8."""
    rng, parts, found, start, source = np.random.default_rng(0), [], [], 0, 0
    shape = (2, 16, 16)
    for channels, stride in ((4, 1), (8, 2)):
        kept = rng.random((channels, shape[0], 3, 3)) < density
        taps = Convolution.from_dense(kept.astype(np.int32), shape, stride=stride, padding=1)
        synapses, size = taps.unrolled(), int(np.prod(taps.target_shape))
        parts.append((synapses.rows + start, synapses.indices.astype(np.int64) + source))
        found.append(Layer(f"maps{start}", start, start + size, taps.target_shape))
        source, start, shape = 512 + start, start + size, taps.target_shape
    rows, columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return wiring_of(rows, columns, 512, tuple(found))


def shuffled(wiring: Wiring, seed: int) -> Wiring:
    """The same synapses with the neurons of each layer and the inputs in random order, and without shapes."""
    rng = np.random.default_rng(seed)
    number = np.concatenate([rng.permutation(np.arange(n.start, n.stop)) for n in wiring.layers])
    source = np.concatenate([rng.permutation(wiring.outside), number + wiring.outside])
    flat = tuple(Layer(n.name, n.start, n.stop, (n.stop - n.start,)) for n in wiring.layers)
    return wiring_of(number[wiring.rows], source[wiring.sources], wiring.outside, flat)


def used(wiring: Wiring, chip: Chip, order: Int) -> int:
    return int(fill(wiring, chip, order)[0].max()) + 1


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("seed", [0, 1])
def test_maps_that_lost_their_shapes_are_found_again(density: float, seed: int) -> None:
    chip, shaped = cores_of(64), maps(density)
    flat = shuffled(shaped, seed)
    with_shapes, ordered = tiles.propose(shaped, chip, 999, "fast", 0), locality.propose(flat, chip, 999, "fast", seed)
    assert with_shapes is not None
    assert ordered is not None
    assert used(flat, chip, ordered.order) <= 1.1 * used(shaped, chip, with_shapes.order)
    found = flat.messages(fill(flat, chip, ordered.order)[0])
    assert found <= 1.25 * shaped.messages(fill(shaped, chip, with_shapes.order)[0])
    assert found <= 0.6 * flat.messages(fill(flat, chip, layers.propose(flat, chip, 999, "fast", 0).order)[0])


def test_partitions_of_flat_networks_begin_with_it() -> None:
    flat = shuffled(maps(), 3)
    found = partition(flat, cores_of(64), 999, effort="fast")
    assert found.strategy == "locality"


def test_clusters_lie_together() -> None:
    rng = np.random.default_rng(0)
    cluster = rng.permutation(np.repeat(np.arange(8), 40))
    rows = np.repeat(np.arange(320), 12)
    mates = [np.flatnonzero(cluster == k) for k in range(8)]
    columns = np.array([rng.choice(mates[cluster[v]]) if rng.random() < 0.9 else rng.integers(320) for v in rows])
    keys = np.unique(rows * 320 + columns)
    wiring = wiring_of(keys // 320, keys % 320, 0, (Layer("all", 0, 320, (320,)),))
    ordered = locality.propose(wiring, cores_of(40), 999, "fast", 0)
    assert ordered is not None
    changes = np.count_nonzero(np.diff(cluster[ordered.order]))
    assert changes < 40  # of 319; 279 in random order


@pytest.mark.parametrize("fan_in", [6, 40, 400])
def test_random_layers_are_left_alone(fan_in: int) -> None:
    rng = np.random.default_rng(fan_in)
    columns = np.concatenate([rng.choice(400, fan_in, replace=False) for _ in range(400)])
    wiring = wiring_of(np.repeat(np.arange(400), fan_in), columns, 400, (Layer("random", 0, 400, (400,)),))
    assert locality.propose(wiring, cores_of(50, 16384), 999, "best", 0) is None


def test_maps_with_shapes_and_layers_of_one_core_are_left_alone() -> None:
    assert locality.propose(maps(), cores_of(64), 999, "fast", 0) is None
    assert locality.propose(shuffled(maps(), 0), cores_of(1024, 10**6), 999, "fast", 0) is None


def test_the_same_seed_gives_the_same_order() -> None:
    flat, chip = shuffled(maps(0.5), 0), cores_of(64)
    one, other = (locality.propose(flat, chip, 999, "fast", 5) for _ in range(2))
    assert one is not None
    assert other is not None
    assert (one.order == other.order).all()


def random_graph(seed: int, rows: int, sources: int, most: int) -> Graph:
    """Rows of a few neurons, with random sources; every source has a degree, shared or not."""
    rng = np.random.default_rng(seed)
    each = [np.sort(rng.choice(sources, rng.integers(0, min(most, sources) + 1), replace=False)) for _ in range(rows)]
    size = rng.integers(1, 4, rows)
    degree = np.zeros(sources, np.int64)
    for own, n in zip(each, size, strict=True):
        degree[own] += n
    pointers = np.concatenate([[0], np.cumsum([len(own) for own in each])]).astype(np.int64)
    held = np.concatenate([np.zeros(0, np.int64), *each]).astype(np.int32)
    return Graph(pointers, held, size, rng.random(sources) + 0.5, degree, np.arange(rows))


def dense(graph: Graph) -> Int:
    found = np.zeros((graph.size.size, graph.weight.size))
    for i in range(graph.size.size):
        found[i, graph.sources[graph.indptr[i] : graph.indptr[i + 1]]] = 1
    return found


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 10), st.integers(1, 6))
@settings(max_examples=examples(40), deadline=None)
@example(0, 2, 1, 1)
def test_the_operator_is_its_definition(seed: int, rows: int, sources: int, most: int) -> None:
    graph = random_graph(seed, rows, sources, most).part(np.arange(rows))
    matrix, count = dense(graph), graph.weight.size
    root, sums, y = np.zeros(rows), np.ones((count, 2)), np.zeros((rows, 2))
    _spectral.roots(graph, root)
    x = np.random.default_rng(seed).standard_normal((rows, 2)) * (root > 0)[:, None]
    _spectral.apply(graph, root, sums, x, y)
    scaled = matrix * graph.size[:, None] / np.where(root > 0, root, 1)[:, None]
    operator = scaled @ np.diag(graph.weight / graph.degree) @ scaled.T
    assert np.allclose(operator @ x, y)
    assert np.allclose(operator @ root, root)  # the eigenvector of eigenvalue 1


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 10), st.integers(1, 6))
@settings(max_examples=examples(40), deadline=None)
@example(1, 3, 2, 2)
def test_parts_keep_the_sources_that_rows_share(seed: int, rows: int, sources: int, most: int) -> None:
    graph = random_graph(seed, rows, sources, most)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(rows) < 0.7)
    part, whole = graph.part(chosen), dense(graph)[chosen]
    shared = (whole > 0).sum(axis=0) > 1
    assert part.weight.size == shared.sum()
    assert sorted(map(tuple, dense(part).T.tolist())) == sorted(map(tuple, whole[:, shared].T.tolist()))
    assert np.allclose((dense(part) * part.size[:, None]).sum(axis=0), part.degree)
    assert (part.rows == chosen).all()


@given(st.integers(0, 10**6), st.integers(2, 14), st.integers(1, 10), st.integers(1, 6))
@settings(max_examples=examples(40), deadline=None)
@example(2, 2, 1, 1)
def test_cuts_are_the_cheapest_near_the_middle(seed: int, rows: int, sources: int, most: int) -> None:
    graph = random_graph(seed, rows, sources, most)
    order = np.random.default_rng(seed).permutation(rows)
    place, straddling = _spectral.cheapest(order, graph, np.zeros(graph.weight.size, np.int64), 0.1)
    matrix, total = dense(graph), graph.size.sum()
    costs = {cut: graph.weight[(matrix[order[:cut]].any(axis=0)) & (matrix[order[cut:]].any(axis=0))].sum() for cut in range(1, rows)}
    assert straddling == pytest.approx(costs[place])
    near = [cut for cut in costs if abs(2 * graph.size[order[:cut]].sum() - total) <= 0.2 * total]
    if near:
        assert place in near
        assert straddling == pytest.approx(min(costs[cut] for cut in near))
