"""What a step waits for: parts that add up, and changes whose times are those of the mapping that they make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netgen import samples, seeds
from spikeloom.compile import compile_network
from spikeloom.compile.mapping.loads.load import Wiring
from spikeloom.compile.mapping.objectives.halve import halved, without_slowest
from spikeloom.compile.mapping.objectives.step_model import StepModel
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels.chip import Chip
from spikeloom.network.model import InputSpec, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime import run
from test_step_times import deployed_of


def few_neurons(neurons: int, overlap: str = "queue") -> Chip:
    chip = chips.load("loihi-silicon")
    limit = chip.limits.neurons.model_copy(update={"value": float(neurons)})
    time = chip.time.model_copy(update={"overlap": overlap})
    return chip.model_copy(update={"limits": chip.limits.model_copy(update={"neurons": limit}), "time": time})


@settings(max_examples=examples(8), deadline=None)
@example(3, "loihi-silicon")
@example(3, "loihi")
@given(seeds, st.sampled_from(["loihi-silicon", "loihi", "loihi2"]))
def test_parts_add_up_to_the_step_and_a_change_shortens_it(seed: int, model: str) -> None:
    """On several chips, too, under models that add up and one with queues."""
    deployed = deployed_of(seed, "rate")
    if deployed is None:
        return
    results = run(deployed, samples(deployed.network, seed, 3), energy_model=model)
    found = results.step_bound
    assert found is not None and found.model == model and found.overlap == chips.load(model).time.overlap
    parts = found.memory, found.compute, found.traffic, found.barrier
    assert sum(parts) == pytest.approx(results.latency.seconds_per_step) == pytest.approx(found.seconds)
    assert getattr(found, found.binds) == max(parts)
    assert len(found.cores) == found.of_cores == deployed.mapping.cores
    assert sum(core.slowest for core in found.cores) == pytest.approx(1.0)
    assert found.change is None or found.change.after < found.change.before


def wiring_of(dense: np.ndarray, seed: int) -> Wiring:
    ends = Population("input", (dense.shape[1],), None), Population("out", (dense.shape[0],), IntegerLIF(4095, 2048, 5))
    back = (np.random.default_rng(seed).random((dense.shape[0],) * 2) < 0.2).astype(np.int32)
    joined = (
        Projection("out", "input", "out", Synapses.from_dense(dense), 0, 8),
        Projection("back", "out", "out", Synapses.from_dense(back), 0, 8, lag=1),
    )
    return Wiring.of(Network(ends, joined, 4, InputSpec(1, 1.0, "rate")), np.random.default_rng(seed).random(sum(dense.shape)))


@settings(max_examples=examples(12), deadline=None)
@example(1, "queue", 3)
@given(seeds, st.sampled_from(["sum", "max", "queue"]), st.integers(1, 5))
def test_a_core_cut_in_two_takes_the_time_that_was_foretold(seed: int, overlap: str, cores: int) -> None:
    """Against a count of the partition that the cut makes; all formats take the same time here."""
    rng = np.random.default_rng(seed)
    wiring, chip = wiring_of((rng.random((30, 20)) < 0.5).astype(np.int32), seed), few_neurons(1024, overlap)
    chip = chip.model_copy(update={"time": chip.time.model_copy(update={"synaptic_op_dense": None})})
    model, core_of = StepModel(wiring, chip), np.arange(30) * cores // 30
    synaptic = (wiring.rates * model.synapse_times(core_of))[wiring.sources]
    worst, after = without_slowest(model, core_of, synaptic)
    cut = halved(model, core_of, cores + 1, synaptic)
    assert (cut[core_of != worst] == core_of[core_of != worst]).all() and set(cut.tolist()) == set(range(cores + 1))
    assert after == pytest.approx(model.slowest(model.core_times(cut)))
    plain = replace(model, plain=True)  # without kernels
    assert all((a == b).all() for a, b in zip(plain.core_times(cut), model.core_times(cut), strict=True))
    assert (plain.reach(cut) == model.reach(cut)).all()


def test_one_full_core_is_to_be_shared_out() -> None:
    dense = np.ones((300, 100), np.int32)
    ends = Population("input", (100,), None), Population("out", (300,), IntegerLIF(4095, 2048, 5))
    network = Network(ends, (Projection("out", "input", "out", Synapses.from_dense(dense), 0, 8),), 4, InputSpec(1, 1.0, "rate"))
    deployed = compile_network(network, chip="loihi-silicon")
    found = run(deployed, np.ones((2, 100), np.uint8)).step_bound
    assert found is not None and found.binds == "memory" and found.cores[0].slowest == 1.0
    assert found.change is not None and found.change.what.startswith("share the work out among")
    assert found.change.before > 3 * found.change.after
    spread = replace(deployed, mapping=replace(deployed.mapping, objective="latency"))
    again = run(spread, np.ones((2, 100), np.uint8)).step_bound
    assert again is not None and again.change is not None


def test_crossbars_wait_for_their_tick() -> None:
    from netgen import float_network
    from spikeloom.compile import Calibration

    network = float_network(1)
    values = samples(network, 1, 8)
    deployed = compile_network(network, calibration=Calibration(values, np.zeros(8, np.int64)), target="truenorth")
    assert run(deployed, values).step_bound is None
