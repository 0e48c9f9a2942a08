"""The kernels in LLVM's vectors against NumPy and the definition of the neuron."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import seeds
from spikeloom.hwmodels.fixed_point import ALIGN, lif_step
from spikeloom.network.model import IntegerLIF
from spikeloom.runtime.native.kernels.fused import MOST, STATE, make_run_fused
from spikeloom.runtime.native.kernels.lanes import BYTES, CHUNK, SAMPLES, STEPS
from spikeloom.runtime.native.kernels.lif import run_lanes
from spikeloom.runtime.native.kernels.llvm import Form, host_form
from spikeloom.runtime.native.kernels.row_sums import make_sum_pairs, most_synapses, sum_bits, sum_step_bits
from spikeloom.runtime.native.kernels.tiles import gather_tiles, scatter_tiles

KNOWN: tuple[Form, ...] = ("plain", "avx2", "avx512")
FORMS = KNOWN[: KNOWN.index(host_form()) + 1]
SUMS = {form: make_sum_pairs(form) for form in FORMS}
FUSED = {form: make_run_fused(form) for form in FORMS}


def padded(sizes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad each row to an even number with zeros."""
    rows = np.split(values, np.cumsum(sizes)[:-1])
    parts = [np.append(row, np.zeros(len(row) % 2, values.dtype)) for row in rows]
    return np.concatenate([[0], np.cumsum([len(p) for p in parts])]), np.concatenate(parts)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds, payload=st.sampled_from([1, 4, 127]), chunks=st.integers(1, 19))
def test_sums_of_pairs(form: Form, seed: int, payload: int, chunks: int) -> None:
    """Rows of any length, so that sums go past 16 bits; every form, every number of chunks, payloads to the limit."""
    rng = np.random.default_rng(seed)
    sources, lanes = int(rng.integers(1, 40)), 64 * chunks
    stream = rng.integers(0, payload + 1, (sources, lanes)).astype(np.uint8)
    sizes = rng.integers(0, 700, 3)
    chosen, weights = rng.integers(0, sources, sizes.sum()), rng.choice([-127, 127, 5, -1], sizes.sum())
    indptr, places = padded(sizes, (chosen * lanes).astype(np.int64))
    bytes_ = padded(sizes, weights.astype(np.int8))[1]
    flat, out = np.append(stream.ravel(), np.zeros(64, np.uint8)), np.full(lanes + 5, -7, np.int32)
    most = most_synapses(payload)
    for row, parts in enumerate(np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])):
        SUMS[form](flat, 0, places, bytes_, indptr[row], indptr[row + 1], most, lanes, out, 5, 0)
        expected = weights[parts] @ stream[chosen[parts]].astype(np.int64)
        assert (out[5:] == expected).all()
        assert (out[:5] == -7).all()


@settings(max_examples=examples(60), deadline=None)
@given(seed=seeds, limit=st.sampled_from([3, 127, 2000, 32767]), chunks=st.integers(1, 19))
def test_sums_of_bits(seed: int, limit: int, chunks: int) -> None:
    rng = np.random.default_rng(seed)
    sources, lanes = int(rng.integers(1, 40)), 64 * chunks
    spikes = rng.random((sources, lanes)) < 0.4
    stream = np.append(np.packbits(spikes, axis=1, bitorder="little").ravel(), np.zeros(64, np.uint8))
    size = int(rng.integers(0, 700))
    chosen, weights = rng.integers(0, sources, size), rng.choice([-limit, limit, 1], size)
    out = np.full(lanes + 5, -7, np.int32)
    places = (chosen * (lanes // 8)).astype(np.int64)
    sum_bits(stream, 0, places, weights.astype(np.int16), 0, size, most_synapses(1, limit), lanes, out, 5, 0)
    assert (out[5:] == weights @ spikes[chosen].astype(np.int64)).all()
    assert (out[:5] == -7).all()


@settings(max_examples=examples(60), deadline=None)
@given(seed=seeds, limit=st.sampled_from([3, 127, 32767]), positions=st.integers(1, 90))
def test_sums_of_bits_of_steps(seed: int, limit: int, positions: int) -> None:
    """A byte is eight steps of a position; the sums come out step by step."""
    rng = np.random.default_rng(seed)
    sources, wide = int(rng.integers(1, 40)), positions + 16
    stream = rng.integers(0, 256, (sources, wide)).astype(np.uint8)
    size = int(rng.integers(0, 300))
    chosen, weights = rng.integers(0, sources, size), rng.choice([-limit, limit, 1], size)
    out = np.full((8, wide), -7, np.int32)
    places = (chosen * wide + 3).astype(np.int64)
    flat = np.append(stream.ravel(), np.zeros(64, np.uint8))
    sum_step_bits(flat, 0, places, weights.astype(np.int16), 0, size, most_synapses(1, limit), positions * 8, out.reshape(-1), 2, wide)
    spikes = np.unpackbits(stream[chosen][:, 3 : 3 + positions, None], axis=2, bitorder="little").astype(np.int64)
    assert (out[:, 2 : 2 + positions] == np.einsum("k,kpt->tp", weights, spikes)).all()
    assert (out[:, :2] == -7).all()


NEURON = st.tuples(st.sampled_from([0, 1, 2048, 3072, 3584, 4095, 1000, 4001]), st.booleans(), st.integers(-3, 3), st.booleans())


@settings(max_examples=examples(80), deadline=None)
@given(seed=seeds, neuron=NEURON, n=st.integers(1, 150), steps=st.integers(1, 20), packing=st.sampled_from([BYTES, SAMPLES, STEPS]))
def test_neurons(seed: int, neuron: tuple[int, bool, int, bool], n: int, steps: int, packing: int) -> None:
    """Decays by shift and by product, currents that are held, biases, shifts of the sums, saturation; spikes as bytes and as bits."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    dv, held, exponent, soft = neuron
    rng = np.random.default_rng(seed)
    live, wide, vth = 1 if held else int(rng.integers(1, steps + 1)), -(-n // 8) * 8, int(rng.integers(0, 20000))
    reach = (1 << 17) - 1 if rng.random() < 0.3 else 9000
    total = rng.integers(-reach, reach, (live, wide)).astype(np.int32) >> max(exponent, 0)
    state = np.zeros((1, wide), np.int32)
    state[0] = rng.integers(-3000, 3000, wide)
    du = -1 if held else 4095
    unit, rows = wide // 8 if packing == SAMPLES else wide, -(-steps // 8) if packing == STEPS else steps
    spikes, counts = np.zeros(rows * unit, np.uint8), np.zeros((2, wide), np.uint8)
    run_lanes(total, n, state, _registers(IntegerLIF(du, dv, vth, soft), exponent), spikes, 0, unit, steps, packing, counts)
    found = spikes.reshape(rows, unit)
    if packing == SAMPLES:
        found = np.unpackbits(found, axis=1, bitorder="little")
    elif packing == STEPS:
        found = np.unpackbits(found[:, :, None], axis=2, bitorder="little").transpose(0, 2, 1).reshape(-1, wide)[:steps]
    raster = found[:, :n]
    expected, active = reference(total, steps, exponent, IntegerLIF(du, dv, vth, soft), state[0])
    assert (raster == expected[:, :n]).all()
    assert (counts[:, :n] == np.stack([expected.sum(axis=0), active])[:, :n]).all()


def reference(total: np.ndarray, steps: int, exponent: int, neuron: IntegerLIF, bias: np.ndarray) -> tuple[Any, Any]:
    """Step the neurons by their definition; return spikes (steps, n), and steps with a state before or after a spike."""
    u = v = np.zeros(total.shape[1], np.int64)
    spikes, active = np.zeros((steps, total.shape[1]), np.bool_), np.zeros(total.shape[1], np.int64)
    for t in range(steps):
        a = total[t].astype(np.int64) if t < len(total) else np.zeros_like(u)
        a = a << exponent if exponent >= 0 else a >> -exponent
        n = neuron
        u, v, spikes[t] = lif_step(u, v, a, du=n.du, dv=n.dv, vth=n.vth, bias=bias.astype(np.int64), soft_reset=n.soft_reset)
        active += (u != 0) | (v != 0) | spikes[t]
    return spikes, active


def test_the_threshold_is_aligned() -> None:
    """One input just at the threshold does not spike, one more does."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    registers = _registers(IntegerLIF(4095, 4095, 100), 0)
    assert registers[5] == 100 << ALIGN
    total, state = np.array([[100, 101] * 4], np.int32), np.zeros((1, 8), np.int32)
    spikes, counts = np.zeros(8, np.uint8), np.zeros((2, 8), np.uint8)
    run_lanes(total, 8, state, registers, spikes, 0, 8, 1, BYTES, counts)
    assert spikes.tolist() == [0, 1] * 4


def row_within(rng: np.random.Generator, sources: int, payload: int, exponent: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sources and weights of a neuron whose sums are within `MOST`, near to it or far, and keep a potential within 24 bits."""
    size = int(rng.integers(0, 700))
    chosen, weights = rng.integers(0, sources, size), rng.integers(-127, 128, size)
    reach = np.maximum(np.maximum(weights, 0).cumsum(), np.maximum(-weights, 0).cumsum()) * payload
    within = int((reach <= min(MOST, 65535 >> exponent, 1 << int(rng.integers(8, 15)))).sum())
    return chosen[:within], weights[:within]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=examples(60), deadline=None)
@given(
    seed=seeds,
    payload=st.sampled_from([1, 127]),
    live=st.integers(1, 27),
    quiet=st.integers(0, 12),
    held=st.booleans(),
    exponent=st.integers(0, 8),
)
def test_neurons_fused_with_their_sums(form: Form, seed: int, payload: int, live: int, quiet: int, held: bool, exponent: int) -> None:
    """Every number of steps, with and without input, so that potentials round on both sides of 0; the spikes in the lanes' order."""
    from spikeloom.runtime.native.program import _halving  # pyright: ignore[reportPrivateUsage]

    rng = np.random.default_rng(seed)
    live, steps = (1, 1 + quiet) if held else (live, live + quiet)
    sources = int(rng.integers(1, 30))
    stream = (rng.integers(0, payload + 1, (sources, live, CHUNK)) * (rng.random((sources, live, CHUNK)) < rng.random())).astype(np.uint8)
    chosen, weights = row_within(rng, sources, payload, exponent)
    size = np.array([len(chosen)])
    indptr, places = padded(size, (chosen * live * CHUNK).astype(np.int64))
    bytes_ = padded(size, weights.astype(np.int8))[1]
    total = np.einsum("k,ktl->tl", weights, stream[chosen].astype(np.int64))
    reach = int(np.abs(total).max(initial=0)) + 2
    neuron = IntegerLIF(
        -1 if held else 4095, 2048, min(int(rng.integers(0, reach) << exponent) + int(rng.integers(0, 1 << exponent)), 131071)
    )
    registers = _halving(neuron, exponent)
    assert registers is not None
    out, scratch = np.full(5 + steps * CHUNK + 5, 9, np.uint8), rng.integers(0, 256, STATE).astype(np.uint8)
    flat, alive, sums = stream.reshape(-1), np.ones(1, np.uint8), np.array([[7], [8]])
    FUSED[form](flat, places, bytes_, indptr, 0, 1, registers, alive, live, steps, scratch, out, 5, sums, flat, 0, len(flat))
    expected, active = reference(total, steps, exponent, neuron, np.zeros(CHUNK, np.int64))
    assert (out[5:-5].reshape(steps, CHUNK) == expected).all()
    assert (out[:5] == 9).all() and (out[-5:] == 9).all()
    assert sums.tolist() == [[7 + expected.sum()], [8 + active.sum()]]


def test_what_is_simple() -> None:
    """Neurons that halve, without biases, a soft reset, a shift to the right or sums that could drive a potential past 24 bits."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    neuron = IntegerLIF(4095, 2048, 100)
    assert _registers(neuron, 0, 65535)[7] and _registers(neuron, 3, 65535)[7]
    others = [(neuron, -1, 1), (neuron, 0, 65536), (IntegerLIF(4095, 2048, 100, True), 0, 1), (IntegerLIF(4095, 2049, 100), 0, 1)]
    assert not any(_registers(*other)[7] for other in others)
    assert not _registers(neuron, 0)[7]


@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds, width=st.integers(CHUNK, 3 * CHUNK), steps=st.integers(1, 5), dropped=st.integers(0, 2))
def test_tiles(seed: int, width: int, steps: int, dropped: int) -> None:
    """Samples to lanes and back, of any width from a tile on; what was read is told by its OR."""
    rng = np.random.default_rng(seed)
    events = rng.integers(0, 256, (CHUNK, steps + dropped, width)).astype(np.uint8)
    stream = np.zeros((width, steps, CHUNK), np.uint8)
    seen = int(gather_tiles(events, stream)).to_bytes(8, "little", signed=True)
    assert (stream == events[:, :steps].transpose(2, 1, 0)).all()
    assert np.bitwise_or.reduce(list(seen)) == np.bitwise_or.reduce(events[:, :steps], axis=None)
    back = np.zeros((CHUNK, steps, width), np.uint8)
    scatter_tiles(np.concatenate([stream, np.zeros((3, steps, CHUNK), np.uint8)]), back)
    assert (back == events[:, :steps]).all()
