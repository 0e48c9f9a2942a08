"""The native simulator's kernels against the reference: whole blocks and parts of one, maps of every geometry, counts without rasters."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, graph_network, integer_conv_network, integer_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.errors import BackendError
from spikeloom.hwmodels import fixed_point
from spikeloom.network import reference
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions, Recording
from spikeloom.runtime.native import chain, dense, lanes, latency, plain
from spikeloom.runtime.native.kernels.lanes import CHUNK
from spikeloom.runtime.native.latency import OneSample, one_sample
from spikeloom.runtime.native.program import prepare
from spikeloom.runtime.simulator import compare


@pytest.fixture
def always_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the products wherever there are any, without measuring whether they are faster."""
    monkeypatch.setattr(dense, "SURE", 0.0)


ONE, TWO = BackendOptions(threads=1), BackendOptions(threads=2)


def check(network: Network, events: np.ndarray, options: BackendOptions = ONE) -> dict[str, np.ndarray]:
    """Compare every spike, and the counts with and without rasters; return the reference's spikes."""
    expected = reference.simulate(network, events)
    found = native.simulate(network, events, options)
    compare(expected, found.spikes, "native")
    few = native.simulate(network, events, replace(options, rasters=False))
    last = network.populations[-1].name
    assert len(events) == 1 or set(few.spikes) == {last}
    assert (few.spikes[last] == expected[last]).all()
    for recording in (found, few):
        _counts_agree(expected, recording, found)
    entering = (few.fired or {}).get(network.populations[0].name)
    assert entering is None or (entering == np.count_nonzero(events, axis=(0, 1))).all()
    return expected


def _counts_agree(expected: dict[str, np.ndarray], recording: Recording, other: Recording) -> None:
    assert recording.fired is not None and recording.active is not None and other.active is not None
    for name, raster in expected.items():
        assert (recording.fired[name] == raster.sum(axis=(0, 1))).all()
        assert (recording.active[name] == other.active[name]).all()


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.sampled_from([1, 7, 63, 64, 65, 130]), st.integers(1, 3), st.sampled_from(["graded", "current", "rate"]))
def test_flat_networks_in_blocks(seed: int, count: int, layers: int, encoding: str) -> None:
    network = integer_network(seed, layers=layers, encoding=encoding)
    check(network, reference.encode(network, samples(network, seed, count)), TWO)


def halving_network(seed: int, timesteps: int, levels: int, held: bool) -> Network:
    """Three layers of neurons that halve, wider and narrower than a tile, with removed neurons and shifted sums."""
    rng = np.random.default_rng(seed)
    sizes, names = rng.integers(40, 150, 4), ("input", "first", "second", "output")
    made = [Population("input", (int(sizes[0]),), None)]
    joined: list[Projection] = []
    for i in range(1, 4):
        weights = rng.integers(-127, 128, (sizes[i], sizes[i - 1])) * (rng.random((sizes[i], sizes[i - 1])) < 0.1)
        alive = rng.random(sizes[i]) < 0.9 if i < 3 else np.ones(sizes[i], np.bool_)
        weights[~alive] = 0
        exponent = int(rng.integers(0, 4))
        neuron = IntegerLIF(-1 if held and i == 1 else 4095, 2048, int(rng.integers(1, 400 << exponent)))
        made.append(Population(names[i], (int(sizes[i]),), neuron, alive=None if alive.all() else alive))
        joined.append(Projection(f"p{i}", names[i - 1], names[i], Synapses.from_dense(weights.astype(np.int32)), exponent, 8))
    return Network(tuple(made), tuple(joined), timesteps, InputSpec(levels, 1 / levels, "current" if held else "graded"))


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.sampled_from([63, 64, 130, 581]), st.integers(1, 20), st.sampled_from([1, 4]), st.booleans(), st.sampled_from([ONE, TWO]))
def test_halving_neurons_fused_with_their_sums(
    seed: int, count: int, timesteps: int, levels: int, held: bool, options: BackendOptions
) -> None:
    """What most networks are made of, in whole blocks and parts of one."""
    network = halving_network(seed, timesteps, levels, held)
    program = prepare(network)
    assert program is not None and all(layer.fused for layer in program.layers)
    events = reference.encode(network, samples(network, seed, count))
    check(network, events, options)
    with pytest.MonkeyPatch.context() as patch:  # else whichever form is faster now runs
        patch.setattr(dense, "wins", lambda *_: False)
        patch.setattr(lanes, "_last", [])
        fired = native.simulate(network, events, replace(options, rasters=False)).fired or {}
    assert (chain.prepare(program) is not None) == ("input" in fired) == (network.populations[0].size >= CHUNK)


@pytest.mark.parametrize("event", [0, latency.EVENT, 1 << 40])
@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.integers(1, 20), st.sampled_from([1, 4, 127]), st.booleans())
def test_single_samples_by_events_and_by_eight_steps(event: int, seed: int, timesteps: int, levels: int, held: bool) -> None:
    """Any number of steps, more and fewer neurons than a tile has; both forms, and the faster one of each layer."""
    network = halving_network(seed, timesteps, levels, held)
    events = reference.encode(network, samples(network, seed, 3))
    expected, runner = reference.simulate(network, events), one_sample(network)
    assert runner is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "EVENT", event)
        for i in range(3):
            found = runner.run(events[i])
            assert all((found[name] == raster[i]).all() for name, raster in expected.items())
    events[0, 0, 0] = levels + 1
    with pytest.raises(BackendError, match=f"payload is {levels + 1}"):
        runner.run(events[0])


def test_a_payload_above_the_levels_is_refused_in_a_chain() -> None:
    """The OR of a block's payloads tells that there is one; one that only looks so by the OR of others is none."""
    weights = np.ones((2, CHUNK), np.int32)
    populations = (Population("input", (CHUNK,), None), Population("output", (2,), IntegerLIF(4095, 2048, 3)))
    joined = (Projection("p", "input", "output", Synapses.from_dense(weights), 0, 8),)
    network = Network(populations, joined, 2, InputSpec(5, 0.2, "graded"))
    events = np.zeros((CHUNK, 2, CHUNK), np.uint8)
    events[0, 0, 0], events[1, 0, 0] = 5, 2  # 7 by their OR
    options = replace(ONE, rasters=False)
    assert native.simulate(network, events, options).spikes["output"].any()
    events[-1, -1, -1] = 6
    with pytest.raises(BackendError, match="payload is 6"):
        native.simulate(network, events, options)


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.sampled_from([1, 2, 8, 9, 17]), st.booleans())
def test_convolutional_networks_in_blocks(seed: int, count: int, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    check(network, reference.encode(network, samples(network, seed, count)), TWO)


GEOMETRY = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.sampled_from([6, 8, 9, 16]))


@settings(max_examples=examples(60), deadline=None)
@given(seeds, GEOMETRY, st.integers(1, 9), st.integers(-2, 3), st.sampled_from([127, 2000]), st.booleans())
def test_maps_of_every_geometry(
    seed: int, geometry: tuple[int, int, int, int, int], channels: int, exponent: int, limit: int, graded: bool
) -> None:
    """Kernels, strides, padding, pools, biases, removed neurons, sums beyond 16 bits; then a flat layer and a window's OR on the map."""
    kernel, stride, padding, pool, size = geometry
    rng = np.random.default_rng(seed)
    shape = (2, size, size + int(rng.integers(0, 3)))
    if size // pool + 2 * padding < kernel:
        return
    taps = rng.integers(-limit, limit + 1, (channels, 2, kernel, kernel)) * (rng.random((channels, 2, kernel, kernel)) < 0.5)
    first = Convolution.from_dense(taps, shape, stride=stride, padding=padding, pool=pool)
    maps = first.target_shape
    bias = rng.integers(-3000, 3000, channels).astype(np.int32) if rng.random() < 0.5 else None
    alive = rng.random(int(np.prod(maps))) < 0.8 if rng.random() < 0.5 else None
    du = int(rng.choice([4095, 4095, 2000]))
    populations = [
        Population("x", shape, None),
        Population("a", maps, IntegerLIF(du, int(rng.integers(0, 4096)), 60), bias=bias, alive=alive),
    ]
    projections = [Projection("xa", "x", "a", first, exponent, 9)]
    if min(maps[1:]) >= 2:
        windows = Convolution.from_dense(np.eye(channels, dtype=np.int32)[:, :, None, None], maps, pool=2)
        populations.append(Population("pool", windows.target_shape, IntegerLIF(4095, 4095, 1)))
        projections.append(Projection("ap", "a", "pool", windows, 1, 2))
    populations.append(Population("flat", (16,), IntegerLIF(4095, 2048, 20)))
    source = populations[-2].name
    weights = rng.integers(-40, 60, (16, populations[-2].size)) * (rng.random((16, populations[-2].size)) < 0.5)
    projections.append(Projection("last", source, "flat", Synapses.from_dense(weights), 0, 8))
    network = Network(tuple(populations), tuple(projections), 5, InputSpec(255 if graded else 1, 1.0, "graded" if graded else "events"))
    events = rng.integers(0, 256 if graded else 2, (11, 5, int(np.prod(shape)))).astype(np.uint8)
    check(network, events)
    check(replace(network, timesteps=11), events[:2, [*range(5), *range(5), 0]])  # one by one, more steps than a byte holds


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.sampled_from([1, 5, 64, 150]), st.sampled_from([1, 100, 127]), st.booleans())
@pytest.mark.usefixtures("always_products")
def test_dense_networks_through_matrix_products(seed: int, count: int, levels: int, held: bool) -> None:
    """Counts, rasters, removed neurons, biases and steps; a network that is not dense, or whose weights are wide, has no products."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, 4)
    populations, projections = [Population("p0", (int(sizes[0]),), None)], list[Projection]()
    for i in range(1, 4):
        n = int(sizes[i])
        du = -1 if held and i == 1 else 4095
        alive = rng.random(n) < 0.8 if rng.random() < 0.5 else None
        bias = rng.integers(-900, 900, n).astype(np.int32) if rng.random() < 0.5 else None
        neuron = IntegerLIF(du, int(rng.choice([0, 2048, 1000])), int(rng.integers(1, 300)), soft_reset=bool(rng.random() < 0.3))
        populations.append(Population(f"p{i}", (n,), neuron, bias=bias, alive=alive))
        weights = Synapses.from_dense((rng.integers(1, 128, (n, int(sizes[i - 1]))) * rng.choice([-1, 1, 1])).astype(np.int32))
        projections.append(Projection(f"w{i}", f"p{i - 1}", f"p{i}", weights, int(rng.integers(-2, 2)), 8))
    network = Network(tuple(populations), tuple(projections), 7, InputSpec(levels, 1.0, "current" if held else "events"))
    program = prepare(network)
    assert program is not None
    assert (dense.prepare(network, program) is not None) == all(layer.neuron[3] for layer in program.layers)
    events = rng.integers(0, levels + 1, (count, 7, int(sizes[0]))).astype(np.uint8)
    if held:
        events[:, 1:] = 0
    expected = check(network, events, TWO)
    by_step = native.simulate(network, events, replace(ONE, by_step=True)).by_step
    assert count == 1 or by_step is not None
    assert by_step is None or all((by_step[name] == raster.sum(axis=0)).all() for name, raster in expected.items())


def test_sparse_networks_have_no_products() -> None:
    network = integer_network(1, density=0.05, encoding="rate")
    program = prepare(network)
    assert program is not None
    assert dense.prepare(network, program) is None


@pytest.mark.parametrize("slow", ["products", "kernels", "neither"])
def test_what_is_neither_sparse_nor_dense_takes_the_faster_form(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on a block, whichever it is: the spikes are the same, and the slower one is not taken."""
    kind = dense.DenseWorker if slow == "products" else chain.ChainWorker
    real, runs = kind.run, list[int]()

    def late(worker: object, blocks: SimpleQueue[range], events: np.ndarray, spikes: dict[str, np.ndarray]) -> None:
        runs.append(len(events))
        time.sleep(0.05)
        real(worker, blocks, events, spikes)  # type: ignore[arg-type]

    if slow != "neither":
        monkeypatch.setattr(kind, "run", late)
    rng = np.random.default_rng(0)
    weights = [rng.integers(-127, 128, shape) * (rng.random(shape) < 0.3) for shape in ((90, 70), (10, 90))]
    populations = (
        Population("input", (70,), None),
        *(Population(f"p{i}", (n,), IntegerLIF(4095, 2048, 200)) for i, n in ((1, 90), (2, 10))),
    )
    joined = [
        Projection(f"w{i}", ("input", "p1")[i], f"p{i + 1}", Synapses.from_dense(w.astype(np.int32)), 0, 8) for i, w in enumerate(weights)
    ]
    network = Network(populations, tuple(joined), 4, InputSpec(1, 1.0, "rate"))
    events = (rng.random((130, 4, 70)) < 0.2).astype(np.uint8)
    expected = reference.simulate(network, events)
    found = native.simulate(network, events, replace(ONE, rasters=False))
    assert (found.spikes["p2"] == expected["p2"]).all()
    assert set(runs) <= {CHUNK}  # measured, and not run


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 3), st.sampled_from(["graded", "current", "rate"]))
def test_single_samples_event_by_event(seed: int, layers: int, encoding: str) -> None:
    """One prepared network, sample after sample: nothing of one is left in the next."""
    network = integer_network(seed, layers=layers, encoding=encoding)
    rng = np.random.default_rng(seed)
    last = network.populations[1]
    network = network.with_population(replace(last, alive=rng.random(last.size) < 0.8))
    events = reference.encode(network, samples(network, seed, 4))
    expected, runner = reference.simulate(network, events), one_sample(network)
    assert isinstance(runner, OneSample)
    for i in range(4):
        compare({n: r[i : i + 1] for n, r in expected.items()}, runner.recording(events[i : i + 1]).spikes, "native", i)
        single = native.simulate(network, events[i : i + 1], ONE)
        twice = native.simulate(network, events[[i, i]], ONE)
        assert single.active is not None and twice.active is not None
        assert all((single.active[n] * 2 == twice.active[n]).all() for n in expected)


@settings(max_examples=examples(15), deadline=None)
@given(seeds, st.booleans())
def test_single_samples_of_maps(seed: int, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    events = reference.encode(network, samples(network, seed, 3))
    expected, runner = reference.simulate(network, events), one_sample(network)
    assert runner is not None
    last = network.populations[-1].name
    for i in range(3):
        assert (runner.run(events[i])[last] == expected[last][i]).all()


@pytest.mark.parametrize("count", [5, 64])
def test_a_payload_above_the_levels_is_refused(count: int) -> None:
    network = integer_network(2, encoding="rate")
    events = np.zeros((count, network.timesteps, network.populations[0].size), np.uint8)
    events[3, 1, 2] = 2
    with pytest.raises(BackendError, match="payload is 2; the network's input has at most 1"):
        native.simulate(network, events, ONE)


def test_more_steps_than_a_byte_counts() -> None:
    network = replace(integer_network(4, layers=2, encoding="graded"), timesteps=300)
    check(network, reference.encode(network, samples(network, 4, 66)))


@pytest.mark.parametrize("vth", [1, 2, 3])
def test_a_pool_that_asks_for_several_spikes_is_no_or(vth: int) -> None:
    rng = np.random.default_rng(1)
    shape = (3, 8, 8)
    windows = Convolution.from_dense(np.eye(3, dtype=np.int32)[:, :, None, None].repeat(2, 2).repeat(2, 3), shape, stride=2)
    one = Convolution.from_dense(np.eye(3, dtype=np.int32)[:, :, None, None], shape)
    populations = (
        Population("x", shape, None),
        Population("a", shape, IntegerLIF(4095, 4095, 0)),
        Population("p", windows.target_shape, IntegerLIF(4095, 4095, vth)),
    )
    network = Network(
        populations, (Projection("xa", "x", "a", one, 0, 8), Projection("ap", "a", "p", windows, 1, 2)), 4, InputSpec(1, 1.0, "events")
    )
    spikes = check(network, (rng.random((9, 4, 192)) < 0.2).astype(np.uint8))
    grouped = spikes["a"].reshape(9, 4, 3, 4, 2, 4, 2).sum(axis=(4, 6)).reshape(9, 4, -1)
    assert (spikes["p"] == (grouped >= (1 if vth == 1 else 2))).all()


def test_a_current_wraps_at_the_edges_of_24_bits() -> None:
    """Sums of -2^17, one more, 2^17 and one less; -2^23 is wrapped to 2^23, which stays."""
    weights = np.full((4, 16), 64, np.int32) * np.array([[-1], [-1], [1], [1]], np.int32)
    weights[1::2, 0] = [-63, 63]
    populations = Population("x", (16,), None), Population("a", (4,), IntegerLIF(2048, 4095, 100))
    network = Network(populations, (Projection("xa", "x", "a", Synapses.from_dense(weights), 7, 8),), 1, InputSpec(1, 1.0, "events"))
    assert check(network, np.ones((1, 1, 16), np.uint8))["a"].tolist() == [[[True, False, True, True]]]


PLAIN_NETWORKS = {
    "flat": lambda seed, encoding: integer_network(seed, layers=3, encoding=encoding),
    "maps": lambda seed, encoding: integer_conv_network(seed, temporal=encoding == "events"),
    "graph": lambda seed, encoding: graph_network(seed, encoding=encoding if encoding != "current" else "graded"),
}


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.sampled_from([1, 9]), st.sampled_from(sorted(PLAIN_NETWORKS)), st.sampled_from(["graded", "rate", "current", "events"]))
def test_the_plain_form_gives_the_references_spikes_and_counts(seed: int, count: int, kind: str, encoding: str) -> None:
    network = PLAIN_NETWORKS[kind](seed, encoding)
    events = reference.encode(network, samples(network, seed, count))
    active: dict[str, np.ndarray] = {}
    expected, found = reference.simulate(network, events, active=active), plain.simulate(network, events, ONE)
    compare(expected, found.spikes, "plain")
    assert found.active is not None
    assert all((active[name] == counted).all() for name, counted in found.active.items())


@given(
    st.integers(-1, 4095),
    st.integers(0, 4095),
    st.integers(0, 131071),
    st.booleans(),
    st.lists(st.integers(-(2**19), 2**19), min_size=1, max_size=12),
    st.integers(-(2**19), 2**19),
)
@example(-1, 0, 131071, False, [2**17, 0, -(2**18), -1], 0)  # a current at exactly 2^23, and past the other end
@example(2047, 2048, 1, True, [-1, -1, 3, 3], -5)
@settings(max_examples=examples(200), deadline=None)
def test_a_plain_neuron_is_the_definitions(du: int, dv: int, vth: int, soft: bool, sums: list[int], bias: int) -> None:
    neuron = IntegerLIF(du, dv, vth, soft)
    population = Population("a", (1,), neuron, bias=np.array([bias], np.int32))
    spikes = np.zeros((1, len(sums), 1), np.bool_)
    busy = plain._run_neurons(neuron, population, np.array(sums, np.int64)[:, None, None], spikes)
    u = v = np.zeros((1, 1), np.int64)
    expected, counted = [], 0
    for a in sums:
        u, v, fired = fixed_point.lif_step(u, v, np.array([[a]], np.int64), du=du, dv=dv, vth=vth, bias=bias, soft_reset=soft)
        expected.append(bool(fired[0, 0]))
        counted += int(bool(fired[0, 0] or u[0, 0] or v[0, 0]))
    assert spikes[0, :, 0].tolist() == expected and busy.tolist() == [counted]


NO_NUMBA = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
import numpy as np
from netgen import Labelled
from spikeloom.runtime import run
values = np.load(sys.argv[2])
results = run(sys.argv[1], Labelled(values, np.zeros(len(values), np.int64)), check=True)
print(results.spikes_per_sample, results.sops_per_sample, results.energy.joules_per_sample)
"""


def test_a_run_without_numba(tmp_path: Path) -> None:
    """A compiled network runs where numba is not installed: the same counts and energy."""
    deployed = compile_network(float_network(5), encoding="rate")
    path = deployed.save(tmp_path / "model.loom")
    values = samples(deployed.network, 5, 20)
    np.save(tmp_path / "values.npy", values)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    command = [sys.executable, "-c", NO_NUMBA, str(path), str(tmp_path / "values.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    results = run(deployed, Labelled(values, np.zeros(20, np.int64)))
    assert done.stdout.split() == [str(v) for v in (results.spikes_per_sample, results.sops_per_sample, results.energy.joules_per_sample)]


def test_biases_of_channels_where_matrices_meet_maps() -> None:
    """Maps that no convolution reads place by place lie flat, each neuron with the bias of its channel."""
    rng = np.random.default_rng(1)
    into = Synapses.from_dense(rng.integers(-30, 60, (24, 9)).astype(np.int32))
    whole = Convolution.from_dense(rng.integers(-30, 60, (4, 2, 3, 4)).astype(np.int32), (2, 3, 4))
    biases = np.array([6400, -12800], np.int32)
    populations = [Population("input", (9,), None), Population("maps", (2, 3, 4), IntegerLIF(4095, 1000, 900), bias=biases)]
    populations.append(Population("out", (4,), IntegerLIF(4095, 1000, 100)))
    projections = (Projection("x", "input", "maps", into, 0, 8), Projection("y", "maps", "out", whole, 0, 8))
    network = Network(tuple(populations), projections, 5, InputSpec(8, 1 / 8, "events"))
    spikes = check(network, reference.encode(network, rng.integers(0, 9, (7, 5, 9)).astype(np.uint8)))
    assert 0 < spikes["maps"].mean() < 1


def test_maps_of_one_place_with_wide_padding() -> None:
    """A map of one place that is read with a padding of 2 lies in a plane with margins, as whole maps' sums into it must know."""
    rng = np.random.default_rng(0)
    first = Convolution.from_dense(rng.integers(-30, 60, (2, 2, 4, 4)).astype(np.int32), (2, 4, 4))
    second = Convolution.from_dense(rng.integers(-30, 60, (2, 2, 3, 3)).astype(np.int32), (2, 1, 1), padding=2)
    populations = [Population("input", (2, 4, 4), None), Population("a", (2, 1, 1), IntegerLIF(4095, 0, 339))]
    populations.append(Population("o", second.target_shape, IntegerLIF(4095, 100, 50)))
    projections = (Projection("x", "input", "a", first, 0, 8), Projection("y", "a", "o", second, 0, 8))
    network = Network(tuple(populations), projections, 5, InputSpec(8, 1 / 8, "events"))
    for count in (1, 6):
        events = reference.encode(network, rng.integers(0, 9, (count, 5, 32)).astype(np.uint8))
        expected = reference.simulate(network, events)
        spikes = native.simulate(network, events, BackendOptions()).spikes
        assert all(np.array_equal(raster, spikes[name]) for name, raster in expected.items())
        assert all(raster.any() for raster in expected.values())
