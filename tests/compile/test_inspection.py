"""What inspect says of a network: the same as its mapping, its words and its synapses say, counted another way."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import graph_network, integer_conv_network, integer_network, seeds
from spikeloom.compile import DeployedNetwork, encode_words, inspect, load
from spikeloom.compile.mapping.build import build
from spikeloom.compile.mapping.loads.load import core_loads
from spikeloom.errors import UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import Network
from test_mapping import random_rates, small_chip

CROSSBARS = Path(__file__).parents[1] / "older/crossbars-8.loom"
NETWORKS = {"layers": lambda s: integer_network(s, layers=4), "graph": lambda s: graph_network(s, hidden=2), "maps": integer_conv_network}


def put(network: Network, neurons: int, seed: int) -> DeployedNetwork:
    chip = small_chip(neurons=neurons)
    return DeployedNetwork(network, chip, build(network, random_rates(network, seed), chip, effort="fast"), "lava")


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(sorted(NETWORKS)), seeds, st.integers(6, 60))
@example("layers", 3, 9)
@example("maps", 2, 40)
def test_neurons_add_up_to_the_cores_and_the_cores_to_the_mapping(kind: str, seed: int, neurons: int) -> None:
    deployed = put(NETWORKS[kind](seed), neurons, seed)
    network, mapping, found = deployed.network, deployed.mapping, inspect(deployed)
    views = [found.neuron(p.name, int(n)) for p in network.senders for n in np.flatnonzero(p.living)]
    words, axons, sops = np.zeros(mapping.cores), [list[int]() for _ in range(mapping.cores)], np.zeros(mapping.cores)
    for view in views:
        assert view.sent_words == sum(feed.words or 0 for feed in view.feeds)
        for feed in view.feeds:
            words[feed.core] += feed.words or 0
            axons[feed.core] += feed.axons
        if view.core is not None:
            sops[view.core] += view.sops_received_per_sample
    assert words.tolist() == mapping.load[:, 1].tolist()
    assert [sorted(a) for a in axons] == [list(range(n)) for n in mapping.load[:, 2].tolist()]
    assert np.allclose(sops, [c.sops_per_sample for c in found.cores])
    assert sum(v.sops_caused_per_sample for v in views) == pytest.approx(sops.sum())
    assert sum(v.messages_per_sample for v in views) == pytest.approx(mapping.messages_per_step * network.timesteps)
    hops = sum(part.count_per_sample for v in views for part in v.energy if part.name.startswith("hops"))
    assert hops == pytest.approx(mapping.hops_per_message * mapping.messages_per_step * network.timesteps)
    for core in found.cores:
        assert list(core.used.values())[:4] == mapping.load[core.core].tolist()
        assert sum(link.axons for link in core.receives_from) == core.used["input_axons"]
        assert sum(link.axons for link in core.sends_to) == core.used["output_axons"]
        assert sum(layer.neurons for layer in core.layers) == core.used["neurons"]
    graph = deployed.core_graph()
    sent = {(c.core, link.core): link.messages_per_sample for c in found.cores for link in c.sends_to if link.messages_per_sample}
    assert sent == pytest.approx({(a, b): m * network.timesteps for a, b, m in graph.edges(data="messages_per_step")})
    assert sum(layer.sops_per_sample for layer in found.layers) == pytest.approx(sops.sum())


@settings(max_examples=examples(30), deadline=None)
@given(st.sampled_from(sorted(NETWORKS)), seeds)
def test_a_neuron_is_where_the_words_have_it_and_receives_its_synapses(kind: str, seed: int) -> None:
    deployed = put(NETWORKS[kind](seed), 12, seed)
    words, rng = encode_words(deployed), np.random.default_rng(seed)
    found, network, start = inspect(deployed), deployed.network, 0
    for p in network.on_chip:
        rank = int(rng.integers(p.count))
        view = found.neuron(p.name, int(np.flatnonzero(p.living)[rank]))
        assert view.core is not None and words.cores[view.core].neurons[view.local] == start + rank
        for feed in view.feeds:
            sources = words.cores[feed.core].sources
            assert sources[feed.axons[0]] == deployed.wiring.outside + start + rank
            assert words.cores[feed.core].lengths[feed.axons[0]] == feed.words
        dense = {q.name: q.synapses.unrolled().to_dense()[view.neuron] for q in network.inputs_of(p.name)}
        for receipt in view.receives:
            living = network.population(receipt.source).living
            expected = [(int(i), int(w)) for i, w in enumerate(dense[receipt.projection]) if w and living[i]]
            assert [(c.source, c.weight) for c in receipt.connections] == expected
        members = deployed.mapping.core_of == view.core
        apart = np.where(np.arange(members.size) == start + rank, members.max() + 1, ~members).astype(np.int64)
        if members.sum() > 1:
            loads = core_loads(deployed.wiring.part(members), np.zeros(members.sum(), np.int64), deployed.chip)[0]
            rest = core_loads(deployed.wiring, np.unique(apart, return_inverse=True)[1], deployed.chip)[0]
            assert (view.own_words, view.own_axons) == (loads[1] - rest[1], loads[2] - rest[2])
        start += p.count


def test_stated_rates_take_the_place_of_measured_ones() -> None:
    deployed = put(integer_network(3, layers=2), 1000, 3)
    every = inspect(deployed, rates=0.5)
    steps, synapses = deployed.network.timesteps, deployed.network.synapses
    assert sum(layer.sops_per_sample for layer in every.layers) == pytest.approx(0.5 * steps * synapses)
    one = inspect(deployed, rates={"layer1": 0.25})
    assert [layer.rate for layer in one.layers][1] == 0.25 and one.layers[0].rate == inspect(deployed).layers[0].rate
    with pytest.raises(UsageError, match=r"rate of layer1 is 1\.5; it must be from 0 to 1"):
        inspect(deployed, rates={"layer1": 1.5})
    with pytest.raises(UsageError, match=r"no population called 'layr1'\. Did you mean 'layer1'"):
        inspect(deployed, rates={"layr1": 0.5})


def test_what_is_not_there_is_refused_with_what_is() -> None:
    deployed = put(integer_conv_network(4), 40, 4)
    found, last = inspect(deployed), deployed.mapping.cores - 1
    with pytest.raises(UsageError, match=rf"There is no core {last + 1}; the network is on {last + 1}, numbered 0 to {last}"):
        found.core(last + 1)
    with pytest.raises(UsageError, match="There is no core -1"):
        found.core(-1)
    with pytest.raises(UsageError, match=r"no population called 'conv'.*Known: both, conv1, input"):
        found.neuron("conv", 0)
    conv = deployed.network.population("conv1")
    with pytest.raises(UsageError, match=rf"conv1 has no neuron {conv.size}; .* numbered 0 to {conv.size - 1}"):
        found.neuron("conv1", conv.size)
    removed = int(np.flatnonzero(~conv.living)[0])
    with pytest.raises(UsageError, match=rf"conv1:{removed} was removed.* such as conv1:\d+"):
        found.neuron("conv1", removed)


def test_crossbars_are_looked_into_as_well() -> None:
    deployed = load(CROSSBARS)
    found, crossbars = inspect(deployed), deployed.crossbars
    assert crossbars is not None and len(found.cores) == crossbars.cores
    events, driven = 0.0, 0
    for p in deployed.network.on_chip:
        for n in np.flatnonzero(p.living):
            view = found.neuron(p.name, int(n))
            assert view.own_words is None and view.core in view.copies
            assert all(crossbars.bits[feed.core, list(feed.axons)].any() and sum(feed.synapses.values()) for feed in view.feeds)
            driven += sum(len(feed.axons) for feed in view.feeds)
            events += view.sops_received_per_sample
    assert events == pytest.approx(sum(core.sops_per_sample for core in found.cores))
    assert driven == int(((crossbars.axon_type >= 0) & (crossbars.axon_source >= deployed.wiring.outside)).sum())
    assert "words_per_axon" not in found.cores[0].used


def test_the_digits_by_command(digits_run: Path, spikeloom: Any, tmp_path: Path) -> None:
    document = json.loads(spikeloom("inspect", digits_run, "--json").out)
    assert [layer["name"] for layer in document["layers"]] == ["input", "hidden1", "output"] and document["cores"]
    shown = spikeloom("inspect", digits_run / "model.loom")
    assert shown.code == 0 and "hidden1" in shown.out and "Cores" in shown.out
    shown = spikeloom("inspect", digits_run, "--core", 0)
    assert shown.code == 0 and "synapse words" in shown.out and "Receives from" in shown.out
    one = json.loads(spikeloom("inspect", digits_run, "--neuron", "hidden1:3", "--json").out)
    assert one["core"] == 0 and one["energy_pj_per_sample"] > 0 and one["receives"][0]["source"] == "input"
    assert one | {"energy_pj_per_sample": 0} == json.loads(json.dumps(asdict(inspect(digits_run).neuron("hidden1", 3)))) | {
        "energy_pj_per_sample": 0
    }
    shown = spikeloom("inspect", digits_run, "--neuron", "input:0,3", "--rate", "0.5")
    assert shown.code == 0 and "off the chip" in shown.out and "0.5000" in shown.out
    spikeloom("run", digits_run / "model.loom", "--samples", 40, "--out", tmp_path / "results.json")
    shown = spikeloom("inspect", digits_run, "--neuron", "output:1", "--results", tmp_path / "results.json")
    assert shown.code == 0 and "(40 samples)" in " ".join(shown.out.split()), shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--core", 99), "There is no core 99"),
        (("--neuron", "hidden1"), "not of the form LAYER:N"),
        (("--neuron", "hidden9:1"), "Did you mean 'hidden1'"),
        (("--neuron", "input:1,99"), "has the shape"),
        (("--neuron", "output:1", "--core", 0), "show one thing each"),
        (("--rate", 0.1, "--results", "x.json"), "Leave one of them out"),
        (("--rate", 7), "must be from 0 to 1"),
    ],
)
def test_wrong_words_are_refused(digits_run: Path, spikeloom: Any, words: tuple[object, ...], said: str) -> None:
    ended = spikeloom("inspect", digits_run, *words)
    assert ended.code == 2 and said in ended.err


def test_results_of_another_network_are_refused(digits_run: Path, spikeloom: Any, tmp_path: Path) -> None:
    spikeloom("run", digits_run / "model.loom", "--samples", 20, "--out", tmp_path / "results.json")
    other = put(integer_network(3, layers=2), 1000, 3).save(tmp_path / "other.loom")
    ended = spikeloom("inspect", other, "--results", tmp_path / "results.json")
    assert ended.code == 2 and "results of another compiled network" in ended.err


def test_a_network_on_several_chips() -> None:
    network = integer_network(3, layers=3)
    chip = small_chip(neurons=4, cores=3).model_copy(update={"system": chips.load("loihi2").system})
    system = chip.system
    assert system is not None
    few = system.model_copy(update={"cores_per_chip": system.cores_per_chip.model_copy(update={"value": 3.0})})
    chip = chip.model_copy(update={"system": few})
    deployed = DeployedNetwork(network, chip, build(network, random_rates(network, 1), chip, effort="fast"), "lava")
    found = inspect(deployed)
    assert {core.chip for core in found.cores} == set(range(deployed.mapping.chips)) and deployed.mapping.chips > 1
    assert all(core.slot < 3 for core in found.cores)
    names = {part.name for n in range(network.populations[0].size) for part in found.neuron("input", n).energy}
    assert "hops, chip to chip" in names
