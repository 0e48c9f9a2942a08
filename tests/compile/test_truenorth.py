"""Crossbars: weights from levels, limits of cores, and the cores themselves against the mapped network, spike for spike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from budget import examples
from conftest import Command
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, samples, seeds
from spikeloom.compile import compile_network, load
from spikeloom.compile.crossbar import weights
from spikeloom.compile.crossbar.artefact import restore
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import BackendError, DoesNotFitError, FormatError, NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.crossbar import STATE_MAX, crossbar_step
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, CrossbarLIF, InputSpec, Network, Population, Projection, Synapses, Threshold
from spikeloom.runtime import run
from spikeloom.runtime.backends import native, truenorth
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

MODES = list(weights.MODES)


def calibration(network: Network, count: int = 12) -> Calibration:
    return Calibration(samples(network, 5, count), np.zeros(count, np.int64))


def compiled(network: Network, mode: str, **options: str) -> DeployedNetwork:
    try:
        return compile_network(network, target="truenorth", mode=mode, calibration=calibration(network), **options)  # pyright: ignore[reportArgumentType]
    except NetworkError as error:
        if any(reason in str(error) for reason in ("has no live synapse", "every weight is zero", "cannot be reached")):
            assume(False)  # a random network whose output receives nothing is no example
        raise


# --- weights and neurons ---------------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.sampled_from(MODES), st.integers(0, 40))
def test_weights_are_sums_of_levels(seed: int, mode: str, count: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = np.clip(rng.normal(0, 60, count), -weights.TOP, weights.TOP)
    levels, counts = weights.fit(np.clip(wanted, -128, 127) if mode == "exact" else wanted, mode)
    assert np.abs(levels).max(initial=0) <= 255
    assert ((counts >= 0) & (counts <= np.array(weights.COPIES[mode]))).all()
    formed = counts @ levels
    if mode == "exact":
        assert (formed == np.clip(np.rint(wanted), -128, 127)).all()
    elif mode == "ternary":
        assert len(set(formed.tolist()) - {0}) <= 2
        assert (formed * wanted >= 0).all()
    else:
        unit = np.abs(wanted).max(initial=0.0) / 7.5
        nearest = np.clip(np.rint(wanted / max(unit, 1e-9)), -8, 7) * unit  # what a 4-bit integer would be
        assert ((formed - wanted) ** 2).sum() <= ((nearest - wanted) ** 2).sum() + 4.0 * count


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(-STATE_MAX, STATE_MAX), st.integers(-(10**6), 10**6), st.integers(1, 10**5), st.integers(0, 10**5))
@example(STATE_MAX, 1, 10**5, 1)  # saturates before it leaks
@example(-STATE_MAX, -1, 10**5, 1)
@example(7, 0, 7, 0)
@example(3, 0, 10**5, 5)  # leaks no further than to 0
def test_a_neuron_against_its_equations(v: int, a: int, threshold: int, leak: int) -> None:
    total = max(-STATE_MAX, min(STATE_MAX, v + a))
    total = max(0, total - leak) if total > 0 else min(0, total + leak)
    after, fired = crossbar_step(np.array(v), np.array(a), threshold=threshold, leak=leak)
    assert bool(fired) == (total >= threshold)
    assert int(after) == (0 if total >= threshold else total)


# --- cores -----------------------------------------------------------------------------------------------------------


def check_cores(deployed: DeployedNetwork) -> None:
    """Count every limit of every core by hand, and form each neuron's weights from its bits."""
    c, network = deployed.crossbars, deployed.network.flat.network
    assert c is not None
    outside = sum(p.size for p in network.senders) - sum(p.size for p in network.on_chip)
    incoming: dict[int, dict[int, int]] = {}
    start = 0
    for p in network.on_chip:
        for q in network.inputs_of(p.name):
            first = 0
            for sender in network.senders:
                if sender.name == q.source:
                    break
                first += sender.size
            matrix = q.synapses.unrolled()
            for row, column, w in zip(matrix.rows, matrix.indices, matrix.data, strict=True):
                incoming.setdefault(start + int(row), {})[first + int(column)] = int(w)
        start += p.size
    sent: dict[int, list[tuple[int, int]]] = {}
    for core in range(c.cores):
        driven = c.axon_type[core] >= 0
        assert driven.sum() <= 256 and (c.logical[core] >= 0).sum() <= 256
        assert not c.bits[core][~driven].any()
        for slot in np.flatnonzero(c.logical[core] >= 0):
            formed: dict[int, int] = {}
            for axon in np.flatnonzero(c.bits[core, :, slot]):
                source = int(c.axon_source[core, axon])
                formed[source] = formed.get(source, 0) + int(c.levels[core, slot, c.axon_type[core, axon]])
            assert formed == incoming.get(int(c.logical[core, slot]), {})
            if c.target[core, slot, 0] >= 0:
                sent.setdefault(outside + int(c.logical[core, slot]), []).append(
                    (int(c.target[core, slot, 0]), int(c.target[core, slot, 1]))
                )
    for source, core, axon in c.inputs:
        sent.setdefault(int(source), []).append((int(core), int(axon)))
    driven = {(core, axon): int(c.axon_source[core, axon]) for core, axon in np.argwhere(c.axon_type >= 0)}
    assert sorted(where for routes in sent.values() for where in routes) == sorted(driven)  # each axon is driven once
    assert all(driven[where] == source for source, routes in sent.items() for where in routes)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=examples(12), deadline=None)
@given(seed=seeds, wide=st.booleans())
def test_the_cores_spike_as_the_mapped_network(mode: str, seed: int, wide: bool) -> None:
    sizes = (40, 60, 30, 6) if wide and mode != "exact" else (14, 12, 5)
    network = float_network(seed, sizes=sizes, density=0.3)
    deployed = compiled(network, mode)
    check_cores(deployed)
    assert deployed.mapping.cores == deployed.crossbars.cores  # pyright: ignore[reportOptionalMemberAccess]
    events = reference.encode(deployed.network, samples(network, seed, 7), seed=1)
    spikes = reference.simulate(deployed.network, events)
    compare(spikes, native.simulate(deployed.network, events, BackendOptions()).spikes, "native")
    options = BackendOptions(threads=2, crossbars=deployed.crossbars)
    compare(spikes, truenorth.simulate(deployed.network, events, options).spikes, "truenorth")


def branching(seed: int) -> Network:
    """A pooled map, and a skip connection whose spikes have to wait two ticks."""
    rng = np.random.default_rng(seed)
    windows = Convolution.from_dense(np.eye(2, dtype=np.float32)[:, :, None, None], (2, 4, 4), pool=2)

    def dense(a: int, b: int) -> Synapses:
        return Synapses.from_dense((rng.normal(0.4, 0.5, (a, b)) * (rng.random((a, b)) < 0.4)).astype(np.float32))

    populations = (
        Population("x", (2, 4, 4), None),
        Population("a", (2, 4, 4), LIF()),
        Population("pool", (2, 2, 2), Threshold(1.0)),
        Population("b", (9,), LIF(decay_input=False)),
        Population("out", (4,), LIF(v_threshold=0.5)),
    )
    projections = (
        Projection("xa", "x", "a", dense(32, 32)),
        Projection("ap", "a", "pool", windows),
        Projection("pb", "pool", "b", dense(9, 8)),
        Projection("bo", "b", "out", dense(4, 9)),
        Projection("po", "pool", "out", dense(4, 8)),
    )
    return Network(populations, projections, 6, InputSpec())


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.sampled_from(["rate", "host"]))
@example(seed=1880, encoding="host")  # of the host's layer, neurons were removed
def test_pools_branches_and_a_first_layer_on_the_host(seed: int, encoding: str) -> None:
    network = branching(seed)
    deployed = compiled(network, "codebook", encoding=encoding)
    values = samples(network, seed, 6)
    results = run(deployed, Labelled(values, np.zeros(6, np.int64)), backend="truenorth", check=True)
    assert results.check is not None and results.check.equal
    if any(p.name == "bo" for p in deployed.network.projections):
        assert max(p.delay for p in deployed.network.projections) == 1


def test_events_and_messages_are_counted_on_the_cores() -> None:
    network = float_network(2, sizes=(30, 40, 6), density=0.3)
    deployed = compiled(network, "codebook")
    c = deployed.crossbars
    assert c is not None
    values = samples(network, 2, 9)
    events = reference.encode(deployed.network, values)
    spikes = reference.simulate(deployed.network, events)
    results = run(deployed, Labelled(values, np.zeros(9, np.int64)), options=BackendOptions(by_step=True))
    fired = np.concatenate([(events > 0).sum(axis=(0, 1)), *(spikes[p.name].sum(axis=(0, 1)) for p in deployed.network.on_chip)]) / 9
    axons = [(int(c.axon_source[k]), int(c.bits[k].sum())) for k in zip(*np.nonzero(c.axon_type >= 0), strict=True)]
    assert results.crossbar_events_per_sample == pytest.approx(sum(fired[s] * bits for s, bits in axons))
    assert results.messages_per_sample == pytest.approx(sum(fired[s] for s, _ in axons))
    assert results.by_step is not None
    assert np.sum(results.by_step.cores.sops) == pytest.approx(results.crossbar_events_per_sample)
    assert results.energy.joules_per_sample == pytest.approx((results.crossbar_events_per_sample or 0.0) * 26e-12)
    assert results.latency.seconds_per_step == pytest.approx(1e-3)
    apart = run(deployed, Labelled(values, np.zeros(9, np.int64)), energy_model="truenorth-separable")
    hops = results.hops_per_sample * 2.3e-12
    assert apart.energy.joules_per_sample == pytest.approx(results.messages_per_sample * 12.032e-12 + hops)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_fan_in_past_the_axons_is_refused_by_name() -> None:
    network = float_network(1, sizes=(80, 10, 4), density=1.0)
    with pytest.raises(
        DoesNotFitError,
        match=r"Layer layer1: neuron \d+ receives input from \d+ sources, for which the mode exact needs \d+ axons; a core has 256",
    ):
        compiled(network, "exact")
    assert compiled(network, "ternary").mapping.cores >= 2
    with pytest.raises(DoesNotFitError, match=r"the mode ternary needs \d+ axons; a core has 256. Try a higher sparsity."):
        compiled(float_network(1, sizes=(600, 10, 4), density=1.0), "ternary")


def test_a_chip_file_with_smaller_cores_is_held() -> None:
    network = float_network(2, sizes=(40, 30, 6), density=0.3)
    chip = chips.load("truenorth")
    small = {name: getattr(chip.limits, name).model_copy(update={"value": 48.0}) for name in ("neurons", "input_axons")}
    own = chip.model_copy(update={"limits": chip.limits.model_copy(update=small)})
    whole, parts = (
        compile_network(network, target="truenorth", mode="ternary", chip=c, calibration=calibration(network)) for c in (chip, own)
    )
    assert parts.mapping.load[:, [0, 2]].max() <= 48 < whole.mapping.load[:, [0, 2]].max()
    check_cores(parts)


def test_rates_are_measured_and_bounds_hold() -> None:
    network = float_network(2, sizes=(40, 60, 6), density=0.3)
    known = calibration(network)
    deployed = compiled(network, "exact")
    spikes = reference.simulate(deployed.network, reference.encode(deployed.network, known.values))
    wanted = [spikes[p.name].mean(axis=(0, 1)) for p in deployed.network.on_chip]
    assert deployed.mapping.rates[-sum(w.size for w in wanted) :] == pytest.approx(np.concatenate(wanted))
    assert 1 <= deployed.mapping.cores_bound <= deployed.mapping.cores
    assert 0 < deployed.mapping.messages_bound <= deployed.mapping.messages_per_step + 1e-9


def test_silent_layers_and_neurons_out_of_reach_are_named() -> None:
    network = float_network(2, sizes=(20, 15, 4))

    def warnings(threshold: float) -> str:
        neuron = LIF(v_threshold=threshold)
        changed = network.with_population(replace(network.populations[-1], neuron=neuron))
        return " ".join(compile_network(changed, target="truenorth", mode="exact", calibration=calibration(changed)).warnings)

    assert "Layer layer2 is silent: none of its neurons spiked on 12 training samples." in warnings(2.0)
    assert "Layer layer2: 1 of 4 neurons can never reach the threshold." in warnings(8.0)
    with pytest.raises(NetworkError, match="Layer layer2: its threshold 4,080 cannot be reached"):
        warnings(50.0)
    with pytest.raises(NetworkError, match=r"Layer layer2: beside its weights the threshold would be .* holds up to 524,287"):
        warnings(1e6)


def test_what_crossbars_do_not_carry_is_named() -> None:
    network = float_network(1)
    biased = network.with_population(replace(network.populations[1], bias=np.ones(network.populations[1].size, np.float32)))
    with pytest.raises(NetworkError, match="Layer layer1 has biases"):
        compiled(biased, "ternary")
    with pytest.raises(UsageError, match="no mode called 'binary'"):
        compiled(network, "binary")
    with pytest.raises(UsageError, match="--mode ternary is for crossbars"):
        compile_network(network, mode="ternary", calibration=calibration(network))
    for options, said in (({"weight_bits": 4}, "--weight-bits 4"), ({"granularity": "channel"}, "--granularity channel")):
        with pytest.raises(UsageError, match=f"{said} is for synapses that hold integers"):
            compile_network(network, target="truenorth", calibration=calibration(network), **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(NetworkError, match="Crossbars need calibration samples"):
        compile_network(network, target="truenorth")
    with pytest.raises(DoesNotFitError, match="cannot carry --encoding graded"):
        compiled(network, "ternary", encoding="graded")
    loihi = compile_network(network, calibration=calibration(network)).network
    with pytest.raises(BackendError, match="was not compiled for crossbars"):
        truenorth.simulate(loihi, np.zeros((1, 6, 20), np.uint8), BackendOptions())


def test_files_keep_the_cores_and_damage_is_refused(tmp_path: Path) -> None:
    network = float_network(3, density=0.6)
    deployed = compiled(network, "codebook")
    again = load(deployed.save(tmp_path / "model.loom"))
    assert deployed.crossbars is not None and again.crossbars is not None
    arrays = deployed.crossbars.arrays()
    assert all((a == again.crossbars.arrays()[name]).all() for name, a in arrays.items())
    neurons = deployed.network.flat.network.on_chip
    counts = (deployed.network.populations[0].size, sum(p.size for p in neurons), deployed.network.populations[0].size)
    for name, value in (("axon_type", 4), ("target", 99), ("logical", counts[1]), ("inputs", -1)):
        wrong = arrays[f"crossbar.{name}"].copy()
        wrong.flat[0] = value
        with pytest.raises(FormatError, match=f"crossbar {name} is out of range"):
            restore("codebook", arrays | {f"crossbar.{name}": wrong}, *counts)
    with pytest.raises(FormatError, match="crossbar levels: its shape"):
        restore("codebook", arrays | {"crossbar.levels": arrays["crossbar.levels"][:, :-1]}, *counts)


def test_the_command_line(spikeloom: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert (
        spikeloom("train", "--data", "digits", "--method", "grad-r", "--sparsity", 0.9, "--epochs", 12, "--hidden", 48, "--out", out).code
        == 0
    )
    shown = spikeloom("compile", out, "--target", "truenorth", "--mode", "codebook")
    assert shown.code == 0, shown.err
    assert "crossbars, codebook" in shown.out
    ran = spikeloom("run", out / "model.loom", "--backend", "truenorth", "--check", "--samples", 40, "--json")
    assert ran.code == 0, ran.err
    results = json.loads(ran.out)
    assert results["check"]["equal"] and results["energy"]["model"] == "truenorth"
    assert spikeloom("report", out / "results-truenorth.json").code == 0
    assert spikeloom("compile", out, "--mode", "ternary").code == 2


def test_populations_of_other_levels_are_not_equal() -> None:
    levels = np.array([[1, 0, 0, 0]])
    one, same, other = (Population("a", (1,), CrossbarLIF(), levels=x) for x in (levels, levels.copy(), 2 * levels))
    assert one == same and one != other
