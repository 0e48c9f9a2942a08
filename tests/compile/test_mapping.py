"""Partitions hold every limit, counted again by brute force; messages, words and bounds are what their definitions say."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import densities, integer_network, seeds, sparse_integers
from spikeloom import registry
from spikeloom.compile.mapping import strategies
from spikeloom.compile.mapping.api import EFFORTS, Effort
from spikeloom.compile.mapping.bounds import counted as bounds
from spikeloom.compile.mapping.build import build
from spikeloom.compile.mapping.fill import fill
from spikeloom.compile.mapping.loads import kernels, load
from spikeloom.compile.mapping.loads.load import Wiring, core_loads, limits
from spikeloom.compile.mapping.partition import partition
from spikeloom.compile.mapping.refinement import refine_kernels
from spikeloom.compile.mapping.refinement.refine import GUMBELS, Schedule, new_state, refine, shrink
from spikeloom.compile.mapping.refinement.settle import settle
from spikeloom.compile.mapping.strategies import hypergraph, layers
from spikeloom.errors import DoesNotFitError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses


def small_chip(**limits: int) -> Chip:
    """Loihi with smaller cores."""
    chip = chips.load("loihi")
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in limits.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


def ones(network: Network) -> dict[str, np.ndarray]:
    return {p.name: np.ones(p.size) for p in network.populations}


def random_rates(network: Network, seed: int) -> dict[str, np.ndarray]:
    return {p.name: np.random.default_rng(seed).random(p.size) for p in network.populations}


def brute_lists(network: Network, core_of: np.ndarray) -> dict[tuple[str, int, int], dict[tuple[int, ...], list[int]]]:
    """(source population, source neuron, core) -> local targets on that core, by what their entries have in common."""
    starts = dict(zip((p.name for p in network.on_chip), np.cumsum([0, *(p.size for p in network.on_chip)]), strict=False))
    lists: dict[tuple[str, int, int], dict[tuple[int, ...], list[int]]] = {}
    before: list[tuple[str, str, int, int]] = []
    for p in network.projections:
        same = p.source, p.target, p.exponent, p.delay
        kind = p.exponent, p.delay, before.count(same)
        before.append(same)
        dense = p.synapses.to_dense()
        for j, i in np.argwhere(dense != 0):
            target = int(starts[p.target] + j)
            core = int(core_of[target])
            local = sum(1 for v in range(target) if core_of[v] == core)  # numbered in global order
            lists.setdefault((p.source, int(i), core), {}).setdefault(kind, []).append(local)
    return {k: {kind: sorted(v) for kind, v in groups.items()} for k, groups in lists.items()}


def brute_words(groups: dict[tuple[int, ...], list[int]], bits: int, chip: Chip) -> int:
    return -(-sum(brute_bits(targets, bits, chip) for targets in groups.values()) // 64)


def brute_bits(targets: list[int], bits: int, chip: Chip) -> int:
    best = 10**9
    for f in chip.formats:
        if f.name == "dense":
            slots = targets[-1] - targets[0] + 1
        elif f.name == "runlength":
            slots = len(targets) + sum((b - a - 1) // (1 << f.index_bits) for a, b in pairwise(targets))
        else:
            slots = len(targets)
        entries = -(-slots // f.synapses_per_entry)
        best = min(best, entries * (f.prefix_bits + f.index_field_bits) + slots * (bits + f.index_bits))
    return best


def brute_loads(network: Network, core_of: np.ndarray, rates: dict[str, np.ndarray], chip: Chip) -> tuple[np.ndarray, float]:
    """Loads of every core in the order of the chip's limits, and messages per step, counted list by list."""
    lists = brute_lists(network, core_of)
    loads = np.zeros((int(core_of.max()) + 1, 5), np.int64)
    loads[:, 0] = np.bincount(core_of)
    offset = dict(zip((p.name for p in network.on_chip), np.cumsum([0, *(p.size for p in network.on_chip)]), strict=False))
    messages = 0.0
    for (source, i, core), targets in lists.items():
        words = brute_words(targets, 8, chip)
        loads[core, 1] += words
        loads[core, 2] += 1
        loads[core, 4] = max(loads[core, 4], words)
        messages += float(rates[source][i])
        if source in offset:
            loads[core_of[offset[source] + i], 3] += 1
    return loads, messages


@settings(max_examples=examples(60), deadline=None)
@given(
    seeds,
    st.integers(1, 4),
    densities,
    st.integers(2, 30),
    st.integers(4, 60),
    st.integers(6, 60),
    st.integers(2, 60),
    st.sampled_from(("fast", "default", "best")),
)
def test_every_mapping_holds_every_limit(
    seed: int, layers: int, density: float, neurons: int, words: int, axons: int, outputs: int, effort: Effort
) -> None:
    network = integer_network(seed, layers=layers, density=density)
    chip = small_chip(neurons=neurons, synapse_words=words, input_axons=axons, output_axons=outputs)
    rates = random_rates(network, seed)
    try:
        mapping = build(network, rates, chip, effort=effort, seed=seed)
    except DoesNotFitError as error:
        assert "Try" in str(error)
        return
    loads, messages = brute_loads(network, mapping.core_of, rates, chip)
    assert len(mapping.core_of) == sum(p.size for p in network.on_chip) and mapping.core_of.min() == 0
    assert (loads[:, :4] == mapping.load).all()
    assert (loads <= limits(chip)).all()
    assert mapping.messages_per_step == pytest.approx(messages)
    assert mapping.cores_bound <= mapping.cores
    assert mapping.messages_bound <= mapping.messages_per_step + 1e-9
    assert len(set(mapping.slot_of.tolist())) == mapping.cores
    again = build(network, rates, chip, effort=effort, seed=seed)
    assert (again.core_of == mapping.core_of).all() and again.strategy == mapping.strategy


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(1, 4), densities, st.integers(1, 12))
def test_loads_of_any_assignment_are_the_brute_count(seed: int, layers: int, density: float, cores: int) -> None:
    network, chip = integer_network(seed, layers=layers, density=density), chips.load("loihi")
    rates = random_rates(network, seed)
    wiring = Wiring.of(network, np.concatenate([rates[p.name] for p in network.senders]))
    core_of = np.random.default_rng(seed).integers(0, cores, wiring.neurons)
    core_of = np.unique(core_of, return_inverse=True)[1]
    loads, messages = brute_loads(network, core_of, rates, chip)
    assert (core_loads(wiring, core_of, chip) == loads).all()
    assert wiring.messages(core_of) == pytest.approx(messages)
    sources, targets = wiring.core_pairs(core_of)
    assert sorted(zip(sources.tolist(), targets.tolist(), strict=True)) == list(zip(sources.tolist(), targets.tolist(), strict=True))
    assert np.bincount(targets, minlength=len(loads)).tolist() == loads[:, 2].tolist()


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(1, 3), densities, st.sampled_from(["loihi", "loihi2"]))
@example(0, 1, 0.0, "loihi")
def test_one_core_is_counted_as_by_the_kernels(seed: int, layers: int, density: float, name: str) -> None:
    network, chip = integer_network(seed, layers=layers, density=density), chips.load(name)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    together, table = np.zeros(wiring.neurons, np.int64), load.layouts(wiring.weight_bits, chip)
    counted = kernels.loads(*wiring.by_group, wiring.most_kinds, wiring.outside, together, 1, table, chip.word_bits)
    assert core_loads(wiring, together, chip).tolist() == counted.tolist()
    assert wiring.reach(together).tolist() == kernels.reach(*wiring.by_source, together, 1).tolist()
    for ours, theirs in zip(wiring.core_pairs(together), kernels.core_pairs(*wiring.by_source, together, 1), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_a_network_that_one_core_holds_compiles_no_kernel() -> None:
    code = """
import sys
import numpy as np
from netgen import integer_network
from spikeloom.compile.mapping.build import build
from spikeloom.hwmodels import chip as chips
network = integer_network(3)
mapping = build(network, {p.name: np.ones(p.size) for p in network.populations}, chips.load("loihi2"))
assert mapping.cores == 1 and mapping.messages_per_step == mapping.messages_bound
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])})


def words_of(targets: list[int], chip: Chip) -> int:
    """Words of one list, local numbers from 0, as the mapping counts them."""
    reached = np.isin(np.arange(max(targets) + 1), targets)
    wiring = from_rows(reached.astype(np.int64)[:, None])
    return int(core_loads(wiring, np.zeros(wiring.neurons, np.int64), chip)[0, 1])


def from_rows(matrix: np.ndarray) -> Wiring:
    """The wiring of a 0/1 matrix (neurons, outside sources)."""
    neuron = IntegerLIF(4095, 2048, 10)
    projection = Projection("p", "input", "only", Synapses.from_dense(matrix), 0, 8)
    populations = (Population("input", (matrix.shape[1],), None), Population("only", (matrix.shape[0],), neuron))
    network = Network(populations, (projection,), 4, InputSpec(1, 1.0, "rate"))
    return Wiring.of(network, np.ones(sum(matrix.shape)))


@example(list(range(0, 60 * 32, 32)))  # gaps as far as a skip of five bits reaches ...
@example(list(range(0, 60 * 33, 33)))  # ... and one more
@given(st.lists(st.integers(0, 900), min_size=1, max_size=80, unique=True))
@settings(max_examples=examples(60), deadline=None)
def test_words_are_the_formats_cost(targets: list[int]) -> None:
    assert words_of(sorted(targets), chips.load("loihi")) == brute_words({(): sorted(targets)}, 8, chips.load("loihi"))


def test_sparse_words_match_the_published_cost() -> None:
    """facts: at 8-bit weights SPARSE costs 64 bits for one synapse a list, about 19 each for sixty."""
    chip = chips.load("loihi")
    sparse = chip.model_copy(update={"formats": tuple(f for f in chip.formats if f.name == "sparse")})
    assert words_of([5], sparse) == 1
    assert words_of(list(range(0, 900, 15)), sparse) * 64 / 60 == pytest.approx(19.2)


def map_network(seed: int, shape: tuple[int, int, int], density: float) -> Network:
    """Two convolutions of random taps on maps, and an output."""
    rng = np.random.default_rng(seed)
    populations = [Population("input", shape, None), *(Population(n, shape, IntegerLIF()) for n in ("a", "b"))]
    taps = [(rng.integers(1, 9, (shape[0], shape[0], 3, 3)) * (rng.random((shape[0], shape[0], 3, 3)) < density)) for _ in "ab"]
    projections = [
        Projection(f"p{target}", source, target, Convolution.from_dense(w.astype(np.int32), shape, padding=1), 0, 8)
        for w, (source, target) in zip(taps, (("input", "a"), ("a", "b")), strict=True)
    ]
    populations.append(Population("output", (2,), IntegerLIF()))
    last = Synapses.from_dense((rng.random((2, populations[1].size)) < 0.01).astype(np.int32))
    return Network(tuple(populations), (*projections, Projection("po", "b", "output", last, 0, 8)), 4, InputSpec(1, 1.0, "events"))


def test_tiles_save_messages_and_cores_on_maps() -> None:
    """Planes on a core need every source; tiles need those under them."""
    network, chip = map_network(5, (8, 16, 16), 1.0), small_chip(input_axons=1024)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    planes, misfit = fill(wiring, chip, layers.propose(wiring, chip, 128, "fast", 0).order)
    mapping = build(network, ones(network), chip, effort="fast")
    assert misfit < 0 and mapping.strategy == "tiles"
    assert 2 * mapping.cores < planes.max() + 1
    assert 2 * mapping.messages_per_step < wiring.messages(planes)


@pytest.mark.parametrize("name", registry.names(strategies))
@settings(max_examples=examples(15), deadline=None)
@given(seed=seeds, maps=st.booleans(), neurons=st.integers(2, 40))
def test_every_strategy_orders_every_neuron_once(name: str, seed: int, maps: bool, neurons: int) -> None:
    network = map_network(seed, (3, 5, 4), 0.4) if maps else integer_network(seed, layers=3)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    module = registry.load(strategies, "strategy", name)
    assert module.EFFORT in EFFORTS
    chip = small_chip(neurons=neurons)
    proposals = [module.propose(wiring, chip, 128, "default", 1) for _ in range(2)]
    if proposals[0] is None:
        assert name in ("hypergraph", "locality") or maps == (name == "even")
        return
    assert np.sort(proposals[0].order).tolist() == list(range(wiring.neurons))
    assert (proposals[0].order == proposals[1].order).all()
    core_of, misfit = fill(wiring, chip, proposals[0].order, proposals[0].breaks)
    assert misfit < 0 and (np.bincount(core_of) <= neurons).all()


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(2, 4), densities, st.integers(2, 8))
def test_fills_take_as_many_as_fit(seed: int, layers_: int, density: float, words: int) -> None:
    """A core ends where one more neuron of the order would break a limit."""
    network, chip = integer_network(seed, layers=layers_, density=density), small_chip(neurons=9, synapse_words=20 * words, input_axons=30)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    order = np.random.default_rng(seed).permutation(wiring.neurons)
    check_ends(wiring, chip, order)


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(8, 40))
@example(3, 20)
def test_fills_take_as_many_as_the_words_allow(seed: int, words: int) -> None:
    """Lists with gaps take more words than lists side by side, so that where a core ends is found by exact counts."""
    wiring = from_rows((np.random.default_rng(seed).random((80, 8)) < 0.3).astype(np.int64))
    check_ends(wiring, small_chip(synapse_words=words), np.arange(80))


def check_ends(wiring: Wiring, chip: Chip, order: np.ndarray) -> None:
    core_of, misfit = fill(wiring, chip, order)
    if misfit >= 0:  # alone on a core
        apart = np.where(np.arange(wiring.neurons) == misfit, 1, 0)
        assert (core_loads(wiring, apart, chip)[1, [0, 1, 2, 4]] > limits(chip)[[0, 1, 2, 4]]).any()
        return
    ends = np.flatnonzero(np.diff(core_of[order])) + 1
    for core, end in enumerate(ends):
        fuller = core_of.copy()
        fuller[order[end]] = core
        for held, over in ((core_of, False), (fuller, True)):
            assert bool((core_loads(wiring, held, chip)[core, [0, 1, 2]] > limits(chip)[:3]).any()) == over


@settings(max_examples=examples(40), deadline=None)
@given(seeds, densities, st.integers(2, 12), st.integers(2, 6))
def test_refinement_never_costs_and_holds_the_limits(seed: int, density: float, neurons: int, cores: int) -> None:
    network, chip = integer_network(seed, layers=4, density=density), small_chip(neurons=4 * neurons, synapse_words=60 * neurons)
    rates = random_rates(network, seed)
    wiring = Wiring.of(network, np.concatenate([rates[p.name] for p in network.senders]))
    core_of = np.random.default_rng(seed).integers(0, cores, wiring.neurons)
    if (core_loads(wiring, core_of, chip) > limits(chip)).any():
        return
    refined = refine(wiring, chip, core_of, cores, Schedule(1e6, most=20), seed)
    assert wiring.messages(refined) <= wiring.messages(core_of) + 1e-9
    loads, messages = brute_loads(network, np.unique(refined, return_inverse=True)[1], rates, chip)
    assert (loads <= limits(chip)).all() and messages == pytest.approx(wiring.messages(refined))
    fewer = shrink(wiring, chip, refined, 1.0)
    if fewer is not None:
        assert fewer.max() < cores and (brute_loads(network, fewer, rates, chip)[0] <= limits(chip)).all()


def pairs_of(state: refine_kernels.State) -> dict[tuple[int, int], int]:
    """(source, core) -> the source's synapses there."""
    places = [(u, i) for u in range(len(state.reach)) for i in range(state.slot[u], state.slot[u] + state.reach[u])]
    return {(u, int(state.core[i])): int(state.synapses[i]) for u, i in places}


@settings(max_examples=examples(60), deadline=None)
@given(seeds, densities, st.integers(2, 5), st.sampled_from([0.0, 1.0]))
@example(1, 0.6, 3, 0.0)
@example(2, 0.6, 3, 1.0)
def test_a_sweep_keeps_its_books(seed: int, density: float, cores: int, temperature: float) -> None:
    """Lists and loads kept move by move are those counted anew; limits hold in between; without noise messages never rise."""
    network, rng = integer_network(seed, layers=4, density=density), np.random.default_rng(seed)
    rates = random_rates(network, seed)
    wiring = Wiring.of(network, np.concatenate([rates[p.name] for p in network.senders]))
    core_of = rng.integers(0, cores, wiring.neurons)
    chip = small_chip(neurons=int(np.bincount(core_of).max()))  # the fullest core is full
    state, movable = new_state(wiring, chip, core_of, cores), np.flatnonzero(np.diff(wiring.indptr))
    gumbel, random = rng.gumbel(size=GUMBELS), rng.integers(1, 1 << 63, 1, np.uint64)
    for _ in range(3):
        before = wiring.messages(state.core_of)
        refine_kernels.sweep(state, rng.permutation(movable), temperature * float(wiring.rates.mean()), gumbel, random)
        kept, held = pairs_of(state), state.held.copy()
        refine_kernels.build_pairs(state)
        assert kept == pairs_of(state) and (held == state.held).all()
        assert (held[:, 0] <= state.cap[:, 0]).all()
        assert temperature or wiring.messages(state.core_of) <= before + 1e-9


@settings(max_examples=examples(60), deadline=None)
@given(seeds, densities, st.integers(1, 8), st.integers(2, 30), st.integers(10, 60))
def test_no_partition_beats_the_bounds(seed: int, density: float, cores: int, neurons: int, words: int) -> None:
    """Whatever the assignment, as long as it holds the limits."""
    network, chip = integer_network(seed, layers=3, density=density), small_chip(neurons=neurons, synapse_words=words)
    rates = random_rates(network, seed)
    wiring = Wiring.of(network, np.concatenate([rates[p.name] for p in network.senders]))
    core_of = np.unique(np.random.default_rng(seed + 1).integers(0, cores, wiring.neurons), return_inverse=True)[1]
    loads, messages = brute_loads(network, core_of, rates, chip)
    if (loads <= limits(chip)).all():
        assert bounds.cores_bound(wiring, chip) <= len(loads)
        assert (bounds.reach_bound(wiring, chip) <= wiring.reach(core_of)).all()
        assert bounds.messages_bound(wiring, chip) <= messages + 1e-9


def test_clusters_are_found() -> None:
    """Four groups that talk among themselves, in shuffled order: what is left is one message a source."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(4), 16))
    wiring = from_rows(((group[:, None] == group[None]) & (rng.random((64, 64)) < 0.4)).astype(np.int64))
    sources = int((wiring.fan_out > 0).sum())
    chip = small_chip(neurons=16)
    for effort in ("fast", "default"):
        assert wiring.messages(partition(wiring, chip, 128, effort=effort).core_of) == sources
    assert sources < wiring.messages(fill(wiring, chip, layers.propose(wiring, chip, 128, "fast", 0).order)[0])


def test_without_the_hypergraph_library_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypergraph, "missing", lambda: "mtkahypar is not installed on this platform")
    network = wide(40, 100, 0.1)
    mapping = build(network, ones(network), small_chip(neurons=16))
    assert mapping.changes == ("mapping without hypergraph: mtkahypar is not installed on this platform",)


def test_unknown_effort_is_named() -> None:
    network = wide(10, 4)
    with pytest.raises(UsageError, match=r"no effort called 'more'\. Known: fast, default, best"):
        build(network, ones(network), chips.load("loihi"), effort="more")  # pyright: ignore[reportArgumentType]


def wide(sources: int, targets: int, density: float = 1.0) -> Network:
    rng = np.random.default_rng(0)
    neuron = IntegerLIF(4095, 2048, 10)
    projection = Projection("p", "input", "big", sparse_integers(rng, (targets, sources), density), 0, 8)
    return Network(
        (Population("input", (sources,), None), Population("big", (targets,), neuron)), (projection,), 4, InputSpec(1, 1.0, "rate")
    )


def test_too_many_inputs_name_layer_limit_need_and_way_out() -> None:
    with pytest.raises(
        DoesNotFitError, match=r"Layer big: neuron 0 alone, with .* synapses, needs 4,9\d\d input axons of a core; loihi allows 4,096. Try"
    ):
        network = wide(5000, 2)
        build(network, ones(network), chips.load("loihi"))


def test_a_chip_that_is_too_small_is_named() -> None:
    network = wide(40, 300)
    with pytest.raises(DoesNotFitError, match=r"needs at least 300 cores; a loihi chip has 128.*layer big.*--chip loihi2"):
        build(network, ones(network), small_chip(neurons=1).limited_to(1))
    with pytest.raises(DoesNotFitError, match=r"needs at least 300 cores; 2 loihi chips have 256"):
        build(network, ones(network), small_chip(neurons=1).limited_to(2))
    assert DoesNotFitError.exit_code == 3


def test_what_is_needed_is_told_from_what_was_found() -> None:
    """Three neurons of six lists each on cores of ten words: 18 words would fill two, but no two neurons share one."""
    wiring = from_rows(np.repeat(np.eye(3, dtype=np.int64), 6, axis=1))
    with pytest.raises(DoesNotFitError, match=r"needs 3 cores as it is mapped here \(at least 2\); a loihi chip has 2\. Most of it"):
        partition(wiring, small_chip(synapse_words=10).limited_to(1), 2)


def test_bound_is_met_where_it_can_be() -> None:
    network = wide(100, 64, 0.05)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    mapping = build(network, ones(network), small_chip(neurons=16))
    assert bounds.cores_bound(wiring, small_chip(neurons=16)) == 4 == mapping.cores


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(2, 6), st.integers(2, 12), st.integers(1, 40), st.integers(1, 12))
def test_neurons_that_hear_nothing_fill_what_is_free(seed: int, cores: int, neurons: int, outputs: int, silent: int) -> None:
    """Nothing else moves, no message more is sent, every limit is held, and no core is added."""
    rng = np.random.default_rng(seed)
    size = cores * neurons
    wired = rng.random((size, size)) < 0.15
    wired[rng.permutation(size)[: min(silent, size - 1)]] = False
    network = wide(1, size)
    loop = Projection("loop", "big", "big", Synapses.from_dense(wired.astype(np.int32)), 0, 8, lag=1)
    network = replace(network, projections=(loop,))
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    chip = small_chip(neurons=neurons, output_axons=outputs * neurons)
    core_of = rng.permutation(size) // neurons
    if (core_loads(wiring, core_of, chip) > limits(chip)).any():
        return
    found = settle(wiring, chip, core_of)
    assert (core_loads(wiring, found, chip) <= limits(chip)).all() and found.max() <= core_of.max()
    assert wiring.messages(found) == wiring.messages(core_of)
    listening = np.flatnonzero(wired.any(axis=1))
    together = core_of[listening][:, None] == core_of[listening][None]
    assert ((found[listening][:, None] == found[listening][None]) == together).all()


def test_an_axon_that_is_not_free_is_not_taken() -> None:
    """One output axon each for two neurons, where one core has none left and the other just one."""
    from spikeloom.compile.mapping.refinement.settle import _place  # pyright: ignore[reportPrivateUsage]

    most, found = np.array([4, 3]), np.full(2, -1)
    load = np.array([[1, 3], [1, 2]])
    assert _place(np.array([0]), np.ones(2, np.int64), load, most, np.arange(2), found)
    assert found.tolist() == [1, -1] and load.tolist() == [[1, 3], [2, 3]]
    assert not _place(np.array([1]), np.ones(2, np.int64), load, most, np.arange(2), found)


def test_silent_neurons_need_no_cores_of_their_own() -> None:
    """Two layers that fill two cores halfway, and the neurons of the first among them."""
    neuron = IntegerLIF(4095, 2048, 10)
    names = ("input", "first", "second", "third")
    weights = np.eye(8, dtype=np.int32)
    joined = [Projection(f"p{b}", a, b, Synapses.from_dense(weights), 0, 8) for a, b in pairwise(names[1:])]
    network = Network(
        (Population("input", (1,), None), *(Population(name, (8,), neuron) for name in names[1:])),
        tuple(joined),
        4,
        InputSpec(1, 1.0, "rate"),
    )
    mapping = build(network, ones(network), small_chip(neurons=12))
    assert mapping.cores == 2 == mapping.cores_bound


FORMS = """
from spikeloom.cli.warm import works
from spikeloom.compile.mapping import anneal, fill
from spikeloom.compile.mapping.loads import kernels
from spikeloom.compile.mapping.refinement import refine_kernels, settle
from spikeloom.compile.mapping.strategies import _spectral
works()[0][1]()
for module in (anneal, fill, kernels, refine_kernels, settle, _spectral):
    for name, value in vars(module).items():
        if hasattr(value, "overloads"):
            print(name, len(value.overloads))
"""


def test_a_mapping_compiles_each_kernel_in_one_form(tmp_path: Path) -> None:
    """Numba compiles a function again for every type and every literal that it is called with: that doubled the wait of the first run."""
    done = subprocess.run([sys.executable, "-c", FORMS], capture_output=True, text=True, check=True, cwd=tmp_path)
    forms = {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}
    assert {"_sweep", "fits", "move", "_anneal", "cheapest"} <= forms.keys() and max(forms.values()) == 1
