"""Balanced delays: the same spikes with any chip's longest delay, in relays or synapses; and the proof notices a delay that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from budget import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netgen import Labelled, conv_network, float_network, graph_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network, load
from spikeloom.compile.passes import balance
from spikeloom.errors import BackendError, DoesNotFitError, FormatError, NetworkError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network import reference
from spikeloom.network.model import Network, Projection, Synapses
from spikeloom.runtime import run
from spikeloom.runtime.backends import lava, native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

OPTIONS = BackendOptions(threads=1)
longest = st.sampled_from([0, 1, 2, 63])
needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")


def events_of(network: Network, seed: int, count: int = 5) -> NDArray[np.uint8]:
    return reference.encode(network, samples(network, seed, count), seed=seed)


def relays_of(before: Network, after: Network) -> list[str]:
    known = {p.name for p in before.populations}
    return [p.name for p in after.populations if p.name not in known]


@settings(max_examples=examples(120), deadline=None)
@given(seeds, st.integers(1, 8), longest, st.booleans(), st.integers(0, 2))
def test_balancing_keeps_every_spike(seed: int, hidden: int, max_delay: int, lags: bool, backward: int) -> None:
    network = graph_network(seed, hidden=hidden, lags=lags, backward=backward, slack=True)
    events = events_of(network, seed)
    expected = reference.simulate(network, events)
    after = balance.Balance(max_delay).run(network).network
    assert balance.balanced(after)
    assert all(0 <= p.delay <= max_delay for p in after.projections)
    assert after.depth() == after.arrivals()
    assert after.populations[-1] == network.populations[-1]
    found = reference.simulate(after, events)
    compare(expected, found, "balanced")
    native_spikes = native.simulate(after, events, OPTIONS).spikes
    compare(found, native_spikes, "native")


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 6), st.sampled_from([0, 1]))
def test_relays_leave_removed_neurons_out(seed: int, hidden: int, max_delay: int) -> None:
    network = graph_network(seed, hidden=hidden)
    rng = np.random.default_rng(seed)
    populations = (replace(p, alive=rng.random(p.size) < 0.6) for p in network.spiking)
    network = replace(network, populations=(network.populations[0], *populations))
    after = balance.Balance(max_delay).run(network).network
    events = events_of(network, seed)
    compare(reference.simulate(network, events), reference.simulate(after, events), "balanced")
    for name in relays_of(network, after):
        (wire,) = after.inputs_of(name)
        alive = after.population(wire.source).alive
        assert alive is None or alive[wire.synapses.unrolled().indices].all()


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.integers(2, 8), st.sampled_from([0, 1, 2]))
def test_relays_pass_spikes_on_in_the_same_local_step_and_are_as_few_as_can_be(seed: int, hidden: int, max_delay: int) -> None:
    network = graph_network(seed, hidden=hidden)
    wide = balance.Balance(63).run(network).network  # no relays: the delays that are needed
    after = balance.Balance(max_delay).run(network).network
    needs = {s.name: max((p.delay for p in wide.outputs_of(s.name) if p.synapses.count), default=0) for s in network.populations}
    relays = relays_of(network, after)
    assert len(relays) == sum(need // (max_delay + 1) for need in needs.values())
    events = events_of(network, seed)
    streams: dict[str, NDArray[Any]] = {"input": events > 0, **reference.simulate(after, events)}
    for name in relays:
        (wire,) = after.inputs_of(name)
        received = streams[wire.source][:, :, wire.synapses.unrolled().indices]
        assert (streams[name] == received).all()
        fan_out = np.concatenate([p.synapses.unrolled().fan_out[None] for p in after.outputs_of(name)]).sum(axis=0)
        assert (fan_out > 0).all(), "a relay without targets"


@settings(max_examples=examples(80), deadline=None)
@given(seeds, st.integers(1, 6), longest, st.integers(0, 2), st.data())
def test_the_proof_notices_every_wrong_delay(seed: int, hidden: int, max_delay: int, backward: int, data: st.DataObject) -> None:
    network = balance.Balance(max_delay).run(graph_network(seed, hidden=hidden, lags=True, backward=backward, slack=True)).network
    projection = data.draw(st.sampled_from(network.projections))
    wrong = network.with_projection(replace(projection, delay=projection.delay + data.draw(st.integers(1, 3))))
    graph = nx.Graph([(p.source, p.target) for p in network.projections if p is not projection])
    graph.add_nodes_from(p.name for p in network.populations)
    joined_otherwise = nx.has_path(graph, projection.source, projection.target)  # else it shifts all that lies behind it, which is no fault
    assert balance.balanced(wrong) == (not joined_otherwise)
    if joined_otherwise:
        with pytest.raises(NetworkError, match="spikes of different time steps would meet"):
            balance.check_balance(wrong, 99)
        if lava.available() is None:
            with pytest.raises(BackendError, match="Lava runs a network as the chip does"):
                lava.simulate(wrong, events_of(wrong, seed, 1), BackendOptions())


def check_lava(seed: int, hidden: int, max_delay: int) -> None:
    network = balance.Balance(max_delay).run(graph_network(seed, hidden=hidden, timesteps=5)).network
    events = events_of(network, seed, 5)
    found = lava.simulate(network, events, BackendOptions(time_limit=120, batch_size=2)).spikes
    compare(reference.simulate(network, events), found, "lava")


@needs_lava
@settings(max_examples=examples(3), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seeds, st.integers(2, 5), longest)
def test_lava_agrees_with_delays_and_relays(seed: int, hidden: int, max_delay: int) -> None:
    check_lava(seed, hidden, max_delay)


@needs_lava
@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seeds, st.integers(2, 6), longest)
def test_lava_agrees_with_many_delays_and_relays(seed: int, hidden: int, max_delay: int) -> None:
    check_lava(seed, hidden, max_delay)


# --- what it refuses -------------------------------------------------------------------------------------------------


def skipping(encoding: str = "rate") -> Network:
    """Three layers and a projection past two of them; every weight is positive."""
    network = float_network(3, sizes=(8, 7, 6, 5))
    rng = np.random.default_rng(0)
    past = Projection("past", "input", "layer3", Synapses.from_dense(rng.random((5, 8)).astype(np.float32)))
    network = replace(network, projections=(*network.projections, past))
    return replace(network, input=replace(network.input, encoding="direct")) if encoding == "direct" else network


def test_payloads_pass_no_relay() -> None:
    network = graph_network(5, hidden=4, encoding="graded")
    late = max(balance.Balance(63).run(network).network.outputs_of("input"), key=lambda p: p.delay)
    assert late.delay
    with pytest.raises(DoesNotFitError, match=rf"Projection {late.name} .*wait {late.delay} steps.*payloads of up to 255.*--encoding rate"):
        balance.Balance(0, chip="a chip").run(network)


def test_relays_can_be_switched_off() -> None:
    network = graph_network(5, hidden=4)
    assert relays_of(network, balance.Balance(0).run(network).network)
    with pytest.raises(DoesNotFitError, match="relays are switched off"):
        balance.Balance(0, relays=False).run(network)
    assert not relays_of(network, balance.Balance(63, relays=False).run(network).network)


def test_a_delay_beyond_the_chips_is_refused() -> None:
    network = balance.Balance(63).run(graph_network(5, hidden=4)).network
    most = max(p.delay for p in network.projections)
    balance.check_balance(network, most)
    with pytest.raises(DoesNotFitError, match=f"delay of {most} steps; the chip allows {most - 1}"):
        balance.check_balance(network, most - 1)


# --- from a float network to the report ------------------------------------------------------------------------------


def without_delays() -> Chip:
    chip = chips.load("loihi2")
    none = chip.limits.max_delay.model_copy(update={"value": 0.0})
    return chip.model_copy(update={"limits": chip.limits.model_copy(update={"max_delay": none})})


def test_relays_are_layers_that_cost_neurons_and_synapses() -> None:
    data = Labelled(samples(skipping(), 1, 20), np.zeros(20, np.int64))
    delayed = compile_network(skipping(), encoding="rate")
    relayed = compile_network(skipping(), encoding="rate", chip=without_delays())
    few, many = run(delayed, data, check=True), run(relayed, data, check=True)
    assert few.accuracy == many.accuracy
    assert few.latency.steps == many.latency.steps == skipping().timesteps + 3
    rows = {row.name: row for row in many.layers}
    relays = relays_of(delayed.network, relayed.network)
    assert relays == ["input_relay1", "input_relay2"]
    assert [rows[name].sources for name in relays] == [["input"], ["input_relay1"]]
    extra = sum(rows[name].neurons for name in relays)
    assert many.network.neurons == few.network.neurons + extra
    assert many.network.synapses == few.network.synapses + extra  # each relay receives from one neuron
    assert many.network.weights == few.network.weights
    sent = sum(rows[name].sops_per_sample for name in relays)
    assert many.sops_per_sample == pytest.approx(few.sops_per_sample + sent)
    assert sum(c.neurons for c in many.cores) == many.network.neurons
    assert few.network.neurons == sum(p.size for p in delayed.network.spiking)


def test_the_chips_delays_are_used_where_it_has_them() -> None:
    for chip in ("loihi", "loihi2", "loihi-silicon"):
        network = compile_network(skipping(), encoding="rate", chip=chip).network
        assert {p.name: p.delay for p in network.projections} == {"p1": 0, "p2": 0, "p3": 0, "past": 2}
    graded = compile_network(skipping(), encoding="graded").network
    assert graded.arrivals() == {"input": 0, "layer1": 1, "layer2": 2, "layer3": 3}


def test_relays_of_a_layer_on_the_host_and_on_a_current() -> None:
    network = skipping()
    past = Projection("past", "layer1", "layer3", Synapses.from_dense(np.full((5, 7), 0.2, np.float32)))
    network = replace(network, projections=(*network.projections[:3], past))
    data = Labelled(samples(network, 1, 20), np.zeros(20, np.int64))
    for encoding in ("host", "current"):
        deployed = compile_network(network, encoding=encoding, chip=without_delays())  # pyright: ignore[reportArgumentType]
        assert [p.name for p in deployed.network.populations] == ["input", "layer1", "layer1_relay1", "layer2", "layer3"]
        assert run(deployed, data, check=True).latency.steps == network.timesteps + (2 if encoding == "host" else 3)


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.booleans())
def test_relays_behind_convolutions(seed: int, back: bool) -> None:
    """The branches of a random convolutional network differ in length; with `back` a convolution leads from a layer to itself."""
    network = conv_network(seed)
    if back:
        again = replace(next(p for p in network.projections if p.target == "left"), name="again", source="left", lag=2)
        network = replace(network, projections=(*network.projections, again))
    data = Labelled(samples(network, seed, 4), np.zeros(4, np.int64))
    try:
        relayed = compile_network(network, encoding="rate", chip=without_delays())
    except NetworkError:
        return  # a random network may have a dead layer
    assert any(name.startswith("pool_relay") for name in relays_of(network, relayed.network)) or "both" not in relayed.network.depth()
    assert run(relayed, data, check=True).check is not None
    delayed = compile_network(network, encoding="rate")
    found = [reference.simulate(d.network, events_of(d.network, seed, 4)) for d in (delayed, relayed)]
    for name, spikes in found[0].items():
        assert (spikes == found[1][name]).all()


def test_the_file_keeps_lags_and_delays_and_refuses_wrong_ones(tmp_path: Path) -> None:
    network = skipping()
    late = replace(network.projections[1], lag=2)
    deployed = compile_network(network.with_projection(late), encoding="rate")
    again = load(deployed.save(tmp_path / "model.loom"))
    assert [(p.lag, p.delay) for p in again.network.projections] == [(p.lag, p.delay) for p in deployed.network.projections]
    assert again.digest == deployed.digest
    past = next(p for p in deployed.network.projections if p.name == "past")
    for delay, message in ((past.delay + 1, "spikes of different time steps would meet"), (past.delay + 64, "would meet")):
        wrong = replace(deployed, network=deployed.network.with_projection(replace(past, delay=delay)))
        with pytest.raises(FormatError, match=message):
            load(wrong.save(tmp_path / "wrong.loom"))
    with pytest.raises(FormatError, match=f"delay of {max(p.delay for p in deployed.network.projections)} steps; the chip allows 0"):
        load(replace(deployed, chip=without_delays()).save(tmp_path / "wrong.loom"))
