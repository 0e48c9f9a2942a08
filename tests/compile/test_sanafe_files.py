"""Files for SANA-FE: what they say is the network and its mapping; `benchmarks/silicon.py` runs them there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from netgen import float_network, integer_network
from spikeloom.cli import app
from spikeloom.compile import compile_network, save_sanafe
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.errors import DoesNotFitError, UsageError
from spikeloom.network import LIF, Convolution, IntegerLIF, Network, Population, Projection, Synapses
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def deployed() -> DeployedNetwork:
    return compile_network(float_network(3, sizes=(30, 20, 5)), chip="loihi-silicon", encoding="rate")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_every_synapse_neuron_and_core_is_there(deployed: DeployedNetwork, tmp_path: Path) -> None:
    found = read(save_sanafe(deployed, tmp_path / "network.yaml"))
    network = deployed.network
    assert all(p.living.all() for p in network.populations)
    expected = set[tuple[str, str, float]]()
    for p in network.projections:
        synapses = p.synapses.unrolled()
        for source, target, weight in zip(synapses.indices.tolist(), synapses.rows.tolist(), synapses.data.tolist(), strict=True):
            expected.add((f"{p.source}.{source}", f"{p.target}.{target}", float(weight) * 2.0 ** (6 + p.exponent)))
    edges = [(*next(iter(edge)).split(" -> "), next(iter(edge.values()))["weight"]) for edge in found["network"]["edges"]]
    assert len(edges) == len(expected) and set(edges) == expected
    groups = {group["name"]: group for group in found["network"]["groups"]}
    for p in network.on_chip:
        assert isinstance(p.neuron, IntegerLIF)
        attributes = groups[p.name]["attributes"]
        assert attributes["threshold"] == p.neuron.vth << 6 and attributes["leak_decay"] == (4096 - p.neuron.dv) / 4096
        assert [next(iter(neuron.values()))["bias"] for neuron in groups[p.name]["neurons"]] == p.biases.tolist()
    cores = {next(iter(entry)): next(iter(entry.values())) for entry in found["mappings"]}
    first = 0
    for p in network.on_chip:
        for row, neuron in enumerate(np.flatnonzero(p.living).tolist()):
            core = int(deployed.mapping.core_of[first + row])
            x, y = deployed.mapping.tile_of[core].tolist()
            assert cores[f"{p.name}.{neuron}"]["core"] == float(f"{4 * x + y}.{deployed.mapping.slot_of[core] % 4}")
        first += p.count
    assert cores["input.7"]["soma"] == "loihi_inputs[7]"


def test_the_spikes_of_a_sample_are_given_to_the_inputs(deployed: DeployedNetwork, tmp_path: Path) -> None:
    events = (np.random.default_rng(0).random((6, 30)) < 0.3).astype(np.uint8)
    found = read(save_sanafe(deployed, tmp_path / "network.yaml", events))
    inputs = found["network"]["groups"][0]["neurons"]
    assert [neuron[i]["spikes"] for i, neuron in enumerate(inputs)] == events.T.tolist()
    with pytest.raises(UsageError, match=re.escape("events have the shape (2, 2); the network takes (6, 30)")):
        save_sanafe(deployed, tmp_path / "other.yaml", np.zeros((2, 2), np.uint8))
    assert not (tmp_path / "other.yaml").exists()


def test_what_the_files_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    with pytest.raises(DoesNotFitError, match="binary spikes without delays"):
        save_sanafe(compile_network(integer_network(3, encoding="current"), chip="loihi2"), path)
    network = float_network(3, sizes=(40, 30, 10))
    crossbars = compile_network(network, target="truenorth", calibration=np.ones((20, 40), np.uint8))
    with pytest.raises(UsageError, match="--chip loihi-silicon"):
        save_sanafe(crossbars, path)
    assert not path.exists()


def test_removed_neurons_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    taps = Convolution.from_dense(rng.random((4, 1, 3, 3)).astype(np.float32), (1, 6, 6), padding=1)
    used = rng.random((3, 144)) * (rng.random((3, 144)) < 0.1)  # of most neurons of the map nobody takes any spikes
    populations = Population("input", (1, 6, 6), None), Population("map", (4, 6, 6), LIF()), Population("output", (3,), LIF())
    dense = Projection("dense", "map", "output", Synapses.from_dense(used.astype(np.float32)))
    network = Network(populations, (Projection("taps", "input", "map", taps), dense), 6)
    deployed = compile_network(network, chip="loihi-silicon", encoding="rate", effort="fast")
    layer = next(p for p in deployed.network.on_chip if p.count < p.size)
    found = read(save_sanafe(deployed, tmp_path / "network.yaml"))
    assert len(next(g for g in found["network"]["groups"] if g["name"] == layer.name)["neurons"]) == layer.count
    named = {end for edge in found["network"]["edges"] for end in next(iter(edge)).split(" -> ")}
    assert named <= {next(iter(entry)) for entry in found["mappings"]}
    assert len(found["network"]["edges"]) == len(deployed.wiring.sources)


def test_the_command_writes_it(deployed: DeployedNetwork, tmp_path: Path) -> None:
    path = deployed.save(tmp_path / "model.loom")
    assert CliRunner().invoke(app, ["export", str(path), "--to", "sanafe"]).exit_code == 0
    assert read(tmp_path / "model.sanafe.yaml")["network"]["name"] == "input"
