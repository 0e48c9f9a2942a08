"""Synapses in lists that several sources share have a price of their own, where the model has one."""

from __future__ import annotations

import numpy as np
import pytest
from spikeloom.compile import compile_network
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import Convolution, InputSpec, IntegerLIF, Network, Population, Projection
from spikeloom.runtime import run


def network() -> Network:
    """One convolution of maps, dense taps of random weights; inputs enter as events."""
    weights = np.random.default_rng(0).choice([-40, -20, 30, 50, 70, 90], (4, 2, 3, 3)).astype(np.int8)
    taps = Convolution.from_dense(weights, (2, 8, 8), padding=1)
    populations = (Population("input", (2, 8, 8), None), Population("maps", (4, 8, 8), IntegerLIF(4095, 0, 20)))
    return Network(populations, (Projection("taps", "input", "maps", taps, 0, 8),), 6, InputSpec(1, 1.0, "events"))


def test_shared_lists_have_their_own_energy_and_time() -> None:
    events = (np.random.default_rng(1).random((5, 6, 128)) < 0.9).astype(np.uint8)  # most of the time goes into synapses
    mapping = {"maps": np.unravel_index(np.arange(256), (4, 8, 8))[1] // 4}
    shared = compile_network(network(), chip="loihi-shared", mapping=mapping)
    apart = compile_network(network(), chip="loihi-silicon", mapping=mapping)
    found, other = run(shared, events, check=True), run(apart, events)
    assert (found.predictions == other.predictions).all()
    assert found.sops_per_sample == other.sops_per_sample
    lists = shared.wiring.lists(shared.mapping.core_of, shared.chip)
    fired = events.sum(axis=(0, 1)) / len(events)  # all sources are inputs
    several = lists.users > 1
    expected = float((fired[lists.source] * lists.synapses)[several].sum())
    assert 0 < expected < found.sops_per_sample  # corners of a map are alone
    priced = {part.name: part for part in found.energy.components}
    part = priced["synaptic operations, shared lists"]
    assert part.count_per_sample == pytest.approx(expected)
    assert part.joules_per_unit == pytest.approx(24.0e-12)
    assert sum(p.count_per_sample for name, p in priced.items() if name.startswith("synaptic")) == pytest.approx(found.sops_per_sample)
    assert found.energy.dynamic_joules_per_sample < other.energy.dynamic_joules_per_sample
    assert found.latency.seconds_per_step < other.latency.seconds_per_step
    assert found.models is not None
    assert other.models is not None
    assert {row.model for row in found.models.rows} == {"loihi", "loihi2", "loihi-silicon", "loihi-shared"}
    assert "loihi-shared" not in {row.model for row in other.models.rows}
    fitted = run(shared, events, energy_model="loihi-silicon")
    assert "synaptic operations, shared lists" not in {p.name for p in fitted.energy.components}


def test_networks_that_share_nothing_cost_the_same_under_both_models() -> None:
    events = (np.random.default_rng(1).random((5, 6, 128)) < 0.2).astype(np.uint8)
    apart = compile_network(network(), chip="loihi-silicon")
    one, other = (run(apart, events, energy_model=name) for name in ("loihi-silicon", "loihi-shared"))
    assert one.energy.dynamic_joules_per_sample == other.energy.dynamic_joules_per_sample
    assert one.latency.seconds_per_step == other.latency.seconds_per_step


def test_prices_of_shared_lists_are_those_of_the_fitted_model() -> None:
    chip = chips.load("loihi-shared")
    assert chip.shared_lists is not None
    assert chip.energy.synaptic_op_shared is not None
    assert chip.energy.synaptic_op_shared.value == 24.0
    assert chip.time.synaptic_op_shared is not None
    assert chip.time.synaptic_op_shared.value == 3.1
