"""What a message carries: one rule for every part, by which samples are payloads or spikes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from netgen import float_network, samples
from spikeloom import runtime
from spikeloom.compile import compile_network
from spikeloom.compile.passes import drop_dead, record
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import NetworkError
from spikeloom.network.model import LIF, SPIKE, InputSpec, Network, Payload, Population, Projection, Synapses, Threshold


def gated(level: float, spec: InputSpec) -> Network:
    """Two inputs that a gate of `level` ANDs or ORs, a neuron behind it, and a way past it."""
    ones, one = Synapses.from_dense(np.ones((1, 2), np.float32)), Synapses.from_dense(np.ones((1, 1), np.float32))
    populations = Population("input", (2,), None), Population("gate", (1,), Threshold(level)), Population("out", (1,), LIF(2.0, 0.4))
    projections = Projection("in", "input", "gate", ones), Projection("on", "gate", "out", one), Projection("past", "input", "out", ones)
    return Network(populations, projections, 4, spec)


@pytest.mark.parametrize(
    ("spec", "entering"),
    [
        (InputSpec(255, 1 / 255, "current"), Payload(255, 1 / 255, once=True)),
        (InputSpec(255, 1 / 255, "host"), Payload(255, 1 / 255, once=True)),
        (InputSpec(255, 1 / 255, "graded"), Payload(255, 1 / 255)),
        (InputSpec(7, 1.0, "events"), Payload(7, 1.0)),
        (InputSpec(255, 1 / 255), Payload(255, 1 / 255)),
        (InputSpec(255, 1 / 255, "rate"), SPIKE),
        (InputSpec(1000, 1 / 1000, "rate"), SPIKE),
    ],
)
def test_the_input_carries_what_its_encoding_sends_and_neurons_send_spikes(spec: InputSpec, entering: Payload) -> None:
    network = gated(1.0, spec)
    assert [network.payload_of(p) for p in network.projections] == [entering, SPIKE, entering]
    assert network.payload_of(network.projections[0]).is_graded == (entering.largest > 1)


@pytest.mark.parametrize(("encoding", "scale"), [("rate", 1 / 255), ("direct", 1 / 255)])
def test_synapses_behind_a_gate_that_no_sample_opens_are_not_reachable(encoding: str, scale: float) -> None:
    """Two inputs of at most 1 sum up to 2: a gate of level 3 stays shut, whatever the number of levels."""
    for level, crossed in ((2.0, 3.0), (3.0, 2.0)):
        network = gated(level, InputSpec(255, scale, encoding))  # pyright: ignore[reportArgumentType]
        assert record.Record().run(network).network.reachable["out"] == (crossed, 3.0)
        assert {p.name for p in drop_dead.DropDead().run(network).network.spiking} == ({"gate", "out"} if crossed == 3.0 else {"out"})


@pytest.mark.parametrize("encoding", ["host", "graded", "current", "events"])
def test_samples_beyond_a_byte_are_refused_where_they_enter_as_payloads(encoding: str) -> None:
    """Payloads are bytes everywhere: 256 would have entered as 0."""
    network = float_network(3)
    with pytest.raises(NetworkError, match=r"values up to 1,000.*--encoding rate"):
        replace(network, input=InputSpec(1000, 1 / 1000, encoding))  # pyright: ignore[reportArgumentType]


def test_samples_beyond_a_byte_run_rate_coded_and_not_on_the_host() -> None:
    network = replace(float_network(3), input=InputSpec(1000, 1 / 1000))
    values = samples(network, 1, 12).astype(np.int64) * 3
    given = Calibration(values, np.zeros(12, np.int64))  # pyright: ignore[reportArgumentType]
    with pytest.raises(NetworkError, match="as bytes"):
        compile_network(network, encoding="host", calibration=given)
    deployed = compile_network(network, encoding="rate", calibration=given)
    assert runtime.run(deployed, (values, np.zeros(12, np.int64)), check=True)
