"""Convolutions kept as taps: their unrolled synapses, counts and shapes against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import sparse_integers
from spikeloom.errors import FormatError
from spikeloom.network.model import Convolution, Synapses
from torch.nn import functional

SIZES = st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(3, 10)] * 2, *[st.integers(1, 3)] * 2)


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**31), SIZES, st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.sampled_from([0.0, 0.3, 1.0]))
def test_unrolled_is_torch_s_convolution(seed: int, sizes: tuple[int, ...], stride: int, padding: int, pool: int, density: float) -> None:
    channels, outputs, height, width, rows, columns = sizes
    if height // pool + 2 * padding < rows or width // pool + 2 * padding < columns:
        return
    rng = np.random.default_rng(seed)
    weights = rng.integers(-3, 4, (outputs, channels, rows, columns)) * (rng.random((outputs, channels, rows, columns)) < density)
    convolution = Convolution.from_dense(weights, (channels, height, width), stride=stride, padding=padding, pool=pool)
    x = torch.from_numpy(rng.integers(0, 2, (3, channels, height, width))).double()
    summed = functional.avg_pool2d(x, pool, divisor_override=1)
    expected = functional.conv2d(summed, torch.from_numpy(weights).double(), stride=stride, padding=padding).numpy()
    unrolled = convolution.unrolled()
    assert expected.shape[1:] == convolution.target_shape and unrolled.shape == convolution.shape
    assert np.array_equal((unrolled.matrix() @ x.flatten(1).numpy().astype(int).T).T.reshape(expected.shape), expected)
    assert unrolled.count == convolution.count
    assert np.array_equal(convolution.to_dense(), weights)
    full = Convolution.from_dense(np.ones_like(weights), (channels, height, width), stride=stride, padding=padding, pool=pool)
    assert convolution.possible == full.unrolled().count
    for row in range(unrolled.shape[0]):
        assert (np.diff(unrolled.indices[unrolled.indptr[row] : unrolled.indptr[row + 1]]) > 0).all()


@settings(max_examples=examples(80), deadline=None)
@given(st.integers(0, 2**31), SIZES, st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.5]))
def test_taps_give_the_sums_of_their_unrolled_synapses(
    seed: int, sizes: tuple[int, ...], stride: int, padding: int, pool: int, density: float
) -> None:
    """Products, sums over live neurons in both directions, and the taps that live neurons use; with channels taken out, too."""
    channels, outputs, height, width, rows, columns = sizes
    if height // pool + 2 * padding < rows or width // pool + 2 * padding < columns:
        return
    rng = np.random.default_rng(seed)
    weights = rng.integers(-3, 4, (outputs, channels, rows, columns)) * (rng.random((outputs, channels, rows, columns)) < density)
    taps = Convolution.from_dense(weights, (channels, height, width), stride=stride, padding=padding, pool=pool)
    matrix = taps.unrolled()
    x = rng.integers(0, 256, (taps.shape[1], 3))
    assert np.array_equal(taps.operator() @ x, matrix.operator() @ x)
    numbered = np.arange(1, taps.weights + 1)
    per_tap = taps.with_data(numbered.astype(np.int32)).unrolled()
    sources, targets = (rng.random(n) < 0.4 for n in (taps.shape[1], taps.shape[0]))
    for starts, ends in ((sources, targets), (np.ones_like(sources), np.ones_like(targets))):
        assert np.array_equal(taps.forward(numbered, starts), per_tap.forward(per_tap.data, starts))
        assert np.array_equal(taps.backward(numbered, ends), per_tap.backward(per_tap.data, ends))
    used = np.isin(numbered, per_tap.data[per_tap.used(sources, targets)])
    assert np.array_equal(taps.used(sources, targets), used)
    kept = rng.random(channels) < 0.7, rng.random(outputs) < 0.7
    if not (kept[0].any() and kept[1].any()):
        return
    few = taps.restricted(*kept).unrolled()
    spread = kept[0].repeat(height * width), kept[1].repeat(taps.shape[0] // outputs)
    assert np.array_equal(few.to_dense(), matrix.to_dense()[spread[1]][:, spread[0]])
    assert np.array_equal(few.to_dense(), matrix.restricted(*spread).to_dense())


def test_transposed() -> None:
    synapses = sparse_integers(np.random.default_rng(1), (7, 9), 0.4)
    assert np.array_equal(synapses.transposed().to_dense(), synapses.to_dense().T)
    assert np.array_equal(synapses.transposed().transposed().indices, synapses.indices)


@pytest.mark.parametrize("changes", [{"stride": 0}, {"padding": -1}, {"pool": 9}, {"source": (1, 2, 2)}, {"source": (2, 8, 8)}])
def test_geometry_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    given = {"source": (1, 8, 8), "stride": 1, "padding": 0, "pool": 1} | changes
    taps = Synapses.from_dense(np.ones((2, 9), np.int32))
    with pytest.raises(FormatError, match="does not fit"):
        Convolution(taps, given["source"], (3, 3), given["stride"], given["padding"], given["pool"])  # pyright: ignore[reportArgumentType]
