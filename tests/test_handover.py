"""model.onnx: what is written is read, onnxruntime steps it to the same spikes, and damage is told from content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import densities, float_network, integer_network, samples, seeds
from spikeloom.compile import handover, reference
from spikeloom.compile.network import Network, Stage
from spikeloom.errors import FormatError
from spikeloom.runtime.backends.onnx import session, step_through


def same(a: Network, b: Network) -> bool:
    pairs = zip(a.projections, b.projections, strict=True)
    equal = all((p.synapses.to_dense() == q.synapses.to_dense()).all() and p.exponent == q.exponent and p.name == q.name for p, q in pairs)
    return equal and a.populations == b.populations and a.timesteps == b.timesteps and a.input == b.input


@settings(max_examples=20, deadline=None)
@given(seeds, densities)
def test_float_networks_round_trip_and_run(seed: int, density: float) -> None:
    network = float_network(seed, density=max(density, 0.2))
    content = handover.to_bytes(network)
    assert same(handover.from_bytes(content), network)
    values = samples(network, seed)
    real = np.repeat((values * np.float64(network.input.scale))[:, None], network.timesteps, axis=1)
    # the graph takes float32; give both sides what float32 holds
    rounded = real.astype(np.float32).astype(np.float64)
    spikes = step_through(session(content), rounded, network.timesteps)
    expected = reference.simulate_float(network, values, events=rounded)
    for name, raster in expected.items():
        assert (raster == spikes[name]).all()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 4), densities)
def test_integer_networks_round_trip(seed: int, layers: int, density: float) -> None:
    network = integer_network(seed, layers=layers, density=density)
    assert same(handover.from_bytes(handover.to_bytes(network)), network)


def test_the_file_passes_onnx_checker_and_keeps_metadata(tmp_path: Path) -> None:
    from dataclasses import replace

    network = replace(float_network(1), stages=(Stage("float", 0.5, 10),), provenance={"method": "grad-r"})
    path = handover.write(network, tmp_path / "model.onnx")
    onnx.checker.check_model(path)
    assert handover.read(path).stages == network.stages
    assert handover.read(path).provenance == {"method": "grad-r"}


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_truncated_files_are_refused(cut: int) -> None:
    content = handover.to_bytes(float_network(2))
    with pytest.raises(FormatError, match=r"truncated|damaged|holds an empty graph|not one that spikeloom"):
        handover.from_bytes(content[: cut % len(content)])


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_flipped_bytes_never_crash(position: int, flip: int) -> None:
    content = bytearray(handover.to_bytes(integer_network(2)))
    content[position % len(content)] ^= flip
    try:
        handover.from_bytes(bytes(content))
    except FormatError as error:
        assert "model.onnx" in str(error)


def test_foreign_and_newer_files_are_named(tmp_path: Path) -> None:
    model = handover._parse(handover.to_bytes(float_network(3)), "x")
    props = {p.key: p for p in model.metadata_props}
    props["spikeloom.version"].value = "99"
    with pytest.raises(FormatError, match="version '99'"):
        handover.from_bytes(model.SerializeToString())
    del model.metadata_props[:]
    with pytest.raises(FormatError, match="not one that spikeloom train wrote"):
        handover.from_bytes(model.SerializeToString())
    with pytest.raises(FormatError, match="Cannot read the network"):
        handover.read(tmp_path / "missing.onnx")
