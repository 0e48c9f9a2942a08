"""Counts against brute force; energy and time against their definition; results.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.errors import FormatError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network import reference
from spikeloom.network.model import Stage
from spikeloom.runtime import load_results, run


def tiny_cores() -> Chip:
    """Loihi 2 with 8 neurons a core and one core a tile, so that small networks cross the mesh."""
    chip = chips.load("loihi2")
    limits = chip.limits.model_copy(update={"neurons": chip.limits.neurons.model_copy(update={"value": 8.0})})
    return chip.model_copy(update={"limits": limits, "mesh": chip.mesh.model_copy(update={"cores_per_tile": 1, "columns": 16, "rows": 8})})


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.sampled_from(["current", "graded", "rate", "host"]))
def test_counts_equal_brute_force(seed: int, encoding: str) -> None:
    try:
        deployed = compile_network(float_network(seed, sizes=(30, 25, 12, 6)), chip=tiny_cores(), encoding=encoding)  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return  # a random network may have a dead layer
    data = Labelled(values=samples(deployed.network, seed, 6), labels=np.zeros(6, np.int64))
    results = run(deployed, data, check=True)
    sops, messages, hops = brute_counts(deployed, data.values)
    assert results.sops_per_sample == pytest.approx(sops / 6)
    assert results.messages_per_sample == pytest.approx(messages / 6)
    assert results.hops_per_sample == pytest.approx(hops / 6)
    assert sum(c.sops_per_sample for c in results.cores) == pytest.approx(results.sops_per_sample)
    entering = sum(results.traffic.input_messages_per_sample or [])
    assert sum(c.messages_per_sample for c in results.cores) + entering == pytest.approx(results.messages_per_sample)
    host = any(layer.place == "host" for layer in results.layers)
    sent = sum(layer.messages_per_sample or 0.0 for layer in results.layers)
    assert sent + (0.0 if host else entering) == pytest.approx(results.messages_per_sample)
    assert sum(layer.sops_per_sample for layer in results.layers) == pytest.approx(results.sops_per_sample)
    network = deployed.network
    off = {p.name for p in network.populations if p.neuron is not None and p.place == "host"}
    assert bool(off) == host == (encoding == "host")
    assert results.host_macs_per_sample == sum(np.count_nonzero(p.synapses.to_dense()) for p in network.projections if p.target in off)
    updates = network.timesteps * sum(p.size for p in network.on_chip)
    assert results.neuron_updates_per_sample == sum(c.neuron_updates_per_sample for c in results.cores) == updates
    assert results.latency.steps == network.timesteps + (2 if host else 3)


def brute_counts(deployed: DeployedNetwork, values: np.ndarray) -> tuple[int, int, int]:
    network = deployed.network
    events = reference.encode(network, values)
    streams = {network.populations[0].name: events > 0} | reference.simulate(network, events)
    chip = {p.name for p in network.on_chip}
    sops = messages = hops = 0
    for population in network.populations:
        for neuron in range(population.size):
            spikes = int(streams[population.name][:, :, neuron].sum())
            reached: set[int] = set()
            for p in network.outputs_of(population.name):
                if p.target in chip:
                    rows = np.flatnonzero(p.synapses.to_dense()[:, neuron])
                    sops += spikes * len(rows)
                    reached |= set(deployed.cores_of(p.target)[rows].tolist())
            start = deployed.mapping.tile_of[deployed.cores_of(population.name)[neuron]] if population.name in chip else np.asarray([0, 0])
            messages += spikes * len(reached)
            hops += spikes * sum(int(np.abs(deployed.mapping.tile_of[c] - start).sum()) for c in reached)
    return sops, messages, hops


def test_energy_is_the_sum_of_counts_times_prices() -> None:
    network = float_network(6, sizes=(40, 30, 10))
    data = Labelled(values=samples(network, 1, 20), labels=np.zeros(20, np.int64))
    with pytest.raises(UsageError, match="The model truenorth prices another machine"):
        run(compile_network(network), data, energy_model="truenorth")
    results = run(compile_network(network), data, energy_model="loihi-silicon")
    assert results.energy.model == "loihi-silicon"
    for part in results.energy.components:
        if part.joules_per_unit is not None:
            assert part.joules_per_sample == pytest.approx(part.count_per_sample * part.joules_per_unit)
    static = results.energy.components[-1]
    seconds = results.latency.seconds_per_step * network.timesteps
    assert static.joules_per_sample == pytest.approx(0.104 * seconds)
    assert results.energy.joules_per_sample == pytest.approx(sum(p.joules_per_sample for p in results.energy.components))
    updates = [p.count_per_sample for p in results.energy.components if p.name.startswith("neuron updates")]
    assert min(updates) > 0 and sum(updates) == pytest.approx(results.neuron_updates_per_sample)
    sops = [p for p in results.energy.components if p.name.startswith("synaptic operations")]  # of both formats
    assert [p.joules_per_unit for p in sops] == pytest.approx([33.6e-12, 35.5e-12])
    assert sum(p.count_per_sample for p in sops) == pytest.approx(results.sops_per_sample)
    assert results.latency.steps == network.timesteps + 2
    assert results.latency.seconds_per_step == pytest.approx(sum(c.seconds_per_step for c in results.latency.components))


def test_results_round_trip_and_damage(tmp_path: Path) -> None:
    network = float_network(6, sizes=(40, 30, 10))
    data = Labelled(values=samples(network, 1, 5), labels=np.zeros(5, np.int64))
    results = run(compile_network(network), data)
    path = results.save(tmp_path / "results.json")
    assert load_results(path) == results
    path.write_text(path.read_text()[:100])
    with pytest.raises(FormatError, match="is not results"):
        load_results(path)
    path.write_text("{}")
    with pytest.raises(FormatError, match="does not hold results"):
        load_results(path)
    path.write_text('{"format": "spikeloom.results", "version": 9}')
    with pytest.raises(FormatError, match="version 9"):
        load_results(path)
    path.write_text('{"format": "spikeloom.results", "version": 1}')
    with pytest.raises(FormatError, match="damaged"):
        load_results(path)


def test_a_fall_in_accuracy_is_a_warning() -> None:
    network = replace(float_network(6, sizes=(40, 30, 10)), stages=(Stage("float", 0.98, 1000),))
    data = Labelled(samples(network, 1, 50), np.full(50, 9))
    results = run(compile_network(network), data)
    assert results.accuracy is not None and results.accuracy < 0.9
    assert any("Accuracy fell from 98.00% (float)" in w for w in results.warnings)


def test_fewer_samples_than_asked_for_are_a_warning() -> None:
    deployed = compile_network(float_network(6, sizes=(40, 30, 10)))
    data = Labelled(samples(deployed.network, 1, 5), np.zeros(5, np.int64))
    assert run(deployed, data, samples=6).warnings[-1] == "--samples asks for 6; the data holds 5, which were all run."
    assert run(deployed, data, samples="first:6").warnings[-1] == "--samples asks for 6; the data holds 5, which were all run."
    assert run(deployed, data, samples=5).warnings == run(deployed, data).warnings


def test_samples_that_do_not_fit_are_refused() -> None:
    network = float_network(6, sizes=(40, 30, 10))
    deployed = compile_network(network)
    with pytest.raises(UsageError, match=r"have the shape \(39,\); the network takes \(40,\)"):
        run(deployed, Labelled(values=np.zeros((2, 39), np.uint8), labels=np.zeros(2, np.int64)))
    with pytest.raises(UsageError, match="--samples is 0"):
        run(deployed, Labelled(values=np.zeros((2, 40), np.uint8), labels=np.zeros(2, np.int64)), samples=0)
    with pytest.raises(UsageError, match=r"no backend called 'lva'\. Did you mean 'lava'"):
        run(deployed, Labelled(values=np.zeros((2, 40), np.uint8), labels=np.zeros(2, np.int64)), backend="lva")
