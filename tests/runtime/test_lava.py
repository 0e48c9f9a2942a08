"""Lava's spikes are the integer reference's spikes, all of them: skips, negative exponents, graded input, any batch size."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from spikeloom.compile.passes import balance
from spikeloom.errors import BackendError, UsageError
from spikeloom.network import reference
from spikeloom.network.model import IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import lava
from spikeloom.runtime.backends.api import BackendOptions

needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")
SIZES = {"x": 9, "a": 8, "b": 7, "c": 5}


def network_of(
    weights: dict[tuple[str, str], NDArray[np.int32]], neurons: dict[str, IntegerLIF], timesteps: int, exponent: int = 0
) -> Network:
    """Build a network from matrices by (source, target); the populations are x, then those of `neurons`."""
    sizes = {source: w.shape[1] for (source, _), w in weights.items()} | {target: w.shape[0] for (_, target), w in weights.items()}
    populations = [Population("x", (sizes["x"],), None), *(Population(n, (sizes[n],), lif) for n, lif in neurons.items())]
    projections = [Projection(f"{s}{t}", s, t, Synapses.from_dense(w), exponent, 9) for (s, t), w in weights.items()]
    return balance.Balance(63).run(Network(tuple(populations), tuple(projections), timesteps)).network


def random_network(rng: np.random.Generator, timesteps: int, graded: bool) -> Network:
    """x -> a -> b -> c with the skips x -> b, x -> c, a -> c; each projection with its own bits and exponent."""
    populations = [Population("x", (SIZES["x"],), None)]
    projections: list[Projection] = []
    for target, sources in (("a", "x"), ("b", "xa"), ("c", "xab")):
        scale = 0.0
        for source in sources:
            bits, exponent = int(rng.integers(2, 10)), int(rng.integers(-5, 3))
            largest = (1 << (bits - 1)) - 1
            w = rng.integers(-largest, largest + 1, (SIZES[target], SIZES[source])).astype(np.int32)
            w[rng.random(w.shape) < 0.4] = 0
            projections.append(Projection(f"{source}-{target}", source, target, Synapses.from_dense(w), exponent, bits))
            scale += largest * (120 if graded and source == "x" else 1) * 2.0**exponent
        du = int(rng.choice([-1, 0, 4095, int(rng.integers(4096))]))
        vth = min(131071, int(scale * rng.uniform(0, 1.5)))
        populations.append(Population(target, (SIZES[target],), IntegerLIF(du, int(rng.integers(4096)), vth)))
    return balance.Balance(63).run(Network(tuple(populations), tuple(projections), timesteps)).network


def random_events(rng: np.random.Generator, samples: int, timesteps: int, graded: bool) -> NDArray[np.uint8]:
    """Spikes at every step, or graded payloads at step 0 only or at every step."""
    events = rng.integers(0, 256 if graded else 2, (samples, timesteps, SIZES["x"]), dtype=np.uint8)
    if graded and rng.random() < 0.5:
        events[:, 1:] = 0
    return events


def assert_equal(network: Network, events: NDArray[np.uint8], batch_size: int | None = None) -> dict[str, NDArray[np.bool_]]:
    """Compare every spike of every population; return them."""
    found = lava.simulate(network, events, BackendOptions(batch_size=batch_size, time_limit=60)).spikes
    expected = reference.simulate(network, events)
    assert found.keys() == expected.keys()
    for name, spikes in expected.items():
        assert found[name].dtype == np.bool_
        np.testing.assert_array_equal(found[name], spikes, err_msg=name)
    return found


def check_random(seed: int, timesteps: int, samples: int, batch_size: int | None, graded: bool) -> None:
    """One random network, one random batch of samples."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, timesteps, graded)
    assert_equal(network, random_events(rng, samples, timesteps, graded), batch_size)


CASES = given(
    seed=st.integers(0, 2**32),
    timesteps=st.integers(1, 6),
    samples=st.integers(1, 7),
    batch_size=st.none() | st.integers(1, 4),
    graded=st.booleans(),
)


@pytest.mark.chain
@needs_lava
@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@CASES
def test_random_networks(seed: int, timesteps: int, samples: int, batch_size: int | None, graded: bool) -> None:
    check_random(seed, timesteps, samples, batch_size, graded)


@needs_lava
@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@CASES
def test_many_random_networks(seed: int, timesteps: int, samples: int, batch_size: int | None, graded: bool) -> None:
    check_random(seed, timesteps, samples, batch_size, graded)


@needs_lava
def test_known_network_spikes_in_every_population() -> None:
    rng = np.random.default_rng(3)
    spikes = assert_equal(random_network(rng, 6, graded=True), random_events(rng, 7, 6, graded=True), 3)
    assert all(0.02 < s.mean() < 0.98 for s in spikes.values())


@needs_lava
def test_large_currents_wrap_as_defined() -> None:
    weights = np.array([[255] * 8, [-255] * 8, [127] * 8, [-128] * 8, [1] * 8], np.int32)
    network = network_of({("x", "a"): weights}, {"a": IntegerLIF(100, 100, 3000)}, 5)
    events = np.full((2, 5, 8), 255, np.uint8)  # |a| up to 520,200: beyond 16 bits and beyond the 24-bit state
    events[1, ::2, 3:] = 1
    assert_equal(network, events)


@needs_lava
def test_highest_threshold_and_both_extremes_of_the_decays() -> None:
    weights = np.array([[127] * 4, [255] * 4, [-255] * 4], np.int32)
    neurons = {"a": IntegerLIF(-1, 0, 131071), "b": IntegerLIF(4095, 4095, 0)}
    network = network_of({("x", "a"): weights, ("a", "b"): np.array([[1, 1, 0], [0, -1, 1]], np.int32)}, neurons, 6)
    events = np.zeros((3, 6, 4), np.uint8)
    events[:, 0] = [[255, 0, 0, 0], [255, 255, 0, 0], [1, 1, 1, 1]]
    assert assert_equal(network, events)["a"].any()


@needs_lava
def test_population_without_a_live_synapse_stays_silent() -> None:
    neurons = {n: IntegerLIF(4095, 2048, 2) for n in "abc"}
    weights = {("x", "a"): np.zeros((2, 3), np.int32), ("a", "b"): np.full((2, 2), 9, np.int32), ("x", "c"): np.full((2, 3), 9, np.int32)}
    spikes = assert_equal(network_of(weights, neurons, 2), np.ones((2, 2, 3), np.uint8))
    assert not spikes["b"].any()
    assert spikes["c"].any()


@needs_lava
def test_nothing_to_run() -> None:
    dead = network_of({("x", "a"): np.zeros((2, 3), np.int32)}, {"a": IntegerLIF()}, 2)
    assert not assert_equal(dead, np.ones((2, 2, 3), np.uint8))["a"].any()
    assert lava.simulate(dead, np.ones((0, 2, 3), np.uint8), BackendOptions()).spikes["a"].shape == (0, 2, 2)


# --- refusals --------------------------------------------------------------------------------------------------------

SMALL = {("x", "a"): np.full((2, 3), 9, np.int32)}
EVENTS = np.ones((1, 2, 3), np.uint8)


@needs_lava
@pytest.mark.parametrize(
    ("weight", "exponent", "events", "message"),
    [
        (256, 0, EVENTS, r"-256\.\.255"),
        (255, 20, EVENTS, "32 bits"),
        (9, 0, EVENTS.astype(np.int64) * 256, r"0\.\.255"),
        (9, 0, EVENTS.astype(np.float32), "integers"),
        (9, 0, EVENTS[:, :1], "events"),
    ],
)
def test_what_lava_cannot_hold_is_refused(weight: int, exponent: int, events: NDArray[np.uint8], message: str) -> None:
    network = network_of({("x", "a"): np.full((2, 3), weight, np.int32)}, {"a": IntegerLIF()}, 2, exponent)
    with pytest.raises(BackendError, match=message):
        lava.simulate(network, events, BackendOptions())


@needs_lava
def test_host_population_is_refused() -> None:
    network = network_of(SMALL, {"a": IntegerLIF()}, 2)
    moved = network.with_population(dataclasses.replace(network.populations[1], place="host"))
    with pytest.raises(BackendError, match="native"):
        lava.simulate(moved, EVENTS, BackendOptions())


@pytest.mark.parametrize("option", [{"threads": 0}, {"batch_size": 0}, {"time_limit": 0.0}, {"time_limit": float("nan")}])
def test_options_that_mean_nothing_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        BackendOptions(**option)


@needs_lava
def test_options_without_effect_are_refused() -> None:
    with pytest.raises(UsageError):
        lava.simulate(network_of(SMALL, {"a": IntegerLIF()}, 2), EVENTS, BackendOptions(threads=2))


def test_lava_is_never_imported_here() -> None:
    code = "import sys; from spikeloom.runtime.backends import lava; lava.available(); sys.exit('lava.magma' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
