"""The pipeline as a tool: stopping, dumping, explaining, validating; passes that are exact keep the function; bits and channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import conv_network, float_network, integer_conv_network, integer_network, samples, seeds
from spikeloom.compile import compile_network, load, pipeline
from spikeloom.compile.bits import Bits
from spikeloom.compile.chain import loihi
from spikeloom.compile.compiler import Compilation
from spikeloom.compile.files import dump
from spikeloom.compile.passes import _channels, fold, quantise, record
from spikeloom.compile.pipeline import Calibration, CompileOptions
from spikeloom.compile.summary import dead_code, first_drift, summary
from spikeloom.errors import FormatError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import quantise as arithmetic
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.network.validate import validate
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

LOIHI2 = chips.load("loihi2")
NAMES = [name for name, _ in pipeline.named(loihi(CompileOptions(LOIHI2)))]


def calibration(network: Network, count: int = 20) -> Calibration:
    return Calibration(samples(network, 3, count), np.zeros(count, np.int64))


# --- stop, dump, explain ---------------------------------------------------------------------------------------------


def test_passes_run_in_their_order_and_by_distinct_names() -> None:
    assert NAMES == ["fold", "record", "drop-dead", "encode", "quantise", "lower", "drop-dead.2", "balance", "check"]


@pytest.mark.parametrize("name", NAMES)
def test_stopping_after_each_pass(name: str, tmp_path: Path) -> None:
    network = float_network(1)
    result = Compilation(network, calibration=calibration(network)).run_passes(stop_after=name, dump_dir=tmp_path)
    count = NAMES.index(name) + 1
    assert [r.name for r in result.records] == NAMES[:count]
    assert len(list(tmp_path.iterdir())) == 2 * count
    assert dump.describe(dump.load(tmp_path / f"{count:02d}-{name}.safetensors")) == dump.describe(result.network)
    assert result.records[-1].after.neurons == result.network.neurons


def test_a_pass_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match=r"no pass called 'quantize'. Did you mean 'quantise'"):
        Compilation(float_network(1)).run_passes(stop_after="quantize")


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.booleans(), st.booleans())
def test_dumps_load_again(tmp_path_factory: pytest.TempPathFactory, seed: int, integer: bool, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal) if integer else conv_network(seed, temporal=temporal)
    text, arrays = dump.write(network, tmp_path_factory.mktemp("dump"), 1, "x")
    again = dump.load(arrays)
    assert dump.describe(again) == text.read_text() == dump.describe(network)
    values = samples(network, seed)
    if integer:
        events = reference.encode(network, values)
        before, after = (reference.simulate(n, events) for n in (network, again))
    else:
        before, after = (reference.simulate_float(n, values) for n in (network, again))
    assert all((before[n] == after[n]).all() for n in before)


def golden_network() -> Network:
    taps = Convolution.from_dense(np.array([[[[1.5]]], [[[-2.0]]]], np.float32), (1, 4, 4), pool=2)
    last = Synapses.from_dense(np.array([[1, 0, 0, 2, 0, 0, 0, 0], [0, 0, 3, 0, 0, 0, 0, 4]], np.float32))
    populations = (
        Population("x", (1, 4, 4), None),
        Population("maps", (2, 2, 2), LIF(), bias=np.array([0.5, 1.0], np.float32)),
        Population("out", (2,), LIF(), alive=np.array([True, False])),
    )
    return Network(populations, (Projection("conv", "x", "maps", taps), Projection("last", "maps", "out", last)), 3, InputSpec())


def test_the_text_of_a_dump_is_what_it_was() -> None:
    lines = dump.describe(golden_network()).splitlines()
    assert [line.rsplit("#", 1)[0] for line in lines] == [
        "network: 3 steps, input direct 0..255 times 0.00392156863, votes 1",
        "population x: 1x4x4, input",
        "population maps: 2x2x2, LIF(tau=2.0, v_threshold=1.0, v_reset=0.0, decay_input=True, tau_syn=1.0), bias 0.5..1 ",
        "population out: 2, LIF(tau=2.0, v_threshold=1.0, v_reset=0.0, decay_input=True, tau_syn=1.0), 1 alive ",
        "projection conv: x -> maps, 2 taps of 1x1, stride 1, padding 0, pool 2, 32 synapses, ",
        "projection last: maps -> out, 4 synapses, ",
    ]
    changed = golden_network()
    changed = changed.with_projection(
        replace(changed.projections[0], synapses=changed.projections[0].synapses.with_data(np.array([1.5, -2.5], np.float32)))
    )
    assert dump.describe(changed).splitlines()[4] != lines[4]


def test_damaged_dumps_are_refused(tmp_path: Path) -> None:
    _, arrays = dump.write(golden_network(), tmp_path, 1, "x")
    arrays.write_bytes(arrays.read_bytes()[:-3])
    with pytest.raises(FormatError, match="not a dump of a pass, or is damaged"):
        dump.load(arrays)
    with pytest.raises(FormatError, match="dump of a pass"):
        dump.load(tmp_path / "none.safetensors")


# --- validation ------------------------------------------------------------------------------------------------------


def test_what_a_pass_may_not_leave_behind() -> None:
    network = golden_network()
    wrong = replace(network.projections[1], synapses=network.projections[1].synapses.with_data(np.array([1, np.nan, 1, 1], np.float32)))
    with pytest.raises(NetworkError, match="Projection last after the pass fold: 1 weights are not finite"):
        validate(network.with_projection(wrong), "fold")
    wide = replace(
        network.projections[1], weight_bits=3, synapses=network.projections[1].synapses.with_data(np.array([1, 4, 1, 1], np.int32))
    )
    with pytest.raises(NetworkError, match="not integers of 3 bits"):
        validate(network.with_projection(wide), "quantise")
    validate(network.with_projection(replace(wide, weight_bits=4, exponent=7)), "quantise")  # as large as it may be
    high = replace(wide, weight_bits=8, exponent=8)
    with pytest.raises(NetworkError, match="exponent 8 exceeds 7"):
        validate(network.with_projection(high), "quantise")
    mixed = replace(network.populations[1], neuron=IntegerLIF())
    with pytest.raises(NetworkError, match="Layer maps after the pass quantise has integer neurons but biases in floating point"):
        validate(network.with_population(mixed), "quantise")


# --- exact passes keep the function ----------------------------------------------------------------------------------


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans(), st.booleans())
def test_passes_before_and_after_quantisation_keep_the_output(seed: int, maps: bool, temporal: bool) -> None:
    """Of integer networks: every pass but `encode`, which sets what enters; on the same events the output never changes."""
    network = integer_conv_network(seed, temporal=temporal) if maps else integer_network(seed, layers=3)
    events = reference.encode(network, samples(network, seed, 6))
    output = network.populations[-1].name
    wanted = reference.simulate(network, events)[output]
    encoding = None if network.input.is_temporal else "graded"
    for name, instance in pipeline.named(loihi(CompileOptions(LOIHI2, encoding=encoding))):
        try:
            network = instance.run(network).network
        except NetworkError as error:
            assert any(reason in str(error) for reason in ("has no live synapse", "cannot be reached", "would wrap"))
            return
        validate(network, name)
        if name == "encode":  # it sets how long the first layer's current lasts
            wanted = reference.simulate(network, events)[output] if not maps else wanted
        if network.is_integer and all(isinstance(p.neuron, IntegerLIF) for p in network.spiking):
            assert (reference.simulate(network, events)[output] == wanted).all(), name


def test_dead_code_is_counted() -> None:
    network = float_network(2, sizes=(20, 30, 12, 4), density=0.25)
    deployed = compile_network(network, calibration=calibration(network))
    first = next(r for r in deployed.passes if r.name == "drop-dead")
    found = dead_code(deployed.passes)
    assert found["of_synapses"] == first.before.synapses == record.Record().run(network).network.synapses
    assert found["synapses"] + found["rounded_synapses"] == first.before.synapses - deployed.network.synapses
    assert found["synapses"] > 0
    assert found["neurons"] == network.neurons - deployed.network.neurons > 0
    assert summary(deployed)["dead_code"] == found


def test_what_rounding_took_is_no_dead_code() -> None:
    network = float_network(2, sizes=(20, 30, 12, 4), density=0.25)
    known = calibration(network)
    fine, coarse = (dead_code(compile_network(network, calibration=known, weight_bits=bits).passes) for bits in (8, 2))
    assert fine["rounded_synapses"] < coarse["rounded_synapses"]
    stopped = pipeline.run(network, loihi(CompileOptions(LOIHI2, calibration=known, weight_bits=2)), stop_after="quantise")
    assert coarse["rounded_synapses"] == sum(int((p.synapses.data == 0).sum()) for p in stopped.network.projections)


def test_spikes_of_a_layer_that_is_silent_in_floats_are_drift() -> None:
    goal = np.array([[1, 0, 1, 0]])
    assert pipeline.differing(np.array([[1, 1, 0, 0]]), goal) == 1.0
    assert pipeline.differing(goal, 0 * goal) == 1.0
    assert pipeline.differing(0 * goal, 0 * goal) == 0.0


# --- bits and channels -----------------------------------------------------------------------------------------------


def test_bits_are_read_by_layer() -> None:
    bits = Bits.parse("6, hidden=3,output=ternary")
    assert (bits.of("other"), bits.of("hidden"), bits.of("output"), str(bits)) == (6, 3, 2, "6,hidden=3,output=2")
    assert Bits.parse("output=4").of("x") == 8
    for wrong in ("1", "9", "x", "8,4", "", "a=9", "2.5"):
        with pytest.raises(UsageError, match="--weight-bits"):
            Bits.parse(wrong)
    with pytest.raises(UsageError, match="no layer called 'layer9'"):
        compile_network(float_network(1), weight_bits="8,layer9=4")
    with pytest.raises(UsageError, match="no granularity called 'row'"):
        compile_network(float_network(1), granularity="row")


@pytest.mark.parametrize("bits", ["ternary", "3", "8,layer1=4"])
def test_every_layer_gets_its_bits(bits: str) -> None:
    network = float_network(5)
    deployed = compile_network(network, weight_bits=bits, calibration=calibration(network)).network
    for projection in deployed.projections:
        wanted = Bits.parse(bits).of(projection.target)
        assert projection.weight_bits == wanted
        assert np.abs(projection.synapses.data).max() <= arithmetic.largest_weight(wanted)


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(3, 8), st.integers(1, 5), st.booleans())
def test_channels_are_stored_as_finely_as_they_fit(seed: int, bits: int, groups: int, maps: bool) -> None:
    """Each weight lies within half a step of what it stands for, the step of a layer's exponent at most; no weight is lost or doubled."""
    rng = np.random.default_rng(seed)
    scales = 2.0 ** -rng.integers(0, 6, 6)
    if maps:
        w = rng.normal(0, 1, (6, 2, 3, 3)) * scales[:, None, None, None] * (rng.random((6, 2, 3, 3)) < 0.7)
        synapses = Convolution.from_dense(w.astype(np.float32), (2, 6, 6), padding=1)
    else:
        w = rng.normal(0, 1, (6, 30)) * scales[:, None] * (rng.random((6, 30)) < 0.7)
        synapses = Synapses.from_dense(w.astype(np.float32))
    largest = float(np.abs(synapses.data).max(initial=1e-6))
    step, exponent = arithmetic.largest_weight(bits) / largest, 3
    projection = Projection("p", "a", "b", synapses)
    made = _channels.parts(projection, exponent, step, bits, groups)
    assert len(made) <= groups
    assert len({p.name for p in made}) == len(made)
    total, coarse = np.zeros(w.shape), arithmetic.quantise(w.astype(np.float32), step, bits) / step
    for part in made:
        fine = step * 2.0 ** (exponent - part.exponent)
        total += part.synapses.to_dense() / fine
        assert np.abs(part.synapses.data).max(initial=0) <= arithmetic.largest_weight(bits)
        if part.synapses.weights:
            assert (
                np.abs(part.synapses.to_dense() / fine - w * (part.synapses.to_dense() != 0))[part.synapses.to_dense() != 0].max(initial=0)
                <= 0.5 / fine + 1e-6
            )
    assert np.abs(total - w).max() <= np.abs(coarse - w).max() + 1e-6
    assert sum(p.trained.weights for p in made) == projection.trained.weights
    assert sum(p.trained.possible_weights for p in made) == projection.trained.possible_weights
    assert sum(p.trained.possible_synapses for p in made) == projection.trained.possible_synapses
    assert sum(p.synapses.count for p in made) == synapses.count


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.sampled_from(["3", "8"]), st.booleans())
def test_networks_by_channel_run_and_are_kept(tmp_path_factory: pytest.TempPathFactory, seed: int, bits: str, maps: bool) -> None:
    network = conv_network(seed) if maps else float_network(seed)
    rng = np.random.default_rng(seed)
    for p in network.projections:  # channels of very different magnitudes
        taps = p.synapses.taps if isinstance(p.synapses, Convolution) else p.synapses
        if isinstance(network.population(p.target).neuron, LIF):
            factor = (2.0 ** -rng.integers(0, 5, taps.shape[0]))[taps.rows]
            network = network.with_projection(replace(p, synapses=p.synapses.with_data((p.synapses.data * factor).astype(np.float32))))
    try:
        deployed = compile_network(network, granularity="channel", weight_bits=bits, calibration=calibration(network))
    except NetworkError as error:
        assert any(reason in str(error) for reason in ("has no live synapse", "cannot be reached", "every weight is zero"))
        return
    events = reference.encode(deployed.network, samples(network, seed, 9))
    compare(
        reference.simulate(deployed.network, events), native.simulate(deployed.network, events, BackendOptions(threads=1)).spikes, "native"
    )
    path = deployed.save(tmp_path_factory.mktemp("loom") / "x.loom")
    assert dump.describe(load(path).network) == dump.describe(deployed.network)


def test_the_first_layer_that_drifts_is_named() -> None:
    network = float_network(3, sizes=(20, 30, 20, 5), density=0.8)
    coarse = compile_network(network, weight_bits="8,layer2=ternary", calibration=calibration(network, 40))
    fine = compile_network(network, calibration=calibration(network, 40))
    assert first_drift(fine) is None or fine.drift[first_drift(fine)["layer"]] > 0.05  # pyright: ignore[reportOptionalSubscript]
    drift = first_drift(coarse)
    assert drift is not None and drift["share"] > 0.05
    before = [p.name for p in coarse.network.spiking]
    assert all(coarse.drift[name] <= 0.05 for name in before[: before.index(drift["layer"])])


def test_neurons_that_lose_every_weight_are_a_warning() -> None:
    network = float_network(4, sizes=(10, 8, 3), density=1.0)
    first = network.projections[0]
    matrix = first.synapses.unrolled()
    data = np.where(matrix.rows == 2, matrix.data * 1e-4, matrix.data).astype(np.float32)
    network = network.with_projection(replace(first, synapses=first.synapses.with_data(data)))
    network = fold.Fold().run(network).network
    encoded = pipeline.run(network, loihi(CompileOptions(LOIHI2)), stop_after="encode").network
    found = quantise.Quantise("8").run(encoded)
    assert "Layer layer1: 1 of 8 neurons lost every weight to rounding. Try more --weight-bits." in found.warnings
    by_channel = quantise.Quantise("8", granularity="channel").run(encoded)
    assert by_channel.network.inputs_of("layer1")[0].exponent != by_channel.network.inputs_of("layer1")[-1].exponent
