"""Every form of the kernels that this processor has against NumPy and the definition of the neuron: plain numba, and LLVM's vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import seeds
from spikeloom.hwmodels.fixed_point import ALIGN, lif_step
from spikeloom.network.coding import rate_code
from spikeloom.network.model import IntegerLIF
from spikeloom.runtime.native.kernels.api import kernels
from spikeloom.runtime.native.kernels.choose import Form, forms
from spikeloom.runtime.native.kernels.events import turn
from spikeloom.runtime.native.kernels.lanes import BYTES, CHUNK, SAMPLES, STEPS
from spikeloom.runtime.native.kernels.limits import EIGHT, INPUTS, MOST, STATE, STATE_ROWS, most_synapses
from spikeloom.runtime.native.kernels.tiles import gather_tiles, scatter_tiles

FORMS = forms()
each_form = pytest.mark.parametrize("form", FORMS)


def padded(sizes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad each row to an even number with zeros."""
    rows = np.split(values, np.cumsum(sizes)[:-1])
    parts = [np.append(row, np.zeros(len(row) % 2, values.dtype)) for row in rows]
    return np.concatenate([[0], np.cumsum([len(p) for p in parts])]), np.concatenate(parts)


@each_form
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
        kernels(form).sum_pairs(flat, 0, places, bytes_, indptr[row], indptr[row + 1], most, lanes, out, 5, 0)
        expected = weights[parts] @ stream[chosen[parts]].astype(np.int64)
        assert (out[5:] == expected).all()
        assert (out[:5] == -7).all()


@each_form
@settings(max_examples=examples(30), deadline=None)
@given(seed=seeds, limit=st.sampled_from([3, 127, 2000, 32767]), chunks=st.integers(1, 19))
def test_sums_of_bits(form: Form, seed: int, limit: int, chunks: int) -> None:
    rng = np.random.default_rng(seed)
    sources, lanes = int(rng.integers(1, 40)), 64 * chunks
    spikes = rng.random((sources, lanes)) < 0.4
    stream = np.append(np.packbits(spikes, axis=1, bitorder="little").ravel(), np.zeros(64, np.uint8))
    size = int(rng.integers(0, 700))
    chosen, weights = rng.integers(0, sources, size), rng.choice([-limit, limit, 1], size)
    out = np.full(lanes + 5, -7, np.int32)
    places = (chosen * (lanes // 8)).astype(np.int64)
    kernels(form).sum_bits(stream, 0, places, weights.astype(np.int16), 0, size, most_synapses(1, limit), lanes, out, 5, 0)
    assert (out[5:] == weights @ spikes[chosen].astype(np.int64)).all()
    assert (out[:5] == -7).all()


@each_form
@settings(max_examples=examples(30), deadline=None)
@given(seed=seeds, limit=st.sampled_from([3, 127, 32767]), positions=st.integers(1, 90))
def test_sums_of_bits_of_steps(form: Form, seed: int, limit: int, positions: int) -> None:
    """A byte is eight steps of a position; the sums come out step by step."""
    rng = np.random.default_rng(seed)
    sources, wide = int(rng.integers(1, 40)), positions + 16
    stream = rng.integers(0, 256, (sources, wide)).astype(np.uint8)
    size = int(rng.integers(0, 300))
    chosen, weights = rng.integers(0, sources, size), rng.choice([-limit, limit, 1], size)
    out = np.full((8, wide), -7, np.int32)
    places = (chosen * wide + 3).astype(np.int64)
    flat = np.append(stream.ravel(), np.zeros(64, np.uint8))
    kernels(form).sum_step_bits(
        flat, 0, places, weights.astype(np.int16), 0, size, most_synapses(1, limit), positions * 8, out.reshape(-1), 2, wide
    )
    spikes = np.unpackbits(stream[chosen][:, 3 : 3 + positions, None], axis=2, bitorder="little").astype(np.int64)
    assert (out[:, 2 : 2 + positions] == np.einsum("k,kpt->tp", weights, spikes)).all()
    assert (out[:, :2] == -7).all()


NEURON = st.tuples(st.sampled_from([0, 1, 2048, 3072, 3584, 4095, 1000, 4001]), st.booleans(), st.integers(-3, 3), st.booleans())


@each_form
@settings(max_examples=examples(40), deadline=None)
@given(seed=seeds, neuron=NEURON, n=st.integers(1, 150), steps=st.integers(1, 20), packing=st.sampled_from([BYTES, SAMPLES, STEPS]))
@example(seed=0, neuron=(2048, False, 0, False), n=64, steps=255, packing=BYTES)  # as many as a count holds
@example(seed=1, neuron=(4001, True, -3, True), n=1, steps=1, packing=STEPS)
def test_neurons(form: Form, seed: int, neuron: tuple[int, bool, int, bool], n: int, steps: int, packing: int) -> None:
    """Decays by shift and by product, currents that are held, biases, shifts of the sums, saturation; spikes as bytes and as bits."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    dv, held, exponent, soft = neuron
    rng = np.random.default_rng(seed)
    live, wide, vth = 1 if held else int(rng.integers(1, steps + 1)), -(-n // 8) * 8, int(rng.integers(0, 20000))
    reach = ((1 << 17) - 1 if rng.random() < 0.3 else 9000) >> max(exponent, 0)  # shifted, no sum is beyond 2^17: none makes a current wrap
    total = rng.integers(-reach, reach + 1, (live, wide)).astype(np.int32)
    state = np.zeros((STATE_ROWS, wide), np.int32)
    state[0] = rng.integers(-3000, 3000, wide)
    du = -1 if held else 4095
    unit, rows = wide // 8 if packing == SAMPLES else wide, -(-steps // 8) if packing == STEPS else steps
    spikes, counts = np.zeros(rows * unit, np.uint8), np.zeros((2, wide), np.uint8)
    registers = _registers(IntegerLIF(du, dv, vth, soft), exponent)
    kernels(form).run_lanes(total, n, state, registers, spikes, 0, unit, steps, packing, counts)
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


@each_form
def test_a_spike_that_a_bias_causes_is_an_update(form: Form) -> None:
    """Nothing arrives, and the reset leaves 0."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    neuron, state, total = IntegerLIF(4095, 4095, 1), np.zeros((STATE_ROWS, 8), np.int32), np.zeros((1, 8), np.int32)
    state[0] = [0, 64, 65, 1000, -65, 0, 65, 64]
    spikes, counts = np.zeros(3 * 8, np.uint8), np.zeros((2, 8), np.uint8)
    expected, active = reference(total, 3, 0, neuron, state[0])
    kernels(form).run_lanes(total, 8, state, _registers(neuron, 0), spikes, 0, 8, 3, BYTES, counts)
    assert (spikes.reshape(3, 8) == expected).all() and (counts == [expected.sum(axis=0), active]).all()


@each_form
def test_the_threshold_is_aligned(form: Form) -> None:
    """One input just at the threshold does not spike, one more does."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    registers = _registers(IntegerLIF(4095, 4095, 100), 0)
    assert registers[4] == 100 << ALIGN
    total, state = np.array([[100, 101] * 4], np.int32), np.zeros((STATE_ROWS, 8), np.int32)
    spikes, counts = np.zeros(8, np.uint8), np.zeros((2, 8), np.uint8)
    kernels(form).run_lanes(total, 8, state, registers, spikes, 0, 8, 1, BYTES, counts)
    assert spikes.tolist() == [0, 1] * 4


def row_within(rng: np.random.Generator, sources: int, payload: int, exponent: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sources and weights of a neuron whose sums are within `MOST`, near to it or far, and keep a potential within 24 bits."""
    size, most = int(rng.integers(0, 700)), min(MOST, 65535 >> exponent, 1 << int(rng.integers(8, 15)))
    limit = max(min(int(rng.choice([1, 8, 127])), most // payload // 2), 1)  # so that a few synapses are within
    chosen, weights = rng.integers(0, sources, size), rng.integers(-limit, limit + 1, size)
    reach = np.maximum(np.maximum(weights, 0).cumsum(), np.maximum(-weights, 0).cumsum()) * payload
    within = int((reach <= most).sum())
    return chosen[:within], weights[:within]


@each_form
@settings(max_examples=examples(60), deadline=None)
@given(
    seed=seeds,
    payload=st.sampled_from([1, 127]),
    live=st.integers(1, 27),
    quiet=st.integers(0, 12),
    held=st.booleans(),
    exponent=st.integers(0, 8),
)
@example(seed=2, payload=127, live=8, quiet=40, held=False, exponent=0)  # potentials round until they are 0, and then are idle
@example(seed=7, payload=127, live=8, quiet=40, held=False, exponent=8)
@example(seed=5, payload=1, live=1, quiet=12, held=True, exponent=8)
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
    given = (flat, places, bytes_, indptr, 0, 1, registers, alive, live, steps, scratch, out, 5, sums)
    kernels(form).run_fused(*given)
    expected, active = reference(total, steps, exponent, neuron, np.zeros(CHUNK, np.int64))
    assert (out[5:-5].reshape(steps, CHUNK) == expected).all()
    assert (out[:5] == 9).all() and (out[-5:] == 9).all()
    assert sums.tolist() == [[7 + expected.sum()], [8 + active.sum()]]


def test_what_is_simple() -> None:
    """Neurons that halve, without biases, a soft reset, a shift to the right or sums that could drive a potential past 24 bits."""
    from spikeloom.runtime.native.program import _registers  # pyright: ignore[reportPrivateUsage]

    neuron = IntegerLIF(4095, 2048, 100)
    assert _registers(neuron, 0, 65535)[6] and _registers(neuron, 3, 65535)[6]
    others = [(neuron, -1, 1), (neuron, 0, 65536), (IntegerLIF(4095, 2048, 100, True), 0, 1), (IntegerLIF(4095, 2049, 100), 0, 1)]
    assert not any(_registers(*other)[6] for other in others)
    assert not _registers(neuron, 0)[6]


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


@each_form
@settings(max_examples=examples(20), deadline=None)
@given(seed=seeds, pitch=st.integers(CHUNK, 200), apart=st.integers(CHUNK, 200), counts=st.booleans())
@example(seed=0, pitch=CHUNK, apart=CHUNK, counts=True)
def test_transpositions(form: Form, seed: int, pitch: int, apart: int, counts: bool) -> None:
    """A tile and its counts, and eight rows; what lies beside them stays."""
    rng, given_ = np.random.default_rng(seed), kernels(form)
    source = rng.integers(0, 256, 5 + CHUNK * pitch).astype(np.uint8) * (rng.random(5 + CHUNK * pitch) < rng.random())
    tile = np.stack([source[5 + j * pitch : 5 + j * pitch + CHUNK] for j in range(CHUNK)])
    out, few, strip = np.full(3 + CHUNK * apart, 9, np.uint8), np.zeros(CHUNK, np.uint8), np.full(3 + CHUNK * apart, 9, np.uint8)
    place = (source, 5, pitch, out, 3, apart)
    seen = int(given_.count_and_transpose(*place, few) if counts else given_.transpose(*place))
    given_.strip(source, 5, pitch, strip, 3, apart)
    for found, rows in ((out, tile), (strip, tile[:8])):
        expected = np.full(3 + CHUNK * apart, 9, np.uint8)
        for i in range(CHUNK):
            expected[3 + i * apart : 3 + i * apart + len(rows)] = rows[:, i]
        assert (found == expected).all()
    assert np.bitwise_or.reduce(list(seen.to_bytes(8, "little", signed=True))) == np.bitwise_or.reduce(tile, axis=None)
    assert (few == ((tile != 0).sum(axis=0) if counts else 0)).all()


@each_form
@settings(max_examples=examples(20), deadline=None)
@given(seed=seeds, levels=st.sampled_from([1, 3, 255, 65535]), number=st.sampled_from([0, 1, (1 << 32) - 1, 1 << 32, (1 << 40) + 7]))
@example(seed=0, levels=65535, number=(1 << 32) - 1)
def test_drawing_the_rate_code(form: Form, seed: int, levels: int, number: int) -> None:
    """Values of 0 and of all levels among them, seeds and numbers of samples of more than 32 bits."""
    rng = np.random.default_rng(seed)
    key, steps, values = int(rng.integers(0, 1 << 62)), 3, rng.choice([0, 1, levels, levels // 2], 2 * INPUTS)
    line, some = np.zeros(2 * INPUTS, np.uint16), values > 0
    line[some] = (65536 * values[some] - 1) // levels
    found = np.full((steps, 2 * INPUTS + 2), 9, np.uint8)
    for t in range(steps):
        for at in (0, INPUTS):
            words = (number & 0xFFFFFFFF, number >> 32, key & 0xFFFFFFFF, key >> 32)
            kernels(form).draw(line, some, at, t, *words, found.reshape(-1), t * found.shape[1] + 1 + at)
    expected = rate_code(values[None], levels, steps, seed=key, numbers=np.array([number]))[0]
    assert (found[:, 1:-1] == expected).all() and (found[:, [0, -1]] == 9).all()


@each_form
@settings(max_examples=examples(30), deadline=None)
@given(seed=seeds, size=st.integers(0, 300), left=st.integers(0, 6), right=st.integers(0, 3))
@example(seed=0, size=258, left=0, right=0)
def test_eight_steps_of_a_sample(form: Form, seed: int, size: int, left: int, right: int) -> None:
    """Rows that are summed over eight steps, and their way to the steps, shifted."""
    rng, neurons = np.random.default_rng(seed), 2 * EIGHT
    size = min(size, most_synapses(1))
    lines = rng.integers(0, 2, (40, EIGHT)).astype(np.uint8)
    chosen, weights = rng.integers(0, 40, size), rng.choice([-127, 127, 3], size)
    indptr, places = padded(np.array([size]), chosen.astype(np.int64) * EIGHT)
    acc = rng.integers(-1000, 1000, (neurons, EIGHT)).astype(np.int32)
    totals, pitch = rng.integers(-1000, 1000, (EIGHT, neurons + 3)).astype(np.int32), neurons + 3
    expected_acc = acc.astype(np.int64)
    expected_acc[1] += weights @ lines[chosen].astype(np.int64)
    expected = totals.astype(np.int64)
    expected[:, 1 : 1 + EIGHT] += (expected_acc[:EIGHT].T << left) >> right
    bytes_ = padded(np.array([size]), weights.astype(np.int8))[1]
    flat = np.append(lines.reshape(-1), np.zeros(64, np.uint8))
    kernels(form).add_eight(flat, places, bytes_, 0, int(indptr[1]), acc.reshape(-1), EIGHT)
    turn(acc.reshape(-1), 0, totals.reshape(-1), 1, pitch, left, right)
    assert (acc == expected_acc).all() and (totals == expected).all()
