"""Mappings out and in again, whole and in part; layers pinned to cores; every limit named."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import densities, graph_network, integer_conv_network, integer_network, seeds
from spikeloom.compile import DeployedNetwork, compile_network, load, save_mapping
from spikeloom.compile.files.mapping import given_of
from spikeloom.compile.mapping.build import Mapping, build
from spikeloom.compile.mapping.given import Given, cores_of_text, said_cores
from spikeloom.compile.mapping.loads.load import Wiring, core_loads, limits
from spikeloom.errors import DoesNotFitError, FormatError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Network
from test_mapping import random_rates, small_chip


def put(network: Network, chip: Chip, said: Given | None = None, seed: int = 0) -> DeployedNetwork:
    mapping = build(network, random_rates(network, seed), chip, effort="fast", given=said)
    return DeployedNetwork(network, chip, mapping, "lava")


def same(a: Mapping, b: Mapping) -> bool:
    """Equal in all but how it was found."""
    names = [f.name for f in fields(Mapping) if f.name not in ("strategy", "changes")]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


NETWORKS = {"layers": lambda s: integer_network(s, layers=3), "graph": graph_network, "maps": integer_conv_network}


@settings(max_examples=examples(40), deadline=None)
@given(st.sampled_from(sorted(NETWORKS)), seeds, st.integers(5, 40), st.sampled_from([".csv", ".json"]))
@example("layers", 3, 1000, ".csv")
@example("maps", 1, 30, ".json")
def test_out_and_in_gives_the_same_mapping_and_figures(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, neurons: int, suffix: str
) -> None:
    network, chip = NETWORKS[kind](seed), small_chip(neurons=neurons)
    first = put(network, chip, seed=seed)
    path = save_mapping(first, tmp_path_factory.mktemp("mapping") / f"m{suffix}")
    for said in (path, str(path), first):
        again = put(network, chip, given_of(said, None), seed=seed)
        assert same(first.mapping, again.mapping) and again.mapping.strategy == "given"
    assert save_mapping(again, path.with_name(f"again{suffix}")).read_bytes() == path.read_bytes()


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(1, 4), densities, st.integers(2, 30), st.integers(4, 60), st.integers(6, 60), st.integers(3, 60))
@example(1, 3, 0.3, 10, 60, 60, 60)
def test_a_partial_mapping_stays_and_the_rest_holds_every_limit(
    seed: int, layers: int, density: float, neurons: int, words: int, axons: int, outputs: int
) -> None:
    network, rng = integer_network(seed, layers=layers, density=density), np.random.default_rng(seed)
    chip = small_chip(neurons=neurons, synapse_words=words, input_axons=axons, output_axons=outputs)
    try:
        whole = put(network, chip)
    except DoesNotFitError:
        return
    said = {p.name: np.where(rng.random(p.size) < 0.5, whole.cores_of(p.name), -1) for p in network.on_chip}
    try:
        found = put(network, chip, given_of(said, None))
    except DoesNotFitError as error:
        assert "cores" in str(error) or "axons" in str(error)
        return
    load = core_loads(found.wiring, found.mapping.core_of, chip)
    assert (load <= limits(chip)).all() and (load[:, :4] == found.mapping.load).all()
    fixed = np.concatenate([said[p.name] for p in network.on_chip])
    mine = set(found.mapping.core_of[fixed >= 0].tolist())
    pairs = set(zip(fixed[fixed >= 0].tolist(), found.mapping.core_of[fixed >= 0].tolist(), strict=True))
    assert len(pairs) == len(mine) == len({a for a, _ in pairs}), "together and apart as said"
    assert not mine & set(found.mapping.core_of[fixed < 0].tolist()), "the others have cores of their own"


@settings(max_examples=examples(60), deadline=None)
@given(seeds, densities, st.booleans())
def test_synapses_of_a_part_are_those_that_end_there(seed: int, density: float, graph: bool) -> None:
    network = graph_network(seed) if graph else integer_network(seed, layers=4, density=density)
    wiring = Wiring.of(network, np.random.default_rng(seed).random(sum(p.count for p in network.senders)))
    kept = np.random.default_rng(seed).random(wiring.neurons) < 0.5
    part, whole = wiring.part(kept), np.zeros(wiring.outside + wiring.neurons)
    assert part.neurons == kept.sum() and part.outside + part.neurons == whole.size
    whole[np.concatenate([np.ones(wiring.outside, np.bool_), ~kept])] = 1
    order = np.argsort(1 - whole, kind="stable")  # off chip and left out first
    assert (part.rates == wiring.rates[order]).all() and (part.places == wiring.places[kept]).all()
    for new, old in enumerate(np.flatnonzero(kept)):
        mine, theirs = slice(*part.indptr[new : new + 2]), slice(*wiring.indptr[old : old + 2])
        assert sorted(order[part.sources[mine]].tolist()) == sorted(wiring.sources[theirs].tolist())
    core = np.zeros(wiring.neurons, np.int64)
    core[~kept] = 1
    if kept.any() and not kept.all():
        chip = chips.load("loihi")
        assert (
            core_loads(part, np.zeros(part.neurons, np.int64), chip)[0, [0, 1, 2, 4]] == core_loads(wiring, core, chip)[0, [0, 1, 2, 4]]
        ).all()


def test_a_layer_is_on_the_cores_it_is_pinned_to_and_no_other_is() -> None:
    network, chip = integer_network(5, layers=3, density=1.0), small_chip(neurons=6)
    sizes = [p.size for p in network.on_chip]
    count = -(-sizes[1] // 6)
    pins = {"layer2": range(count), "layer3": f"{count}-{count + 7}"}
    found = put(network, chip, given_of(None, pins))
    assert set(found.cores_of("layer2").tolist()) == set(range(count)) and found.mapping.strategy.startswith("given + ")
    assert set(found.cores_of("layer3").tolist()) <= set(range(count, count + 8))
    assert not set(found.cores_of("layer1").tolist()) & set(range(count + min(8, sizes[2])))
    assert (core_loads(found.wiring, found.mapping.core_of, chip) <= limits(chip)).all()


def test_layers_may_share_the_cores_they_are_pinned_to() -> None:
    network = integer_network(5, layers=3, density=1.0)
    found = put(network, chips.load("loihi"), given_of(None, {"layer1": [0, 1], "layer2": [1, 0], "layer3": 2}))
    assert set(found.mapping.core_of[: -network.populations[-1].size].tolist()) == {0, 1}
    assert set(found.cores_of("layer3").tolist()) == {2}


def test_gaps_between_cores_are_closed_and_said() -> None:
    network = integer_network(5, layers=2)
    found = put(network, chips.load("loihi"), given_of({"layer1": np.full(network.populations[1].size, 7)}, {"layer2": 90}))
    assert found.cores_of("layer1").tolist() == [0] * network.populations[1].size and set(found.cores_of("layer2").tolist()) == {1}
    assert found.mapping.changes == ("cores are numbered without gaps: core 7,90 is 0-1 in the mapping",)


@pytest.mark.parametrize(
    ("limit", "value", "needs"),
    [
        ("neurons", 5, r"needs \d+ neurons; loihi allows 5"),
        ("synapse_words", 20, r"needs \d+ synapse words; loihi allows 20"),
        ("input_axons", 3, r"needs \d+ input axons; loihi allows 3"),
        ("output_axons", 2, r"needs \d+ output axons; loihi allows 2"),
        ("words_per_axon", 1, r"needs \d+ words per axon; loihi allows 1"),
    ],
)
def test_the_first_limit_that_is_exceeded_is_named(limit: str, value: int, needs: str) -> None:
    network = integer_network(8, layers=2, density=1.0)
    said = {p.name: np.full(p.size, i) for i, p in enumerate(network.on_chip)}
    with pytest.raises(DoesNotFitError, match=rf"^Core [01] of the mapping {needs}. It holds neurons of layer[12]: spread"):
        put(network, small_chip(**{limit: value}), given_of(said, None))
    if limit in ("neurons", "synapse_words"):
        with pytest.raises(
            DoesNotFitError, match=rf"^Layer layer[12] does not fit the cores that it is pinned to, 0: .*core 0 {needs}. Pin"
        ):
            put(network, small_chip(**{limit: value}), given_of(None, {"layer1": 0, "layer2": 1}))


def test_too_many_cores_beside_the_pinned_ones() -> None:
    network = integer_network(8, layers=2, density=1.0)
    with pytest.raises(DoesNotFitError, match="cores"):
        put(network, small_chip(neurons=4, cores=6).limited_to(1), given_of(None, {"layer2": range(4)}))


REFUSED: list[tuple[dict[str, Any] | None, dict[str, Any] | None, str]] = [
    ({"hidden": [0]}, None, r"no layer on the chip \(in the mapping\) called 'hidden'.*Known: layer1, layer2"),
    ({"input": [0]}, None, r"names input, which has no neurons on the chip. On the chip: layer1, layer2"),
    ({"layer1": np.zeros(99, np.int64)}, None, r"names the neuron 98 of layer1, whose neurons are 0 to \d+"),
    ({"layer1": [0.5]}, None, r"cores of layer1 are an array of float64"),
    ({"layer1": [-2]}, None, r"give a whole number for each neuron"),
    ({"layer1": [128]}, None, r"names core 128; .*loihi has 128 of them"),
    ({"layer1": [0]}, {"layer1": 1}, r"layer1 is pinned, and the mapping names cores of its neurons"),
    ({"layer1": [3]}, {"layer2": [3]}, r"Core 3 is named for layer2 and by the mapping"),
    (None, {"layer1": [0, 1], "layer2": [1, 2]}, r"Core 1 is named for layer2 and by layer1"),
    (None, {"layer1": []}, r"layer1 is pinned to no core"),
    (None, {"layer1": [-1]}, r"layer1 is pinned to \[-1\]; name its cores"),
    (None, {"layer1": "0-"}, r"write them as 3 or 0-7"),
    (None, {"layer1": "7-3"}, r"'7-3' is no range"),
    (None, {"layer1": "0-99999999"}, r"is no range"),
    (None, {"layer1": 1.5}, r"layer1 is pinned to 1.5"),
    (None, {"layr1": 0}, r"called 'layr1'. Did you mean 'layer1'"),
]


@pytest.mark.parametrize(("mapping", "pins", "message"), REFUSED)
def test_what_does_not_exist_is_refused_with_what_there_is(mapping: Any, pins: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        put(integer_network(3, layers=2), chips.load("loihi").limited_to(1), given_of(mapping, pins))


HEAD = "population,neuron,core,chip,slot\n"
BROKEN = {
    "no file": (None, "Cannot read the mapping"),
    "empty": ("", "columns of an empty file"),
    "an unknown column": ("population,neuron,core,colour\na,0,0,red\n", "has the columns population, neuron, core, colour"),
    "a slot without chip": ("population,neuron,core,slot\na,0,0,1\n", "also chip and slot"),
    "a word for a number": (HEAD + "layer1,0,x,0,0\n", "line 2: core is 'x'; it must be a whole number"),
    "a neuron twice": (HEAD + "layer1,0,0,0,0\nlayer1,0,1,0,1\n", "line 3: neuron 0 of layer1 has a core already"),
    "a core in two places": (HEAD + "layer1,0,0,0,0\nlayer1,1,0,0,1\n", "line 3: core 0 lies elsewhere"),
    "a value missing": (HEAD + "layer1,0,0\n", "line 2: it has not as many values"),
    "an empty value": (HEAD + "layer1,,0,0,0\n", "line 2: a value is missing"),
    "an enormous neuron": (HEAD + "layer1,2000000000,0,0,0\n", "names a neuron 2,000,000,000"),
    "no text": (b"\xff\xfe\x00", "is not a CSV file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_are_refused_by_line(tmp_path: Path, name: str) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FormatError, match=message):
        given_of(path, None)


@pytest.mark.parametrize(
    "wrong", [{"format": "x"}, {"version": 2}, {"populations": 3}, {"populations": {"a": [1.5]}}, {"cores": [{"core": 0}]}, {"cores": [3]}]
)
def test_broken_documents_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = save_mapping(put(integer_network(3, layers=2), chips.load("loihi")), tmp_path / "m.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | wrong))
    with pytest.raises(FormatError, match=r"m\.json"):
        given_of(path, None)


def test_places_that_the_chip_does_not_have() -> None:
    network, chip = integer_network(8, layers=2), chips.load("loihi2")
    said = Given({p.name: np.full(p.size, i) for i, p in enumerate(network.on_chip)}, {0: (0, 5), 1: (0, 127)})
    assert put(network, chip, said).mapping.slot_of.tolist() == [5, 127]
    for places, message in (
        ({0: (0, 5), 1: (0, 5)}, "The cores 0 and 1 lie in the same slot, 5 of chip 0"),
        ({0: (0, 5), 1: (0, 128)}, "Core 1 lies in slot 128; loihi2 offers 128, numbered from 0"),
        ({0: (0, 5), 1: (1, 127)}, "Core 1 lies in slot 127; loihi2 offers 122 on each of 2 chips"),
        ({0: (0, 5), 1: (1152, 0)}, "Core 1 lies on chip 1152; there are 1,152 of loihi2"),
    ):
        with pytest.raises(DoesNotFitError, match=message):
            put(network, chip, replace(said, places=places))
    with pytest.raises(UsageError, match="has chip and slot of some cores, and core 1 has none"):
        put(network, chip, replace(said, places={0: (0, 5)}))
    with pytest.raises(UsageError, match="some neurons are left to the mapper"):
        put(network, chip, Given({"layer1": said.core_of["layer1"]}, {0: (0, 5)}))


def test_texts_of_cores() -> None:
    assert cores_of_text("0-3, 7,5-5", "x") == (0, 1, 2, 3, 5, 7) and said_cores([7, 0, 1, 2, 5]) == "0-2,5,7"


def test_a_removed_neuron_may_be_named() -> None:
    network = integer_conv_network(4)
    removed = sum(p.size - p.count for p in network.on_chip)
    found = put(network, chips.load("loihi"), given_of({p.name: np.zeros(p.size, np.int64) for p in network.on_chip}, None))
    assert removed and found.mapping.changes == (f"{removed:,} neurons in the mapping were removed by the compiler",)


def test_a_target_that_maps_as_it_likes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.compile.targets import lava

    def deaf(network: Network, rates: dict[str, np.ndarray], chip: Chip, *, given: Given, **options: Any) -> Mapping:
        return build(network, rates, chip, **options)

    monkeypatch.setattr(lava, "build", deaf)
    network = integer_network(3, layers=2)
    with pytest.raises(UsageError, match="does not keep to a given mapping"):
        compile_network(network, mapping={"layer1": [3, 7]})
    with pytest.raises(UsageError, match="allocated by the types of their axons"):
        compile_network(network, target="truenorth", pin={"layer1": 0})


def test_digits_out_and_in_by_command(digits_run: Path, tmp_path: Path, spikeloom: Any) -> None:
    spikeloom("compile", digits_run, "--pin", "hidden1=0-2", "--pin", "output=3", "--out", tmp_path / "pinned.loom")
    pinned = load(tmp_path / "pinned.loom")
    assert set(pinned.cores_of("hidden1").tolist()) == {0, 1, 2} and set(pinned.cores_of("output").tolist()) == {3}
    done = spikeloom("export", tmp_path / "pinned.loom", "--to", "mapping")
    assert done.out.strip() == str(tmp_path / "pinned.mapping.csv"), done.err
    done = spikeloom("compile", digits_run, "--mapping", tmp_path / "pinned.mapping.csv", "--out", tmp_path / "again.loom", "--json")
    again = load(tmp_path / "again.loom")
    assert done.code == 0 and same(pinned.mapping, again.mapping) and json.loads(done.out)["strategy"] == "given"
    done = spikeloom("compile", digits_run, "--mapping", tmp_path / "pinned.loom", "--out", tmp_path / "third.loom")
    assert done.code == 0 and same(pinned.mapping, load(tmp_path / "third.loom").mapping)
    wrong = spikeloom("compile", digits_run, "--pin", "hidden1", "--out", tmp_path / "x.loom")
    assert wrong.code == 2 and "LAYER=CORES" in wrong.err
    wrong = spikeloom("compile", digits_run, "--pin", "hidden9=1", "--out", tmp_path / "x.loom")
    assert wrong.code == 2 and "Known: hidden1, output" in wrong.err
