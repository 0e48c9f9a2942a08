"""The torch backend on CPU tensors: spikes and counts of every kind of network and format, and the proof of what is exact."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import densities, graph_network, integer_conv_network, integer_network, samples, seeds
from spikeloom.errors import BackendError, UsageError
from spikeloom.network import reference
from spikeloom.network.model import Convolution, CrossbarLIF, InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import _torch_neurons, native
from spikeloom.runtime.backends import torch as backend
from spikeloom.runtime.backends.api import BackendOptions, Recording
from spikeloom.runtime.native import exact
from spikeloom.runtime.simulator import compare
from xylogen import xylo_network

CPU = BackendOptions(device="cpu", threads=1)
encodings = st.sampled_from(["current", "graded", "rate"])
orders = st.sampled_from([None, ("int8", "float64"), ("bfloat16", "float16", "float64"), ("float32",), ("float64",)])


def check(network: Network, events: np.ndarray, options: BackendOptions = CPU) -> Recording:
    """Compare every spike with the reference, with and without rasters, and the counts with the native simulator's."""
    expected = reference.simulate(network, events)
    found = backend.simulate(network, events, options)
    compare(expected, found.spikes, "torch")
    few = backend.simulate(network, events, replace(options, rasters=False, by_step=True))
    assert few.by_step is not None
    assert all((few.by_step[name] == raster.sum(axis=0)).all() for name, raster in expected.items())
    assert set(few.spikes) == {network.populations[-1].name}
    active = native.simulate(network, events, BackendOptions(threads=1)).active
    for recording in (found, few):
        assert recording.fired is not None and recording.active is not None and active is not None
        for name, raster in expected.items():
            assert (recording.fired[name] == raster.sum(axis=(0, 1))).all()
            assert (recording.active[name] == active[name]).all()
    return found


def formats(recording: Recording) -> dict[str, str]:
    assert recording.arithmetic is not None
    return {row["projection"]: row["format"] for row in recording.arithmetic["projections"]}


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.integers(1, 4), densities, encodings, st.integers(1, 40), orders)
def test_flat_networks(seed: int, layers: int, density: float, encoding: str, count: int, order: tuple[str, ...] | None) -> None:
    network = integer_network(seed, layers=layers, density=density, encoding=encoding)
    check(network, reference.encode(network, samples(network, seed, count), seed=seed), replace(CPU, formats=order))


@settings(max_examples=examples(12), deadline=None)
@given(seeds, st.sampled_from([1, 5]), st.booleans(), orders)
def test_convolutional_networks(seed: int, count: int, temporal: bool, order: tuple[str, ...] | None) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    check(network, reference.encode(network, samples(network, seed, count)), replace(CPU, formats=order, batch_size=2))


GEOMETRY = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.sampled_from([6, 9]))


@settings(max_examples=examples(30), deadline=None)
@given(seeds, GEOMETRY, st.integers(1, 9), st.integers(-2, 3), st.sampled_from([127, 2000]), st.booleans(), orders)
def test_maps_of_every_geometry(
    seed: int,
    geometry: tuple[int, int, int, int, int],
    channels: int,
    exponent: int,
    limit: int,
    graded: bool,
    order: tuple[str, ...] | None,
) -> None:
    """Kernels, strides, padding, pools, biases, removed neurons; a matrix behind the map, and one beside the convolution into it."""
    kernel, stride, padding, pool, size = geometry
    rng = np.random.default_rng(seed)
    shape = (2, size, size + int(rng.integers(0, 3)))
    if size // pool + 2 * padding < kernel:
        return
    taps = rng.integers(-limit, limit + 1, (channels, 2, kernel, kernel)) * (rng.random((channels, 2, kernel, kernel)) < 0.5)
    first = Convolution.from_dense(taps, shape, stride=stride, padding=padding, pool=pool)
    maps = first.target_shape
    neurons = int(np.prod(maps))
    bias = rng.integers(-3000, 3000, channels).astype(np.int32) if rng.random() < 0.5 else None
    alive = rng.random(neurons) < 0.8 if rng.random() < 0.5 else None
    neuron = IntegerLIF(int(rng.choice([4095, -1, 2000])), int(rng.integers(0, 4096)), 60)
    beside = rng.integers(-9, 9, (neurons, first.shape[1])) * (rng.random((neurons, first.shape[1])) < 0.2)
    weights = rng.integers(-40, 60, (16, neurons)) * (rng.random((16, neurons)) < 0.5)
    network = Network(
        (
            Population("x", shape, None),
            Population("a", maps, neuron, bias=bias, alive=alive),
            Population("flat", (16,), IntegerLIF(4095, 2048, 20)),
        ),
        (
            Projection("xa", "x", "a", first, exponent, 9),
            Projection("beside", "x", "a", Synapses.from_dense(beside), 0, 8),
            Projection("last", "a", "flat", Synapses.from_dense(weights), 0, 8),
        ),
        5,
        InputSpec(255 if graded else 1, 1.0, "graded" if graded else "events"),
    )
    check(network, rng.integers(0, 256 if graded else 2, (3, 5, first.shape[1])).astype(np.uint8), replace(CPU, formats=order))


GRAPHS = {"hidden": st.integers(0, 5), "backward": st.integers(0, 4), "lags": st.booleans(), "slack": st.booleans()}


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(1, 7), st.sampled_from(["rate", "graded", "current"]), st.booleans(), st.fixed_dictionaries(GRAPHS))
def test_lags_and_recurrence(seed: int, timesteps: int, encoding: str, dead: bool, graph: dict[str, Any]) -> None:
    network = graph_network(seed, timesteps=timesteps, encoding=encoding, **graph)
    if dead:
        rng = np.random.default_rng(seed)
        populations = (network.populations[0], *(replace(p, alive=rng.random(p.size) < 0.7) for p in network.spiking))
        network = replace(network, populations=populations)
    check(network, reference.encode(network, samples(network, seed, 4), seed=seed))


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.integers(1, 3), st.integers(1, 300), st.integers(0, 40))
def test_crossbar_neurons(seed: int, layers: int, threshold: int, leak: int) -> None:
    network = integer_network(seed, layers=layers, encoding="rate")
    crossbar = CrossbarLIF(threshold, leak)
    populations = (network.populations[0], *(replace(p, neuron=crossbar) for p in network.spiking))
    check(replace(network, populations=populations), reference.encode(network, samples(network, seed), seed=seed))


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.sampled_from([-1, 0, 700, 4094]), st.integers(0, 4095), st.integers(0, 3))
def test_currents_that_wrap_and_potentials_that_saturate(seed: int, du: int, dv: int, exponent: int) -> None:
    """Inputs far beyond 24 bits: the chip's one wrap and its clipped potential, in 64 bits."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-2000, 2001, (9, 40)).astype(np.int32)
    populations = (Population("x", (40,), None), Population("y", (9,), IntegerLIF(du, dv, int(rng.integers(0, 131072)))))
    projection = Projection("xy", "x", "y", Synapses.from_dense(weights), exponent, 8)
    network = Network(populations, (projection,), 9, InputSpec(255, 1.0, "graded"))
    check(network, rng.integers(0, 256, (5, 9, 40)).astype(np.uint8))


# --- the proof -------------------------------------------------------------------------------------------------------


def one_layer(weights: Any, levels: int = 1) -> Network:
    synapses = Synapses.from_dense(np.asarray(weights, np.int32))
    populations = (Population("x", (synapses.shape[1],), None), Population("y", (synapses.shape[0],), IntegerLIF(4095, 4095, 9)))
    return Network(populations, (Projection("xy", "x", "y", synapses, -9, 8),), 2, InputSpec(levels, 1.0, "graded"))


ORDER = ("bfloat16", "float16", "float32", "float64")


@pytest.mark.parametrize(
    ("total", "name"),
    [
        (1 << 8, "bfloat16"),
        ((1 << 8) + 1, "float16"),
        (1 << 11, "float16"),
        ((1 << 11) + 1, "float32"),
        (1 << 24, "float32"),
        ((1 << 24) + 1, "float64"),
    ],
)
def test_a_sum_just_beyond_a_format_takes_the_next(total: int, name: str) -> None:
    """Small weights that sum to exactly `total`, with as much below zero beside it: only the larger of the two counts."""
    count = -(-total // 127)
    positive = np.full(count, total // count)
    positive[: total - positive.sum()] += 1
    network = one_layer([np.concatenate([positive, -positive])])
    assert exact.bounds(network, network.projections[0]).total == total
    assert exact.choose(exact.bounds(network, network.projections[0]), ORDER)[0] == name
    events = np.stack([np.concatenate([np.ones(count), np.zeros(count)]), np.zeros(2 * count), np.ones(2 * count)])
    found = check(network, np.repeat(events[:, None], 2, axis=1).astype(np.uint8), replace(CPU, formats=ORDER))
    assert formats(found) == {"xy": name}


def test_the_proof_counts_payloads_and_windows() -> None:
    taps = np.full((1, 1, 1, 1), 3)
    convolution = Convolution.from_dense(taps, (1, 4, 4), pool=2)
    network = Network(
        (Population("x", (1, 4, 4), None), Population("y", (1, 2, 2), IntegerLIF(4095, 4095, 9))),
        (Projection("xy", "x", "y", convolution, 0, 8),),
        2,
        InputSpec(255, 1.0, "graded"),
    )
    assert exact.bounds(network, network.projections[0]) == exact.Bounds(3, 4 * 255, 3 * 4 * 255)
    assert exact.choose(exact.Bounds(3, 4 * 255, 3060), ("int8", "bfloat16", "float16", "float32")) == ["float32"]
    assert exact.choose(exact.Bounds(128, 1, 128), ("int8", "float32")) == ["float32"]


def test_sums_beyond_every_format_go_to_scipy() -> None:
    """Sums past 2^53, which no float format here holds to the last unit."""
    sources = 20_000
    weights = np.full((2, sources), (1 << 31) - 1, np.int64)
    weights[1] = -weights[1]
    network = one_layer(weights, levels=255)
    assert exact.bounds(network, network.projections[0]).total is None
    events = np.full((2, 2, sources), 255, np.uint8)
    events[1, :, ::2] = 254
    assert formats(check(network, events)) == {"xy": "int64"}


def test_a_library_that_is_not_exact_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that saturates in 16 bits, as some 8-bit instructions do: the format falls to the next, spikes stay equal."""
    real = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: real(a, b).clamp(-32768, 32767))
    network = one_layer(np.full((3, 600), 127))
    events = np.ones((2, 2, 600), np.uint8)
    assert formats(check(network, events)) == {"xy": "float32"}
    few = one_layer(np.full((3, 200), 127))
    assert formats(check(few, events[:, :, :200])) == {"xy": "int8"}


def test_low_precision_that_was_asked_for_elsewhere_is_put_aside_and_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        network = integer_network(7, layers=2)
        check(network, reference.encode(network, samples(network, 7)), replace(CPU, formats=("float32", "float64")))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_what_is_refused() -> None:
    network = integer_network(3, layers=1, encoding="rate")
    events = reference.encode(network, samples(network, 3))
    with pytest.raises(UsageError, match="it must be auto, cpu or cuda"):
        backend.simulate(network, events, BackendOptions(device="gpu"))
    with pytest.raises(UsageError, match="Did you mean 'float32'"):
        backend.simulate(network, events, BackendOptions(device="cpu", formats=("flaot32",)))
    with pytest.raises(BackendError, match="payloads up to 3"):
        backend.simulate(network, events + 2, CPU)


COMPILED = replace(CPU, compile_neurons=True)


@pytest.mark.slow
def test_steps_in_one_kernel() -> None:
    """What CUDA devices run as Triton, here as C++."""
    rng = np.random.default_rng(3)
    for seed in range(2):
        network = integer_network(seed, layers=3, encoding=("current", "graded")[seed], timesteps=(3, 20)[seed])
        found = check(network, reference.encode(network, samples(network, seed, 9), seed=seed), COMPILED)
        assert found.arithmetic is not None and found.arithmetic["neurons"] == _torch_neurons.FUSED
    weights = rng.integers(-2000, 2001, (9, 40)).astype(np.int32)
    populations = (Population("x", (40,), None), Population("y", (9,), IntegerLIF(700, 300, 131071)))
    wide = Network(populations, (Projection("xy", "x", "y", Synapses.from_dense(weights), 3, 8),), 9, InputSpec(255, 1.0, "graded"))
    check(wide, rng.integers(0, 256, (5, 9, 40)).astype(np.uint8), COMPILED)


@pytest.mark.parametrize("fault", ["raises", "differs"])
def test_a_kernel_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def compiled(plain: Any, **_: Any) -> Any:
        def steps(*arguments: Any) -> Any:
            if fault == "raises":
                raise RuntimeError("no compiler")
            state, spikes, active = plain(*arguments)
            return state, ~spikes, active

        return steps

    monkeypatch.setattr(torch, "compile", compiled)
    network = integer_network(5, layers=2, encoding="rate")
    monkeypatch.setattr(backend, "_kept", None)
    found = check(network, reference.encode(network, samples(network, 5), seed=5), COMPILED)
    said = "torch.compile failed: RuntimeError" if fault == "raises" else "torch.compile differed"
    assert found.arithmetic is not None and said in found.arithmetic["neurons"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none() -> None:
    network = integer_network(3, layers=1)
    with pytest.raises(UsageError, match="--device cpu"):
        backend.simulate(network, reference.encode(network, samples(network, 3)), BackendOptions(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.booleans(), st.sampled_from([None, ("float16", "float64"), ("float32", "float64")]))
def test_cuda_equals_reference(seed: int, maps: bool, order: tuple[str, ...] | None) -> None:
    network = integer_conv_network(seed) if maps else graph_network(seed, lags=True, backward=2)
    check(network, reference.encode(network, samples(network, seed, 9), seed=seed), BackendOptions(device="cuda", formats=order))


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Leave no network on the device behind."""
    yield
    backend._kept = None


def test_neurons_of_xylo_are_refused_by_name() -> None:
    network = xylo_network(1)
    with pytest.raises(BackendError, match=r"Layer hidden1 has neurons of Xylo, .* Use --backend native"):
        backend.simulate(network, reference.encode(network, samples(network, 1)), CPU)
