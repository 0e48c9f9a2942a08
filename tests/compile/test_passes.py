"""Passes keep the function where they claim to, and name what cannot work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from netgen import densities, float_network, integer_network, samples, seeds
from spikeloom import registry
from spikeloom.compile import CompileOptions, PassResult, compile_network, passes
from spikeloom.compile.analysis import reach
from spikeloom.compile.chain import loihi, with_plug_ins
from spikeloom.compile.passes import check, drop_dead, encode, fold, quantise
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import DoesNotFitError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.network import reference
from spikeloom.network.model import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Synapses


def calibration(network: Network) -> Calibration:
    return Calibration(samples(network, 11, 40), np.zeros(40, np.int64))


@settings(max_examples=examples(60), deadline=None)
@given(seeds, densities)
def test_dropping_the_dead_keeps_every_output_spike(seed: int, density: float) -> None:
    network = integer_network(seed, layers=3, density=density)
    try:
        dropped = drop_dead.DropDead().run(network).network
    except NetworkError as error:
        assert "has no live synapse" in str(error)
        return
    events = reference.encode(network, samples(network, seed))
    output = network.populations[-1].name
    assert (reference.simulate(network, events)[output] == reference.simulate(dropped, events)[output]).all()
    assert sum(p.synapses.count for p in dropped.projections) <= sum(p.synapses.count for p in network.projections)
    again = drop_dead.DropDead().run(dropped)
    assert again.changes == ()


@settings(max_examples=examples(30), deadline=None)
@given(seeds)
def test_folding_the_reset_keeps_every_spike(seed: int) -> None:
    network = float_network(seed, v_reset=-0.25)
    folded = fold.Fold().run(network).network
    values = samples(network, seed)
    before, after = reference.simulate_float(network, values), reference.simulate_float(folded, values)
    # the shift rounds differently in the last bit, which decides only exact ties
    assert all(np.mean(before[n] != after[n]) < 0.01 for n in before)
    assert all(p.neuron.v_reset == 0.0 for p in folded.spiking if isinstance(p.neuron, LIF))


@settings(max_examples=examples(20), deadline=None)
@given(seeds)
def test_quantised_networks_stay_close_to_float(seed: int) -> None:
    network = float_network(seed, sizes=(40, 30, 10), timesteps=8)
    encoded = encode.Encode(chips.load("loihi2"), "current").run(network).network
    integer = quantise.Quantise(8, calibration(network)).run(encoded).network
    values = samples(network, seed, 60)
    floats = reference.simulate_float(network, values)
    integers = reference.simulate(integer, reference.encode(integer, values))
    assert np.mean(floats["layer1"] != integers["layer1"]) < 0.03


def test_eight_bits_are_closer_than_three() -> None:
    network = float_network(4, sizes=(40, 30, 10), timesteps=8)
    drift = {}
    for bits in (3, 8):
        encoded = encode.Encode(chips.load("loihi2"), "current").run(network).network
        drift[bits] = (quantise.Quantise(bits, calibration(network)).run(encoded).drift or {})["layer1"]
    assert drift[8] < drift[3]


@pytest.mark.parametrize("encoding", ["current", "graded"])
def test_loihi_refuses_graded_spikes_with_those_it_can(encoding: Any) -> None:
    with pytest.raises(DoesNotFitError, match=r"payload bits.*It carries: host, rate"):
        compile_network(float_network(0), chip="loihi", encoding=encoding)


def test_current_and_graded_and_host_give_the_same_spikes() -> None:
    network = float_network(8, sizes=(40, 30, 10), timesteps=8)
    values = samples(network, 1, 20)
    rasters = []
    for encoding in ("current", "graded", "host"):
        integer = compile_network(network, encoding=encoding, calibration=calibration(network)).network
        rasters.append(reference.simulate(integer, reference.encode(integer, values)))
    assert all((rasters[0][n] == r[n]).all() for r in rasters[1:] for n in rasters[0])


def test_integer_networks_refuse_a_rate_code() -> None:
    with pytest.raises(UsageError, match="trained for graded input"):
        encode.Encode(chips.load("loihi2"), "rate").run(integer_network(1, encoding="current"))


def test_a_dead_layer_is_named() -> None:
    network = float_network(0)
    empty = Synapses.from_dense(np.zeros(network.projections[1].synapses.shape, np.float32))
    with pytest.raises(NetworkError, match=r"Layer layer2 has no live synapse"):
        compile_network(network.with_projection(replace(network.projections[1], synapses=empty)))


def test_an_unreachable_threshold_is_named() -> None:
    network = integer_network(1, layers=1, density=1.0)
    population = replace(network.populations[1], neuron=IntegerLIF(4095, 4095, 131071))
    tiny = replace(network.projections[0], exponent=-14)
    with pytest.raises(NetworkError, match=r"Layer layer1: its threshold 131,071 cannot be reached"):
        check.Check().run(network.with_population(population).with_projection(tiny))


def test_a_current_that_could_wrap_is_named() -> None:
    network = integer_network(1, layers=1, density=1.0, encoding="current")
    loud = Projection("p1", "input", "layer1", Synapses.from_dense(np.full(network.projections[0].synapses.shape, 127, np.int32)), 7, 8)
    with pytest.raises(NetworkError, match="would wrap around the 24-bit current"):
        check.Check().run(network.with_projection(loud))


def one_layer(weights: Any, exponent: int, neuron: IntegerLIF, *, timesteps: int = 1, bias: int | None = None) -> Network:
    synapses = Synapses.from_dense(np.asarray(weights, np.int32))
    biases = None if bias is None else np.full(synapses.shape[0], bias, np.int32)
    populations = Population("x", (synapses.shape[1],), None), Population("a", (synapses.shape[0],), neuron, bias=biases)
    return Network(populations, (Projection("xa", "x", "a", synapses, exponent, 8),), timesteps, InputSpec(1, 1.0, "events"))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_current_just_below_24_bits_is_kept_and_one_at_the_limit_refused(sign: int) -> None:
    weights = np.array([[64 * sign] * 16, [1] * 16])
    with pytest.raises(NetworkError, match="an input of 131,072 would wrap"):
        check.Check().run(one_layer(weights, 7, IntegerLIF(4095, 4095, 0)))
    weights[0, 0] -= sign
    check.Check().run(one_layer(weights, 7, IntegerLIF(4095, 4095, 0)))


def test_a_threshold_is_reached_by_more_than_itself() -> None:
    """Ten inputs of 1 pass a threshold of 9, and are no more than one of 10."""
    for vth, reached in ((9, True), (10, False)):
        network = one_layer([[1] * 10], 0, IntegerLIF(4095, 4095, vth))
        assert reach.can_spike(network, network.populations[1]).tolist() == [reached]
        assert reference.simulate(network, np.ones((1, 1, 10), np.uint8))["a"].ravel().tolist() == [reached]
        if reached:
            check.Check().run(network)
        else:
            with pytest.raises(NetworkError, match="its threshold 10 cannot be reached"):
                check.Check().run(network)


def test_a_potential_below_rest_is_bounded_by_its_first_step() -> None:
    neuron = IntegerLIF(4095, 0, 9)
    network = one_layer([[-1] * 10], 0, neuron, timesteps=4, bias=-64)
    assert reach.highest_potential(network, network.populations[1], neuron).tolist() == [-1.0]


def test_a_silent_layer_is_a_warning_that_names_it() -> None:
    network = integer_network(1, layers=1, density=1.0, encoding="current")
    zeros = Calibration(np.zeros((4, network.populations[0].size), np.uint8), np.zeros(4, np.int64))
    assert any("layer1 is silent" in w for w in check.Check(zeros).run(network).warnings)


@pytest.mark.parametrize("name", registry.names(passes))
def test_every_pass_conforms(name: str) -> None:
    options = CompileOptions(chips.load("loihi2"))
    instance = next(p for p in with_plug_ins(loihi(options), options) if p.name == name)
    assert sys.modules[type(instance).__module__].__doc__ and type(instance).__doc__
    assert type(instance).__module__.endswith(f"passes.{name.replace('-', '_')}")
    with pytest.raises(FrozenInstanceError):
        instance.name = "another"  # pyright: ignore[reportAttributeAccessIssue]
    network = float_network(2) if name != "check" else integer_network(2, encoding="current")
    before = [p.synapses.data.copy() for p in network.projections]
    result = instance.run(network)
    assert isinstance(result, PassResult)
    assert all((p.synapses.data == b).all() for p, b in zip(network.projections, before, strict=True))


PLUG_IN = """
from typing import ClassVar
from dataclasses import dataclass
from spikeloom.compile import PassResult

{after}

@dataclass(frozen=True)
class Mine:
    \"\"\"Leave all as it is.\"\"\"

    name: ClassVar[str] = "{name}"

    def run(self, network):
        return PassResult(network)


def create(options):
    return Mine()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of plug-ins that are forgotten afterwards."""
    monkeypatch.setattr(passes, "__path__", list(passes.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", str(tmp_path))
    place = tmp_path / "compile/passes"
    place.mkdir(parents=True)
    yield place
    for path in place.glob("*.py"):
        sys.modules.pop(f"{passes.__name__}.{path.stem}", None)


def test_plug_ins_run_behind_the_pass_that_they_name(folder: Path) -> None:
    for name, after in (("beta", "encode"), ("alpha", "encode"), ("gamma", "beta"), ("delta", "drop-dead.2")):
        (folder / f"{name}.py").write_text(PLUG_IN.format(after=f'AFTER = "{after}"', name=name))
    deployed = compile_network(float_network(0))
    assert [r.name for r in deployed.passes] == [
        *("fold", "record", "drop-dead", "encode", "alpha", "beta", "gamma"),
        *("quantise", "lower", "drop-dead.2", "delta", "balance", "check"),
    ]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('name: ClassVar[str] = "mine"', 'name: ClassVar[str] = "yours"'), ("def run", "def go"), ("@dataclass(frozen=True)", "")],
)
def test_a_plug_in_that_makes_no_pass_is_refused_by_name(folder: Path, right: str, wrong: str) -> None:
    text = PLUG_IN.format(after='AFTER = "encode"', name="mine")
    assert right in text
    (folder / "mine.py").write_text(text.replace(right, wrong))
    with pytest.raises(UsageError, match=r"mine.py\) returns is no such pass; .*name: ClassVar\[str\] = \"mine\" and run"):
        compile_network(float_network(0))


def test_a_plug_in_without_a_place_is_refused_by_name(folder: Path) -> None:
    (folder / "mine.py").write_text(PLUG_IN.format(after="ORDERS = (17,)", name="mine"))
    with pytest.raises(UsageError, match=r"The pass mine \(.*mine.py\) has no AFTER"):
        compile_network(float_network(0))
    sys.modules.pop(f"{passes.__name__}.mine")
    (folder / "mine.py").write_text(PLUG_IN.format(after='AFTER = "quantize"', name="mine"))
    with pytest.raises(UsageError, match=r"mine.*after the pass 'quantize', which this target does not have. Its passes: fold, record"):
        compile_network(float_network(0))


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no target called 'lavva'. Did you mean 'lava'"):
        compile_network(float_network(0), target="lavva")
    with pytest.raises(UsageError, match=r"no chip called 'loihi3'. Did you mean"):
        compile_network(float_network(0), chip="loihi3")
    with pytest.raises(UsageError, match="no encoding called 'foo'"):
        compile_network(float_network(0), encoding="foo")  # pyright: ignore[reportArgumentType]
