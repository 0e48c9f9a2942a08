"""Integer reference = native = onnxruntime, on random networks; the conformance test of every backend that is found."""

from __future__ import annotations

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import densities, integer_network, samples, seeds
from spikeloom import registry
from spikeloom.errors import MismatchError
from spikeloom.network import reference
from spikeloom.network.model import Network
from spikeloom.runtime import backends
from spikeloom.runtime.backends import native, onnx
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

OPTIONS = BackendOptions(threads=1)
encodings = st.sampled_from(["current", "graded", "rate"])


@settings(max_examples=examples(100), deadline=None)
@given(seeds, st.integers(1, 4), densities, encodings, st.integers(1, 70))
def test_native_equals_reference(seed: int, layers: int, density: float, encoding: str, count: int) -> None:
    network = integer_network(seed, layers=layers, density=density, encoding=encoding)
    events = reference.encode(network, samples(network, seed, count), seed=seed)
    compare(reference.simulate(network, events), native.simulate(network, events, OPTIONS).spikes, "native")


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.integers(1, 4), densities, encodings)
def test_onnxruntime_equals_reference(seed: int, layers: int, density: float, encoding: str) -> None:
    network = integer_network(seed, layers=layers, density=density, encoding=encoding)
    events = reference.encode(network, samples(network, seed), seed=seed)
    compare(reference.simulate(network, events), onnx.simulate(network, events, OPTIONS).spikes, "onnx")


@settings(max_examples=examples(25), deadline=None)
@given(seeds)
def test_native_counts_active_updates(seed: int) -> None:
    network = integer_network(seed, layers=1)
    events = reference.encode(network, samples(network, seed, 3))
    active = native.simulate(network, events, OPTIONS).active
    assert active is not None
    expected = _active_by_hand(network, events)
    assert (active["layer1"] == expected).all()


def _active_by_hand(network: Network, events: np.ndarray) -> np.ndarray:
    from spikeloom.hwmodels import fixed_point
    from spikeloom.network.model import IntegerLIF

    neuron, projection = network.populations[1].neuron, network.projections[0]
    assert isinstance(neuron, IntegerLIF)
    u = v = np.zeros((network.populations[1].size, len(events)), np.int64)
    busy = np.zeros(network.populations[1].size, np.int64)
    for t in range(network.timesteps):
        a = fixed_point.synaptic_input(projection.synapses.to_dense(), events[:, t].T.astype(np.int64), projection.exponent)
        u, v, s = fixed_point.lif_step(u, v, a, du=neuron.du, dv=neuron.dv, vth=neuron.vth)
        busy += ((u != 0) | (v != 0) | s).sum(axis=1)
    return busy


def test_a_single_flipped_spike_is_found_and_named() -> None:
    network = integer_network(3, layers=2)
    events = reference.encode(network, samples(network, 3))
    expected = reference.simulate(network, events)
    flipped = {name: raster.copy() for name, raster in expected.items()}
    flipped["layer2"][4, 5, 1] ^= True
    with pytest.raises(MismatchError, match="layer layer2, sample 14, step 5, neuron 1"):
        compare(expected, flipped, "native", first=10)
    assert MismatchError.exit_code == 4


def test_rate_code_draws_the_same_for_every_split_of_the_samples() -> None:
    network = integer_network(5, encoding="rate")
    values = samples(network, 5, 9)
    whole = reference.encode(network, values, seed=7)
    parts = [reference.encode(network, values[:4], seed=7), reference.encode(network, values[4:], seed=7, first=4)]
    assert (np.concatenate(parts) == whole).all()
    assert not (whole == reference.encode(network, values, seed=8)).all()


@pytest.mark.parametrize("name", registry.names(backends))
def test_every_backend_has_the_interface(name: str) -> None:
    module = registry.load(backends, "backend", name)
    assert callable(module.simulate)
    assert module.BATCH is None or module.BATCH > 0
    assert module.__doc__
