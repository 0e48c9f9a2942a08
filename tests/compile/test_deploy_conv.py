"""Convolutional networks the whole way: events, the file, a run and its counts, Lava; spikes equal everywhere."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from netgen import Labelled, conv_network, float_network, integer_conv_network, samples
from rich.console import Console
from spikeloom.compile import compile_network, load, summary
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.compile.targets.lava import TARGET
from spikeloom.errors import BackendError, DoesNotFitError, UsageError
from spikeloom.network import reference
from spikeloom.network.model import (
    Convolution,
    Encoding,
    InputSpec,
    IntegerLIF,
    Network,
    Population,
    Projection,
    Synapses,
    Trained,
)
from spikeloom.report import html, terminal
from spikeloom.runtime import run
from spikeloom.runtime.backends import lava, native, onnx
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.simulator import compare

OPTIONS = BackendOptions(threads=1)
needs_lava = pytest.mark.skipif(lava.available() is not None, reason=lava.available() or "")


def calibration(network: Network, count: int = 20) -> Calibration:
    values = samples(network, 11, count)
    return Calibration(values, np.zeros(len(values), np.int64))


def compiled(network: Network) -> DeployedNetwork:
    return compile_network(network, calibration=calibration(network))


# --- events ----------------------------------------------------------------------------------------------------------


def test_samples_with_time_steps_are_sent_as_events_and_nothing_else() -> None:
    temporal, static = conv_network(3, temporal=True), conv_network(3)
    for chip in TARGET.chips:
        assert compile_network(temporal, chip=chip, calibration=calibration(temporal)).network.input.encoding == "events"
    with pytest.raises(UsageError, match="have a value for each of their 4 time steps"):
        compile_network(temporal, encoding="graded")
    with pytest.raises(UsageError, match="one value for all time steps"):
        compile_network(static, encoding="events")
    counted = replace(temporal, input=InputSpec(7, 1.0, "events"))
    with pytest.raises(DoesNotFitError, match="count up to 7; a spike on loihi carries 0 payload bits, so at most 1"):
        compile_network(counted, chip="loihi")
    assert compile_network(counted, chip="loihi2", calibration=calibration(counted)).network.input.levels == 7


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temporal", [False, True])
def test_the_file_keeps_biases_votes_and_what_was_trained(temporal: bool, tmp_path: Path) -> None:
    deployed = compiled(conv_network(9, temporal=temporal))
    again = load(deployed.save(tmp_path / "model.loom"))
    assert again.digest == deployed.digest
    assert again.network.votes == 2
    assert again.network.populations == deployed.network.populations
    assert any(p.bias is not None for p in again.network.populations)
    assert [p.trained for p in again.network.projections] == [p.trained for p in deployed.network.projections]
    assert summary.summary(again) == summary.summary(deployed)


def test_connectivity_is_counted_by_synapses_and_by_weights() -> None:
    network = conv_network(9)
    rows = {row["name"]: row for row in summary.layers(compiled(network))}
    first = network.projections[0].synapses
    assert isinstance(first, Convolution)
    assert (rows["conv1"]["weights"], rows["conv1"]["possible_synapses"]) == (first.weights, first.possible)
    assert rows["conv1"]["weight_connectivity"] == pytest.approx(first.weights / first.taps.shape[0] / first.taps.shape[1])
    assert rows["conv1"]["synapses"] < first.count  # neurons were removed
    assert rows["pool"]["weight_connectivity"] is None and rows["pool"]["connectivity_reachable"] is None
    assert 0 < rows["conv1"]["connectivity_reachable"] <= 1
    convolution = network.projections[2].synapses
    assert isinstance(convolution, Convolution)
    assert rows["left"]["weight_connectivity"] == pytest.approx(convolution.weights / 81)
    assert compiled(network).network.projections[0].trained == Trained(
        first.weights, int(np.prod(first.taps.shape)), first.possible, first.shape[1]
    )


@pytest.mark.parametrize("encoding", ["current", "graded", "rate", "host", "events"])
def test_a_run_counts_every_synapse_and_votes(encoding: Encoding) -> None:
    network = conv_network(9, temporal=encoding == "events")
    deployed = compile_network(network, encoding=encoding, calibration=calibration(network))
    chip, flat = {p.name for p in deployed.network.on_chip}, deployed.network.flat
    values = samples(network, 1, 30)
    events = reference.encode(deployed.network, values)
    spikes = {"input": events > 0} | reference.simulate(deployed.network, events)
    labels = reference.decide(spikes["output"], 2)
    assert labels.max() < 3
    results = run(deployed, Labelled(values, labels), check=True)
    assert results.accuracy == 1.0
    met = [
        spikes[p.source].sum(axis=(0, 1))[flat.living[p.source]] @ (p.synapses.unrolled().to_dense() != 0).sum(axis=0)
        for p in flat.network.projections
        if p.target in chip
    ]
    assert results.sops_per_sample == pytest.approx(sum(met) / 30)
    assert results.network.votes == 2
    assert results.network.classes == 3
    page = html.render(results)
    assert "2 neurons for each of 3 classes" in page
    assert "no weights" in page
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal.summary(results))
    assert "connect. weights" in " ".join(console.export_text().split())


def test_onnxruntime_refuses_matrices_that_would_fill_the_memory() -> None:
    empty = Synapses(np.zeros(20_001, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), (20_000, 20_000))
    populations = (Population("input", (20_000,), None), Population("a", (20_000,), IntegerLIF()))
    network = Network(populations, (Projection("p", "input", "a", empty, 0, 8),), 1, InputSpec(1, 1.0, "events"))
    with pytest.raises(BackendError, match="400,000,000 numbers"):
        onnx.simulate(network, np.zeros((1, 1, 20_000), np.uint8), OPTIONS)


def test_calibration_takes_as_many_samples_as_the_work_allows() -> None:
    network = float_network(1)
    values = np.arange(1000, dtype=np.uint8).repeat(20).reshape(1000, 20)
    all_of_it = Calibration(values, np.arange(1000))
    assert all_of_it.affordable(network) is all_of_it
    few = all_of_it.affordable(network, work=1e5)
    assert 8 <= len(few.values) < 200
    assert few.labels[0] == 0
    assert few.labels[-1] == 999
    assert len(all_of_it.affordable(network, work=1.0).values) == 8


@needs_lava
@pytest.mark.parametrize(("seed", "temporal", "batch"), [(3, False, 2), (9, True, None)])
def test_lava_runs_convolutional_networks_with_equal_spikes(seed: int, temporal: bool, batch: int | None) -> None:
    network = conv_network(seed, temporal=temporal)
    deployed = compiled(network).network
    events = reference.encode(deployed, samples(network, seed, 5))
    spikes = reference.simulate(deployed, events)
    assert all(s.any() for s in spikes.values())
    compare(spikes, lava.simulate(deployed, events, BackendOptions(batch_size=batch)).spikes, "lava")


@needs_lava
def test_lava_biases_act_from_a_samples_first_step_and_not_before() -> None:
    """Depths 1 to 3 behind the input, one population with a bias and no synapse at all, biases of every exponent and both signs."""
    rng = np.random.default_rng(8)
    populations = [Population("x", (4,), None)]
    projections: list[Projection] = []
    for name, sources in (("lone", ""), ("a", "x"), ("b", "a"), ("c", "b")):
        bias = (rng.integers(-4096, 4096, 9) << rng.integers(0, 8, 9)).astype(np.int32)
        bias[0] = 4095 << 7
        populations.append(Population(name, (9,), IntegerLIF(4095, int(rng.integers(0, 2048)), 3000), bias=bias))
        for source in [*sources, *(["lone"] if name == "c" else [])]:
            width = 4 if source == "x" else 9
            weights = rng.integers(-127, 128, (9, width)).astype(np.int32)
            projections.append(Projection(f"{source}_{name}", source, name, Synapses.from_dense(weights), 2, 8))
    network = Network(tuple(populations), tuple(projections), 5, InputSpec(1, 1.0, "events"))
    events = rng.integers(0, 2, (7, 5, 4)).astype(np.uint8)
    spikes = reference.simulate(network, events)
    assert all(0.05 < s.mean() < 0.95 for s in spikes.values())
    compare(spikes, native.simulate(network, events, OPTIONS).spikes, "native")
    compare(spikes, lava.simulate(network, events, BackendOptions(batch_size=3)).spikes, "lava")


@needs_lava
def test_lava_refuses_biases_that_its_registers_do_not_hold() -> None:
    network = integer_conv_network(9)
    odd = replace(network.populations[1], bias=np.array([8193, 0, 0], np.int32))
    deployed = network.with_population(replace(odd, alive=None))
    events = reference.encode(deployed, samples(deployed, 1))
    with pytest.raises(BackendError, match="biases beyond 13 bits"):
        lava.simulate(deployed, events, BackendOptions())
    with pytest.raises(DoesNotFitError, match="Layer conv1 has a bias of 8,193"):
        compile_network(network.with_population(replace(odd, alive=None)), encoding="graded")


@pytest.mark.slow
@needs_lava
def test_a_trained_residual_network_runs_in_lava_as_the_benchmark_does_it() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "lava_networks.py"
    command = [sys.executable, str(script), "--only", "6conv2fc", "--only", "sew-resnet18", "--width", "2", "--samples", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:]]
    assert rows == ["6conv2fc", "sew-resnet18"]
