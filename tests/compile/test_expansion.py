"""Bounds by expansion: never below the singular values, above nothing that is found, and not far below it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import graph_network, seeds
from spikeloom.compile.mapping import build
from spikeloom.compile.mapping.api import Partition
from spikeloom.compile.mapping.bounds import counted as bounds
from spikeloom.compile.mapping.bounds import least as module
from spikeloom.compile.mapping.bounds import loaded, overlap, spectrum
from spikeloom.compile.mapping.bounds.expansion import blocks, largest
from spikeloom.compile.mapping.bounds.least import Least, cheap, least
from spikeloom.compile.mapping.loads.load import Layer, Wiring, core_loads
from spikeloom.compile.mapping.progress import quiet
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution

FREE = 10**6


def wired(edges: np.ndarray, rates: np.ndarray | None = None, shape: tuple[int, ...] = ()) -> Wiring:
    """A layer of targets with sources off chip: (targets, sources) of 0 and 1."""
    targets, sources = edges.shape
    matrix = sp.csr_array(edges)
    matrix.sort_indices()
    rates = np.concatenate([np.ones(sources) if rates is None else rates, np.zeros(targets)])
    layers = (Layer("targets", 0, targets, shape or (targets,)),)
    places = np.arange(targets, dtype=np.int32)
    return Wiring(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), sources, targets, rates, 8, layers, places)


def limited(**limits: int) -> Chip:
    chip = chips.load("loihi")
    values = {"neurons": FREE, "synapse_words": FREE, "input_axons": FREE, "output_axons": FREE, "words_per_axon": FREE, **limits}
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in values.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


def scattered(rng: np.random.Generator, rows: int, columns: int, parts: int, density: float) -> np.ndarray:
    """Random synapses, ten times as many within `parts` clusters as across them."""
    same = np.arange(rows)[:, None] * parts // rows == np.arange(columns)[None] * parts // columns
    edges = rng.random((rows, columns)) < np.where(same, density, density / 10)
    edges[np.arange(rows), rng.integers(0, columns, rows)] = True
    return edges


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds, parts=st.integers(1, 5), density=st.sampled_from([0.05, 0.3, 0.9]), exact=st.booleans(), guessed=st.booleans())
def test_no_singular_value_exceeds_its_bound(seed: int, parts: int, density: float, exact: bool, guessed: bool) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 90, 2)
    edges = scattered(rng, rows, columns, parts, density).astype(np.float64)
    volumes, degrees = edges.sum(axis=1), np.maximum(edges.sum(axis=0), 1.0)
    normal = edges / np.sqrt(volumes)[:, None] / np.sqrt(degrees)
    start = (
        np.kron(np.eye(parts), np.ones((-(-rows // parts), 1)))[:rows, 1:] * np.sqrt(volumes)[:, None] if guessed and parts > 1 else None
    )
    count = int(rng.integers(2, 12))
    with patch.object(spectrum, "EXACT", 1000 if exact else 0), patch.object(spectrum, "STEPS", int(rng.integers(20, 90))):
        found = spectrum.upper_squares(sp.csr_array(normal), count, np.sqrt(volumes), start)
    true = np.zeros(count)
    values = np.linalg.svd(normal, compute_uv=False)[:count] ** 2
    true[: values.size] = values
    assert found.shape == (count,) and (np.diff(found) <= 1e-12).all()
    assert (found >= true - 1e-9).all()
    assert not exact or found == pytest.approx(true, abs=1e-8)


@pytest.mark.parametrize("short", [0, 10**6], ids=["lanczos", "all eigenvalues"])
def test_a_random_layer_is_bounded_closely(short: int) -> None:
    """Cores of 50 of 1,000 neurons, each of which has 90 of 600 sources, receive from nearly all of them."""
    edges = np.random.default_rng(0).random((1000, 600)) < 0.15
    wiring, chip = wired(edges), limited(neurons=50)
    with patch.object(spectrum, "EXACT", short):
        bound = least(wiring, chip)
    core_of = np.arange(1000) // 50
    assert bound.cores == 20
    assert cheap(wiring, chip).messages < 2400
    assert 7000 < bound.messages <= wiring.messages(core_of)


def test_words_and_input_axons_bind_together() -> None:
    """A core of 400 words; lists cost words of their own, and no list can be dense."""
    edges = np.random.default_rng(0).random((400, 200)) < 0.2
    wiring = wired(edges)
    chip = limited(synapse_words=400)
    bound = least(wiring, chip)
    size = next(m for m in range(100, 0, -1) if (core_loads(wiring, np.arange(400) // m, chip)[:, 1] <= 400).all())
    found = -(-400 // size)
    assert cheap(wiring, chip).cores < bound.cores <= found
    few = limited(input_axons=150)
    assert least(wiring, few).messages > 3 * cheap(wiring, few).messages


def test_clusters_are_found_where_there_are_no_shapes() -> None:
    """Ten clusters of 100 on cores of 100: each source is needed on one core, and of the few synapses across not many are."""
    rng = np.random.default_rng(0)
    edges = scattered(rng, 1000, 1000, 10, 0.3)
    core_of = np.arange(1000) // 100
    wiring, chip = wired(edges), limited(neurons=100)
    mixed = rng.permutation(1000)
    with patch.object(spectrum, "EXACT", 100):
        ordered, shuffled = least(wiring, chip).messages, least(wired(edges[mixed]), chip).messages
    assert ordered == pytest.approx(shuffled, rel=0.1)
    assert 1300 < ordered <= wiring.messages(core_of)


@settings(max_examples=examples(20), deadline=None)
@given(seed=seeds, cores=st.integers(1, 8))
def test_no_random_partition_sends_less(seed: int, cores: int) -> None:
    """Rates of all kinds, silent sources among them; the chip has room for just this partition."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(10, 60, 2)
    rates = rng.random(columns) * (rng.random(columns) < 0.7)
    wiring = wired(scattered(rng, rows, columns, 3, 0.3), rates)
    core_of = rng.integers(0, cores, rows)
    core_of = np.unique(np.sort(core_of) if seed % 2 else core_of, return_inverse=True)[1].astype(np.int64)
    load = core_loads(wiring, core_of, limited()).max(axis=0)
    chip = limited(neurons=int(load[0]), synapse_words=int(load[1]), input_axons=int(load[2]))
    with patch.object(spectrum, "EXACT", 0):
        bound = least(wiring, chip)
    assert bound.cores <= core_of.max() + 1
    assert bound.messages <= wiring.messages(core_of) * (1 + 1e-9)


def chained(layers: list[np.ndarray], rates: np.ndarray) -> Wiring:
    """Layers one after another, the first of which has sources off chip: each (targets, sources) of 0 and 1."""
    outside = layers[0].shape[1]
    starts = np.cumsum([0, *(edges.shape[0] for edges in layers)])
    before = [0, *(outside + starts[:-1])]
    whole = np.zeros((starts[-1], outside + starts[-1]), np.int8)
    for edges, start, source in zip(layers, starts[:-1], before, strict=False):
        whole[start : start + edges.shape[0], source : source + edges.shape[1]] = edges
    made = wired(whole)  # which takes all sources for sources off chip
    found = tuple(Layer(f"layer{i}", int(a), int(b), (int(b - a),)) for i, (a, b) in enumerate(pairwise(starts)))
    rates = np.concatenate([rates, np.ones(starts[-1])])[: outside + starts[-1]]
    return replace(made, outside=outside, neurons=int(starts[-1]), layers=found, rates=rates)


@settings(max_examples=examples(20), deadline=None)
@given(seed=seeds, cores=st.integers(2, 7), even=st.booleans())
def test_no_random_partition_of_a_chain_sends_less(seed: int, cores: int, even: bool) -> None:
    """The chip has just the output axons that the partition needs."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(8, 40, 4)
    layers = [scattered(rng, b, a, 1, 0.3) for a, b in pairwise(sizes)]
    wiring = chained(layers, rng.random(sizes[0]) if seed % 2 else np.ones(sizes[0]))
    neurons = wiring.neurons
    core_of = np.sort(rng.integers(0, cores, neurons)) if not even else np.arange(neurons) * cores // neurons
    core_of = np.unique(core_of, return_inverse=True)[1].astype(np.int64)
    load = core_loads(wiring, core_of, limited()).max(axis=0)
    chip = limited(neurons=int(load[0]), output_axons=int(load[3]))
    bound = least(wiring, chip)
    assert bound.cores <= core_of.max() + 1
    assert bound.messages <= wiring.messages(core_of) * (1 + 1e-9)


def test_output_axons_spread_a_layer_and_so_its_sources() -> None:
    """Cores of 20 neurons; each neuron of the first layer reaches all 20 cores of the second, so that 100 axons suffice for 5 of them."""
    rng = np.random.default_rng(0)
    layers = [rng.random((200, 100)) < 0.5, rng.random((400, 200)) < 0.5]
    wiring = chained(layers, np.ones(100))
    core_of = np.concatenate([np.arange(200) // 5, 40 + np.arange(400) // 20])
    free, few = limited(neurons=20), limited(neurons=20, output_axons=100)
    assert (core_loads(wiring, core_of, few)[:, 3] <= 100).all()
    bounds_of = least(wiring, free).messages, least(wiring, few).messages
    assert bounds_of[0] + 600 < bounds_of[1] <= wiring.messages(core_of)


def test_large_networks_keep_the_cheap_bounds() -> None:
    wiring, chip = wired(np.random.default_rng(0).random((40, 30)) < 0.5), limited(neurons=8)
    assert least(wiring, chip).messages > cheap(wiring, chip).messages
    with patch.object(module, "SYNAPSES", 100):
        assert least(wiring, chip) == cheap(wiring, chip)


def most_shared(wiring: Wiring) -> np.ndarray:
    """What `shared_before` returns, by its definition."""
    member = np.zeros((wiring.neurons, wiring.rates.size * wiring.most_kinds), np.int64)
    member[wiring.rows, wiring.groups] = 1
    return np.tril(member @ member.T, -1).max(axis=1, initial=0)


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds, words=st.sampled_from([0, overlap.WORDS, 10**9]), held=st.sampled_from([0, overlap.HELD]))
@example(seed=0, words=10**9, held=overlap.HELD)
@example(seed=0, words=overlap.WORDS, held=overlap.HELD)
def test_shared_inputs_are_counted(seed: int, words: int, held: int) -> None:
    """By pairs of synapses, by words of bits, and by both: rows of few and of many synapses, with gaps of whole words."""
    rng = np.random.default_rng(seed)
    neurons, sources = rng.integers(1, [40, 400])
    edges = rng.random((neurons, sources)) < rng.choice([0.0, 0.02, 0.5, 1.0], (neurons, 1))
    wiring = wired(edges)
    with patch.object(overlap, "WORDS", words), patch.object(overlap, "HELD", held):
        assert (overlap.shared_before(wiring) == most_shared(wiring)).all()
    with patch.object(overlap, "WORK", -1):
        assert (overlap.shared_before(wiring) == edges.sum(axis=1)).all()


@settings(max_examples=examples(10), deadline=None)
@given(seed=seeds, words=st.sampled_from([0, 10**9]))
def test_shared_inputs_are_counted_by_kind(seed: int, words: int) -> None:
    network = graph_network(seed)
    wiring = Wiring.of(network, np.ones(sum(p.count for p in network.senders)))
    with patch.object(overlap, "WORDS", words):
        assert (overlap.shared_before(wiring) == most_shared(wiring)).all()


def test_the_largest_sets_fill_the_tightest_cap() -> None:
    values = np.array([3.0, 2.0, 1.0])
    assert largest(values, []).tolist() == [6.0]
    assert largest(values, [(np.ones(3), 2.0)]).tolist() == [5.0, 1.0]
    assert largest(values, [(np.ones(3), 2.0), (np.array([4.0, 2.0, 0.0]), 4.0)]).tolist() == [4.5, 1.5]
    assert [b.targets.size for b in blocks(wired(np.array([[1, 0], [0, 0], [1, 1]])))] == [2]


def test_a_mapping_says_which_bounds_it_has() -> None:
    wiring, chip = wired(np.random.default_rng(0).random((40, 30)) < 0.5), limited(neurons=8)
    parts = Partition(np.arange(40) // 8, "layers")
    assert build.bounds_of(wiring, chip, parts, "default", quiet) == (least(wiring, chip), [])
    with patch.object(build, "FEW", 100):
        found, said = build.bounds_of(wiring, chip, parts, "fast", quiet)
    assert found == cheap(wiring, chip) and "--effort fast, more than 100 synapses" in said[0]
    assert build.bounds_of(wiring, limited(), Partition(np.zeros(40, np.int64), "layers"), "best", quiet)[0] == Least(1, 30.0)


def test_a_chip_that_shares_lists_has_no_bits_to_count() -> None:
    wiring, chip = wired(np.random.default_rng(0).random((200, 100)) < 0.3), limited(neurons=20, synapse_words=60)
    words = least(wiring, chip)
    with patch.object(bounds, "bits_of_synapse", lambda *_: 0.0), patch.object(loaded, "bits_of_synapse", lambda *_: 0.0):
        assert bounds.list_bits(wiring, chip, 0.1, 0.1) == bounds.ListBits(0.0, 0.0, 0.0)
        shared = least(wiring, chip)
    assert 500 < shared.messages <= words.messages and "synapse_words" in words.cores_for
    assert shared.cores_for["synapse_words"] <= 1 < words.cores_for["synapse_words"]


def test_weights_on_maps_are_outer_ones() -> None:
    """A source of the middle of a 3 x 3 window that reaches all nine places; edges count more than the middle, all sum to 1."""
    wiring = wired(np.ones((9, 1)), shape=(1, 3, 3))
    weights = next(blocks(wiring)).edges.toarray().ravel().reshape(3, 3)
    assert weights.sum() == pytest.approx(1.0)
    assert weights / weights[0, 0] == pytest.approx(np.outer([1, 0.4, 1], [1, 0.4, 1]))


def test_tiles_of_a_map_are_bounded_above_one_core_each() -> None:
    """A 3 x 3 convolution of 4 channels to 4 on 24 x 24 places, on cores of 4 x 4 places: inside the map a tile receives from 6 x 6."""
    kept = np.ones((4, 4, 3, 3), np.int32)
    taps = Convolution.from_dense(kept, (4, 24, 24), stride=1, padding=1)
    synapses = taps.unrolled()
    edges = np.zeros((4 * 24 * 24, 4 * 24 * 24), np.int8)
    edges[synapses.rows, synapses.indices] = 1
    wiring, chip = wired(edges, shape=(4, 24, 24)), limited(neurons=64)
    places = np.arange(edges.shape[0]) % 576
    tiles = places // 24 // 4 * 6 + places % 24 // 4
    bound = least(wiring, chip)
    assert cheap(wiring, chip).messages == 4 * 576 < 2800 < bound.messages <= wiring.messages(tiles)
