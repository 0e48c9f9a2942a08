"""The words of the cores: as many as the mapping counts, and the same synapses when they are read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from netgen import densities, float_network, graph_network, integer_conv_network, integer_network, samples, seeds, sparse_integers
from spikeloom.compile import (
    Calibration,
    DeployedNetwork,
    SynapseWords,
    compile_network,
    decode_words,
    encode_words,
    load,
    load_words,
    save_words,
    synapses_of,
)
from spikeloom.compile.mapping.build import build
from spikeloom.errors import DoesNotFitError, FormatError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses


def chip_of(name: str, neurons: int | None = None) -> Chip:
    chip = chips.load(name)
    if neurons is None:
        return chip
    fewer = chip.limits.neurons.model_copy(update={"value": float(neurons)})
    return chip.model_copy(update={"limits": chip.limits.model_copy(update={"neurons": fewer})})


def deployed(network: Network, chip: Chip) -> DeployedNetwork:
    """A network mapped as it is, without passes."""
    mapping = build(network, {p.name: np.ones(p.size) for p in network.populations}, chip, effort="fast")
    return DeployedNetwork(network, chip, mapping, "lava")


def single(weights: np.ndarray) -> Network:
    """One layer with the given (neurons, inputs) weights."""
    populations = (Population("input", (weights.shape[1],), None), Population("only", (weights.shape[0],), IntegerLIF()))
    projection = Projection("p", "input", "only", Synapses.from_dense(weights.astype(np.int32)), -2, 8)
    return Network(populations, (projection,), 4, InputSpec(1, 1.0, "rate"))


def check(network: DeployedNetwork) -> SynapseWords:
    """Every core has the words that its mapping counts, and they hold its synapses and no others."""
    words = encode_words(network)
    assert [len(core.words) for core in words.cores] == network.mapping.load[:, 1].tolist()
    assert [len(core.sources) for core in words.cores] == network.mapping.load[:, 2].tolist()
    assert decode_words(words) == synapses_of(network)
    return words


def read_by_hand(words: SynapseWords) -> set[tuple[int, ...]]:
    """The synapses of all lists, read bit by bit as docs/words.md says."""
    found: set[tuple[int, ...]] = set()
    for number, core in enumerate(words.cores):
        lists = (column.tolist() for column in (core.sources, core.starts, core.lengths, core.bases))
        for source, start, length, base in zip(*lists, strict=True):
            stream = sum(int(word) << (words.word_bits * i) for i, word in enumerate(core.words[start : start + length]))
            left = length * words.word_bits

            def take(width: int) -> int:
                nonlocal stream, left
                value, stream, left = stream & ((1 << width) - 1), stream >> width, left - width
                return value

            while left >= 10:
                identity, count = take(4), take(6)
                if not count:
                    break
                form = core.formats[identity]
                position = take(form.index_field_bits) - 1
                for first in (True, *([False] * (count - 1))):
                    index = take(form.index_bits)
                    position = index if form.layout == "sparse" else position + 1 + (index if form.layout == "runlength" else 0)
                    assert not (first and form.layout == "runlength" and index)
                    weight = take(form.weight_bits)
                    weight -= (weight >> (form.weight_bits - 1)) << form.weight_bits
                    if weight:
                        found.add((number, source, int(core.neurons[base + position]), weight, form.exponent, form.delay))
    return found


KINDS = {
    "layers": lambda seed, density: integer_network(seed, layers=4, density=density),
    "graph": lambda seed, density: graph_network(seed, hidden=3),
    "lags": lambda seed, density: graph_network(seed, hidden=2, lags=True, backward=2, slack=True),
    "maps": lambda seed, density: integer_conv_network(seed),
}


@settings(max_examples=examples(80), deadline=None)
@given(
    st.sampled_from(sorted(KINDS)), seeds, densities, st.sampled_from(["loihi", "loihi2", "loihi-shared"]), st.sampled_from([7, 40, None])
)
@example("layers", 0, 0.05, "loihi", None)
@example("lags", 3, 0.3, "loihi2", None)
@example("maps", 5, 0.3, "loihi", 40)
@example("maps", 5, 0.3, "loihi-shared", 40)
@example("lags", 3, 0.3, "loihi-shared", None)
def test_words_are_as_many_as_counted_and_hold_the_synapses(kind: str, seed: int, density: float, name: str, neurons: int | None) -> None:
    try:
        words = check(deployed(KINDS[kind](seed, density), chip_of(name, neurons)))
    except DoesNotFitError as error:  # a random graph may have an exponent for each projection
        assert "formats of entries" in str(error)
        assume(False)
        return
    table = decode_words(words)
    assert read_by_hand(words) == set(zip(*(column.tolist() for column in table.columns), strict=True))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=150, unique=True), seeds)
@example(list(range(0, 60 * 32, 32)), 0)  # gaps as far as a skip of five bits reaches ...
@example(list(range(0, 60 * 33, 33)), 0)  # ... and one more
@example(list(range(0, 61)), 0)  # one more than an entry holds, dense
@example([0, 1, 900], 0)
@example([1023], 0)
@example([5, 1000, 2000], 0)  # beyond the ten bits of Loihi: two cores
def test_any_list_is_read_back(targets: list[int], seed: int) -> None:
    weights = np.zeros((max(targets) + 1, 1), np.int64)
    weights[targets, 0] = np.random.default_rng(seed).choice([-128, -1, 1, 127], len(targets))
    for name in ("loihi", "loihi2", "loihi-shared"):
        check(deployed(single(weights), chips.load(name)))


def test_a_core_of_more_neurons_than_ten_bits_number() -> None:
    """Loihi 2's cores hold 8,192 neurons, so every index is wide enough for them."""
    rng = np.random.default_rng(1)
    for density, layout in ((0.8, "dense"), (0.3, "runlength"), (0.01, "sparse")):
        weights = np.zeros((6000, 30), np.int64)
        for i in range(30):
            weights[200 * i : 200 * (i + 1), i] = sparse_integers(rng, (200, 1), density).to_dense()[:, 0]
        network = deployed(single(weights), chips.load("loihi2"))
        assert network.mapping.cores == 1 and layout in {f.layout for f in check(network).cores[0].formats}


@pytest.mark.parametrize("name", ["loihi", "loihi-silicon", "loihi2"])
def test_an_index_reaches_every_neuron_of_a_core(name: str) -> None:
    chip = chips.load(name)
    for layout in chip.formats:
        assert 1 << (layout.index_field_bits or layout.index_bits) >= chip.limit("neurons"), layout.name


def test_exponents_per_channel_take_entries_of_their_own() -> None:
    network = float_network(3, sizes=(20, 15, 4), density=1.0)
    first = network.projections[0]
    finer = first.synapses.data * np.where(first.synapses.unrolled().rows % 2, 1.0, 0.25).astype(np.float32)  # of every other neuron
    network = network.with_projection(replace(first, synapses=first.synapses.with_data(finer)))
    values = samples(network, 3, 12)
    calibration = Calibration(values, np.zeros(12, np.int64))
    core = check(compile_network(network, granularity="channel", calibration=calibration, chip="loihi2")).cores[0]
    assert len(set(core.sources.tolist())) == len(core.sources) and len({f.exponent for f in core.formats}) > 2
    check(compile_network(network, weight_bits="ternary", calibration=calibration, chip="loihi"))
    check(compile_network(network, weight_bits="7", calibration=calibration, chip="loihi"))


def test_two_projections_between_the_same_neurons_keep_their_synapses() -> None:
    base = single(np.full((3, 2), 5))
    again = Projection("q", "input", "only", Synapses.from_dense(np.full((3, 2), -7, np.int32)), -2, 8)
    network = Network(base.populations, (*base.projections, again), 4, base.input)
    table = decode_words(check(deployed(network, chips.load("loihi"))))
    assert len(table) == 12 and sorted(set(table.weight.tolist())) == [-7, 5]


def test_a_network_without_synapses() -> None:
    words = check(deployed(single(np.zeros((3, 2))), chips.load("loihi")))
    assert words.count == 0 and len(decode_words(words)) == 0


def test_what_the_fields_cannot_hold_is_refused() -> None:
    wide = deployed(single(np.ones((1500, 1))), chips.load("loihi2"))
    narrow = tuple(f.model_copy(update={"index_field_bits": 10}) if f.index_field_bits else f for f in wide.chip.formats)
    with pytest.raises(DoesNotFitError, match=r"Core 0 has a neuron of the local number 1,024; the index of loihi2 has 10 bits"):
        encode_words(DeployedNetwork(wide.network, wide.chip.model_copy(update={"formats": narrow}), wide.mapping, "lava"))
    bare = tuple(f.model_copy(update={"prefix_bits": 6}) for f in wide.chip.formats)
    with pytest.raises(DoesNotFitError, match="prefix of the format sparse of loihi2 has 6 bits"):
        encode_words(DeployedNetwork(wide.network, wide.chip.model_copy(update={"formats": bare}), wide.mapping, "lava"))
    mixed = (wide.chip.formats[0], *bare[1:])
    with pytest.raises(UsageError, match="have different prefixes"):
        encode_words(DeployedNetwork(wide.network, wide.chip.model_copy(update={"formats": mixed}), wide.mapping, "lava"))
    with pytest.raises(DoesNotFitError, match=r"Core 0 has a weight of 300; a weight takes 8 bits"):
        encode_words(deployed(single(np.full((1, 1), 300)), chips.load("loihi")))
    with pytest.raises(UsageError, match="truenorth has crossbars"):
        encode_words(load(Path(__file__).parents[1] / "older/crossbars-8.loom"))


def test_digits_to_a_file_and_back(digits_run: Path, tmp_path: Path, spikeloom: Any) -> None:
    compiled = load(digits_run / "model.loom")
    check(compiled)
    done = spikeloom("export", digits_run, "--to", "words", "--out", tmp_path / "w.npz")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "w.npz"), done.err
    words = load_words(tmp_path / "w.npz")
    assert decode_words(words) == synapses_of(compiled) and words.count == compiled.mapping.load[:, 1].sum()
    manifest = json.loads((tmp_path / "w.json").read_text())
    assert manifest["words"] == words.count and manifest["network"] == compiled.digest
    assert [p["name"] for p in manifest["populations"]] == [p.name for p in compiled.network.senders]
    assert save_words(compiled, tmp_path / "again.npz").read_bytes() == (tmp_path / "w.npz").read_bytes()


def test_damaged_words_are_refused(tmp_path: Path) -> None:
    path = save_words(deployed(integer_network(1, layers=2), chips.load("loihi")), tmp_path / "w.npz")
    whole, manifest = path.read_bytes(), json.loads((tmp_path / "w.json").read_text())
    path.write_bytes(whole[:-9] + b"123456789")
    with pytest.raises(FormatError, match="checksum"):
        load_words(path)
    path.write_bytes(whole)
    for wrong in ({"format": "other"}, {"version": 99}, {"cores": [{}]}, {"word_bits": 0}, {"populations": 3}):
        (tmp_path / "w.json").write_text(json.dumps(manifest | wrong))
        with pytest.raises(FormatError):
            load_words(path)
    (tmp_path / "w.json").unlink()
    with pytest.raises(FormatError, match="manifest"):
        load_words(path)


@settings(max_examples=examples(60), deadline=None)
@given(seeds)
def test_hostile_words_end_in_an_error_of_ours(seed: int) -> None:
    words = encode_words(deployed(integer_network(seed % 50, layers=2), chips.load("loihi")))
    rng = np.random.default_rng(seed)
    for core in words.cores:
        if core.words.size:
            core.words[rng.integers(core.words.size)] ^= np.uint64(rng.integers(1, 1 << 63))
    try:
        decode_words(words)
    except FormatError as error:
        assert "damaged" in str(error)
