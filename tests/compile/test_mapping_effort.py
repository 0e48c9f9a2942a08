"""How long a mapping is worked on: no longer than it gains, counted in work, with a sign of life; and what the command shows of it."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from netgen import float_network
from spikeloom.cli import progress as bars
from spikeloom.compile import compile_network
from spikeloom.compile.mapping import partition as partition_of
from spikeloom.compile.mapping import search
from spikeloom.compile.mapping.loads.load import Wiring
from spikeloom.compile.mapping.partition import partition
from spikeloom.compile.mapping.refinement import refine_kernels
from spikeloom.compile.mapping.strategies import hypergraph
from spikeloom.hwmodels import chip as chips
from spikeloom.network.model import IntegerLIF, Network, Population, Projection, Synapses
from test_mapping import small_chip


def block_diagonal(blocks: int, size: int) -> Wiring:
    """Blocks of neurons that receive from their own block's inputs alone, as many as fill a core: nothing can be saved."""
    dense = np.kron(np.eye(blocks, dtype=np.int32), np.ones((size, size), np.int32))
    return wiring_of_matrix(dense)


def wiring_of_matrix(dense: np.ndarray) -> Wiring:
    ends = Population("input", (dense.shape[1],), None), Population("out", (dense.shape[0],), IntegerLIF(4095, 2048, 5))
    joined = Projection("out", "input", "out", Synapses.from_dense(dense), 0, 8)
    return Wiring.of(Network(ends, (joined,), 4), np.ones(sum(dense.shape)))


def test_a_refinement_that_saves_nothing_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted, not seconds: without a gain four sweeps of each start are made and no more; with one, all that were planned."""
    chip = chips.load("loihi")
    made: list[float] = []
    sweep = refine_kernels.sweep
    monkeypatch.setattr(refine_kernels, "sweep", lambda *a: made.append(a[2]) or sweep(*a))
    monkeypatch.setattr(search, "TRIED", {"default": 0.0})
    monkeypatch.setattr(search, "messages_bound", lambda *_: 0.0)  # as if more could be saved
    whole = block_diagonal(12, 1024 // 8)  # more than one core holds
    told: list[tuple[str, float]] = []
    found = partition(whole, chip, 128, progress=lambda stage, share: told.append((stage, share)))
    assert len(made) <= 2 * search.DESCENT and set(made) == {0.0}
    assert whole.messages(found.core_of) <= whole.messages(partition(whole, chip, 128, effort="fast").core_of)
    assert ("refinement", 0.0) in told and all(0.0 <= share <= 1.0 for _, share in told)
    made.clear()
    monkeypatch.setattr(search, "STALLED", -1.0)
    partition(whole, chip, 128)
    assert len(made) > 50


def test_a_refinement_with_gains_is_the_one_without_the_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """The try does not change what comes after it: a partition that improves is, neuron for neuron, what it was without."""
    rng = np.random.default_rng(1)
    clusters = np.kron(np.eye(10, dtype=np.int32), np.ones((60, 30), np.int32)) * (rng.random((600, 300)) < 0.5)
    wiring = wiring_of_matrix(clusters[rng.permutation(600)])  # which layer order tears apart
    small = small_chip(neurons=64)
    monkeypatch.setattr(hypergraph, "missing", lambda: "left out")  # from its parts descent finds little
    plain = partition(wiring, small, 128)
    monkeypatch.setattr(search, "TRIED", {"default": 0.0})
    shares: list[float] = []
    tried = partition(wiring, small, 128, progress=lambda stage, share: shares.append(share) if stage == "refinement" else None)
    assert np.array_equal(plain.core_of, tried.core_of) and plain.strategy == tried.strategy
    assert "refinement" in tried.strategy and shares == sorted(shares) and 0.5 < shares[-1] <= 1.0  # descents end when nothing moves


def test_compile_tells_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(partition_of, "holds", lambda *_: False)  # as if one core were not enough
    compile_network(float_network(6, sizes=(40, 30, 10)), progress=lambda stage, share: told.append((stage, share)))
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert {"quantise", "filling cores", "placement"} <= set(stages) and stages[-1] == "placement"


def test_the_bar_shows_the_stage_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(bars, "monotonic", lambda: now[0])
    bar, shown = bars.Bar("compiling"), list[Any]()
    monkeypatch.setattr(bar._bar, "update", lambda task, **values: shown.append(values))
    bar.stage("refinement", 0.0)
    now[0] = 109.0
    bar.stage("refinement", 0.25)
    assert shown[0]["note"] == "" and shown[1]["note"] == "0:27 left at most" and shown[1]["description"] == "refinement"
