"""Numbers exactly at the edges of rules, which random examples seldom meet. benchmarks/mutations.toml says which faults each is for."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from spikeloom.errors import FormatError
from spikeloom.hwmodels import chip as chips
from spikeloom.hwmodels import quantise
from spikeloom.network.model import CrossbarLIF, InputSpec, IntegerLIF, Network, Neuron, Population, Projection, Synapses, Trained
from spikeloom.report import stages
from spikeloom.runtime import neurobench
from spikeloom.sweep.grid import Cell, _Clock
from spikeloom.train.metrics import read_metrics


def _limited(**limits: int) -> chips.Chip:
    chip = chips.load("loihi")
    changed = {name: getattr(chip.limits, name).model_copy(update={"value": float(value)}) for name, value in limits.items()}
    return chip.model_copy(update={"limits": chip.limits.model_copy(update=changed)})


@pytest.mark.parametrize(("exact", "mantissa"), [(2.0, 2), (2.49, 2), (2.5, 2), (2.51, 3), (3.0, 3)])
def test_thresholds_round_half_down_since_the_comparison_is_strict(exact: float, mantissa: int) -> None:
    assert quantise.threshold(exact, 0, 1.0, 1.0, 1.0) == mantissa


@pytest.mark.parametrize(("tau", "dv", "du"), [(1.0, 4095, 4095), (1.5, 2731, 2730), (3.0, 1365, 1364), (1e9, 0, 0)])
def test_decays_are_rounded_to_the_nearest_register(tau: float, dv: int, du: int) -> None:
    assert (quantise.voltage_decay(tau), quantise.current_decay(tau)) == (dv, du)


def test_a_sum_of_exactly_two_to_the_17_wraps_and_is_halved() -> None:
    """1,024 pairs of weights of 127 and 1: the current would be 2^23, which is the register's end."""
    weights = np.tile([1.0, 1.0 / 127.0], 1024)[None]
    for weights_of, exponent in ((weights, -1), (weights[:, :-1], 0)):
        chosen = quantise.choose_registers(weights_of, tau=2.0, decay_input=True, v_threshold=1.0, levels=1, input_scale=1.0)
        assert chosen.exponent == exponent


def test_plain_biases_saturate_at_13_bits() -> None:
    assert quantise.round_bias_plain(np.array([1.0, -1.0, 0.5 / 64]), 1e6).tolist() == [4095 << 6, -4095 << 6, 4095 << 6]
    assert quantise.round_bias_plain(np.array([2.4, -2.6]), 1.0).tolist() == [2 << 6, -3 << 6]


def test_a_tile_that_is_not_full_is_a_tile() -> None:
    assert [_limited(cores=cores).tiles for cores in (1, 4, 5, 8)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_wilson_s_as_newcombe_printed_them(right: int, samples: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3."""
    assert stages.interval(right / samples, samples) == pytest.approx((low, high), abs=5e-5)


def test_the_time_left_of_a_sweep_is_that_of_the_cells_still_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [Cell("dense", 0.0, seed, Path("out") / str(seed)) for seed in range(5)]
    clock = _Clock(set(cells[1:]), 100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 130.0)
    assert np.isnan(clock.left(cells[0]))  # it was there already
    assert [clock.left(cell) for cell in cells[1:]] == pytest.approx([90.0, 30.0, 10.0, 0.0])


@pytest.mark.parametrize("missing", ["epoch", "seconds"])
def test_a_row_of_metrics_names_its_epoch_and_seconds(missing: str, tmp_path: Path) -> None:
    row = {"epoch": 1, "seconds": 0.5, "loss": 2.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps({k: v for k, v in row.items() if k != missing}) + "\n")
    with pytest.raises(FormatError, match=f"{missing} of a row of metrics is not a number"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(("neuron", "numbers"), [(IntegerLIF(4095), 1), (IntegerLIF(4094), 2), (IntegerLIF(-1), 2), (CrossbarLIF(1, 0), 1)])
def test_a_neuron_keeps_its_potential_and_a_current_that_outlasts_a_step(neuron: Neuron, numbers: int) -> None:
    assert neurobench._states(Population("layer", (3,), neuron)) == numbers


def test_a_weight_takes_the_smallest_number_of_bytes_that_holds_its_bits() -> None:
    assert [neurobench._bytes(bits) for bits in (2, 8, 9, 16, 17, 32)] == [1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("origin", "zero", "possible"), [(Trained(1, 2, 6, 3), 2, 6), (Trained(4, 6, 6, 3), 2, 6), (Trained(0, 0, 6, 3), 0, 0)]
)
def test_zeros_of_a_kernel_that_was_unrolled_are_those_of_its_synapses(origin: Trained, zero: int, possible: int) -> None:
    """Of a kernel of two taps, one of which is left, as four synapses of six; of a matrix; and of synapses that nobody trained."""
    populations = (Population("input", (3,), None), Population("layer", (2,), IntegerLIF()))
    projection = Projection("p", "input", "layer", Synapses.from_dense(np.array([[1, 1, 0], [0, 1, 1]])), 0, 8, origin=origin)
    assert neurobench._zeros(Network(populations, (projection,), 4, InputSpec(1, 1.0, "rate"))) == (zero, possible)


@pytest.mark.parametrize(("index", "fits"), [(-1, False), (0, True), (2, True), (3, False)])
def test_sources_of_synapses_lie_within_the_matrix(index: int, fits: bool) -> None:
    arrays = np.array([0, 1]), np.array([index], np.int32), np.ones(1, np.int32)
    if fits:
        assert Synapses(*arrays, (1, 3)).to_dense()[0, index] == 1
    else:
        with pytest.raises(FormatError, match=r"outside 0\.\.2"):
            Synapses(*arrays, (1, 3))
