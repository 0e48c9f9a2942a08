"""The time of a step: a step waits for its slowest core. Against a walk over every spike, synapse and hop of single samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from meshes import Place, kind, small_system, walk
from netgen import float_network, samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.errors import FormatError, NetworkError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network import reference
from spikeloom.report.prices import Latency
from spikeloom.runtime import encoding, energy, run, step_loads
from spikeloom.runtime.counts import Counts

OVERLAPS = st.sampled_from(["sum", "max", "queue"])


def deployed_of(seed: int, encoded: str) -> DeployedNetwork | None:
    """A random network on chips of few neurons a core; None where nothing of it is alive."""
    try:
        network = float_network(seed, sizes=(30, 14, 10, 5), density=0.5)
        chip, other = small_system(), chips.load("loihi2")  # of Loihi 2 it has payloads, which currents are sent in
        limits = chip.limits.model_copy(update={"payload_bits": other.limits.payload_bits})
        chip = chip.model_copy(update={"encodings": other.encodings, "limits": limits})
        return compile_network(network, chip=chip, encoding=encoded, effort="fast")  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return None


def priced(deployed: DeployedNetwork, overlap: str, links: str) -> Chip:
    """The chip with the prices of the fitted model, and a rule for what overlaps."""
    fitted = chips.load("loihi-silicon")
    time = fitted.time.model_copy(update={"overlap": overlap, "links": links})
    return fitted.model_copy(
        update={"time": time, "mesh": deployed.chip.mesh, "system": deployed.chip.system, "limits": deployed.chip.limits}
    )


def fired_at(deployed: DeployedNetwork, x: np.ndarray) -> list[list[set[int]]]:
    """By sample and step of the chip: the sources that spike, each layer as many steps later as it lies deep."""
    network = deployed.network
    events = encoding.encode(network, x)
    rasters = reference.simulate(network, events) | {network.populations[0].name: events != 0}
    if network.input.is_once:
        rasters[network.populations[0].name][:, 1:] = False
    depth, steps = network.depth(), network.timesteps
    found = [[set[int]() for _ in range(steps)] for _ in x]
    first = 0
    for p in network.senders:
        alive = np.flatnonzero(p.living)
        for n, t, k in np.argwhere(rasters[p.name].reshape(len(x), steps, -1)[:, :, alive]).tolist():
            found[n][(t + depth[p.name]) % steps].add(first + k)
        first += len(alive)
    return found


def walked(deployed: DeployedNetwork, sources: set[int], model: Chip, updates: np.ndarray, dense: Any) -> tuple[float, float]:
    """Nanoseconds of the slowest core and of the busiest link in one step, spike by spike and synapse by synapse."""
    wiring, on_core, time = deployed.wiring, deployed.mapping.core_of, model.time
    assert time.spike_out is not None and time.message_in is not None and time.synaptic_op_dense is not None
    places: list[Place] = [(x, y) for x, y in deployed.places.tolist()]
    busy, links = updates.copy(), defaultdict[Any, float](float)
    into = [(int(s), int(on_core[r])) for r, s in zip(wiring.rows, wiring.sources, strict=True)]
    for source, core in into:
        if source in sources:
            busy[core] += time.synaptic_op.value
    for source in sources:
        reached = {core for s, core in into if s == source}
        within = source >= wiring.outside
        start = places[on_core[source - wiring.outside]] if within else model.mesh.entry
        if within:
            home = int(on_core[source - wiring.outside])
            busy[home] += time.spike_out.value + len(reached) * time.message_out.value
        for core in reached:
            busy[core] += time.message_in.value
            links[core] += time.message_out.value
            for step in walk(start, places[core]):
                links[step] += (time.hop_horizontal.value, time.hop_vertical.value, 50.0)[kind(step, model)]
    saved = dense @ np.isin(np.arange(dense.shape[1]), list(sources))
    busy += saved * (time.synaptic_op_dense.value - time.synaptic_op.value)
    return float(busy.max()), max(links.values(), default=0.0)


def queued(deployed: DeployedNetwork, sources: set[int], model: Chip, updates: np.ndarray, counts: Counts) -> float:
    """Nanoseconds of the slowest core in one step, where cores send and receive at the same time: a queue for each, message by message."""
    wiring, on_core, time = deployed.wiring, deployed.mapping.core_of, model.time
    assert time.spike_out is not None and time.message_in is not None and time.synaptic_op_dense is not None
    places: list[Place] = [(x, y) for x, y in deployed.places.tolist()]
    synapses = Counter((int(s), int(on_core[r])) for r, s in zip(wiring.rows, wiring.sources, strict=True))
    spike_out, message_in, sparse, dense_op = (
        time.spike_out.value,
        time.message_in.value,
        time.synaptic_op.value,
        time.synaptic_op_dense.value,
    )
    waiting = defaultdict[int, list[tuple[float, float]]](list)
    sent = np.zeros(deployed.mapping.cores)

    def send(source: int, start: Place, at: float, step: float) -> float:
        for core in sorted({core for s, core in synapses if s == source}):
            at += step
            way = sum((time.hop_horizontal.value, time.hop_vertical.value, 50.0)[kind(hop, model)] for hop in walk(start, places[core]))
            saved = int(counts.dense_sops[core, source]) * (sparse - dense_op)
            waiting[core].append((at + way, message_in + synapses[source, core] * sparse - saved))
        return at

    for source in sources:
        if source < wiring.outside:
            send(source, model.mesh.entry, 0.0, 0.0)
    for core in range(deployed.mapping.cores):
        members = np.flatnonzero(on_core == core)
        for neuron in members.tolist():
            sent[core] += updates[core] / len(members)
            if wiring.outside + neuron in sources:
                sent[core] = send(wiring.outside + neuron, places[core], sent[core] + spike_out, time.message_out.value)
    done = sent.copy()
    for core, messages in waiting.items():
        at = 0.0
        for arrival, service in sorted(messages):
            at = max(at, arrival) + service
        done[core] = max(done[core], at)
    return float(done.max())


@settings(max_examples=examples(12), deadline=None)
@example(3, "rate", "max", "free", 5)
@example(3, "rate", "queue", "free", 5)
@example(3, "current", "queue", "shared", 2)
@example(3, "current", "sum", "shared", 1)
@given(
    seeds,
    st.sampled_from(["rate", "current"]),
    st.sampled_from(["sum", "max", "queue"]),
    st.sampled_from(["shared", "free"]),
    st.integers(1, 6),
)
def test_steps_equal_a_walk_over_every_spike(seed: int, encoded: str, overlap: str, links: str, count: int) -> None:
    deployed = deployed_of(seed, encoded)
    if deployed is None:
        return
    model, x = priced(deployed, overlap, links), samples(deployed.network, seed, count)
    found, counts = latency_of(deployed, x, model)
    updates = mean_updates(deployed, counts, model)
    fixed = sum(c.seconds_per_step for c in found.components if c.name.startswith("barrier")) * 1e9
    route = next(c for c in found.components if c.name == "longest route")
    times: list[float] = []
    longest = longest_route(deployed, counts, model)
    for sample in fired_at(deployed, x):
        for sources in sample:
            core, link = walked(deployed, sources, model, updates, counts.dense_sops)
            core = queued(deployed, sources, model, updates, counts) if overlap == "queue" else core
            parts = [core, link if links == "shared" else 0.0, longest]
            times.append(fixed + (sum(parts) if overlap == "sum" else max(parts)))
    assert found.seconds_per_step == pytest.approx(np.mean(times) * 1e-9)
    assert found.slowest_step == pytest.approx(max(times) * 1e-9)
    assert found.timed_samples == count and found.standard_error == 0
    assert sum(c.seconds_per_step for c in found.components) == pytest.approx(found.seconds_per_step)
    assert overlap != "sum" or route.seconds_per_step == pytest.approx(longest * 1e-9)


def latency_of(deployed: DeployedNetwork, x: np.ndarray, model: Chip) -> tuple[Latency, Counts]:
    """The latency of a run under a model of the test's own, and the counts that it comes from."""
    kept: list[tuple[Counts, step_loads.Loads]] = []
    found = step_loads.StepLoads.loads

    def loads(self: step_loads.StepLoads, counts: Counts) -> step_loads.Loads:
        kept.append((counts, found(self, counts)))
        return kept[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_loads.StepLoads, "loads", loads)
        run(deployed, x)
    return energy.latency(deployed, kept[0][0], model, kept[0][1]), kept[0][0]


def mean_updates(deployed: DeployedNetwork, counts: Any, model: Chip) -> np.ndarray:
    """Nanoseconds of each core's updates a step."""
    active, steps = counts.core_active, deployed.network.timesteps
    time = model.time
    return (active * time.neuron_update_active.value + (counts.core_updates - active) * time.neuron_update_inactive.value) / steps


def longest_route(deployed: DeployedNetwork, counts: Any, model: Chip) -> float:
    """Nanoseconds of the longest way that any message went."""
    places = [tuple(p) for p in deployed.places.tolist()]
    ways = [(places[a], places[b]) for a, b in zip(*counts.between.nonzero(), strict=True)]
    ways += [(tuple(model.mesh.entry), places[int(b)]) for b in np.flatnonzero(counts.entering)]
    price = model.time.hop_horizontal.value, model.time.hop_vertical.value, 50.0
    return max((sum(price[kind(step, model)] for step in walk(a, b)) for a, b in ways), default=0.0)


def test_fewer_samples_are_timed_where_the_work_is_large_and_the_error_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = deployed_of(3, "rate")
    assert deployed is not None
    x = samples(deployed.network, 3, 80)
    whole = run(deployed, x).latency
    assert whole.timed_samples == 64
    pairs = len(deployed.wiring.core_pairs(deployed.mapping.core_of)[0])
    monkeypatch.setattr(step_loads, "WORK", 9 * pairs * deployed.network.timesteps)
    few = run(deployed, x).latency
    assert few.timed_samples == 8 and few.standard_error is not None and whole.standard_error is not None
    assert few.standard_error > whole.standard_error > 0
    assert abs(few.seconds_per_step - whole.seconds_per_step) < 5 * few.standard_error
    monkeypatch.setattr(step_loads, "WORK", 0)
    one = run(deployed, x).latency
    assert one.timed_samples == 1 and one.standard_error is None
    monkeypatch.setattr(step_loads, "LINK_VALUES", 0)
    assert run(deployed, x).latency.timed_samples == 1  # links by their mean loads


def test_the_mean_of_the_slowest_is_no_less_than_the_slowest_of_the_means() -> None:
    deployed = deployed_of(3, "rate")
    assert deployed is not None
    model = priced(deployed, "max", "free")
    found, counts = latency_of(deployed, samples(deployed.network, 3, 20), model)
    assert found.seconds_per_step > energy.latency(deployed, counts, model).seconds_per_step


def test_a_model_says_what_it_lacks_and_the_fitted_one_has_all_its_parts() -> None:
    deployed = deployed_of(3, "rate")
    assert deployed is not None
    found = run(deployed, samples(deployed.network, 3, 4)).latency
    assert "no time for spikes out and messages in" in found.note
    fitted, time = chips.load("loihi-silicon"), chips.load("loihi-silicon").time
    assert [fitted.time.barrier(tiles, 32).value for tiles in (1, 2, 3, 4, 28, 29, 32)] == [600, 1000, 1000, 1400, 1400, 1800, 1800]
    assert time.spike_out is not None and time.message_in is not None and time.synaptic_op_dense is not None
    table = [time.synaptic_op.value, time.synaptic_op_dense.value, time.spike_out.value, time.message_in.value, time.message_out.value]
    assert table == [4.7, 3.8, 30.0, 16.0, 5.1]


def test_prices_that_hold_at_one_load_are_marked_far_from_it() -> None:
    network = float_network(3, sizes=(40, 30, 10))
    deployed = compile_network(network, target="truenorth", mode="codebook", calibration=samples(network, 1, 50))
    found = run(deployed, samples(deployed.network, 3, 4))
    assert "26 pJ a synaptic event holds at 2.68e+09 events/s" in found.energy.note and "times fewer" in found.energy.note


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('overlap = "queue"', 'overlap = "both"', "time.overlap is 'both'; it must be 'sum', 'max' or 'queue'"),
        ("tiles = 2\n", "tiles = 5\n", "must begin with 1 tile and rise"),
        ("value = 29.7,", "value = 290,", "static_power_low, 290 mW, is more than static_power, 104 mW"),
    ],
)
def test_faults_of_the_new_keys_are_named(tmp_path: Any, old: str, new: str, said: str) -> None:
    from importlib import resources

    text = (resources.files("spikeloom.hwmodels.chips") / "loihi-silicon.toml").read_text()
    assert old in text
    path = tmp_path / "own.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(FormatError, match=said.replace("(", r"\(")):
        chips.load(str(path))
