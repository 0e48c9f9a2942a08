"""SOPs and energy by each definition: worked out by hand on small networks, and against sums over every synapse of random ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import conv_network, float_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network, summary
from spikeloom.compile.analysis.kinds import carriers, is_structural, kind
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.passes.balance import Balance
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import NetworkError
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses, Threshold
from spikeloom.report.prices import Definition
from spikeloom.runtime import Results, run

AC, MAC, T = 0.9e-12, 4.6e-12, 4
EVERY_STEP = LIF(decay_input=False)  # an input of 2 is above its threshold of 1 at every step


def matrix(values: list[list[float]]) -> Synapses:
    return Synapses.from_dense(np.array(values, np.float32))


def found(deployed: DeployedNetwork, values: NDArray[Any]) -> tuple[Results, dict[str, Definition]]:
    results = run(deployed, values)
    assert results.definitions is not None
    return results, results.definitions


def bright(size: int) -> NDArray[np.uint8]:
    return np.full((2, size), 255, np.uint8)


def test_two_layers_by_hand() -> None:
    """Two inputs and three hidden neurons are active at all of 4 steps; 4 of 6 weights of each layer are left."""
    populations = (Population("input", (2,), None), Population("hidden", (3,), EVERY_STEP), Population("output", (2,), EVERY_STEP))
    projections = (
        Projection("a", "input", "hidden", matrix([[2, 0], [2, 2], [0, 2]])),
        Projection("b", "hidden", "output", matrix([[1, 1, 0], [0, 1, 1]])),
    )
    deployed = compile_network(Network(populations, projections, T), encoding="graded")
    results, by = found(deployed, bright(2))
    assert results.layers[0].spikes_per_sample == 3 * T
    upr, neurobench, ours = (by[name] for name in ("upr", "neurobench", "spikeloom"))
    assert upr.deployed.sops_per_sample == 4 * T and upr.deployed.joules_per_sample == pytest.approx(4 * T * AC)
    assert upr.dense_snn.sops_per_sample == 6 * T and upr.dense_snn.joules_per_sample == pytest.approx(6 * T * AC)
    assert upr.dense_ann.macs_per_sample == 6 and upr.dense_ann.joules_per_sample == pytest.approx(6 * MAC)
    assert (neurobench.deployed.sops_per_sample, neurobench.deployed.macs_per_sample) == (8 * T, 4 * T)
    assert neurobench.deployed.joules_per_sample == pytest.approx(4 * T * (MAC + AC))
    assert (neurobench.dense_snn.sops_per_sample, neurobench.dense_snn.macs_per_sample) == (12 * T, 6 * T)
    assert neurobench.dense_ann.joules_per_sample == pytest.approx(12 * MAC)
    assert (ours.deployed.sops_per_sample, ours.deployed.macs_per_sample) == (8 * T, 4 * T)
    assert ours.deployed.joules_per_sample == results.energy.dynamic_joules_per_sample
    assert ours.dense_snn.sops_per_sample == 12 * T
    synaptic = results.energy.components[0].joules_per_unit
    assert synaptic and ours.dense_snn.joules_per_sample == pytest.approx(results.energy.dynamic_joules_per_sample + 4 * T * synaptic)
    assert ours.dense_ann.joules_per_sample is None
    assert [price.joules for price in upr.prices] == pytest.approx([AC, MAC]) and "Horowitz" in upr.prices[0].source


def pooled_network(average: bool) -> Network:
    """1 x 4 x 4 through a 1 x 1 convolution to two maps, windows of 2 x 2, and three outputs that lack 4 of their 24 weights."""
    weights = np.full((3, 2, 2, 2), 0.5, np.float32)
    weights[0, 0] = 0
    last = Convolution.from_dense(weights, (2, 4, 4), pool=2) if average else Convolution.from_dense(weights, (2, 2, 2))
    one = Convolution.from_dense(np.full((2, 1, 1, 1), 2, np.float32), (1, 4, 4))
    window = np.eye(2, dtype=np.float32)[:, :, None, None].repeat(2, 2).repeat(2, 3)
    pool = Population("pool", (2, 2, 2), Threshold(1.0))
    ends = Population("input", (1, 4, 4), None), Population("conv", (2, 4, 4), EVERY_STEP), Population("output", (3, 1, 1), EVERY_STEP)
    first = Projection("a", "input", "conv", one)
    if average:
        return Network(ends, (first, Projection("c", "conv", "output", last)), T)
    into = Projection("b", "conv", "pool", Convolution.from_dense(window, (2, 4, 4), stride=2))
    return Network((*ends[:2], pool, ends[2]), (first, into, Projection("c", "pool", "output", last)), T)


@pytest.mark.parametrize("average", [False, True])
def test_a_convolution_and_a_pool_by_hand(average: bool) -> None:
    """32 neurons spike at each of 4 steps; the papers' network has 20 synapses after the pool, of 24, each crossed at every step."""
    results, by = found(compile_network(pooled_network(average), encoding="graded"), bright(16))
    assert [layer.kind for layer in results.layers] == (["convolution", "linear"] if average else ["convolution", "pool", "linear"])
    assert by["upr"].deployed.sops_per_sample == 20 * T
    assert by["upr"].deployed.joules_per_sample == pytest.approx(20 * T * AC)
    assert (by["upr"].dense_snn.sops_per_sample, by["upr"].dense_ann.sops_per_sample) == (24 * T, 24)
    on_chip = 32 * T + (4 * 20 * T if average else 32 * T + 20 * T)  # first layer; four synapses a weight, or the pool's own and one
    assert by["spikeloom"].deployed.sops_per_sample == on_chip == results.sops_per_sample
    assert (by["neurobench"].deployed.sops_per_sample, by["neurobench"].deployed.macs_per_sample) == (on_chip, 32 * T)


TRAINED = ("pool_left_0", "left_right_0", "pool_right_1", "right_output_0", "both_output")


@settings(max_examples=examples(10), deadline=None)
@example(seed=3, encoding="current")
@example(seed=1, encoding="current")  # a channel is removed, so the shortcut had more synapses than its target has neurons
@given(seed=seeds, encoding=st.sampled_from(["current", "graded", "rate", "host"]))
def test_sops_equal_sums_over_every_synapse(seed: int, encoding: str) -> None:
    """Branches that share their weights count, shortcuts, pools and ANDs do not; removed neurons neither send nor receive."""
    try:
        deployed = compile_network(conv_network(seed), encoding=encoding)  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return  # a random network may have a dead layer
    network, values = deployed.network, samples(deployed.network, seed, 3)
    events = reference.encode(network, values)
    spikes = {"input": events, **reference.simulate(network, events)}
    results, by = found(deployed, values)
    sops = dense = 0.0
    for p in network.projections:
        if p.name.split(".e")[0] not in TRAINED:
            continue
        held = p.synapses.unrolled().to_dense() != 0
        held = held[network.population(p.target).living]
        each = (spikes[p.source] != 0).sum(axis=(0, 1)) / len(values)
        area = p.synapses.pool**2 if isinstance(p.synapses, Convolution) else 1
        sops += float((held.sum(axis=0) * each).sum()) / area
        dense += float(each.sum()) * p.trained.possible_synapses / p.trained.sources / area
    assert by["upr"].deployed.sops_per_sample == pytest.approx(sops)
    assert by["upr"].dense_snn.sops_per_sample == pytest.approx(dense)
    assert results.neurobench is not None
    assert by["neurobench"].deployed.macs_per_sample == results.neurobench.effective_macs_per_sample
    total = results.neurobench.effective_acs_per_sample + results.neurobench.effective_macs_per_sample
    assert by["neurobench"].deployed.sops_per_sample == pytest.approx(total)
    assert by["neurobench"].dense_snn.sops_per_sample == results.neurobench.dense_per_sample
    assert by["spikeloom"].deployed.sops_per_sample == results.sops_per_sample


@pytest.mark.parametrize("average", [False, True])
def test_crossbars_say_what_they_no_longer_know(average: bool) -> None:
    """There kernels are unrolled, and with them the windows of average pools."""
    network = pooled_network(average)
    calibration = Calibration(bright(16), np.zeros(2, np.int64))
    deployed = compile_network(network, target="truenorth", mode="ternary", calibration=calibration)
    assert [row["kind"] for row in summary.layers(deployed)] == ["convolution", *([] if average else ["pool"]), "linear"]
    results, by = found(deployed, bright(16))
    assert by["upr"].deployed.sops_per_sample == results.layers[-1].sops_per_sample > 0
    assert ("output: the kernel is unrolled" in by["upr"].note) == average


def test_a_recurrent_first_layer_counts_its_own_synapses_only() -> None:
    network = float_network(2, sizes=(18, 14, 8))
    rng = np.random.default_rng(0)
    again = Projection("again", "layer1", "layer1", Synapses.from_dense(rng.normal(0.3, 0.3, (14, 14)).astype(np.float32)), lag=1)
    deployed = compile_network(replace(network, projections=(*network.projections, again)))
    values = samples(deployed.network, 1, 4)
    results, by = found(deployed, values)
    first = by["neurobench"].deployed.macs_per_sample
    assert by["upr"].deployed.sops_per_sample == pytest.approx(results.sops_per_sample - first) and first > 0


def test_relays_are_structural_and_pass_the_sample_on() -> None:
    """The input and layer a each wait for a longer path, on a chip without delays: what a relay of the input feeds is a first layer."""
    names = ("input", "a", "b", "output")
    populations = (*(Population(n, (3,), None if n == "input" else IntegerLIF(4095, 2048, 10)) for n in names),)
    ends = [("input", "a"), ("a", "b"), ("b", "output"), ("a", "output"), ("input", "output")]
    weights = Synapses.from_dense(np.array([[9, 1, 0], [0, 9, 1], [1, 0, 9]], np.int32))
    projections = (*(Projection(f"{s}-{t}", s, t, weights, weight_bits=8) for s, t in ends),)
    network = Balance(0).run(Network(populations, projections, T, InputSpec(1, 1.0, "rate"))).network
    of = {p.name: kind(network, p) for p in network.spiking}
    relays = {name for name in of if "relay" in name}
    assert len(relays) == 3 and {name for name in of if of[name] == "relay"} == relays
    assert {p.name for p in network.projections if is_structural(network, p)} == relays  # each is named after its projection
    assert carriers(network) == {"input", *(name for name in relays if name.startswith("input"))}
