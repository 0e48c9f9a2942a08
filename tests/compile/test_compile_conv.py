"""Passes on convolutions, gates, biases and residual branches: what they keep, exactly, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from netgen import conv_network, integer_conv_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.compiler import check_size
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.passes import check, drop_dead, encode, lower, quantise
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import DoesNotFitError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import fixed_point
from spikeloom.network import reference
from spikeloom.network.model import (
    LIF,
    InputSpec,
    Network,
    Population,
    Projection,
    Synapses,
    Threshold,
)
from spikeloom.runtime.backends import native, onnx
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

OPTIONS = BackendOptions(threads=1)


def calibration(network: Network, count: int = 20) -> Calibration:
    values = samples(network, 11, count)
    return Calibration(values, np.zeros(len(values), np.int64))


def compiled(network: Network) -> DeployedNetwork:
    """Compile; random networks whose output receives nothing are no example."""
    try:
        return compile_network(network, calibration=calibration(network))
    except NetworkError as error:
        assume("has no live synapse" not in str(error) and "cannot be reached" not in str(error))
        raise


def output_of(network: Network, events: np.ndarray) -> np.ndarray:
    return reference.simulate(network, events)[network.populations[-1].name]


# --- the passes keep the function ------------------------------------------------------------------------------------


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans())
def test_flattening_keeps_every_spike_of_the_neurons_that_are_left(seed: int, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    flat = network.flat
    events = reference.encode(network, samples(network, seed))
    before, after = reference.simulate(network, events), reference.simulate(flat.network, events)
    for name, raster in after.items():
        assert (before[name][:, :, flat.living[name]] == raster).all()
        assert not before[name][:, :, ~flat.living[name]].any()
    assert all(isinstance(p.synapses, Synapses) for p in flat.network.projections)
    assert all(p.alive is None for p in flat.network.populations)
    assert (flat.network.synapses, flat.network.neurons) == (network.synapses, network.neurons)
    for p, q in zip(network.projections, flat.network.projections, strict=True):
        assert q.trained == p.trained
        ends = flat.living[p.source], flat.living[p.target]
        assert (network.fan_out(p)[ends[0]] == flat.network.fan_out(q)).all()
        assert (network.fan_out(p)[ends[0]] == q.synapses.unrolled().fan_out).all()
        assert (network.fan_in(p)[ends[1]] == q.synapses.unrolled().fan_in).all()


def test_all_neurons_of_a_channel_have_its_bias() -> None:
    maps = Population("a", (2, 1, 3), LIF(), bias=np.array([0.5, 2], np.float32))
    assert maps.biases.tolist() == [0.5, 0.5, 0.5, 2, 2, 2]
    assert Population("b", (2,), LIF(), bias=maps.bias).biases.tolist() == [0.5, 2]


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.booleans(), st.booleans(), st.floats(0.05, 0.6))
def test_dropping_the_dead_of_maps_keeps_every_output_spike(seed: int, temporal: bool, integer: bool, share: float) -> None:
    """Channels without taps go, taps that no live pair of neurons uses go, and nothing else changes."""
    network = integer_conv_network(seed, temporal=temporal) if integer else conv_network(seed, temporal=temporal)
    rng = np.random.default_rng(seed)
    for p in network.projections:
        keep = rng.random(p.synapses.weights) < share
        network = network.with_projection(replace(p, synapses=p.synapses.select(keep)))
    try:
        dropped = drop_dead.DropDead().run(network).network
    except NetworkError as error:
        assert "has no live synapse" in str(error)
        return
    values, last = samples(network, seed), network.populations[-1].name
    if integer:
        events = reference.encode(network, values)
        before, after = (reference.simulate(n, events) for n in (network, dropped))
    else:
        before, after = (reference.simulate_float(n, values) for n in (network, dropped))
    assert (before[last] == after[last]).all()
    assert drop_dead.DropDead().run(dropped).changes == ()
    assert dropped.flat.network.synapses == dropped.synapses <= network.synapses
    for p in dropped.projections:
        ends = dropped.population(p.source).living, dropped.population(p.target).living
        assert p.synapses.used(*ends).all()


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans())
def test_what_training_exports_in_integers_deploys_with_no_change_of_a_spike(seed: int, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    try:
        deployed = compile_network(network, encoding=None if temporal else "graded").network
    except NetworkError as error:
        assert any(reason in str(error) for reason in ("has no live synapse", "cannot be reached", "would wrap"))
        return
    events = reference.encode(network, samples(network, seed))
    assert (output_of(network, events) == output_of(deployed, events)).all()
    assert deployed.votes == 2
    spikes = reference.simulate(deployed, events)
    compare(spikes, native.simulate(deployed, events, OPTIONS).spikes, "native")
    compare(spikes, onnx.simulate(deployed, events, OPTIONS).spikes, "onnx")


@settings(max_examples=examples(10), deadline=None)
@given(seeds)
def test_gates_between_integer_layers_are_lowered_too(seed: int) -> None:
    """Training in integers may hand its gates over as what they are, with float weights of 1."""
    network = integer_conv_network(seed, temporal=True)
    events = reference.encode(network, samples(network, seed))
    gates = conv_network(seed, temporal=True)
    mixed = network  # with gates; `network` has neurons that count ones, of which nothing is left over at such low levels
    for population in gates.spiking:
        if isinstance(population.neuron, Threshold):
            mixed = mixed.with_population(population)
            for projection in gates.inputs_of(population.name):
                mixed = mixed.with_projection(projection)
                ones = projection.synapses.with_data(projection.synapses.data.astype(np.int32))
                network = network.with_projection(replace(projection, synapses=ones, weight_bits=8))
    try:
        deployed = compile_network(mixed).network
    except NetworkError as error:
        assert any(reason in str(error) for reason in ("has no live synapse", "cannot be reached", "would wrap"))
        return
    assert (output_of(network, events) == output_of(deployed, events)).all()


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.booleans())
def test_quantised_networks_run_the_same_everywhere(seed: int, temporal: bool) -> None:
    network = conv_network(seed, temporal=temporal)
    deployed = compiled(network).network
    values = samples(network, seed, 9)
    events = reference.encode(deployed, values)
    spikes = reference.simulate(deployed, events)
    compare(spikes, native.simulate(deployed, events, OPTIONS).spikes, "native")
    compare(spikes, onnx.simulate(deployed, events, OPTIONS).spikes, "onnx")
    output = network.populations[-1].name
    assert np.mean(reference.simulate_float(network, values)[output] != spikes[output]) < 0.25


def test_quantisation_hardly_moves_a_busy_network() -> None:
    wrong: list[float] = []
    for seed in (3, 6, 9, 10, 11):
        network = conv_network(seed)
        deployed = compiled(network).network
        values = samples(network, seed, 50)
        floats = reference.simulate_float(network, values)["output"]
        assert floats.mean() > 0.1
        wrong.append(float(np.mean(floats != output_of(deployed, reference.encode(deployed, values)))))
    assert np.mean(wrong) < 0.02


# --- gates -----------------------------------------------------------------------------------------------------------


def gate_network(rng: np.random.Generator, level: float, *, biased: bool, inputs: int = 40, spec: InputSpec | None = None) -> Network:
    """Binary events straight into a gate, by whole weights of both signs."""
    weights = rng.integers(-3, 4, (6, inputs)).astype(np.float32)
    bias = rng.normal(0, 3, 6).astype(np.float32) if biased else None
    populations = (Population("input", (inputs,), None), Population("gate", (6,), Threshold(level), bias=bias))
    return Network(populations, (Projection("p", "input", "gate", Synapses.from_dense(weights)),), 12, spec or InputSpec(1, 1.0, "events"))


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.floats(0.1, 40.0), st.booleans(), st.sampled_from([0.02, 0.3, 0.9]))
def test_gates_are_lowered_exactly(seed: int, level: float, biased: bool, density: float) -> None:
    rng = np.random.default_rng(seed)
    network = gate_network(rng, level, biased=biased)
    lowered = lower.Lower().run(network).network
    events = (rng.random((20, 12, 40)) < density).astype(np.uint8)
    assert (reference.simulate_float(network, events)["gate"] == reference.simulate(lowered, events)["gate"]).all()
    assert fixed_point.holds_bias(lowered.populations[1].biases).all()


@pytest.mark.parametrize("level", [1, 2, 2047])
def test_gates_are_exact_up_to_the_limits_of_their_proof(level: int) -> None:
    """The lowest potential that the proof allows, then the sums next to the level on both sides."""
    weights = np.array([[127.0] * 16 + [15.0] + [-127.0] * 16 + [-15.0] + [1.0]], np.float32)  # sums of -2047..2048
    populations = (Population("input", (35,), None), Population("gate", (1,), Threshold(level)))
    projection = Projection("p", "input", "gate", Synapses.from_dense(weights))
    network = Network(populations, (projection,), 40, InputSpec(1, 1.0, "events"))
    lowered = lower.Lower().run(network).network
    rng = np.random.default_rng(0)
    events = np.zeros((60, 40, 35), np.uint8)
    events[:, ::2, 17:34] = 1  # -2047
    events[:, 1::2] = rng.random((60, 20, 35)) < 0.5
    events[:20, 1::2] = np.isin(np.arange(35), np.arange(17))  # 2047
    events[20:40, 1::2] = np.arange(35) == 34  # 1
    float_spikes = reference.simulate_float(network, events)["gate"]
    assert (float_spikes == reference.simulate(lowered, events)["gate"]).all()
    assert float_spikes.any()


def test_a_gate_on_held_samples_counts_them_at_every_step() -> None:
    network = replace(gate_network(np.random.default_rng(3), 2.0, biased=False), input=InputSpec(4, 0.5, "direct"), timesteps=5)
    values = np.random.default_rng(4).integers(0, 5, (30, 40)).astype(np.uint8)
    expected = reference.simulate_float(network, values)["gate"]
    for encoding in ("current", "graded"):
        encoded = encode.Encode(chips.load("loihi2"), encoding).run(network).network
        lowered = lower.Lower().run(encoded).network
        assert (reference.simulate(lowered, reference.encode(lowered, values))["gate"] == expected).all()


@pytest.mark.parametrize(("weight", "level", "message"), [(0.5, 1.0, "whole numbers"), (1.0, 3000.0, "tells levels up to 2,047")])
def test_gates_beyond_the_neuron_are_named(weight: float, level: float, message: str) -> None:
    populations = (Population("input", (4,), None), Population("gate", (2,), Threshold(level)))
    projection = Projection("p", "input", "gate", Synapses.from_dense(np.full((2, 4), weight, np.float32)))
    with pytest.raises(NetworkError, match=message):
        lower.Lower().run(Network(populations, (projection,), 4, InputSpec(1, 1.0, "events")))


def test_a_sum_one_below_what_the_proof_allows_is_named() -> None:
    populations = (Population("input", (18,), None), Population("gate", (1,), Threshold(1)))
    weights = np.array([[-127.0] * 16 + [-16.0, 1.0]], np.float32)  # sums down to -2048
    network = Network(populations, (Projection("p", "input", "gate", Synapses.from_dense(weights)),), 4, InputSpec(1, 1.0, "events"))
    with pytest.raises(NetworkError, match=r"sums of -2,048 to 1;"):
        lower.Lower().run(network)


@pytest.mark.parametrize("unit", [1.0, 0.1, 1 / 3, 0.2, 1 / 9, 1 / 255])
def test_whole_levels_are_the_first_sums_that_reach_the_level(unit: float) -> None:
    """Where dividing by the unit rounds to either side of a whole number, too."""
    bias = np.array([0.0, 0.1, -0.3, 0.7], np.float32)
    for steps in range(1, 30):
        level = steps * unit
        reached = np.arange(-40, 400)[:, None] * unit + bias.astype(np.float64) >= level
        population = Population("gate", (4,), Threshold(level), bias=bias)
        if reached.any(axis=0).all():
            first = reached.argmax(axis=0) - 40
            assert (lower.whole_levels(population, Threshold(level), unit) == np.where(reached[0], 0, first))[~reached[0]].all()


# --- biases, branches, neurons that were removed ---------------------------------------------------------------------


def driven(bias: float, *, branch: float = 1.0) -> Network:
    """input -> a (one neuron with no synapse but a bias) -> output, and input -> output past it."""
    eye = np.eye(3, dtype=np.float32)
    populations = (
        Population("input", (3,), None),
        Population("a", (3,), LIF(), bias=np.array([bias, 0.0, 0.0], np.float32)),
        Population("output", (3,), LIF()),
    )
    projections = (
        Projection("input_a", "input", "a", Synapses.from_dense(eye * np.array([0, 3, 3], np.float32)[:, None])),
        Projection("a_output", "a", "output", Synapses.from_dense(eye * branch)),
        Projection("input_output", "input", "output", Synapses.from_dense(2.5 * eye)),
    )
    return Network(populations, projections, 6)


def test_a_neuron_that_spikes_by_its_bias_alone_stays() -> None:
    network = driven(2.5)
    deployed = compile_network(network, encoding="graded", calibration=calibration(network))
    assert deployed.network.population("a").size == 3
    events = reference.encode(deployed.network, np.zeros((1, 3), np.uint8))
    spikes = reference.simulate(deployed.network, events)["a"]
    assert spikes[0, :, 0].all()
    assert (spikes == reference.simulate_float(network, np.zeros((1, 3), np.uint8))["a"]).all()


def test_a_bias_that_excites_nothing_does_not_keep_its_neuron() -> None:
    network = driven(-2.5)
    assert compile_network(network, encoding="graded", calibration=calibration(network)).network.population("a").size == 2


def test_a_dead_branch_goes_with_a_warning_and_a_dead_network_is_refused() -> None:
    network = driven(0.0, branch=0.0)
    deployed = compile_network(network, calibration=calibration(network))
    assert [p.name for p in deployed.network.populations] == ["input", "output"]
    assert "Layer a cannot matter to the output and was dropped." in deployed.warnings
    alone = replace(network, projections=network.projections[:2])
    with pytest.raises(NetworkError, match="Layer output has no live synapse"):
        compile_network(alone, calibration=calibration(alone))


def test_removed_neurons_neither_spike_nor_cost() -> None:
    """A positive bias would fire a neuron that training removed."""
    network = driven(2.5)
    alive = np.array([False, True, True])
    network = network.with_population(replace(network.population("a"), alive=alive))
    values = samples(network, 5)
    before = reference.simulate_float(network, values)["output"]
    cut = drop_dead.DropDead().run(network).network
    assert cut.population("a").size == 2
    assert (reference.simulate_float(cut, values)["output"] == before).all()


def test_float_biases_of_integer_neurons_are_refused() -> None:
    network = integer_conv_network(9, temporal=True)
    bias = np.full(network.populations[1].shape[0], 0.5, np.float32)
    with pytest.raises(NetworkError, match="Layer conv1 has integer neurons but biases in floating point"):
        check.Check().run(network.with_population(replace(network.populations[1], bias=bias)))


def test_what_arrives_together_shares_its_gain() -> None:
    rng = np.random.default_rng(2)
    shared = Synapses.from_dense(rng.normal(0, 0.02, (8, 8)).astype(np.float32))
    shortcut = Synapses.from_dense(np.eye(8, dtype=np.float32))
    populations = (Population("input", (8,), None), *(Population(n, (8,), LIF()) for n in ("a", "b", "c")))
    projections = (
        Projection("input_a", "input", "a", Synapses.from_dense(rng.normal(0.3, 1, (8, 8)).astype(np.float32))),
        Projection("a_b", "a", "b", Synapses.from_dense(rng.normal(0.3, 1, (8, 8)).astype(np.float32))),
        Projection("a_c", "a", "c", shared),
        Projection("b_c", "b", "c", shared),
        Projection("a_c_shortcut", "a", "c", shortcut),
    )
    network = Network(populations, projections, 4, InputSpec(encoding="graded"))
    first, second, straight = quantise.Quantise(8).run(network).network.inputs_of("c")
    assert first.exponent == second.exponent < straight.exponent
    assert (first.synapses.data == second.synapses.data).all()
    for p, original in ((first, shared), (straight, shortcut)):
        assert np.abs(p.synapses.data).max() >= 64  # all of its bits are used
        stands_for = p.synapses.data * 2.0**p.exponent / p.scale
        assert np.abs(stands_for - original.data).max() <= 0.5 * 2.0**p.exponent / p.scale


def test_too_many_synapses_are_refused_by_layer_count_limit_and_way_out() -> None:
    network = conv_network(1)
    with pytest.raises(DoesNotFitError, match=r"most of them in layer \w+ \([\d,]+\); the compiler holds 100, .*higher sparsity"):
        check_size(network, limit=100)
    check_size(network)


def test_a_shortcut_from_the_samples_takes_the_first_encoding_that_allows_it() -> None:
    network = driven(2.5)
    assert compile_network(network, calibration=calibration(network)).network.input.encoding == "graded"
    straight = replace(driven(2.5, branch=3.0), projections=driven(2.5, branch=3.0).projections[:2])
    assert compile_network(straight, calibration=calibration(straight)).network.input.encoding == "current"
    with pytest.raises(UsageError, match=r"Layer output has inputs besides the samples \(a\): --encoding current .* Use --encoding graded"):
        compile_network(network, encoding="current")
