"""Estimates on paper: bounds that the mapping keeps to, counts that the run confirms, networks past any memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from netgen import Labelled, conv_network, float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.compiler import Compilation
from spikeloom.compile.estimate import estimate
from spikeloom.errors import NetworkError, UsageError
from spikeloom.formats.onnx import write
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run


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


def test_rates_are_shares() -> None:
    network = Compilation(float_network(3), encoding="rate").run_passes().network
    with pytest.raises(UsageError, match=r"rate is 1\.5"):
        estimate(network, chips.load("loihi2"), 1.5)


def test_the_command(tmp_path: Path, spikeloom: Callable[..., Any]) -> None:
    path = tmp_path / "model.onnx"
    write(float_network(3), path)
    refused = spikeloom("estimate", path)
    assert refused.code == 2
    assert "Give one with --rate" in refused.err
    document = json.loads(spikeloom("estimate", path, "--rate", "0.1", "--json").out)
    assert document["cores"] == 1
    assert document["joules_per_sample"] > 0
    shown = " ".join(spikeloom("estimate", path, "--rate", "0.1").out.split())
    assert "At least 1 core of loihi2 on 1 chip: fits Hala Point" in shown
    assert "Cores that each limit asks for" in shown
    assert all(limit in shown for limit in ("neurons", "synapse words", "input axons", "output axons"))
    assert "by the model loihi2" in shown and "assumed" in shown
