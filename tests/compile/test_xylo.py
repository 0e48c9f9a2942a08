"""Networks for Xylo: the chip's integers do what the float network does, what does not fit is refused by name, and files come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netgen import samples
from spikeloom.compile import compile_network, encode_words, load
from spikeloom.compile.pipeline import Calibration
from spikeloom.compile.xylo.layout import Layout
from spikeloom.compile.xylo.quantise import dash_of
from spikeloom.errors import DoesNotFitError, SpikeloomError, UsageError
from spikeloom.network import reference
from spikeloom.network.model import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Synapses, Threshold, XyloLIF
from xylogen import fitting, xylo_network


def calibration(network: Network, count: int = 16) -> Calibration:
    return Calibration(samples(network, 5, count), np.zeros(count, np.int64))


def with_neuron(network: Network, name: str, **changes: Any) -> Network:
    population = network.population(name)
    assert isinstance(population.neuron, LIF)
    return network.with_population(replace(population, neuron=replace(population.neuron, **changes)))


def dense(targets: int, sources: int, value: float = 0.1) -> Synapses:
    return Synapses.from_dense(np.full((targets, sources), value, np.float32))


@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("tau_syn", [2.0, 8.0])
def test_potentials_are_those_of_the_float_network(decay_input: bool, tau_syn: float) -> None:
    """With time constants that are powers of two, and before any spike, only rounding is left between the two."""
    rng, steps = np.random.default_rng(1), 24
    weights = Synapses.from_dense(rng.normal(0, 0.02, (6, 5)).astype(np.float32))
    neuron = LIF(4.0, v_threshold=1.5, decay_input=decay_input, soft_reset=True, tau_syn=tau_syn)
    bias = rng.normal(0, 0.01, 6).astype(np.float32)
    populations = (Population("input", (5,), None), Population("hidden", (6,), neuron, bias=bias), Population("output", (2,), neuron))
    projections = (Projection("in", "input", "hidden", weights), Projection("out", "hidden", "output", dense(2, 6)))
    network = Network(populations, projections, steps, InputSpec(3, 1.0, "events"))
    values = samples(network, 3, 8)
    made = compile_network(network, target="xylo").network
    kept = {"hidden.v": np.zeros((8, steps, 6), np.int32)}
    spikes = reference.simulate(made, values, registers=kept)
    assert not spikes["hidden"].any()
    found = made.population("hidden").neuron
    assert isinstance(found, XyloLIF)
    i, v, real = np.zeros((8, 6)), np.zeros((8, 6)), np.zeros((8, steps, 6))
    for t in range(steps):
        i = i * (1 - 1 / tau_syn) + values[:, t] @ weights.operator(np.float64).toarray().T
        x = i + bias
        v = v + (x - v) / 4 if decay_input else v - v / 4 + x
        real[:, t] = v
    assert np.abs(real).max() > 0.05
    error = np.abs(kept["hidden.v"] / found.threshold * 1.5 - real)
    assert error.max() < 0.05 * np.abs(real).max() + 0.01


def test_rates_are_those_of_the_float_network_where_no_neuron_spikes_twice_in_a_step() -> None:
    """Single spikes move by a step, since a state of integers fades a little differently; their number stays."""
    network = fitting(2, hidden=20, timesteps=40, tau=8.0, tau_syn=4.0)
    small = tuple(replace(p, synapses=p.synapses.with_data(p.synapses.data * 0.12)) for p in network.projections if p.lag == 0)
    network = replace(network, projections=small)
    deployed, values = compile_network(network, target="xylo", calibration=calibration(network)), samples(network, 8, 32)
    wanted, found = reference.simulate_float(network, values)["hidden1"], reference.simulate(deployed.network, values)["hidden1"]
    assert wanted.sum() > 1000 and found.max() == 1
    by_neuron = wanted.sum(axis=1, dtype=np.int64), found.sum(axis=1, dtype=np.int64)
    assert np.abs(by_neuron[0] - by_neuron[1]).sum() < 0.03 * wanted.sum()


def test_time_constants_become_powers_of_two_and_the_error_is_said() -> None:
    assert [dash_of(tau) for tau in (1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 32768.0)] == [0, 1, 2, 2, 3, 4, 15]
    assert dash_of(float("inf")) == 16
    deployed = compile_network(fitting(3, tau=10.0), target="xylo")
    (said,) = [text for text in deployed.warnings if "hidden1: time constant" in text]
    assert "of the membrane 10 -> 8 steps (shift 3, -20.0%)" in said and "Train with 8 steps" in said
    neuron = deployed.network.population("hidden1").neuron
    assert isinstance(neuron, XyloLIF) and (neuron.dash_mem, neuron.dash_syn, neuron.most) == (3, 1, 31)


def test_layers_behind_one_another_and_back_are_one_group_on_the_chip() -> None:
    network = xylo_network(5, layers=3).flat.network
    layout = Layout.of(network)
    hidden = sum(p.size for p in network.populations[1:-1])
    assert layout.weights["rec"].shape == (hidden, hidden)
    assert [p.first_step for p in layout.places] == [0, 1, 2, 3] and layout.steps == network.timesteps + 3
    for p in network.projections:
        ends = {q.name: q.neurons for q in layout.places}
        if p.source != "input" and p.target != "output":
            assert (p.synapses.unrolled().operator().toarray() == layout.weights["rec"][ends[p.source], ends[p.target]].T).all()
    assert sum(np.count_nonzero(w) for w in layout.weights.values()) == sum(np.count_nonzero(p.synapses.data) for p in network.projections)


def test_layers_that_spike_several_times_in_a_step_are_named() -> None:
    network = fitting(3)
    strong = network.with_projection(replace(network.projections[0], synapses=dense(12, 10, 0.9)))
    deployed = compile_network(strong, target="xylo", calibration=calibration(strong))
    (said,) = [text for text in deployed.warnings if "several in a step" in text]
    assert said.startswith("Layer hidden1: ") and "train with smaller weights" in said


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    deployed = compile_network(fitting(4), target="xylo", calibration=calibration(fitting(4)))
    again = load(deployed.save(tmp_path / "x.loom"))
    assert again.network.populations == deployed.network.populations and again.target == "xylo"
    assert again.mapping.cores == again.mapping.cores_bound == 1
    events = samples(deployed.network, 9, 4)
    assert all((a == b).all() for a, b in zip(*(reference.simulate(n.network, events).values() for n in (again, deployed)), strict=True))
    with pytest.raises(UsageError, match="does not say how its memory encodes a list of synapses"):
        encode_words(deployed)


def _wide(network: Network) -> Network:
    return replace(network, populations=(replace(network.populations[0], shape=(17,)), *network.populations[1:]), projections=(
        replace(network.projections[0], synapses=dense(12, 17)), *network.projections[1:]))  # fmt: skip


def _with(*added: Projection) -> Callable[[Network], Network]:
    return lambda network: replace(network, projections=(*network.projections, *added))


def _deep(network: Network) -> Network:
    """A second hidden layer, and what the first one sends arrives at the output by two ways."""
    first, hidden, output = network.populations
    last = replace(hidden, name="hidden2", bias=np.full(12, 0.1, np.float32))
    added = Projection("on", "hidden1", "hidden2", dense(12, 12)), Projection("last", "hidden2", "output", dense(4, 12))
    return replace(network, populations=(first, hidden, last, output), projections=(*network.projections[:2], *added))


def _late(network: Network) -> Network:
    return network.with_projection(replace(network.projections[1], lag=3))


def _skipping(network: Network) -> Network:
    return _with(Projection("skip", "hidden1", "output", dense(4, 12)))(_deep(network))


def _made_of(neuron: Threshold | IntegerLIF) -> Callable[[Network], Network]:
    return lambda network: network.with_population(replace(network.population("hidden1"), neuron=neuron))


REFUSED: dict[str, tuple[Callable[[Network], Network], str]] = {
    "inputs": (_wide, r"17 values a step; xylo has room for 16 \(limits.inputs\). Pool or sum"),
    "hidden": (lambda n: fitting(1, hidden=1001), r"1,001 neurons, 1,001 of them in hidden1; xylo has room for 1,000 \(limits.hidden\)"),
    "fan-in": (lambda n: fitting(1, hidden=64), r"Layer hidden1: neuron 0 has 64 synapses from hidden neurons; xylo has room for 63"),
    "hard reset": (lambda n: with_neuron(n, "hidden1", soft_reset=False), "Layer hidden1 has a hard reset; Xylo's neurons subtract"),
    "no current": (lambda n: with_neuron(n, "hidden1", tau_syn=1.0), "Layer hidden1 has no synaptic current .* of at least 2 steps"),
    "never leaks": (lambda n: with_neuron(n, "output", tau=float("inf")), "Layer output has a time constant of inf steps; .* is 32,768"),
    "gate": (_made_of(Threshold()), r"not an LIF layer \(Threshold\)"),
    "Loihi's": (_made_of(IntegerLIF()), r"not an LIF layer \(IntegerLIF\)"),
    "past the hidden": (_with(Projection("past", "input", "output", dense(4, 10))), "past leads from the samples to the output"),
    "from the output": (_with(Projection("b", "output", "hidden1", dense(12, 4), lag=3)), "b leads from the output output to hidden1"),
    "beside": (_with(Projection("two", "hidden1", "output", dense(4, 12))), "runs beside another from hidden1 to output"),
    "delay": (_late, r"Projection back \(hidden1 -> hidden1\) has to wait 2 steps .*; Xylo's synapses have no delays"),
    "biases behind": (_deep, "Layer hidden2 has biases behind another layer"),
    "a way that waits": (_skipping, r"Projection skip \(hidden1 -> output\) has to wait 1 step for the longer paths"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_chip_does_not_have_is_refused_by_name(name: str) -> None:
    change, said = REFUSED[name]
    with pytest.raises(SpikeloomError, match=said):
        compile_network(change(fitting(3)), target="xylo")


def test_more_outputs_than_eight_are_refused() -> None:
    network = fitting(3)
    output = replace(network.populations[-1], shape=(9,))
    wide = replace(network, populations=(*network.populations[:-1], output), projections=(
        *network.projections[:2], replace(network.projections[2], synapses=dense(9, 12))))  # fmt: skip
    with pytest.raises(DoesNotFitError, match=r"The output output has 9 neurons; xylo has room for 8 \(limits.outputs\)"):
        compile_network(wide, target="xylo")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_bits": 4}, "--weight-bits 4 is for Loihi"),
        ({"granularity": "channel"}, "--granularity channel is for Loihi"),
        ({"mode": "exact"}, "the target xylo has no modes"),
        ({"pin": {"hidden1": [0]}}, "Xylo has one core"),
        ({"chip": "loihi2"}, "The target xylo does not run on loihi2"),
        ({"encoding": "current"}, "no payload|cannot carry|Use --encoding events"),
    ],
)
def test_options_of_other_chips_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpikeloomError, match=said):
        compile_network(fitting(3), target="xylo", **options)


def test_samples_of_more_than_fifteen_events_are_refused() -> None:
    network = fitting(3)
    with pytest.raises(DoesNotFitError, match=r"xylo carries 4 payload bits, so at most 15. Train on events that count no further\.$"):
        compile_network(replace(network, input=InputSpec(16, 1.0, "events")), target="xylo")


def test_samples_of_many_levels_are_refused_with_what_the_chip_carries() -> None:
    with pytest.raises(DoesNotFitError, match=r"values up to 255; a graded spike on xylo carries 4 bits. Use --encoding rate\.$"):
        compile_network(fitting(3, encoding="direct"), target="xylo")
    assert compile_network(fitting(3, encoding="direct"), target="xylo", encoding="rate").network.input.encoding == "rate"
