"""Files that other frameworks write, where they are installed (`pip install --no-deps sinabs pbr norse`): the same spikes as theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from extras import library
from numpy.typing import NDArray
from spikeloom.formats.nir.reader import Options, read
from spikeloom.network import reference

STEPS, BATCH = 12, 4


def layers(torch: Any) -> tuple[Any, Any]:
    """Two linear layers of weights that floats add without rounding."""
    torch.manual_seed(0)
    both = torch.nn.Linear(6, 5), torch.nn.Linear(5, 3)
    for layer in both:
        layer.weight.data = torch.randint(-4, 9, layer.weight.shape) / 8
        layer.bias.data.zero_()
    return both


def spikes_of(graph: Any, folder: Path, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Write and read a file; return random events and the spikes of the last layer that they give here."""
    nir.write(folder / "model.nir", graph)
    network = read(folder / "model.nir", Options(timesteps=STEPS, input="events", levels=1, **options))
    events = np.random.default_rng(0).integers(0, 2, (BATCH, STEPS, 6)).astype(np.uint8)
    return events, reference.simulate_float(network, events)[network.populations[-1].name]


def test_files_of_sinabs(tmp_path: Path) -> None:
    """Its IF has R = 1 and knows no dt, so a step is read as a second; its reset by subtraction, the default, is not in NIR."""
    torch = pytest.importorskip("torch")
    sinabs: Any = library("sinabs")
    exporter: Any = library("sinabs.nir")

    def neurons() -> Any:
        hard = sinabs.activation.MembraneReset()
        return sinabs.layers.IAFSqueeze(batch_size=BATCH, reset_fn=hard, spike_fn=sinabs.activation.SingleSpike, min_v_mem=None)

    first, second = layers(torch)
    network = torch.nn.Sequential(first, neurons(), second, neurons())
    graph = exporter.to_nir(network, torch.rand(BATCH * STEPS, 6))
    events, found = spikes_of(graph, tmp_path, dt=1.0, spike_when="reached")
    network[1].reset_states()
    network[3].reset_states()
    expected = network(torch.from_numpy(events).float().reshape(-1, 6)).detach().numpy().reshape(BATCH, STEPS, -1) > 0
    assert np.array_equal(found, expected) and expected.any()


def test_files_of_norse(tmp_path: Path) -> None:
    """It writes dt / tau^-1 for tau, so dt is its own squared, and w_in = 1 where its cell adds the input whole: tau_syn / dt."""
    torch = pytest.importorskip("torch")
    norse: Any = library("norse.torch")
    exporter: Any = library("norse.torch.utils.export_nir")

    def neurons(count: int) -> Any:
        constant = {"tau_syn_inv": 500.0, "tau_mem_inv": 250.0, "v_leak": 0.0, "v_th": 0.375, "v_reset": 0.0}
        return norse.LIFCell(p=norse.LIFParameters(**{name: torch.full((count,), value) for name, value in constant.items()}))

    first, second = layers(torch)
    network = norse.SequentialState(first, neurons(5), second, neurons(3))
    graph = exporter.to_nir(network, torch.rand(1, 6))
    for node in graph.nodes.values():
        if isinstance(node, nir.CubaLIF):
            node.w_in = np.asarray(node.tau_syn) / 1e-6
    events, found = spikes_of(graph, tmp_path, dt=1e-6)
    state, expected = None, list[Any]()
    for step in range(STEPS):
        out, state = network(torch.from_numpy(events[:, step]).float(), state)
        expected.append(out.detach().numpy() > 0)
    assert np.array_equal(found, np.stack(expected, axis=1)) and found.any()
