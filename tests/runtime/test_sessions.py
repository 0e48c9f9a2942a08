"""A session against the integer reference, step by step: spikes, registers, state kept and restored; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spikeloom
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import Labelled, float_network, graph_network, integer_conv_network, integer_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.errors import FormatError, UsageError
from spikeloom.hwmodels import crossbar, fixed_point
from spikeloom.network import CrossbarLIF, IntegerLIF, Network, reference
from spikeloom.runtime import Session, sessions
from spikeloom.runtime.native import stepping

BACKENDS = ("native", "reference")
ENCODINGS = ("current", "graded", "rate", "events", "host")


def soft(network: Network) -> Network:
    """The same network with soft resets, but for the crossbars'."""
    neurons = {p.name: p.neuron for p in network.spiking}
    changed = tuple(
        replace(p, neuron=replace(n, soft_reset=True)) if isinstance(n := neurons.get(p.name), IntegerLIF) else p
        for p in network.populations
    )
    return replace(network, populations=changed)


def crossbars(seed: int, leak: int = 3) -> Network:
    """A random network of crossbar neurons."""
    network = integer_network(seed, encoding="rate")
    projections = tuple(replace(p, exponent=0) for p in network.projections)
    spiking = tuple(replace(p, neuron=CrossbarLIF(20, leak)) for p in network.spiking)
    return replace(network, populations=(network.populations[0], *spiking), projections=projections)


def registers(network: Network, sent: dict[str, NDArray[Any]]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each population u and v after the last step, from what was sent (steps, neurons), by the definition alone."""
    found: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for population in network.spiking:
        u = v = np.zeros(population.size, np.int64)
        for t in range(len(sent[population.name])):
            a = np.zeros(population.size, np.int64)
            for p in network.inputs_of(population.name):
                if t >= p.lag:
                    arrived = sent[p.source][t - p.lag].astype(np.int64)[:, None]
                    a += fixed_point.synaptic_input(p.synapses.operator(), arrived, p.exponent)[:, 0]
            n = population.neuron
            if isinstance(n, CrossbarLIF):
                v, _ = crossbar.crossbar_step(v, a, threshold=n.threshold, leak=n.leak)
            else:
                assert isinstance(n, IntegerLIF)
                u, v, _ = fixed_point.lif_step(
                    u, v, a, du=n.du, dv=n.dv, vth=n.vth, bias=population.biases.astype(np.int64), soft_reset=n.soft_reset
                )
        found[population.name] = u * population.living, v * population.living  # removed neurons have no state
    return found


def hold(session: Session, network: Network, values: NDArray[Any], seed: int) -> None:
    """Hold all steps of a session on all samples against the reference, with the registers after the last step and what was counted."""
    events = reference.encode(network, values, seed=seed)
    expected = reference.simulate(network, events)
    for number, sample in enumerate(values):
        found = session.present(sample, sample=number)
        assert list(found) == [p.name for p in network.spiking]
        for name, raster in expected.items():
            assert (found[name] == raster[number]).all(), name
            assert (session.spikes[name] == raster[number][-1]).all()
        for name, (u, v) in registers(network, {network.populations[0].name: events[number], **found}).items():
            assert (session.v[name] == v).all() and (name not in session.u or (session.u[name] == u).all()), name
        output = expected[network.populations[-1].name]
        assert (session.counts == reference.class_counts(output, network.votes)[number]).all()
        assert session.prediction == reference.decide(output, network.votes)[number]


KINDS: dict[str, Callable[[int, str], Network]] = {
    "layers": lambda seed, encoding: integer_network(seed, layers=3, encoding=encoding),
    "soft": lambda seed, encoding: soft(integer_network(seed, encoding=encoding)),
    "lags": lambda seed, encoding: graph_network(
        seed, encoding="rate" if encoding in ("current", "host") else encoding, lags=True, backward=2
    ),
    "maps": lambda seed, encoding: integer_conv_network(seed, temporal=encoding == "events"),
    "crossbars": lambda seed, encoding: crossbars(seed, leak=seed % 5),
}


@settings(max_examples=examples(60), deadline=None)
@given(seeds, st.sampled_from([*KINDS]), st.sampled_from(ENCODINGS), st.sampled_from(BACKENDS))
@example(1, "layers", "current", "native")
@example(1, "layers", "host", "native")
@example(2, "soft", "graded", "native")
@example(3, "lags", "rate", "native")
@example(4, "lags", "events", "reference")
@example(6, "maps", "graded", "native")
@example(9, "maps", "graded", "reference")
@example(6, "maps", "events", "native")
@example(7, "crossbars", "rate", "native")
@example(7, "crossbars", "rate", "reference")
def test_a_session_is_the_reference(seed: int, kind: str, encoding: str, backend: str) -> None:
    network = KINDS[kind](seed, encoding)
    hold(spikeloom.session(network, backend=backend, seed=seed % 7), network, samples(network, seed, 3), seed % 7)


@settings(max_examples=examples(40), deadline=None)
@given(seeds, st.integers(0, 6), st.booleans(), st.integers(0, 8))
@example(1, 0, False, 3)
@example(2, 1, True, 0)
@example(3, 6, True, 8)
def test_frames_that_change_little_or_wholly(seed: int, changed: int, lags: bool, at: int) -> None:
    """The kernel adds what changed, or all anew, whichever is less; restored in between, it knows of no step before."""
    timesteps = 9
    network = graph_network(seed, encoding="events", lags=True, backward=1) if lags else integer_network(seed, encoding="events", layers=3)
    network, rng = replace(network, timesteps=timesteps), np.random.default_rng(seed)
    values, inputs = np.zeros((1, timesteps, network.populations[0].size), np.uint8), network.populations[0].size
    for t in range(timesteps):
        values[0, t] = values[0, t - 1]
        places = rng.integers(0, inputs, inputs if rng.random() < 0.2 else changed)
        values[0, t, places] = rng.integers(0, network.input.levels + 1, places.size) * (rng.random(places.size) < 0.6)
    hold(spikeloom.session(network), network, values, 0)
    session = spikeloom.session(network)
    session.run(values[0, :at])
    kept = session.state()
    session.run(values[0, at:])
    last = {name: array.copy() for name, array in session.v.items()}
    session.restore(kept)
    session.run(values[0, at:])
    assert all((session.v[name] == array).all() for name, array in last.items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_extreme_numbers(backend: str) -> None:
    """Potentials at their limits, currents that wrap, large shifts, thresholds of 0 and the largest."""
    for seed in range(6):
        network = integer_network(seed, layers=3, timesteps=9)
        exponents = (14, 9, -30, 3)
        projections = tuple(replace(p, exponent=e) for p, e in zip(network.projections, exponents, strict=True))
        neurons = (IntegerLIF(0, 0, 0), IntegerLIF(-1, 4095, fixed_point.VTH_MAX), IntegerLIF(4094, 1, 1, soft_reset=True))
        spiking = tuple(replace(p, neuron=n) for p, n in zip(network.spiking, neurons, strict=True))
        network = replace(network, populations=(network.populations[0], *spiking), projections=projections)
        hold(spikeloom.session(network, backend=backend), network, samples(network, seed, 2), 0)


@settings(max_examples=examples(20), deadline=None)
@given(seeds, st.sampled_from(ENCODINGS), st.integers(0, 6), st.booleans())
@example(0, "rate", 3, True)
@example(0, "current", 0, False)
def test_a_state_is_kept_and_restored(seed: int, encoding: str, at: int, lags: bool) -> None:
    graph = lags and encoding not in ("current", "host")
    network = graph_network(seed, encoding=encoding, lags=True, backward=1) if graph else integer_network(seed, encoding=encoding)
    sample = samples(network, seed, 1)[0]
    frames = list(sample) if network.input.is_temporal else [sample] * network.timesteps
    first = spikeloom.session(network, seed=seed % 5 - 2)  # a key of 64 bits: below 0 it is that of all ones
    first.reset(sample=4)
    first.run(frames[:at])
    kept = first.state()
    whole = first.run(frames[at:])
    expected = reference.simulate(network, reference.encode(network, sample[None], seed=seed % 5 - 2, first=4))
    assert all((whole[name] == raster[0, at:]).all() for name, raster in expected.items())
    other = spikeloom.session(network, backend="reference")
    other.restore(kept)
    again = other.run(frames[at:])
    assert all((whole[name] == again[name]).all() for name in whole)
    assert (first.counts == other.counts).all() and first.steps == other.steps == network.timesteps
    first.restore(kept)
    assert first.steps == at and all((again[name] == raster).all() for name, raster in first.run(frames[at:]).items())


def test_sessions_at_once_do_not_disturb_one_another() -> None:
    network = graph_network(5, encoding="events", lags=True, backward=1)
    values = samples(network, 3, 3)
    expected = reference.simulate(network, reference.encode(network, values))
    first = spikeloom.session(network)
    several = [first, first.another(), first.another()]
    for t in range(network.timesteps):
        for number, one in enumerate(several):
            spikes = one.step(values[number, t])
            assert all((spikes[name] == raster[number, t]).all() for name, raster in expected.items())


def test_a_file_and_a_deployed_network_give_what_a_run_gives(tmp_path: Path) -> None:
    deployed = spikeloom.compile_network(float_network(3, sizes=(20, 14, 5)), encoding="rate")
    values = samples(deployed.network, 1, 6)
    results = spikeloom.run(deployed, Labelled(values, np.zeros(6, np.int64)), seed=3)
    assert results.predictions is not None and results.output_counts is not None
    for opened in (spikeloom.session(deployed, seed=3), spikeloom.session(deployed.save(tmp_path / "model.loom"), seed=3)):
        for number in range(6):
            opened.present(values[number], sample=number)
            assert opened.prediction == results.predictions[number]
            assert (opened.counts == results.output_counts[number]).all()


def test_a_session_goes_on_past_the_time_steps_of_a_sample() -> None:
    network = integer_network(3, encoding="rate", timesteps=6)
    sample = samples(network, 1, 1)[0]
    longer = replace(network, timesteps=40)
    expected = reference.simulate(longer, reference.encode(longer, sample[None]))
    found = spikeloom.session(network).run([sample, *[None] * 39])
    assert all((found[name] == raster[0]).all() for name, raster in expected.items())


def test_frames_in_the_shape_of_the_input_flat_and_of_booleans() -> None:
    network = integer_conv_network(2, temporal=True)
    frames = samples(network, 1, 1)[0]
    flat = spikeloom.session(network).run(frames)
    shaped = spikeloom.session(network).run(frames.reshape(-1, *network.populations[0].shape).astype(np.bool_))
    assert all((flat[name] == shaped[name]).all() for name in flat)
    silent = spikeloom.session(network)
    without, zeros = silent.step(), silent.another().step(np.zeros(frames.shape[1], np.int64))
    assert all((without[name] == zeros[name]).all() for name in without)


def test_no_frames_make_no_steps() -> None:
    opened = spikeloom.session(integer_network(1))
    assert [raster.shape for raster in opened.run([]).values()] == [(0, p.size) for p in opened.network.spiking]
    assert opened.steps == 0 and not any(spikes.any() for spikes in opened.spikes.values())


def test_without_numba_the_native_session_is_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "compiled", lambda: False)
    network = integer_network(4)
    hold(spikeloom.session(network), network, samples(network, 2, 2), 0)


def test_what_is_handed_out_cannot_be_written_to() -> None:
    opened = spikeloom.session(integer_network(1))
    spikes = opened.step(samples(opened.network, 1, 1)[0])
    for array in (*spikes.values(), *opened.v.values(), *opened.u.values(), *opened.spikes.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 1
    kept = opened.v["layer1"].copy(), spikes["layer1"].copy()
    opened.state()["v"][:] = 7
    opened.step()
    assert (spikes["layer1"] == kept[1]).all() and not (opened.v["layer1"] == 7).all()


def test_a_buffer_that_is_written_over_is_not_held() -> None:
    network = integer_network(3, encoding="graded")
    sample = samples(network, 1, 1)[0]
    opened, buffer = spikeloom.session(network), sample.copy()
    opened.step(buffer)
    buffer[:] = 0
    assert (opened.step()["layer1"] == reference.simulate(network, reference.encode(network, sample[None]))["layer1"][0, 1]).all()


def test_two_branches_that_share_synapses_keep_them_once() -> None:
    network = integer_network(1, layers=3)
    doubled = replace(network, projections=(*network.projections, replace(network.projections[-1], name="again", exponent=1)))
    one, two = stepping.Program.of(network), stepping.Program.of(doubled)
    assert one.weights.size == two.weights.size and len(two.arriving) == len(one.arriving) + 1
    hold(spikeloom.session(doubled), doubled, samples(doubled, 2, 2), 0)


REFUSED: list[tuple[str, Callable[[Session], object], str]] = [
    ("graded", lambda s: s.step(), r"Step 0 needs a frame"),
    ("graded", lambda s: s.step(np.zeros(3, np.int64)), r"has the shape \(3,\); the network takes"),
    ("graded", lambda s: s.step(np.zeros(s.network.populations[0].shape)), r"The frame is float64; the network takes integers 0\.\.255"),
    ("graded", lambda s: s.step(np.full(s.network.populations[0].shape, -1)), r"values run from -1 to -1"),
    ("events", lambda s: s.step([[1], [2, 3]]), r"The frame is no array"),  # pyright: ignore[reportArgumentType]
    ("events", lambda s: s.present(np.zeros((2, 2), np.uint8)), r"at each of 6 time steps"),
    ("events", lambda s: s.run(3), r"run takes"),  # pyright: ignore[reportArgumentType]
    ("rate", lambda s: s.reset(-1), r"it must lie in 0\.\."),
    ("rate", lambda s: s.restore({}), r"The state lacks fired, held, network"),
    ("rate", lambda s: s.restore(s.state() | {"u": np.zeros(3)}), r"The state is damaged"),
    ("rate", lambda s: s.restore(spikeloom.session(integer_network(8)).state()), r"on another network"),
]


@pytest.mark.parametrize(("encoding", "wrong", "said"), REFUSED)
def test_what_cannot_be_says_why_and_changes_nothing(encoding: str, wrong: Callable[[Session], object], said: str) -> None:
    opened = spikeloom.session(integer_network(1, encoding=encoding))
    with pytest.raises(UsageError, match=said):
        wrong(opened)
    assert opened.steps == 0 and not opened.v["layer1"].any()


def test_a_sample_that_changes_where_the_encoding_holds_it() -> None:
    network = integer_network(1, encoding="current")
    first, second = samples(network, 1, 2)
    opened = spikeloom.session(network)
    opened.step(first)
    opened.step(first.astype(np.int64))
    with pytest.raises(UsageError, match=r"step 2 differs .* call reset\(\)"):
        opened.step(second)
    opened.reset()
    opened.step(second)


def test_sessions_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'native'"):
        spikeloom.session(integer_network(1), backend="nativ")
    with pytest.raises(UsageError, match=r"not encoded yet"):
        spikeloom.session(float_network(1))
    with pytest.raises(UsageError, match=r"layer1 is not quantised yet"):
        spikeloom.session(replace(float_network(1), input=integer_network(1).input))
    with pytest.raises(FormatError, match=r"nothing\.loom"):
        spikeloom.session(tmp_path / "nothing.loom")
    assert repr(spikeloom.session(integer_network(1))).endswith("graded input, 0 steps made>")
