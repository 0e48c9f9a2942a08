"""Estimates on paper: bounds that the mapping keeps to, counts that the run confirms, networks past any memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spikeloom
from budget import examples
from hypothesis import given, settings
from netgen import Labelled, conv_network, float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.compiler import Compilation
from spikeloom.compile.estimate import estimate
from spikeloom.compile.mapping.bounds.least import least
from spikeloom.compile.mapping.loads.load import Wiring
from spikeloom.compile.paper import estimated
from spikeloom.errors import NetworkError, UsageError
from spikeloom.formats.onnx import write
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run
from spikeloom.train import untrained


@settings(max_examples=examples(4), deadline=None)
@given(seeds)
def test_bounds_hold_and_counts_agree(seed: int) -> None:
    """On networks that can be mapped: never more cores than the mapping's own bound, and a run's SOPs from its own rates."""
    chip = chips.load("loihi2")
    few = chip.limits.model_copy(update={"neurons": chip.limits.neurons.model_copy(update={"value": 8.0})})
    chip = chip.model_copy(update={"limits": few})
    source = conv_network(seed) if seed % 2 else float_network(seed, sizes=(30, 25, 12, 6))
    try:
        deployed = compile_network(source, chip=chip, encoding="rate")
    except NetworkError:
        return  # a random network may have a dead layer
    network = deployed.network
    data = Labelled(values=samples(network, seed, 6), labels=np.zeros(6, np.int64))
    results = run(deployed, data, check=True)
    from spikeloom.network import reference

    events = reference.encode(network, data.values)
    streams = {network.populations[0].name: events > 0} | reference.simulate(network, events)
    found = estimate(network, chip, {name: raster.mean(axis=(0, 1)) for name, raster in streams.items()})
    assert found.cores <= deployed.mapping.cores_bound <= deployed.mapping.cores
    assert found.sops == pytest.approx(results.sops_per_sample)
    assert found.updates == results.neuron_updates_per_sample
    assert found.spikes == pytest.approx(results.spikes_per_sample)
    assert found.messages <= results.messages_per_sample * (1 + 1e-9)
    assert found.neurons == network.neurons
    assert found.synapses == network.synapses
    assert results.latency is not None and found.steps == results.latency.steps


def test_a_step_is_the_even_share_of_a_core() -> None:
    """Two populations of 1,000 neurons, all connected: 9 cores by their words, each with its share of the work, on 3 of 32 tiles."""
    neuron = IntegerLIF(4095, 2048, 100)
    network = Network(
        (Population("input", (1000,), None), Population("a", (1000,), neuron), Population("b", (1000,), neuron)),
        tuple(Projection(s + t, s, t, Synapses.from_dense(np.ones((1000, 1000), np.int32)), 0, 8) for s, t in (("input", "a"), ("a", "b"))),
        4,
        InputSpec(1, 1.0, "events"),
    )
    chip = chips.load("loihi2")
    found = estimate(network, chip, 0.1)
    step = {part["name"]: part["seconds_per_step"] * 1e9 for part in found.step}
    assert found.sops == pytest.approx(2_000_000 * 4 * 0.1) and found.steps == 4 + 2
    assert step["synaptic operations"] == pytest.approx(200_000 / found.cores * 0.7)
    assert step["neuron updates, all active"] == pytest.approx(2_000 / found.cores * 4.2)
    tiles = -(-found.cores // 4)
    assert step["barrier"] == pytest.approx(113 + (tiles - 1) / 31 * (465 - 113))
    assert found.seconds_per_sample == pytest.approx(sum(step.values()) * 1e-9 * 6)
    queued = estimate(network, chip.model_copy(update={"time": chip.time.model_copy(update={"overlap": "queue"})}), 0.1)
    assert [part["name"] for part in queued.step] == ["barrier", "synaptic operations"]  # sends while it receives, which takes longer
    assert found.chips == 1 and found.static_watts == pytest.approx((0.0297, 0.104))


def test_a_network_that_no_memory_would_hold() -> None:
    """Ten billion synapses over many chips, from its taps alone."""
    size, channels = 128, 256
    taps = Synapses.from_dense(np.ones((channels, channels * 9), np.int32))
    c = Convolution(taps, (channels, size, size), (3, 3), 1, 1)
    shape = (channels, size, size)
    network = Network(
        (Population("input", shape, None), Population("conv", shape, IntegerLIF(4095, 2048, 100))),
        (Projection("c", "input", "conv", c, 0, 8),),
        4,
        InputSpec(1, 1.0, "events"),
    )
    found = estimate(network, chips.load("loihi2"), 0.1)
    assert found.synapses == channels**2 * (9 * size**2 - 12 * size + 4)
    assert found.sops == pytest.approx(found.synapses * 4 * 0.1)
    assert 50_000 < found.cores < found.synapses // 10_000
    assert found.chips == -(-found.cores // 122)  # what each chip of Hala Point offers
    assert found.fits
    assert not estimate(network, chips.load("loihi2").limited_to(600), 0.1).fits


def test_the_bounds_are_those_of_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random layer on cores of 8 neurons; past the size up to which synapses are listed, the bounds of fan-ins and fan-outs."""
    network = Compilation(float_network(3, sizes=(60, 80, 60, 10)), encoding="rate").run_passes().network
    chip = chips.load("loihi2")
    few = {name: getattr(chip.limits, name).model_copy(update={"value": 8.0}) for name in ("neurons",)}
    chip = chip.model_copy(update={"limits": chip.limits.model_copy(update=few)})
    found = estimate(network, chip, 0.5)
    wiring = Wiring.of(network, np.full(sum(p.count for p in network.senders), 0.5)).stored_on(chip)
    tight = least(wiring, chip)
    assert found.by_expansion and (found.cores, found.messages) == (tight.cores, pytest.approx(tight.messages * network.timesteps))
    monkeypatch.setattr(importlib.import_module("spikeloom.compile.estimate"), "SYNAPSES", 10)
    plain = estimate(network, chip, 0.5)
    assert not plain.by_expansion and plain.messages < 0.9 * found.messages
    made = estimated(Compilation(network, chip=chip), chip, 0.5, "a rate")
    assert made.bounds == plain and "fan-ins and fan-outs alone" in made.remarks[0]


def test_rates_are_shares() -> None:
    network = Compilation(float_network(3), encoding="rate").run_passes().network
    with pytest.raises(UsageError, match=r"rate is 1\.5"):
        estimate(network, chips.load("loihi2"), 1.5)


def test_the_command(tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    path = tmp_path / "model.onnx"
    write(float_network(3), path)
    refused = spikeloom("estimate", path)
    assert refused.code == 2
    assert "spike rates are unknown. Give --data, or one with --rate" in " ".join(refused.err.split())
    document = json.loads(spikeloom("estimate", path, "--rate", "0.1", "--json").out)
    assert document["cores"] == 1
    assert document["joules_per_sample"] > 0
    shown = " ".join(spikeloom("estimate", path, "--rate", "0.1").out.split())
    assert "At least 1 core of loihi2 on 1 chip: fits Hala Point" in shown
    assert "Cores that each limit asks for" in shown
    assert all(limit in shown for limit in ("neurons", "synapse words", "input axons", "output axons"))
    assert "by the model loihi2" in shown and "assumed" in shown


def test_a_network_by_name(spikeloom: Callable[..., Any]) -> None:
    words = (
        "--net",
        "vggsnn",
        "--shape",
        "2,16,16",
        "--temporal",
        "--sparsity",
        "0.9,output=0.5",
        "--rate",
        "0.1",
        "--set",
        "net.width=4",
        "-T",
        5,
    )
    document = json.loads(spikeloom("estimate", *words, "--json").out)
    network = untrained("vggsnn", (2, 16, 16), sparsity=0.9, by_layer={"output": 0.5}, temporal=True, options={"width": 4}, timesteps=5)
    weights = {p.target: (p.synapses.weights, p.trained.possible_weights) for p in network.projections}
    assert weights["conv2"] == (round(0.1 * 8 * 4 * 9), 8 * 4 * 9) and weights["output"] == (160, 320)
    assert document["steps"] == 5 + 9 and document["layers"][0]["name"] == "input"
    compiled = Compilation(network).run_passes().network
    assert document["synapses"] == compiled.synapses and document["neurons"] == compiled.neurons
    assert document["seconds_per_sample"] == pytest.approx(sum(part["seconds_per_step"] for part in document["step"]) * 14)
    shown = " ".join(spikeloom("estimate", *words).out.split())
    assert "per sample of 14 steps" in shown and "removed at random" in shown and "static power of 1 chip" in shown


def test_every_network_has_an_estimate_by_name() -> None:
    from spikeloom import registry
    from spikeloom.train import networks

    for net in registry.names(networks):
        options = {"hidden": (30,)} if net == "fc" else {"width": 2}
        network = untrained(net, (3, 16, 16), sparsity=0.5, options=options)
        found = estimate(Compilation(network, encoding="rate").run_passes().network, chips.load("loihi2"), 0.1)
        assert found.cores >= 1 and found.seconds_per_sample > 0, net
        shared = [p for p in network.projections if p.trained.possible_weights > 0]
        assert 0.45 < sum(p.synapses.weights for p in shared) / sum(p.trained.possible_weights for p in shared) < 0.55, net


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "No network was named"),
        (("runs/x", "--net", "fc"), "Leave one out"),
        (("runs/x", "--sparsity", "0.5"), "--sparsity: for a network by name"),
        (("runs/x", "--set", "net.width=4"), "--set net.width=: for a network by name"),
        (("--net", "fc", "--rate", "0.1"), "needs --shape"),
        (("--net", "fc", "--shape", "9"), "needs --rate"),
        (("--net", "fc", "--shape", "9,x", "--rate", "0.1"), "--shape has the size 'x'"),
        (("--net", "fc", "--shape", "9", "--rate", "0.1", "--sparsity", "half"), "--sparsity is 'half'"),
        (("--net", "fc", "--shape", "9", "--rate", "0.1", "--sparsity", "1.5"), "sparsity is 1.5"),
        (("--net", "fc", "--shape", "9", "--rate", "0.1", "--sparsity", "0,hiden=0.5"), "hidden1"),
        (("--net", "fcc", "--shape", "9", "--rate", "0.1"), "Known: 6conv2fc, fc"),
        (("--net", "fc", "--shape", "9", "--rate", "0.1", "--set", "net.widht=4"), "hidden"),
    ],
)
def test_networks_by_name_that_are_refused(words: tuple[str, ...], said: str, spikeloom: Callable[..., Any]) -> None:
    refused = spikeloom("estimate", *words)
    assert refused.code == 2 and said in " ".join(refused.err.split())


def test_chips_with_cores_of_another_kind_are_refused_with_their_target(spikeloom: Callable[..., Any]) -> None:
    for chip in ("xylo", "truenorth"):
        refused = spikeloom("estimate", "zoo:digits-gradr-10", "--chip", chip)
        assert refused.code == 2 and f"spikeloom compile --target {chip} says what fits" in refused.err
        refused = spikeloom("compile", "zoo:digits-gradr-10", "--chip", chip)
        assert refused.code == 2 and f"The target lava does not run on {chip}: that needs the target {chip}." in refused.err


def test_a_module_is_estimated_like_the_network_read_from_it() -> None:
    import torch
    from spikingjelly.activation_based import neuron

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), neuron.LIFNode(), torch.nn.Linear(8, 3), neuron.LIFNode(v_reset=None)).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(4.0)
    x = np.random.default_rng(0).random((40, 6))
    found = spikeloom.estimate(module, sample=x[:2], timesteps=4, rate=0.25)
    wanted = estimate(Compilation(module, sample=x[:2], timesteps=4).run_passes().network, chips.load("loihi2"), 0.25)
    assert found == wanted and found.fits and found.sops == 0.25 * 4 * found.synapses > 0
    measured = spikeloom.estimate(module, sample=x[:2], timesteps=4, calibration=x)
    assert measured.sops > 0 and measured.synapses == found.synapses
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "spike rates are unknown"),
        ({"rate": 1.5}, r"must be 0 to 1"),
        ({"rate": "x"}, "rate is 'x'"),
    )
    for wrong, said in cases:
        with pytest.raises(UsageError, match=said):
            spikeloom.estimate(module, sample=x[:2], timesteps=4, **wrong)
