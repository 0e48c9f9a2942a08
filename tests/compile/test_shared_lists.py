"""Lists that cores store once: as many words as a brute-force count of the distinct lists, in every place that counts them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import graph_network, integer_conv_network, integer_network, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network, decode_words, encode_words, inspect, load, load_words, save_words, synapses_of
from spikeloom.compile.mapping.bounds import counted as bounds
from spikeloom.compile.mapping.build import build
from spikeloom.compile.mapping.loads import kernels, shared_lists
from spikeloom.compile.mapping.loads.load import Wiring, core_loads, layouts, limits
from spikeloom.compile.mapping.partition import partition
from spikeloom.errors import DoesNotFitError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection

SHARED, APART = chips.load("loihi-shared"), chips.load("loihi-silicon")
NETWORKS = {
    "layers": lambda seed: integer_network(seed, layers=3, density=0.4),
    "graph": lambda seed: graph_network(seed, hidden=3),
    "lags": lambda seed: graph_network(seed, hidden=2, lags=True, backward=2, slack=True),
    "maps": integer_conv_network,
}
Int = NDArray[np.int64]


def wiring_of(network: Network, chip: Chip = SHARED) -> Wiring:
    shares = chip.shared_lists is not None
    return Wiring.of(network, np.ones(sum(p.count for p in network.senders)), labelled=shares).stored_on(chip)


def smaller(chip: Chip, **values: int) -> Chip:
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in values.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


def brute_words(wiring: Wiring, core_of: Int, cores: int, chip: Chip) -> list[int]:
    """Words of the distinct lists of each core, found synapse by synapse with Python's own sets."""
    table, kinds = layouts(wiring.weight_bits, chip), wiring.most_kinds
    assert wiring.labels is not None
    local = [int((core_of[:v] == core_of[v]).sum()) for v in range(wiring.neurons)]
    lists: dict[tuple[int, int], dict[int, list[tuple[int, int]]]] = {}
    for v, group, label in zip(wiring.rows.tolist(), wiring.groups.tolist(), wiring.labels.tolist(), strict=True):
        lists.setdefault((int(core_of[v]), group // kinds), {}).setdefault(group % kinds, []).append((local[v], label))
    known: list[dict[tuple[Any, ...], int]] = [{} for _ in range(cores)]
    for (core, _), groups in lists.items():
        base = min(number for group in groups.values() for number, _ in group)
        ordered = [sorted(groups[kind]) for kind in sorted(groups)]
        key = tuple(tuple((number - base, label) for number, label in group) for group in ordered)
        bits = 0
        for group in ordered:
            numbers = np.array([number for number, _ in group])
            fillers = np.array([sum((g - 1) >> f[3] if f[0] == kernels.RUNLENGTH else 0 for g in np.diff(numbers)) for f in table.tolist()])
            bits += kernels.list_bits.py_func(len(group), int(numbers[-1] - numbers[0] + 1), fillers, table)
        known[core][key] = -(-bits // chip.word_bits)
    return [sum(found.values()) for found in known]


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(sorted(NETWORKS)), seeds, st.integers(1, 4))
@example("maps", 5, 2)
@example("lags", 3, 1)
def test_words_are_those_of_the_distinct_lists(name: str, seed: int, cores: int) -> None:
    wiring = wiring_of(NETWORKS[name](seed))
    core_of = np.random.default_rng(seed).integers(0, cores, wiring.neurons)
    core_of[0] = cores - 1
    found, apart = core_loads(wiring, core_of, SHARED), core_loads(replace(wiring, labels=None), core_of, SHARED)
    assert found[:, 1].tolist() == brute_words(wiring, core_of, cores, SHARED)
    assert (found[:, 1] <= apart[:, 1]).all()
    assert (np.delete(found, 1, axis=1) == np.delete(apart, 1, axis=1)).all()
    assert wiring.labels is not None
    by_target = wiring.indptr, wiring.groups, wiring.labels, wiring.most_kinds
    size, table = wiring.fan_out.size * wiring.most_kinds, layouts(wiring.weight_bits, SHARED)
    measured = shared_lists.measure(*by_target, size, table, SHARED.word_bits)
    for core in range(cores):  # what filling counts for the neurons of a core
        assert measured(np.flatnonzero(core_of == core)) == tuple(found[core, [1, 2, 4]].tolist())


@settings(max_examples=examples(25), deadline=None)
@given(st.sampled_from(sorted(NETWORKS)), seeds)
@example("maps", 5)
def test_a_part_counts_as_the_whole_does(name: str, seed: int) -> None:
    wiring = wiring_of(NETWORKS[name](seed))
    kept = np.random.default_rng(seed).random(wiring.neurons) < 0.6
    kept[0] = True
    part, core_of = wiring.part(kept), np.where(kept, 0, 1)
    alone = core_loads(part, np.zeros(part.neurons, np.int64), SHARED)[0]
    assert (alone[[0, 1, 2, 4]] == core_loads(wiring, core_of, SHARED)[0, [0, 1, 2, 4]]).all()


def convolutional(channels: int = 4) -> Network:
    """Two convolutions on maps, dense taps of random weights."""
    rng = np.random.default_rng(0)
    shapes, populations, projections = ((2, 12, 12), (channels, 12, 12), (channels, 6, 6)), [Population("input", (2, 12, 12), None)], []
    for k, (before, shape) in enumerate(pairwise(shapes), 1):
        weights = rng.choice([-40, -20, 30, 50, 70, 90], (shape[0], before[0], 3, 3)).astype(np.int8)
        taps = Convolution.from_dense(weights, before, stride=before[1] // shape[1], padding=1)
        populations.append(Population(f"maps{k}", shape, IntegerLIF(4095, 0, 60)))
        projections.append(Projection(f"p{k}", populations[-2].name, f"maps{k}", taps, 0, 8))
    return Network(tuple(populations), tuple(projections), 4, InputSpec(1, 1.0, "rate"))


def strips(network: Network) -> dict[str, Int]:
    """Return a mapping: layers in strips of three rows."""
    found: dict[str, Int] = {}
    first = 0
    for p in network.on_chip:
        strip = np.unravel_index(np.arange(p.size), p.shape)[1] // 3
        found[p.name] = strip + first
        first += int(strip.max()) + 1
    return found


def test_a_mapping_that_does_not_fit_fits_with_shared_lists() -> None:
    network = convolutional()
    mapping = strips(network)
    roomy = compile_network(network, chip=APART, mapping=mapping)
    shared = compile_network(network, chip=SHARED, mapping=mapping)
    saved = shared.mapping.load[:, 1].max()
    assert 2 * saved < roomy.mapping.load[:, 1].max()
    assert (shared.mapping.load[:, [0, 2, 3]] == roomy.mapping.load[:, [0, 2, 3]]).all()
    with pytest.raises(DoesNotFitError, match="words"):
        compile_network(network, chip=smaller(APART, synapse_words=int(saved)), mapping=mapping)
    compile_network(network, chip=smaller(SHARED, synapse_words=int(saved)), mapping=mapping)


@pytest.mark.parametrize("effort", ["fast", "default"])
def test_the_search_needs_fewer_cores_and_holds_the_limits(effort: Any) -> None:
    network = convolutional(8)
    cores = {}
    for chip in (smaller(APART, synapse_words=800), smaller(SHARED, synapse_words=800)):
        wiring = wiring_of(network, chip)
        found = partition(wiring, chip, 10**6, effort=effort).core_of
        assert (core_loads(wiring, found, chip) <= limits(chip)).all()
        cores[chip.name] = int(found.max()) + 1
        assert cores[chip.name] >= bounds.cores_bound(wiring, chip)
        assert wiring.messages(found) >= bounds.messages_bound(wiring, chip) * (1 - 1e-9)
    assert 1.3 * cores[SHARED.name] < cores[APART.name]


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.integers(1, 6))
@example(5, 3)
def test_no_partition_beats_the_bounds(seed: int, cores: int) -> None:
    """Limits just as large as a random partition needs them: it is then one that the bounds speak of."""
    wiring = wiring_of(integer_conv_network(seed))
    core_of = np.random.default_rng(seed).integers(0, cores, wiring.neurons)
    core_of = np.unique(core_of, return_inverse=True)[1].astype(np.int64)
    names = ("neurons", "synapse_words", "input_axons", "output_axons", "words_per_axon")
    most = core_loads(wiring, core_of, SHARED).max(axis=0).clip(1).tolist()
    chip = smaller(SHARED, **dict(zip(names, most, strict=True)))
    assert bounds.cores_bound(wiring, chip) <= core_of.max() + 1
    assert bounds.messages_bound(wiring, chip) <= wiring.messages(core_of) * (1 + 1e-9)


def test_words_go_to_a_file_and_back(tmp_path: Any) -> None:
    deployed = compile_network(convolutional(), chip=smaller(SHARED, neurons=200))
    words = load_words(save_words(deployed, tmp_path / "words.npz"))
    assert decode_words(words) == synapses_of(deployed)
    assert [len(core.words) for core in words.cores] == deployed.mapping.load[:, 1].tolist()
    assert any(core.bases.any() for core in words.cores)
    assert words.count < encode_words(compile_network(convolutional(), chip=smaller(APART, neurons=200))).count
    again = load(deployed.save(tmp_path / "model.loom"))
    assert again.chip.shared_lists == SHARED.shared_lists
    assert encode_words(again).count == words.count


def test_a_chip_that_shares_nothing_is_written_as_before(tmp_path: Any) -> None:
    deployed = compile_network(convolutional(), chip=APART)
    with np.load(save_words(deployed, tmp_path / "words.npz")) as held:
        assert "list_base" not in held.files
    assert deployed.wiring.labels is None
    mapping = build(convolutional(), {p.name: np.ones(p.size) for p in convolutional().populations}, APART)
    assert (mapping.load == deployed.mapping.load).all()


def test_inspection_says_who_shares_a_list() -> None:
    shared, apart = (compile_network(convolutional(), chip=smaller(chip, neurons=600)) for chip in (SHARED, APART))
    middle, corner = (inspect(shared).neuron("maps1", 12 * at + at) for at in (7, 11))
    assert middle.feeds[0].sharing > corner.feeds[0].sharing >= 0
    assert all(feed.sharing == 0 for feed in inspect(apart).neuron("maps1", 78).feeds)
