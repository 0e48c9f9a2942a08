"""Random small networks of train: shortcuts, sums, gates, pools, strides and biases; and what holds them to account."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from spikeloom.data.dataset import Dataset, Split
from spikeloom.formats import onnx as model_onnx
from spikeloom.network import reference
from spikeloom.network.model import Network
from spikeloom.runtime.backends.onnx import session, step_through
from spikeloom.train import export
from spikeloom.train.connections import INPUT, Connection, Shape
from spikeloom.train.layers import And, MaxPool, SpikingLayer, SpikingNetwork, Unit
from torch import Tensor, nn

LEVELS = 5


@pytest.fixture(autouse=True, scope="module")
def single_threaded() -> Iterator[None]:
    """One thread: layers of a few neurons only wait for the others. A module that imports this name runs so."""
    threads, numbas = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    numba.set_num_threads(numbas)


class Graph:
    """Grows a network, unit by unit."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed % 2**31)
        self.steps = int(self.rng.integers(1, 6))
        self.temporal = bool(self.rng.random() < 0.4)
        self.shape: Shape = (int(self.rng.integers(1, 4)), int(self.rng.integers(4, 9)), int(self.rng.integers(4, 9)))
        self.units: dict[str, Unit] = {}

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def connection(self, sources: tuple[str, ...], channels: int, shape: Shape, target: Shape | None = None) -> Connection:
        """A random convolution from `shape`; onto the maps of `target`, where that is given."""
        same = target is not None
        kernel = self.pick(1, 3)
        pool = 1 if same or min(shape[1:]) < 4 else self.pick(1, 1, 2, 3)
        stride = 1 if same else self.pick(1, 1, 2)
        bias = bool(self.rng.random() < 0.2)
        conv = nn.Conv2d(shape[0], channels, kernel, stride, kernel // 2, bias=bias)
        nn.init.uniform_(conv.weight, -2.5, 3.5)
        norm = None
        if self.rng.random() < 0.7:
            norm = nn.BatchNorm2d(channels)
            nn.init.uniform_(norm.weight, -0.5, 3.0)
            nn.init.uniform_(norm.bias, 0.0, 1.5)
        return Connection(sources, shape, conv, norm, pool=pool, dropout=0.2)

    def layer(self, name: str, sources: tuple[str, ...], shape: Shape) -> None:
        channels = self.pick(2, 3, 4)
        connections = [self.connection(sources, channels, shape)]
        target = connections[0].shape
        if target[1:] == shape[1:] and self.rng.random() < 0.5:
            connections.append(self.connection(sources[:1], channels, shape, target))
        if target == shape and self.rng.random() < 0.7:
            connections.append(Connection(sources[-1:], shape))
        if sources != (INPUT,) and target[1:] == tuple(side // 2 for side in shape[1:]) and target[0] == shape[0]:
            connections.append(Connection(sources[:1], shape, pool=2))
        first = sources == (INPUT,) and not self.temporal
        self.units[name] = SpikingLayer(connections, self.steps if first else None)

    def grow(self) -> None:
        """Add a unit on the latest, together with an earlier one of its shape, where there is one."""
        name, latest = f"unit{len(self.units)}", list(self.units)[-1]
        shape = self.units[latest].shape
        alike = [n for n, u in self.units.items() if u.shape == shape and n != latest]
        sources = (latest, alike[-1]) if alike and self.rng.random() < 0.7 else (latest,)
        kind = self.rng.random()
        if kind < 0.15 and min(shape[1:]) >= 4:
            self.units[name] = MaxPool(latest, shape, self.pick(2, 3), padding=self.pick(0, 1), stride=self.pick(1, 2))
        elif kind < 0.3 and len(sources) > 1:
            positive, inverted = (sources, ()) if self.rng.random() < 0.5 else (sources[:1], sources[1:])
            self.units[name] = And(positive, shape, inverted)
        else:
            self.layer(name, sources, shape)


def random_network(seed: int) -> SpikingNetwork:
    """Return a network of 3 to 6 units on maps and one or two linear layers, with up to 3 votes."""
    graph = Graph(seed)
    graph.layer("unit0", (INPUT,), graph.shape)
    for _ in range(int(graph.rng.integers(2, 6))):
        graph.grow()
    latest = list(graph.units)[-1]
    shape = graph.units[latest].shape
    pool = graph.pick(1, 2) if min(shape[1:]) >= 2 else 1
    inputs = shape[0] * (shape[1] // pool) * (shape[2] // pool)
    votes = graph.pick(1, 2, 3)
    linear = nn.Linear(inputs, 3 * votes, bias=bool(graph.rng.random() < 0.3))
    nn.init.uniform_(linear.weight, -2.0, 4.0)
    graph.units["output"] = SpikingLayer([Connection((latest,), shape, linear, pool=pool)])
    return SpikingNetwork(graph.units, graph.shape, graph.steps, 3, votes=votes, temporal=graph.temporal)


def samples(model: SpikingNetwork, count: int, levels: int | None = None) -> Tensor:
    """Return random samples of the shape that the network takes: reals in 0..1, or, with `levels`, whole numbers 0..levels."""
    shape = (count, *([model.timesteps] if model.temporal else []), *model.shape)
    return torch.rand(shape) if levels is None else torch.randint(levels + 1, shape).float()


def dataset_of(model: SpikingNetwork, count: int = 8) -> Dataset:
    values = samples(model, count, LEVELS).numpy().astype(np.uint8)
    split = Split(values, np.zeros(count, np.int64))
    return Dataset("random", split, split, model.classes, LEVELS, model.shape, model.temporal)


def real_steps(network: Network, values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What enters at each step: p / levels as float32 holds it."""
    real = (torch.from_numpy(values.copy()).float() / LEVELS).double().numpy().reshape(len(values), -1, network.populations[0].size)
    return np.broadcast_to(real, (len(values), network.timesteps, real.shape[2]))


def warmed_up(model: SpikingNetwork, seed: int) -> SpikingNetwork:
    """Give the normalisations statistics of their inputs, and let some weights be pruned."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for _ in range(3):
            model.train()(samples(model, 8))
        for weight in model.weights().values():
            weight.mul_(torch.rand(weight.shape) < 0.8)
    return model.eval()


def spikes_of(model: SpikingNetwork, values: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    with torch.no_grad():
        spikes = model.populations((torch.from_numpy(values.copy()).float() / LEVELS).to(next(model.parameters()).dtype))
    return {name: s.flatten(2).transpose(0, 1).numpy() > 0 for name, s in spikes.items()}


def check_exact(model: SpikingNetwork, dataset: Dataset) -> Network:
    """Hold the folded model against the file: read back, in the reference, in onnxruntime."""
    network = export.network(model.float(), None, dataset, (), {})
    content = model_onnx.to_bytes(network)
    read = model_onnx.from_bytes(content)
    assert read.populations == network.populations and read.votes == model.votes and read.input == network.input
    values = dataset.train.values
    steps = real_steps(network, values)
    torch_spikes = spikes_of(copy.deepcopy(model).double(), values)
    in_reference = reference.simulate_float(read, values, events=steps)
    in_onnx = step_through(session(content, 1), steps, network.timesteps)
    assert list(in_reference) == list(torch_spikes) == [p.name for p in network.spiking]
    for name, raster in torch_spikes.items():
        assert np.array_equal(raster, in_reference[name]), f"reference {name}"
        assert np.array_equal(raster, in_onnx[name]), f"onnxruntime {name}"
    return network
