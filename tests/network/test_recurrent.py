"""Recurrent networks: the reference against plain loops, every backend against the reference, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, graph_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network
from spikeloom.compile.passes import balance, drop_dead, encode, lower, quantise
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import BackendError, NetworkError, UsageError
from spikeloom.formats import onnx as model_onnx
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import fixed_point
from spikeloom.network import reference, timing
from spikeloom.network.model import LIF, IntegerLIF, Network, Population, Projection, Synapses, Threshold
from spikeloom.runtime import run
from spikeloom.runtime.backends import lava, native, onnx
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare
from test_runtime import brute_counts, tiny_cores

OPTIONS = BackendOptions(threads=1)
needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")
graphs = {"hidden": st.integers(0, 5), "backward": st.integers(1, 4), "lags": st.booleans(), "slack": st.booleans()}


def dense(weights: Any) -> Synapses:
    return Synapses.from_dense(np.asarray(weights, np.int32))


def small(*projections: Projection, sizes: tuple[int, ...], timesteps: int = 6, neuron: IntegerLIF | None = None) -> Network:
    """Populations x, a, b, ... without memory (threshold 0, so that any input of 1 makes a spike), and the given projections."""
    neuron = neuron or IntegerLIF(4095, 4095, 0)
    populations = [Population(n, (s,), None if i == 0 else neuron) for i, (n, s) in enumerate(zip("xabcd", sizes, strict=False))]
    return replace(graph_network(0), populations=tuple(populations), projections=projections, timesteps=timesteps)


def wire(source: str, target: str, weights: Any, lag: int = 0) -> Projection:
    return Projection(f"{source}{target}", source, target, dense(weights), 0, 8, lag=lag)


# --- equal spikes ----------------------------------------------------------------------------------------------------


def in_plain_loops(network: Network, events: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """All populations in their order in every step, from the dense matrices."""
    samples_, steps, _ = events.shape
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: events.astype(np.int64)}
    streams |= {p.name: np.zeros((samples_, steps, p.size), np.int64) for p in network.spiking}
    state = {p.name: (np.zeros((samples_, p.size), np.int64),) * 2 for p in network.spiking}
    for t in range(steps):
        for p in network.spiking:
            a = np.zeros((samples_, p.size), np.int64)
            for q in network.inputs_of(p.name):
                if t - q.lag >= 0:
                    sums = streams[q.source][:, t - q.lag] @ q.synapses.unrolled().to_dense().T.astype(np.int64)
                    a += sums << q.exponent if q.exponent >= 0 else sums >> -q.exponent
            n = p.neuron
            assert isinstance(n, IntegerLIF)
            u, v, s = fixed_point.lif_step(
                state[p.name][0], state[p.name][1], a, du=n.du, dv=n.dv, vth=n.vth, bias=p.biases.astype(np.int64)
            )
            state[p.name], streams[p.name][:, t] = (u, v), s
    return {p.name: streams[p.name] > 0 for p in network.spiking}


@settings(max_examples=examples(100), deadline=None)
@given(seeds, st.integers(1, 7), st.sampled_from(["rate", "graded"]), st.fixed_dictionaries(graphs))
def test_the_reference_is_what_plain_loops_give(seed: int, timesteps: int, encoding: str, graph: dict[str, Any]) -> None:
    network = graph_network(seed, timesteps=timesteps, encoding=encoding, **graph)
    events = reference.encode(network, samples(network, seed, 3), seed=seed)
    compare(in_plain_loops(network, events), reference.simulate(network, events), "reference")


@settings(max_examples=examples(100), deadline=None)
@given(seeds, st.integers(1, 7), st.sampled_from(["rate", "graded"]), st.integers(1, 70), st.booleans(), st.fixed_dictionaries(graphs))
def test_native_equals_reference(seed: int, timesteps: int, encoding: str, count: int, dead: bool, graph: dict[str, Any]) -> None:
    network = graph_network(seed, timesteps=timesteps, encoding=encoding, **graph)
    if dead:  # neurons that were removed and still stand in their population
        rng = np.random.default_rng(seed)
        populations = (network.populations[0], *(replace(p, alive=rng.random(p.size) < 0.7) for p in network.spiking))
        network = replace(network, populations=populations)
    events = reference.encode(network, samples(network, seed, count), seed=seed)
    compare(reference.simulate(network, events), native.simulate(network, events, OPTIONS).spikes, "native")


def test_native_counts_active_updates_of_a_cycle() -> None:
    """One neuron that leaks nothing, excited by one input spike at step 1 and by itself from then on."""
    network = small(wire("x", "a", [[3]]), wire("a", "a", [[5]], lag=2), sizes=(1, 1), timesteps=7, neuron=IntegerLIF(4095, 0, 2))
    events = np.zeros((2, 7, 1), np.uint8)
    events[0, 1] = 1
    recording = native.simulate(network, events, OPTIONS)
    assert recording.spikes["a"][0, :, 0].tolist() == [False, True, False, True, False, True, False]
    assert not recording.spikes["a"][1].any()
    assert recording.active is not None
    assert recording.active["a"].tolist() == [3]


def check_lava(seed: int, timesteps: int, count: int, batch_size: int | None, max_delay: int, graph: dict[str, Any]) -> None:
    network = graph_network(seed, timesteps=timesteps, **graph)
    try:
        network = balance.Balance(max_delay).run(network).network
    except NetworkError as error:
        assert "closes the loop" in str(error)
        assert not graph["slack"]
        return
    events = reference.encode(network, samples(network, seed, count), seed=seed)
    found = lava.simulate(network, events, BackendOptions(batch_size=batch_size, time_limit=120)).spikes
    compare(reference.simulate(network, events), found, "lava")


LAVA = given(
    seed=seeds,
    timesteps=st.integers(1, 6),
    count=st.integers(1, 7),
    batch_size=st.none() | st.integers(1, 3),
    max_delay=st.sampled_from([0, 1, 63]),
    graph=st.fixed_dictionaries(graphs),
)


@needs_lava
@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@LAVA
def test_lava_equals_reference(
    seed: int, timesteps: int, count: int, batch_size: int | None, max_delay: int, graph: dict[str, Any]
) -> None:
    check_lava(seed, timesteps, count, batch_size, max_delay, graph)


@needs_lava
@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@LAVA
def test_lava_equals_reference_on_many(
    seed: int, timesteps: int, count: int, batch_size: int | None, max_delay: int, graph: dict[str, Any]
) -> None:
    check_lava(seed, timesteps, count, batch_size, max_delay, graph)


@needs_lava
@pytest.mark.parametrize("max_delay", [0, 63])
def test_no_spike_gets_into_the_next_sample(max_delay: int) -> None:
    """a and b wake each other up for ever after one spike; the sample after it in the stream has none, so all must be silent."""
    loop = wire("a", "b", [[9]]), wire("b", "a", [[9]], lag=3), wire("b", "b", [[9]], lag=4), wire("x", "b", [[9]], lag=2)
    network = balance.Balance(max_delay).run(small(wire("x", "a", [[9]]), *loop, sizes=(1, 1, 1))).network
    events = np.zeros((4, 6, 1), np.uint8)
    events[0, 0] = events[2, 5] = 1
    found = lava.simulate(network, events, BackendOptions(batch_size=1, time_limit=120)).spikes
    compare(reference.simulate(network, events), found, "lava")
    assert found["b"][0].sum() >= 3
    assert found["a"][0, -1] or found["b"][0, -1] or found["b"][0, -2], "nothing was in flight: the test shows nothing"
    assert not any(s[[1, 3]].any() for s in found.values())


# --- what cannot matter ----------------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.fixed_dictionaries(graphs))
def test_dropping_the_dead_keeps_every_output_spike(seed: int, graph: dict[str, Any]) -> None:
    network = graph_network(seed, **graph)
    try:
        dropped = drop_dead.DropDead().run(network).network
    except NetworkError as error:
        assert "has no live synapse" in str(error)
        return
    events = reference.encode(network, samples(network, seed), seed=seed)
    assert (reference.simulate(network, events)["output"] == reference.simulate(dropped, events)["output"]).all()
    assert drop_dead.DropDead().run(dropped).changes == ()


def test_a_cycle_does_not_keep_itself_alive() -> None:
    """Neuron 1 of a is excited by itself alone, c by itself and a's neuron 1: none can ever begin. b receives from them all."""
    projections = (
        wire("x", "a", [[9], [0]]),
        wire("a", "a", [[0, 0], [0, 9]], lag=1),
        wire("a", "b", [[0, 9]]),
        wire("b", "b", [[9]], lag=1),
        wire("a", "c", [[9, 9]]),
        wire("b", "c", [[9]]),
    )
    result = drop_dead.DropDead().run(small(*projections, sizes=(1, 2, 1, 1)))
    assert [(p.name, p.size) for p in result.network.populations] == [("x", 1), ("a", 1), ("c", 1)]
    assert {(p.name, p.synapses.count) for p in result.network.projections} == {("xa", 1), ("ac", 1)}
    assert result.warnings == ("Layer b cannot matter to the output and was dropped.",)


def test_a_cycle_that_nobody_hears_is_dropped() -> None:
    projections = wire("x", "a", [[9]]), wire("a", "b", [[9]]), wire("b", "a", [[9]], lag=2), wire("x", "c", [[9]])
    result = drop_dead.DropDead().run(small(*projections, sizes=(1, 1, 1, 1)))
    assert [p.name for p in result.network.populations] == ["x", "c"]


def test_a_bias_begins_a_cycle() -> None:
    network = small(wire("x", "b", [[9]]), wire("a", "a", [[9]], lag=1), wire("a", "b", [[9]]), sizes=(1, 1, 1))
    assert [p.name for p in drop_dead.DropDead().run(network).network.populations] == ["x", "b"]
    network = network.with_population(replace(network.populations[1], bias=np.array([64], np.int32)))
    assert [p.name for p in drop_dead.DropDead().run(network).network.populations] == ["x", "a", "b"]


def test_what_an_output_that_never_spikes_sends_is_dropped() -> None:
    """Output neurons stay, whatever becomes of them; the synapses back from those that cannot spike go."""
    back = Projection("ba", "b", "a", dense([[0, 9]]), 0, 8, lag=1)
    network = small(wire("x", "a", [[9]]), wire("a", "b", [[9], [0]]), back, sizes=(1, 1, 2))
    dropped = drop_dead.DropDead().run(network).network
    assert [p.name for p in dropped.projections] == ["xa", "ab"] and dropped.populations[-1].size == 2


# --- what is refused -------------------------------------------------------------------------------------------------


def test_a_loop_without_lag_is_refused() -> None:
    for target in ("a", "b"):
        with pytest.raises(NetworkError, match=rf"Projection b{target} runs back from b to {target} with a lag of 0.*at least 1"):
            small(wire("x", "a", [[1]]), wire("a", "b", [[1]]), wire("b", target, [[1]]), sizes=(1, 1, 1))
    with pytest.raises(NetworkError, match="leads into the input x"):
        small(wire("x", "a", [[1]]), wire("a", "x", [[1]], lag=1), sizes=(1, 1))


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_a_lag_too_small_for_the_chip_is_named_with_the_need(lag: int) -> None:
    chain = wire("x", "a", [[1]]), wire("a", "b", [[1]]), wire("b", "c", [[1]])
    network = small(*chain, wire("c", "a", [[1]], lag=lag), sizes=(1, 1, 1, 1))
    reference.simulate(network, np.ones((1, 6, 1), np.uint8))  # no chip, no need
    if lag == 3:
        assert [p.delay for p in balance.Balance(63).run(network).network.projections] == [0, 0, 0, 0]
        return
    with pytest.raises(NetworkError, match=rf"Projection ca closes the loop a -> b -> c -> a with a lag of {lag}.*a lag of at least 3"):
        balance.Balance(63).run(network)


def test_a_lag_in_a_loop_moves_the_whole_loop_behind_a_longer_path() -> None:
    """d receives from x by way of a, b, c; it and a second neuron excite each other with just the lag they need."""
    long = wire("x", "a", [[1]]), wire("a", "b", [[1]]), wire("b", "c", [[1]])
    around = Projection("xd", "x", "d", dense([[1]]), 0, 8), wire("c", "d", [[1]]), wire("d", "c", [[1]], lag=2)
    network = balance.Balance(63).run(small(*long, *around, sizes=(1, 1, 1, 1, 1))).network
    assert network.arrivals() == {"x": 0, "a": 1, "b": 2, "c": 3, "d": 4}
    assert {p.name: p.delay for p in network.projections} == {"xa": 0, "ab": 0, "bc": 0, "xd": 3, "cd": 0, "dc": 0}


def test_what_no_path_joins_with_the_input_starts_at_one() -> None:
    """Whichever of its populations is named first, and where nothing is joined at all."""
    edges = wire("x", "a", [[1]]), wire("b", "c", [[1]])
    for names in (("x", "a", "b", "c"), ("x", "c", "a", "b")):
        assert timing.arrivals(names, edges) == timing.depths(names, edges) == {"x": 0, "a": 1, "b": 1, "c": 2}
    assert timing.arrivals(("x", "a"), ()) == timing.depths(("x", "a"), ()) == {"x": 0, "a": 1}


def test_a_handover_file_holds_no_lags() -> None:
    network = small(wire("x", "a", [[1]]), wire("a", "a", [[1]], lag=1), sizes=(1, 1))
    with pytest.raises(NetworkError, match="Projection aa has a lag of 1"):
        model_onnx.to_bytes(network)
    with pytest.raises(BackendError, match="--backend native, or lava"):
        onnx.simulate(network, np.ones((1, 6, 1), np.uint8), OPTIONS)


# --- from a float network to the chip --------------------------------------------------------------------------------


def looped(seed: int, first: bool = True) -> Network:
    """Float layers of which the second receives from itself and the third, and with `first` the first itself."""
    network = float_network(seed, sizes=(20, 15, 12, 6), timesteps=8, density=0.6)
    rng = np.random.default_rng(seed)

    def back(source: str, target: str, lag: int) -> Projection:
        shape = network.population(target).size, network.population(source).size
        weights = Synapses.from_dense((rng.normal(0.1, 0.4, shape) * (rng.random(shape) < 0.5)).astype(np.float32))
        return Projection(f"{source}-{target}", source, target, weights, lag=lag)

    loops = back("layer2", "layer2", 1), back("layer3", "layer2", 2), *([back("layer1", "layer1", 3)] if first else [])
    return replace(network, projections=(*network.projections, *loops))


def calibration(network: Network) -> Calibration:
    return Calibration(samples(network, 11, 40), np.zeros(40, np.int64))


@settings(max_examples=examples(10), deadline=None)
@given(seeds, st.booleans())
def test_quantised_cycles_stay_close_to_float(seed: int, calibrated: bool) -> None:
    network = encode.Encode(chips.load("loihi2"), "graded").run(looped(seed)).network
    result = quantise.Quantise(8, calibration(network) if calibrated else None).run(network)
    values = samples(network, seed, 40)
    floats = reference.simulate_float(network, values)
    integers = reference.simulate(result.network, reference.encode(result.network, values))
    assert all(np.mean(floats[n] != integers[n]) < 0.1 for n in floats)
    assert np.mean([np.mean(floats[n] != integers[n]) for n in floats]) < 0.05
    assert len(result.changes) == 3


def test_a_cycle_with_a_gate_is_calibrated_and_lowered() -> None:
    """layer2 -> gate (an OR of pairs) -> layer2."""
    network = looped(3, first=False)
    gate = Population("gate", (6,), Threshold(1.0))
    pairs = np.repeat(np.eye(6, dtype=np.float32), 2, axis=1)
    into = Projection("into", "layer2", "gate", Synapses.from_dense(pairs))
    out = Projection("out", "gate", "layer2", Synapses.from_dense(np.repeat(np.eye(6, dtype=np.float32), 2, axis=0) * 0.4), lag=2)
    populations = (*network.populations[:3], gate, network.populations[3])
    network = replace(network, populations=populations, projections=(*network.projections, into, out))
    network = encode.Encode(chips.load("loihi2"), "graded").run(network).network
    integer = lower.Lower().run(quantise.Quantise(8, calibration(network)).run(network).network).network
    values = samples(network, 5, 40)
    spikes = reference.simulate(integer, reference.encode(integer, values))
    assert (spikes["gate"] == (spikes["layer2"].reshape(40, 8, 6, 2).any(axis=3))).all()
    assert spikes["gate"].any()
    floats = reference.simulate_float(network, values)
    assert np.mean(floats["gate"] != spikes["gate"]) < 0.1


@pytest.mark.parametrize("backend", ["native", pytest.param("lava", marks=needs_lava)])
def test_a_recurrent_network_compiles_and_runs(backend: str) -> None:
    network = looped(8)
    deployed = compile_network(network, calibration=calibration(network))
    assert deployed.network.input.encoding == "graded"  # a held current would hold the loop's spikes too
    data = Labelled(samples(network, 1, 12), np.zeros(12, np.int64))
    results = run(deployed, data, check=True, backend=backend, options=BackendOptions(time_limit=120))
    assert results.check is not None
    assert results.check.equal
    assert results.latency.steps == network.timesteps + 3
    bare = compile_network(replace(network, projections=network.projections[:3]), encoding="graded", calibration=calibration(network))
    assert results.sops_per_sample != run(bare, data).sops_per_sample, "the loops change nothing: the test shows nothing"


@settings(max_examples=examples(8), deadline=None)
@given(seeds, st.booleans())
def test_counts_equal_brute_force(seed: int, relays: bool) -> None:
    chip = tiny_cores()
    longest = chip.limits.max_delay.model_copy(update={"value": 0.0 if relays else 63.0})
    chip = chip.model_copy(update={"limits": chip.limits.model_copy(update={"max_delay": longest})})
    try:
        deployed = compile_network(looped(seed), chip=chip, encoding="rate")
    except NetworkError:
        return  # a random network may have a dead layer
    data = Labelled(samples(deployed.network, seed, 6), np.zeros(6, np.int64))
    results = run(deployed, data, check=True)
    sops, messages, hops = brute_counts(deployed, data.values)
    assert results.sops_per_sample == pytest.approx(sops / 6)
    assert results.messages_per_sample == pytest.approx(messages / 6)
    assert results.hops_per_sample == pytest.approx(hops / 6)
    assert any("relay" in layer.name for layer in results.layers) == relays


def test_a_held_current_takes_no_spikes_of_its_own_layer() -> None:
    with pytest.raises(UsageError, match=r"Layer layer1 has inputs besides the samples \(layer1\)"):
        compile_network(looped(8), encoding="current")
    held = compile_network(looped(8, first=False), encoding="current", calibration=calibration(looped(8)))
    data = Labelled(samples(looped(8), 1, 12), np.zeros(12, np.int64))
    assert run(held, data, check=True).check is not None
    hosted = compile_network(looped(8, first=False), encoding="host", calibration=calibration(looped(8)))
    assert run(hosted, data, check=True).check is not None


def test_float_neurons_hear_themselves_late() -> None:
    """An input spike at step 0, a weight of 1 back with a lag of 2: spikes at 0, 2, 4."""
    network = small(wire("x", "a", [[1]]), wire("a", "a", [[1]], lag=2), sizes=(1, 1), timesteps=5)
    populations = network.populations[0], replace(network.populations[1], neuron=LIF(tau=1.0))
    weights = (p.synapses.with_data(p.synapses.data.astype(np.float32)) for p in network.projections)
    floats = tuple(replace(p, synapses=w, weight_bits=None) for p, w in zip(network.projections, weights, strict=True))
    events = np.array([1, 0, 0, 0, 0], np.uint8).reshape(1, 5, 1)
    spikes = reference.simulate_float(
        replace(network, populations=populations, projections=floats), np.zeros((1, 1), np.uint8), events=events
    )
    assert spikes["a"][0, :, 0].tolist() == [True, False, True, False, True]
