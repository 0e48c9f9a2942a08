"""model.onnx: what is written is read, onnxruntime steps it to the same spikes, and damage is told from content."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import conv_network, densities, float_network, integer_conv_network, integer_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.errors import FormatError
from spikeloom.formats import onnx as model_onnx
from spikeloom.formats.onnx import reader
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, InputSpec, Network, Population, Projection, Stage, Synapses
from spikeloom.runtime.backends.onnx import session, step_through


def same(a: Network, b: Network) -> bool:
    pairs = zip(a.projections, b.projections, strict=True)
    equal = all(same_projection(p, q) for p, q in pairs)
    return equal and a.populations == b.populations and a.timesteps == b.timesteps and a.input == b.input and a.votes == b.votes


def same_projection(p: Projection, q: Projection) -> bool:
    if (p.name, p.source, p.target, p.exponent, p.weight_bits) != (q.name, q.source, q.target, q.exponent, q.weight_bits):
        return False
    if isinstance(p.synapses, Convolution) and isinstance(q.synapses, Convolution):
        places = ("source_shape", "kernel", "stride", "padding", "pool")
        equal = all(getattr(p.synapses, n) == getattr(q.synapses, n) for n in places)
        return equal and np.array_equal(p.synapses.to_dense(), q.synapses.to_dense())
    return type(p.synapses) is type(q.synapses) and np.array_equal(p.synapses.to_dense(), q.synapses.to_dense())


def steps_of(network: Network, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples, and what they are at each step, as float32 holds it."""
    values = samples(network, seed)
    real = values * np.float64(network.input.scale)
    steps = real if network.input.is_temporal else np.repeat(real[:, None], network.timesteps, axis=1)
    return values, steps.astype(np.float32).astype(np.float64)


@settings(max_examples=examples(20), deadline=None)
@given(seeds, densities)
def test_float_networks_round_trip_and_run(seed: int, density: float) -> None:
    network = float_network(seed, density=max(density, 0.2))
    content = model_onnx.to_bytes(network)
    assert same(model_onnx.from_bytes(content), network)
    values, rounded = steps_of(network, seed)
    spikes = step_through(session(content), rounded, network.timesteps)
    expected = reference.simulate_float(network, values, events=rounded)
    for name, raster in expected.items():
        assert (raster == spikes[name]).all()


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.integers(1, 4), densities)
def test_integer_networks_round_trip(seed: int, layers: int, density: float) -> None:
    network = integer_network(seed, layers=layers, density=density)
    assert same(model_onnx.from_bytes(model_onnx.to_bytes(network)), network)


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.sampled_from([0.2, 1.0]), st.booleans())
def test_convolutions_round_trip_and_run(seed: int, density: float, temporal: bool) -> None:
    network = conv_network(seed, density=density, temporal=temporal)
    content = model_onnx.to_bytes(network)
    read = model_onnx.from_bytes(content)
    assert same(read, network)
    shared = {p.name: p.synapses for p in read.projections}
    assert shared["pool_left_0"] is shared["left_right_0"] is shared["pool_right_1"]
    values, steps = steps_of(network, seed)
    spikes = step_through(session(content), steps, network.timesteps)
    expected = reference.simulate_float(network, values, events=steps)
    for name, raster in expected.items():
        assert np.array_equal(raster, spikes[name]), name


@settings(max_examples=examples(25), deadline=None)
@given(seeds, st.booleans())
def test_integer_convolutions_round_trip_and_run(seed: int, temporal: bool) -> None:
    network = integer_conv_network(seed, temporal=temporal)
    content = model_onnx.to_bytes(network)
    assert same(model_onnx.from_bytes(content), network)
    events = reference.encode(network, samples(network, seed))
    spikes = step_through(session(content), events, network.timesteps)
    for name, raster in reference.simulate(network, events).items():
        assert np.array_equal(raster, spikes[name]), name


def test_the_convolution_file_passes_onnx_checker(tmp_path: Path) -> None:
    onnx.checker.check_model(model_onnx.write(conv_network(4), tmp_path / "model.onnx"))


def test_the_file_passes_onnx_checker_and_keeps_metadata(tmp_path: Path) -> None:
    from dataclasses import replace

    network = replace(float_network(1), stages=(Stage("float", 0.5, 10),), provenance={"method": "grad-r"})
    path = model_onnx.write(network, tmp_path / "model.onnx")
    onnx.checker.check_model(path)
    assert model_onnx.read(path).stages == network.stages
    assert model_onnx.read(path).provenance == {"method": "grad-r"}


@given(st.integers(0, 10**6))
@settings(max_examples=examples(60), deadline=None)
def test_truncated_files_are_refused(cut: int) -> None:
    content = model_onnx.to_bytes(float_network(2))
    with pytest.raises(FormatError, match=r"truncated|damaged|holds an empty graph|not one that spikeloom"):
        model_onnx.from_bytes(content[: cut % len(content)])


@given(st.integers(0, 10**6), st.integers(1, 255), st.sampled_from([integer_network, conv_network, integer_conv_network]))
@settings(max_examples=examples(300), deadline=None)
def test_flipped_bytes_never_crash(position: int, flip: int, kind: Callable[[int], Network]) -> None:
    content = bytearray(model_onnx.to_bytes(kind(2)))
    content[position % len(content)] ^= flip
    try:
        model_onnx.from_bytes(bytes(content))
    except FormatError as error:
        assert "model.onnx" in str(error)


def test_foreign_and_newer_files_are_named(tmp_path: Path) -> None:
    model = reader._parse(model_onnx.to_bytes(float_network(3)), "x")
    props = {p.key: p for p in model.metadata_props}
    props["spikeloom.version"].value = "99"
    with pytest.raises(FormatError, match="version '99'"):
        model_onnx.from_bytes(model.SerializeToString())
    del model.metadata_props[:]
    with pytest.raises(FormatError, match="not one that spikeloom train wrote"):
        model_onnx.from_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="Cannot read the network"):
        model_onnx.read(tmp_path / "missing.onnx")


def test_the_indices_of_weights_take_three_bytes() -> None:
    """784-800-10 at a connectivity of 2.25 % has some 100 KB; a file with indices of eight bytes, as earlier versions wrote, is read."""
    rng = np.random.default_rng(0)
    weights = {"hidden1": rng.normal(size=(800, 784)), "output": rng.normal(size=(10, 800))}
    layers = (("hidden1", 800), ("output", 10))
    populations = (Population("input", (784,), None), *(Population(name, (size,), LIF()) for name, size in layers))
    kept = {name: Synapses.from_dense(np.where(rng.random(w.shape) < 0.0225, w, 0).astype(np.float32)) for name, w in weights.items()}
    projections = (Projection("hidden1", "input", "hidden1", kept["hidden1"]), Projection("output", "hidden1", "output", kept["output"]))
    network = Network(populations, projections, 8, InputSpec(255, 1 / 255))
    content = model_onnx.to_bytes(network)
    assert len(content) < 7 * network.synapses + 8_000
    model = onnx.ModelProto.FromString(content)
    for sparse in model.graph.sparse_initializer:
        sparse.indices.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(sparse.indices), sparse.indices.name))
    older = model.SerializeToString()
    assert len(older) > len(content) + 4 * network.synapses
    assert same(model_onnx.from_bytes(older), network) and same(model_onnx.from_bytes(content), network)
