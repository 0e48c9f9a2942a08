"""Counts by core and step against brute force, and against the counts of a run without steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, integer_conv_network, integer_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.errors import NetworkError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network import reference
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions

BY_STEP = BackendOptions(threads=2, by_step=True)


def tiny_cores() -> Chip:
    """Loihi 2 with 8 neurons a core, so that small networks take several."""
    chip = chips.load("loihi2")
    limits = chip.limits.model_copy(update={"neurons": chip.limits.neurons.model_copy(update={"value": 8.0})})
    return chip.model_copy(update={"limits": limits})


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans(), st.sampled_from([1, 2, 9, 70]), st.booleans())
def test_the_native_simulator_counts_by_step(seed: int, maps: bool, count: int, rasters: bool) -> None:
    network = integer_conv_network(seed) if maps else integer_network(seed, encoding="rate")
    events = reference.encode(network, samples(network, seed, count))
    expected = reference.simulate(network, events)
    recording = native.simulate(network, events, replace(BY_STEP, rasters=rasters))
    for name, raster in expected.items():
        counted = recording.by_step[name] if recording.by_step else recording.spikes[name].sum(axis=0)
        assert (counted == raster.sum(axis=0)).all()


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.sampled_from(["current", "graded", "rate", "host"]))
def test_a_run_counts_by_core_and_step(seed: int, encoding: str) -> None:
    try:
        deployed = compile_network(float_network(seed, sizes=(30, 25, 12, 6)), chip=tiny_cores(), encoding=encoding)  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return  # a random network may have a dead layer
    data = Labelled(values=samples(deployed.network, seed, 6), labels=np.zeros(6, np.int64))
    results = run(deployed, data, options=BY_STEP)
    assert results.by_step is not None
    sops, messages, entering = brute_force(deployed, data.values)
    cores = results.by_step.cores
    assert np.asarray(cores.sops) * 6 == pytest.approx(sops)
    assert np.asarray(cores.messages) * 6 == pytest.approx(messages)
    assert np.asarray(results.by_step.input_messages) * 6 == pytest.approx(entering)
    for kind in ("sops", "spikes", "messages"):
        assert np.sum(getattr(cores, kind), axis=1) == pytest.approx([getattr(c, f"{kind}_per_sample") for c in results.cores])
    for row in results.by_step.populations:
        layer = next((r for r in results.layers if r.name == row.name), None)
        assert layer is None or sum(row.spikes) == pytest.approx(layer.spikes_per_sample)
    assert run(deployed, data).by_step is None


def brute_force(deployed: DeployedNetwork, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk over every spike and synapse: SOPs and messages by core and step, and the messages from off chip by step."""
    network, core_of, steps = deployed.network, deployed.mapping.core_of, deployed.network.timesteps
    streams = {network.populations[0].name: reference.encode(network, values) > 0} | reference.simulate(
        network, reference.encode(network, values)
    )
    starts, place = {}, 0
    for p in network.on_chip:
        starts[p.name] = place + np.cumsum(p.living) - 1
        place += p.count
    sops, messages = (np.zeros((deployed.mapping.cores, steps)) for _ in range(2))
    entering = np.zeros(steps)
    for population in network.senders:
        for neuron in np.flatnonzero(population.living):
            spikes = streams[population.name][:, :, neuron].sum(axis=0)
            reached: set[int] = set()
            for projection in network.outputs_of(population.name):
                targets = np.flatnonzero(projection.synapses.to_dense()[:, neuron])
                for core in core_of[starts[projection.target][targets]].tolist():
                    sops[core] += spikes
                    reached.add(core)
            if population.name in starts:
                messages[core_of[starts[population.name][neuron]]] += len(reached) * spikes
            else:
                entering += len(reached) * spikes
    return sops, messages, entering
