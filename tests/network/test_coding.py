"""The rate code: the published generator, the same spikes from kernel and definition, and the right probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import integer_network, samples, seeds
from spikeloom.errors import UsageError
from spikeloom.network import reference
from spikeloom.network.coding import philox, rate_code
from spikeloom.runtime.native.kernels.coding import count_events, encode


@pytest.mark.parametrize(
    ("rounds", "word", "expected"),
    [
        (7, 0, "5f6fb709 0d893f64 4f121f81 4f730a48"),
        (10, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (10, 0xFFFFFFFF, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ],
)
def test_philox_is_the_published_one(rounds: int, word: int, expected: str) -> None:
    """The test vectors of Random123."""
    words = philox((word, word, word, word), word << 32 | word, rounds)
    assert " ".join(f"{int(w):08x}" for w in words) == expected


@settings(max_examples=examples(50), deadline=None)
@given(seeds, st.integers(0, 2**63), st.integers(0, 2**40), st.integers(1, 20), st.integers(1, 150), st.integers(1, 255))
def test_the_kernel_draws_what_the_definition_draws(seed: int, key: int, first: int, count: int, inputs: int, levels: int) -> None:
    """Any number of inputs, levels that 2^16 is no multiple of, the values 0 and `levels`."""
    network = integer_network(seed, encoding="rate")
    entry = replace(network.populations[0], shape=(inputs,))
    network = replace(network, populations=(entry, *network.populations[1:]), projections=(), input=replace(network.input, levels=levels))
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels + 1, (count, inputs)).astype([np.uint8, np.int64, np.int16][seed % 3])
    values[0] = rng.choice([0, levels], inputs)
    whole = reference.encode(network, values, seed=key, first=first)
    assert (encode(network, values, seed=key, first=first) == whole).all()
    if count > 1:  # a shard draws what the whole would
        assert (encode(network, values[1:], seed=key, first=first + 1) == whole[1:]).all()


def test_threads_draw_their_shares() -> None:
    network = integer_network(3, encoding="rate")
    values = samples(network, 3, 500)
    whole = reference.encode(network, values, seed=7, first=11)
    for threads in (1, 2, 3, None):
        assert (encode(network, values, seed=7, first=11, threads=threads) == whole).all()


def test_rates_are_the_values() -> None:
    values = np.arange(256)[None].repeat(40, axis=0)
    spikes = rate_code(values, 255, 100, seed=3)
    rates = spikes.mean(axis=(0, 1))
    assert rates[0] == 0.0
    assert rates[255] == 1.0
    expected = np.arange(256) / 255
    assert (np.abs(rates - expected) < 5 * np.sqrt(expected * (1 - expected) / 4000) + 1e-4).all()
    assert abs(np.corrcoef(spikes[:, :-1, 128].ravel(), spikes[:, 1:, 128].ravel())[0, 1]) < 0.08
    assert abs(np.corrcoef(spikes[:, :, 120].ravel(), spikes[:, :, 121].ravel())[0, 1]) < 0.08


def test_values_out_of_range_are_refused_by_both() -> None:
    network = integer_network(1, encoding="rate")
    values = np.full((1, network.populations[0].size), 256)
    with pytest.raises(UsageError, match=r"integers 0\.\.255"):
        encode(network, values)


@settings(max_examples=examples(30), deadline=None)
@given(seeds, st.integers(0, 60), st.integers(1, 9), st.integers(1, 40))
def test_events_are_counted(seed: int, count: int, timesteps: int, inputs: int) -> None:
    """Past the 255 that a byte counts, and in arrays that are not contiguous."""
    events = np.random.default_rng(seed).integers(0, 3, (2 * count, timesteps, inputs)).astype(np.uint8)[::2]
    assert (count_events(events) == np.count_nonzero(events, axis=(0, 1))).all()
