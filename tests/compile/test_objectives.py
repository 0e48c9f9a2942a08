"""Mapping for the time or the energy of a step: the modelled figures are those of a run, limits are kept, nothing gets worse."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from budget import examples
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from netgen import graph_network, integer_network, seeds
from spikeloom.cli import main
from spikeloom.compile import compile_network, load
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.mapping.api import OBJECTIVES, Partition
from spikeloom.compile.mapping.build import build
from spikeloom.compile.mapping.loads.load import Wiring, holds
from spikeloom.compile.mapping.objectives import balance, balance_kernels, latency
from spikeloom.compile.mapping.objectives.step_model import StepModel
from spikeloom.compile.mapping.place import place, places_tried, traffic
from spikeloom.compile.mapping.progress import quiet
from spikeloom.compile.mapping.refinement.refine import new_state
from spikeloom.errors import NetworkError, UsageError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import Network
from spikeloom.runtime import energy
from spikeloom.runtime.counts import Tally, count
from spikeloom.runtime.step_times import step_times

OVERLAPS, LINKS = st.sampled_from(["sum", "max", "queue"]), st.sampled_from(["shared", "free"])


def fitted(neurons: int = 6, overlap: str = "queue", links: str = "free", **limits: int) -> Chip:
    """Loihi with the fitted prices and small cores, two a tile."""
    chip = chips.load("loihi-silicon")
    held = {name: getattr(chip.limits, name).model_copy(update={"value": float(v)}) for name, v in {"neurons": neurons, **limits}.items()}
    mesh = chip.mesh.model_copy(update={"cores_per_tile": 2, "columns": 8, "rows": 8})
    assert chip.system is not None
    offered = chip.system.cores_per_chip.model_copy(update={"value": float(limits.get("cores", 128))})
    system = chip.system.model_copy(update={"cores_per_chip": offered})
    time = chip.time.model_copy(update={"overlap": overlap, "links": links})
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=held), "mesh": mesh, "time": time, "system": system})


def network_of(seed: int) -> Network:
    return integer_network(seed, layers=3, density=0.5) if seed % 2 else graph_network(seed, lags=True, backward=1, slack=True)


def rates_of(network: Network, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.random(p.size) * (rng.random(p.size) < 0.8) for p in network.populations}


def wiring_of(network: Network, chip: Chip, seed: int) -> Wiring:
    rates = rates_of(network, seed)
    return Wiring.of(network, np.concatenate([rates[p.name][p.living] for p in network.senders])).stored_on(chip)


@settings(max_examples=examples(12), deadline=None)
@example(1, "queue", "free", 128)
@example(2, "sum", "shared", 4)
@given(seeds, OVERLAPS, LINKS, st.sampled_from([4, 128]))
def test_the_model_of_a_step_is_that_of_a_run_with_mean_loads(seed: int, overlap: str, links: str, cores: int) -> None:
    """Same spikes and active updates: the same nanoseconds and picojoules, on one chip and on several."""
    network, chip = network_of(seed), fitted(4, overlap, links, cores=cores)
    try:
        deployed = compile_network(network, chip=chip, effort="fast")
    except NetworkError as error:  # a random network of which a layer can never spike is no example
        assume("cannot be reached" not in str(error) and "has no live synapse" not in str(error))
        raise
    rng, steps = np.random.default_rng(seed), deployed.network.timesteps
    tally = Tally(deployed)
    tally.samples = 1
    for name, spikes in tally.spikes.items():
        spikes[:] = rng.integers(0, steps + 1, spikes.size)
        if name in tally.active:
            tally.active[name][:] = rng.integers(0, steps + 1, spikes.size)
    counts, living = count(deployed, tally), [(p.name, p.living) for p in deployed.network.on_chip]
    rates = np.concatenate([tally.spikes[p.name][p.living] for p in deployed.network.senders]) / steps
    active = np.concatenate([tally.active[name][alive] for name, alive in living]) / steps
    model = StepModel(replace(deployed.wiring, rates=rates), chip, active)
    placed = place(*traffic(deployed.wiring, deployed.mapping.core_of), chip, effort="fast")
    found = model.step(deployed.mapping.core_of, placed)
    assert found.total == pytest.approx(1e9 * step_times(deployed, counts, chip).seconds)
    joules = energy.energy(deployed, counts, chip, 1.0).dynamic_joules_per_sample
    assert model.picojoules(deployed.mapping.core_of, placed) == pytest.approx(1e12 * joules / steps)


@settings(max_examples=examples(12), deadline=None)
@example(1, "queue", 0.0)
@given(seeds, OVERLAPS, st.sampled_from([0.0, 0.5]))
def test_times_kept_up_to_date_are_those_counted_anew(seed: int, overlap: str, heat: float) -> None:
    """After sweeps with all kinds of moves: the times of all cores, and every limit."""
    network, chip = network_of(seed), fitted(6, overlap, "shared")
    wiring, cores = wiring_of(network, chip, seed), 20
    core_of = np.arange(wiring.neurons) * 8 // max(wiring.neurons, 8)
    model, rng = StepModel(wiring, chip), np.random.default_rng(seed)
    state = new_state(wiring, chip, core_of, cores)
    times = balance.new_times(state, model, core_of)
    gumbel, random = rng.gumbel(size=16), rng.integers(1, 1 << 63, 1, np.uint64)
    light = np.arange(cores)
    for p in (4, 16):
        moves = balance_kernels.relieve(
            state,
            times,
            rng.permutation(wiring.neurons),
            light,
            balance._norm(times, model, p),
            p,
            heat,
            gumbel,
            random,
            *balance._scratch(cores),
        )
        kept = times.busy.copy()
        balance_kernels.build_busy(state, times)
        assert np.allclose(kept, times.busy) and (moves > 0 or p > 4)
        assert (state.held <= state.cap).all()
    same = new_state(wiring, chip, state.core_of, cores)
    assert (same.held == state.held).all()
    exact = model.core_times(state.core_of)
    ways = times.busy[: len(exact.sending)]
    sparse = chip.time.model_copy(update={"synaptic_op_dense": None})
    if overlap == "queue":
        exact = StepModel(wiring, chip.model_copy(update={"time": sparse})).core_times(state.core_of)
        plain = balance.new_times(state, StepModel(wiring, chip.model_copy(update={"time": sparse})), state.core_of).busy
        assert np.allclose(plain[: len(exact.sending)], np.stack(exact, axis=1))
    assert ways.shape == (len(exact.sending), 3)


@settings(max_examples=examples(12), deadline=None)
@example(1, "queue", "free", 64)
@example(2, "sum", "shared", 64)
@given(seeds, OVERLAPS, LINKS, st.sampled_from([16, 64, 4096]))
def test_mappings_for_latency_and_energy_keep_the_limits_and_are_not_worse(seed: int, overlap: str, links: str, axons: int) -> None:
    network, chip = network_of(seed), fitted(6, overlap, links, output_axons=axons, synapse_words=64)
    rates = rates_of(network, seed)
    found = {objective: build(network, rates, chip, effort="fast", objective=objective) for objective in OBJECTIVES}
    wiring = wiring_of(network, chip, seed)
    model = StepModel(wiring, chip)
    for objective, mapping in found.items():
        assert holds(wiring, chip, mapping.core_of) and mapping.objective == objective
        assert mapping.chips == found["messages"].chips
        assert len(set(mapping.slot_of.tolist())) == mapping.cores

    def measured(mapping: Any) -> tuple[float, float]:
        return model.step(mapping.core_of, mapping).total, model.picojoules(mapping.core_of, mapping)

    before = measured(found["messages"])
    assert measured(found["latency"])[0] <= before[0] * (1 + 1e-12)
    assert measured(found["energy"])[1] <= before[1] * (1 + 1e-12)


def test_latency_shares_out_what_messages_pack() -> None:
    """A layer that fits one core is shared out among several, since its synapses take far longer than the barrier."""
    network, chip = integer_network(3, layers=1, density=1.0), chips.load("loihi-silicon")
    dense = np.ones((400, 200), np.int32)
    from spikeloom.network.model import InputSpec, IntegerLIF, Population, Projection, Synapses

    populations = Population("input", (200,), None), Population("out", (400,), IntegerLIF(4095, 2048, 5))
    network = Network(populations, (Projection("out", "input", "out", Synapses.from_dense(dense), 0, 8),), 4, InputSpec(1, 1.0, "rate"))
    few, fast = (compile_network(network, chip=chip, effort="fast", objective=name) for name in ("messages", "latency"))
    assert few.mapping.objective == "messages" and fast.mapping.objective == "latency"
    ours = [StepModel(d.wiring, chip).step(d.mapping.core_of, d.mapping).total for d in (few, fast)]  # pyright: ignore[reportArgumentType]
    assert ours[0] > 10 * ours[1] and fast.mapping.cores > 20 and fast.mapping.chips == 1
    said = fast.mapping.changes[-1]
    assert said.startswith("for latency: a step of") and "no rates known" in said


def test_the_same_seed_gives_the_same_mapping() -> None:
    network, chip = network_of(5), fitted()
    for objective in ("latency", "energy"):
        first, second = (build(network, rates_of(network, 5), chip, effort="fast", seed=3, objective=objective) for _ in range(2))
        assert (first.core_of == second.core_of).all() and (first.slot_of == second.slot_of).all()


def test_a_start_that_leaves_no_room_is_the_result() -> None:
    """As many cores as the chip has, all of them full: nothing can be split, and the mapping is that for messages."""
    network = integer_network(1, layers=1, density=1.0)
    neurons = network.populations[1].size
    chip = fitted(-(-neurons // 2), cores=2)
    chip = chip.model_copy(update={"system": None})
    wiring = wiring_of(network, chip, 1)
    start = Partition(np.arange(neurons) * 2 // neurons, "start")
    part, placed = latency.shortest(wiring, chip, start, "fast", 0, quiet)
    assert int(part.core_of.max()) == 1 and len(placed.slot_of) == 2 and holds(wiring, chip, part.core_of)


def test_placements_that_are_tried_hold_every_core_once() -> None:
    network, chip = network_of(1), fitted()
    mapping = build(network, rates_of(network, 1), chip, effort="fast")
    wiring = wiring_of(network, chip, 1)
    tried = list(places_tried(*traffic(wiring, mapping.core_of), chip))
    fewest = -(-mapping.cores // 2)
    tiles = [len({(c, *t) for c, t in zip(p.chip_of.tolist(), p.tile_of.tolist(), strict=True)}) for p in tried]
    assert min(tiles) == fewest and all(len(set(p.slot_of.tolist())) == mapping.cores for p in tried)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "speed"}, "There is no objective called 'speed'. Known: messages, latency, energy."),
        (
            {"objective": "latency", "chip": "truenorth", "target": "truenorth"},
            "no time of its cores' work.* loihi, loihi-shared, loihi-silicon",
        ),
        ({"objective": "energy", "chip": "truenorth", "target": "truenorth"}, "states no energy of its messages"),
        ({"objective": "energy", "chip": "truenorth-separable", "target": "truenorth"}, "maps its cores in one way, not for energy"),
        ({"objective": "latency", "pin": {"layer1": 0}}, "--mapping and --pin give one"),
    ],
)
def test_objectives_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    from netgen import float_network, samples
    from spikeloom.compile import Calibration

    network = float_network(1)
    calibration = Calibration(samples(network, 1, 8), np.zeros(8, np.int64))
    with pytest.raises(UsageError, match=said):
        compile_network(network, calibration=calibration, **options)


def test_the_command_maps_for_latency_and_the_file_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from spikeloom.formats.onnx import write

    source = tmp_path / "model.onnx"
    write(network_of(1), source)
    monkeypatch.setattr(
        sys,
        "argv",
        ["spikeloom", "compile", str(source), "--objective", "latency", "--chip", "loihi-silicon", "--effort", "fast", "--json"],
    )
    with pytest.raises(SystemExit, match="0"):
        main()
    found = json.loads(capsys.readouterr().out)
    assert found["mapping"]["objective"] == "latency" and any("for latency" in line for line in found["mapping"]["changes"])
    assert load(found["path"]).mapping.objective == "latency"


def test_files_mapped_for_messages_are_as_they_were(tmp_path: Path) -> None:
    def document(deployed: DeployedNetwork) -> dict[str, Any]:
        from safetensors import safe_open

        with safe_open(str(deployed.save(tmp_path / "model.loom")), framework="numpy") as handle:
            return json.loads(handle.metadata()["document"])["mapping"]

    assert "objective" not in document(compile_network(network_of(1)))
    assert document(compile_network(network_of(1), objective="energy"))["objective"] == "energy"
