"""NeuroBench's metrics: against sums over every synapse and spike, and against the package neurobench where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from budget import examples
from extras import library
from hypothesis import given, settings
from hypothesis import strategies as st
from netgen import Labelled, conv_network, float_network, samples, seeds
from numpy.typing import NDArray
from spikeloom.compile import compile_network
from spikeloom.compile.deployed import DeployedNetwork
from spikeloom.compile.pipeline import Calibration
from spikeloom.errors import NetworkError
from spikeloom.hwmodels.fixed_point import lif_step, shift
from spikeloom.network import reference
from spikeloom.network.model import LIF, Convolution, IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.report.document import NeuroBench
from spikeloom.runtime import run

Metrics = NeuroBench


def measured(deployed: DeployedNetwork, values: NDArray[Any]) -> Metrics:
    found = run(deployed, Labelled(values=values, labels=np.zeros(len(values), np.int64))).neurobench
    assert found is not None
    return found


def streams(network: Network, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    events = reference.encode(network, values)
    return {network.populations[0].name: events, **reference.simulate(network, events)}


@settings(max_examples=examples(10), deadline=None)
@given(seeds, st.sampled_from(["current", "graded", "rate", "host"]))
def test_metrics_equal_sums_over_every_synapse(seed: int, encoding: str) -> None:
    try:
        deployed = compile_network(float_network(seed, sizes=(18, 14, 8)), encoding=encoding)  # pyright: ignore[reportArgumentType]
    except NetworkError:
        return  # a random network may have a dead layer
    network = deployed.network
    values = samples(network, seed, 5)
    found, spikes = measured(deployed, values), streams(network, values)
    multiplies = accumulates = dense = 0
    for p in network.projections:
        weights = p.synapses.unrolled().to_dense()
        active = spikes[p.source] != 0
        done = sum(int((weights[:, n] != 0).sum()) * int(active[:, :, n].sum()) for n in range(weights.shape[1]))
        first = p.source == network.populations[0].name and encoding != "rate"
        multiplies, accumulates = (multiplies + done, accumulates) if first else (multiplies, accumulates + done)
        dense += p.trained.possible_synapses * (1 if first and encoding != "graded" else network.timesteps)
    assert found.effective_macs_per_sample == pytest.approx(multiplies / 5)
    assert found.effective_acs_per_sample == pytest.approx(accumulates / 5)
    assert found.dense_per_sample == dense
    silent = sum(int((~spikes[p.name]).sum()) for p in network.spiking)
    assert found.activation_sparsity == pytest.approx(silent / sum(spikes[p.name].size for p in network.spiking))
    assert found.connection_sparsity == pytest.approx(1 - network.synapses / (18 * 14 + 14 * 8))
    assert found.footprint_parts["weights"] == 18 * 14 + 14 * 8
    assert found.footprint_bytes == sum(found.footprint_parts.values())


def test_a_kernel_is_stored_once_and_used_everywhere() -> None:
    deployed = compile_network(conv_network(3))
    found = measured(deployed, samples(deployed.network, 3, 4))
    kernels = sum(p.trained.possible_weights for p in deployed.network.projections)
    assert found.footprint_parts["weights"] == kernels == found.weights
    assert found.dense_per_sample > found.effective_macs_per_sample + found.effective_acs_per_sample > 0
    assert 0 < found.connection_sparsity < 1


def test_two_bytes_a_weight_on_crossbars() -> None:
    network = float_network(5, sizes=(18, 14, 8))
    calibration = Calibration(samples(network, 5, 16), np.zeros(16, np.int64))
    deployed = compile_network(network, target="truenorth", mode="ternary", calibration=calibration)
    found = measured(deployed, samples(deployed.network, 5, 4))
    assert found.footprint_parts["weights"] == 2 * (18 * 14 + 14 * 8)  # levels of 9 bits
    assert found.effective_macs_per_sample == 0 < found.effective_acs_per_sample


def convolution_and_layers() -> Network:
    """A convolution and two flat layers, a third of the weights zero."""
    rng = np.random.default_rng(8)

    def sparse(*shape: int) -> NDArray[np.float32]:
        return (rng.normal(0.5, 0.5, shape) * (rng.random(shape) < 0.7)).astype(np.float32)

    kernels = Convolution.from_dense(sparse(3, 2, 3, 3), (2, 6, 6), stride=1, padding=1)
    populations = (
        Population("input", (2, 6, 6), None),
        Population("conv", (3, 6, 6), LIF(v_threshold=0.5)),
        Population("hidden", (20,), LIF(v_threshold=0.5)),
        Population("output", (4,), LIF(v_threshold=0.5)),
    )
    projections = (
        Projection("input_conv", "input", "conv", kernels),
        Projection("conv_hidden", "conv", "hidden", Synapses.from_dense(sparse(20, 108))),
        Projection("hidden_output", "hidden", "output", Synapses.from_dense(sparse(4, 20))),
    )
    return Network(populations, projections, 5)


@pytest.mark.parametrize("encoding", ["current", "graded", "rate"])
def test_the_package_neurobench_measures_the_same(encoding: str) -> None:
    library("neurobench")
    static: Any = library("neurobench.metrics.static")
    workload: Any = library("neurobench.metrics.workload")
    wrapped: Any = library("neurobench.models")
    import torch
    from torch import nn

    deployed = compile_network(convolution_and_layers(), encoding=encoding)  # pyright: ignore[reportArgumentType]
    network = deployed.network
    assert network.neurons == 132  # none was dead
    values = np.random.default_rng(1).integers(0, 256, (6, 72)).astype(np.uint8)
    events = reference.encode(network, values)

    class Neuron(nn.Module):
        """The chip's LIF, stepped by its definition; registers and state are buffers, as NeuroBench counts them."""

        def __init__(self, population: Population, exponent: int) -> None:
            super().__init__()
            neuron = population.neuron
            assert isinstance(neuron, IntegerLIF)
            self.kind, self.exponent = neuron, exponent
            for name in ("du", "dv", "vth"):
                self.register_buffer(name, torch.tensor(getattr(neuron, name), dtype=torch.int32))
            self.register_buffer("v", torch.zeros(population.size, dtype=torch.int32))
            if neuron.du != 4095:
                self.register_buffer("u", torch.zeros(population.size, dtype=torch.int32))
            self.held: tuple[Any, Any] = (np.int64(0), np.int64(0))

        def forward(self, total: torch.Tensor) -> torch.Tensor:
            a = shift(total.numpy().astype(np.int64).reshape(len(total), -1), self.exponent)
            u, v, spikes = lif_step(*self.held, a, du=self.kind.du, dv=self.kind.dv, vth=self.kind.vth)
            self.held = (u, v)
            return torch.from_numpy(spikes.astype(np.float64)).reshape(total.shape)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first, *rest = network.projections
            assert isinstance(first.synapses, Convolution)
            conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
            conv.weight = nn.Parameter(torch.from_numpy(first.synapses.to_dense().astype(np.float64)))
            self.layers = nn.ModuleList([conv])
            for p in rest:
                linear = nn.Linear(p.synapses.shape[1], p.synapses.shape[0], bias=False)
                linear.weight = nn.Parameter(torch.from_numpy(p.synapses.unrolled().to_dense().astype(np.float64)))
                self.layers.append(linear)
            pairs = zip(network.spiking, network.projections, strict=True)
            self.neurons = nn.ModuleList([Neuron(p, q.exponent) for p, q in pairs])

        @torch.no_grad()
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            s = x
            for t in range(network.timesteps):
                sent_once = encoding == "current" and t
                s = torch.zeros(len(x), 3, 6, 6) if sent_once else self.layers[0](x[:, t].reshape(-1, 2, 6, 6))
                s = self.neurons[0](s).flatten(1)
                for layer, neuron in zip(list(self.layers)[1:], list(self.neurons)[1:], strict=True):
                    s = neuron(layer(s))
            return s

    model = wrapped.TorchModel(Model())
    model.add_activation_module(Neuron)
    model.register_hooks()
    x, labels = torch.from_numpy(events.astype(np.float64)), torch.zeros(len(events))
    model(x)
    theirs = workload.SynapticOperations()(model, None, (x, labels))
    sparsity = workload.ActivationSparsity()(model, None, (x, labels))
    found = measured(deployed, values)
    assert found.effective_macs_per_sample == pytest.approx(theirs["Effective_MACs"])
    assert found.effective_acs_per_sample == pytest.approx(theirs["Effective_ACs"])
    assert found.dense_per_sample == pytest.approx(theirs["Dense"])
    assert found.activation_sparsity == pytest.approx(sparsity)
    assert found.connection_sparsity == pytest.approx(static.ConnectionSparsity()(model), abs=5e-5)  # theirs is rounded to 4 decimals
    for parameter in model.net.parameters():  # the deployed weights are bytes
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(torch.int8)
    assert found.footprint_bytes == static.Footprint()(model)
