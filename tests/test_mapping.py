"""Partitions hold every limit, counted again by brute force; messages, words and bounds are what their definitions say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import densities, integer_network, seeds, sparse_integers
from spikeloom.compile.mapping import bounds
from spikeloom.compile.mapping.build import RESOURCES, build
from spikeloom.compile.mapping.load import Wiring, list_words
from spikeloom.compile.network import InputSpec, IntegerLIF, Network, Population, Projection
from spikeloom.errors import DoesNotFitError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip


def small_chip(**limits: int) -> Chip:
    """Loihi with smaller cores."""
    chip = chips.load("loihi")
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in limits.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


def ones(network: Network) -> dict[str, np.ndarray]:
    return {p.name: np.ones(p.size) for p in network.populations}


def random_rates(network: Network, seed: int) -> dict[str, np.ndarray]:
    return {p.name: np.random.default_rng(seed).random(p.size) for p in network.populations}


def brute_lists(network: Network, core_of: np.ndarray) -> dict[tuple[str, int, int], list[int]]:
    """(source population, source neuron, core) -> local targets on that core."""
    starts = dict(zip((p.name for p in network.on_chip), np.cumsum([0, *(p.size for p in network.on_chip)]), strict=False))
    first = [int(np.flatnonzero(core_of == c)[0]) for c in range(int(core_of.max()) + 1)]
    lists: dict[tuple[str, int, int], list[int]] = {}
    for p in network.projections:
        dense = p.synapses.to_dense()
        for j, i in np.argwhere(dense != 0):
            target = int(starts[p.target] + j)
            core = int(core_of[target])
            lists.setdefault((p.source, int(i), core), []).append(target - first[core])
    return {k: sorted(v) for k, v in lists.items()}


def brute_words(targets: list[int], bits: int, chip: Chip) -> int:
    best = 10**9
    for f in chip.formats:
        if f.name == "dense":
            slots = targets[-1] - targets[0] + 1
        elif f.name == "runlength":
            slots = len(targets) + sum((b - a - 1) // (1 << f.index_bits) for a, b in pairwise(targets))
        else:
            slots = len(targets)
        entries = -(-slots // f.synapses_per_entry)
        best = min(best, -(-(entries * (f.prefix_bits + f.index_field_bits) + slots * (bits + f.index_bits)) // 64))
    return best


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 4), densities, st.integers(2, 30), st.integers(4, 60), st.integers(6, 60), st.integers(2, 60))
def test_every_partition_holds_every_limit(
    seed: int, layers: int, density: float, neurons: int, words: int, axons: int, outputs: int
) -> None:
    network = integer_network(seed, layers=layers, density=density)
    chip = small_chip(neurons=neurons, synapse_words=words, input_axons=axons, output_axons=outputs)
    rates = random_rates(network, seed)
    try:
        mapping = build(network, rates, chip)
    except DoesNotFitError as error:
        assert "Try" in str(error)
        return
    lists = brute_lists(network, mapping.core_of)
    loads = np.zeros((mapping.cores, 4), np.int64)
    loads[:, 0] = np.bincount(mapping.core_of, minlength=mapping.cores)
    offset = dict(zip((p.name for p in network.on_chip), np.cumsum([0, *(p.size for p in network.on_chip)]), strict=False))
    messages = 0.0
    for (source, i, core), targets in lists.items():
        loads[core, 1] += brute_words(targets, 8, chip)
        loads[core, 2] += 1
        messages += float(rates[source][i])
        if source in offset:
            loads[mapping.core_of[offset[source] + i], 3] += 1
    assert (loads == mapping.load).all()
    assert all((loads[:, k] <= chip.limit(name)).all() for k, name in enumerate(RESOURCES))
    assert mapping.messages_per_step == pytest.approx(messages)
    assert mapping.cores_bound <= mapping.cores
    assert mapping.messages_bound <= mapping.messages_per_step + 1e-9
    assert len(set(mapping.slot_of.tolist())) == mapping.cores


@given(st.lists(st.lists(st.integers(0, 900), min_size=1, max_size=80, unique=True), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_words_are_the_formats_cost(lists: list[list[int]]) -> None:
    chip = chips.load("loihi")
    ordered = [sorted(targets) for targets in lists]
    local = np.concatenate([np.asarray(t, np.int64) for t in ordered])
    first = np.cumsum([0, *(len(t) for t in ordered[:-1])])
    assert list_words(local, first, 8, chip).tolist() == [brute_words(t, 8, chip) for t in ordered]


def test_sparse_words_match_the_published_cost() -> None:
    """facts: at 8-bit weights SPARSE costs 64 bits for one synapse a list, about 19 each for sixty."""
    chip = chips.load("loihi")
    sparse = chip.model_copy(update={"formats": tuple(f for f in chip.formats if f.name == "sparse")})
    assert list_words(np.array([5]), np.array([0]), 8, sparse).tolist() == [1]
    assert int(list_words(np.arange(0, 900, 15), np.array([0]), 8, sparse)[0]) * 64 / 60 == pytest.approx(19.2)


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


def test_bound_is_met_where_it_can_be() -> None:
    network = wide(100, 64, 0.05)
    wiring = Wiring.of(network, np.ones(sum(p.size for p in network.senders)))
    mapping = build(network, ones(network), small_chip(neurons=16))
    assert bounds.cores_bound(wiring, small_chip(neurons=16)) == 4 == mapping.cores
