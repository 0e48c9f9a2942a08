"""Modules of SpikingJelly as networks: each layer alone, every form of a forward, and the same spikes as the module itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from modulegen import T, images, seeded
from spikeloom.errors import NetworkError, SpikeloomError, UsageError
from spikeloom.formats.torch import read_module
from spikeloom.formats.torch.module import proven
from spikeloom.network import reference
from spikeloom.network.model import Convolution, Network, Threshold
from spikingjelly.activation_based import encoding, functional, layer, neuron
from torch import nn


def spikes_of(module: nn.Module, x: torch.Tensor, steps: int, *, form: str) -> dict[str, np.ndarray[Any, Any]]:
    """Run a copy of a module by its framework alone; return its neurons' spikes, (samples, steps, neurons), by name."""
    twin, sent = copy.deepcopy(module).double(), dict[str, list[torch.Tensor]]()
    for name, part in twin.named_modules():
        if isinstance(part, neuron.BaseNode):
            part.register_forward_hook(lambda _m, _x, out, name=name: sent.setdefault(name, []).append(out.detach()))  # pyright: ignore[reportAttributeAccessIssue]
    functional.reset_net(twin)
    with torch.no_grad():
        for _ in range(steps if form == "step" else 1):
            twin(x.expand(steps, *x.shape) if form == "sequence" else x)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for name, calls in sent.items():
        raster = torch.stack(calls) if form == "step" or len(calls) > 1 else calls[0]
        found[name] = raster.transpose(0, 1).reshape(x.shape[0], steps, -1).numpy() != 0
    return found


def same(module: nn.Module, x: torch.Tensor, *, steps: int = T, form: str = "step", active: bool = True) -> Network:
    """Read a module; hold every layer's spikes against those of the module run by itself."""
    drawn = proven(module, sample=x, timesteps=steps)
    network = drawn.exact
    found = reference.simulate_float(network, np.rint(x.numpy() * 255).astype(np.int64))
    wanted = spikes_of(module, x, steps, form=form)
    names = {p.name for p in network.spiking}
    assert {n for n in wanted if n in names} == {p.name for p in network.spiking if not isinstance(p.neuron, Threshold) and p.size > 1}
    for name in wanted.keys() & names:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    last = found[network.populations[-1].name]
    assert not active or 0 < last.mean() < 1
    return drawn.network


def net(*layers: nn.Module, seed: int = 0, gain: float = 2.0) -> nn.Module:
    return seeded(nn.Sequential(*layers), seed, gain)


CELLS: dict[str, Callable[[], nn.Module]] = {
    "IF": neuron.IFNode,
    "IF soft": lambda: neuron.IFNode(v_reset=None, v_threshold=0.7),
    "LIF": lambda: neuron.LIFNode(tau=3.0),
    "LIF soft": lambda: neuron.LIFNode(tau=1.7, v_reset=None),
    "LIF undecayed": lambda: neuron.LIFNode(tau=4.0, decay_input=False),
    "LIF undecayed soft": lambda: neuron.LIFNode(tau=4.0, decay_input=False, v_reset=None),
    "LIF reset below": lambda: neuron.LIFNode(tau=2.5, v_reset=-0.25, v_threshold=0.5),
    "LIF reset above": lambda: neuron.LIFNode(tau=2.0, v_reset=0.125, v_threshold=0.5, decay_input=False),
    "ParametricLIF": lambda: neuron.ParametricLIFNode(init_tau=2.3),
    "ParametricLIF soft undecayed": lambda: neuron.ParametricLIFNode(init_tau=5.0, v_reset=None, decay_input=False),
    "CUBALIF": lambda: neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75),
    "CUBALIF soft": lambda: neuron.CUBALIFNode(c_decay=0.25, v_decay=1.0, v_reset=None),
    "SimpleIF": neuron.SimpleIFNode,
    "SimpleLIF": lambda: neuron.SimpleLIFNode(tau=2.0, decay_input=True),
}


@pytest.mark.parametrize("cell", [n for n in CELLS if "Simple" not in n])
@pytest.mark.parametrize("form", ["step", "sequence"])
def test_every_neuron(cell: str, form: str) -> None:
    module = net(layer.Linear(12, 9), CELLS[cell](), layer.Linear(9, 7), CELLS[cell](), gain=5.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(3, 12), form=form)


@pytest.mark.parametrize("cell", ["IF soft", "LIF", "LIF undecayed soft", "LIF reset below", "CUBALIF"])
@pytest.mark.parametrize("form", ["step", "sequence"])
def test_thresholds_of_their_own(cell: str, form: str) -> None:
    """For each neuron of a flat layer, and for each channel of maps, where the convolution stays one."""
    made: list[Any] = [CELLS[cell]() for _ in range(2)]
    made[0].v_threshold = torch.linspace(0.25, 1.5, 4).double()[:, None, None]
    made[1].v_threshold = torch.linspace(0.3, 1.1, 7).double()
    module = net(layer.Conv2d(1, 4, 3), made[0], layer.Flatten(), layer.Linear(64, 7), made[1], gain=5.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    network = same(module, images(3, 1, 6, 6), form=form)
    assert isinstance(network.projections[0].synapses, Convolution)
    made[1].v_threshold = torch.linspace(0.3, 1.1, 21).double().view(3, 7)  # one for each sample
    assert "thresholds of the shape (3, 7) for neurons of the shape (7,)" in refusal(module, images(3, 1, 6, 6))


@pytest.mark.parametrize("form", ["step", "sequence"])
def test_time_constants_of_their_own(form: str) -> None:
    """A layer of several becomes a population for each; what receives from it, sees one layer."""
    first: Any = neuron.LIFNode(v_reset=None)
    second: Any = neuron.ParametricLIFNode(v_reset=None)
    first.tau = torch.tensor([1.5, 2.0, 4.0, 2.0]).double()[:, None, None]
    second.w = nn.Parameter(torch.tensor([0.0, 1.0, -1.0, 0.0, 1.0, 1.0, 0.0]))
    second.v_threshold = torch.linspace(0.3, 1.1, 7).double()
    layers = (layer.Conv2d(1, 4, 3), first, layer.MaxPool2d(2), layer.Flatten(), layer.Linear(16, 7), second, layer.Linear(7, 3))
    module = net(*layers, neuron.LIFNode(v_threshold=0.5), gain=6.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    x = images(3, 1, 6, 6)
    drawn = proven(module, sample=x, timesteps=T)
    assert [p.name for p in drawn.network.spiking if p.name.startswith(("1.", "5."))] == ["1.1", "1.2", "1.3", "5.1", "5.2", "5.3"]
    found = reference.simulate_float(drawn.exact, np.rint(x.numpy() * 255).astype(np.int64))
    wanted = spikes_of(module, x, T, form=form)
    np.testing.assert_array_equal(found["7"], wanted["7"])
    np.testing.assert_array_equal(found["1.2"], wanted["1"].reshape(3, T, 4, 16)[:, :, [1, 3]].reshape(3, T, 32))
    assert 0 < found["7"].mean() < 1
    first.tau = torch.linspace(1.5, 4.0, 64).double().reshape(4, 4, 4)
    assert "1 (LIFNode) has neurons of 64 different tau" in refusal(module, x)
    first.tau, module[7].tau = 2.0, torch.tensor([2.0, 3.0, 4.0]).double()  # pyright: ignore[reportIndexIssue]
    assert "7 (LIFNode) gives the output and has neurons of 3 time constants" in refusal(module, x)


@pytest.mark.parametrize("cell", ["SimpleIF", "SimpleLIF"])
def test_simple_neurons(cell: str) -> None:
    assert read_module(net(nn.Linear(6, 4), CELLS[cell]()), sample=images(2, 6), timesteps=T).populations[-1].size == 4


MAPS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: layer.Conv2d(2, 3, 3),
    "padded": lambda: layer.Conv2d(2, 3, 3, padding=1, bias=False),
    "uneven padding": lambda: layer.Conv2d(2, 3, 3, padding=(0, 2)),
    "same": lambda: layer.Conv2d(2, 3, 4, padding="same"),
    "valid": lambda: layer.Conv2d(2, 3, 3, padding="valid"),
    "reflected": lambda: layer.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
    "circular": lambda: layer.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
    "strided": lambda: layer.Conv2d(2, 3, 3, stride=2, padding=1),
    "unequal strides": lambda: layer.Conv2d(2, 3, 3, stride=(1, 2)),
    "dilated": lambda: layer.Conv2d(2, 3, 2, dilation=(2, 3)),
    "groups": lambda: layer.Conv2d(2, 4, 3, groups=2),
    "flat kernel": lambda: layer.Conv2d(2, 3, (1, 5), padding=(0, 2)),
    "normalised": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.BatchNorm2d(3)),
    "normalised first": lambda: nn.Sequential(layer.BatchNorm2d(2), layer.Conv2d(2, 3, 3, padding=1)),
    "averages": lambda: nn.Sequential(layer.AvgPool2d(2), layer.Conv2d(2, 3, 3, padding=1)),
    "averages behind": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.AvgPool2d(2)),
    "averages over the edge": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.AvgPool2d(3, 2, padding=1, ceil_mode=True)),
    "averages of some": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.AvgPool2d(3, 2, padding=1, count_include_pad=False)),
    "adaptive": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.AdaptiveAvgPool2d((2, 3))),
    "adaptive, uneven": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.AdaptiveAvgPool2d((4, 5))),
    "transposed": lambda: layer.ConvTranspose2d(2, 3, 3, stride=2),
    "upsampled": lambda: nn.Sequential(layer.Conv2d(2, 3, 3), layer.Upsample(scale_factor=2)),
    "standardised weights": lambda: nn.Sequential(layer.WSConv2d(2, 3, 3), layer.Conv2d(3, 3, 1)),
    "dropped": lambda: nn.Sequential(layer.Dropout2d(0.5), layer.Conv2d(2, 3, 3), nn.Dropout(0.3), nn.Identity()),
}


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("name", MAPS)
def test_every_layer_of_maps(name: str, form: str) -> None:
    module = net(MAPS[name](), neuron.LIFNode(tau=1.5, v_reset=None), layer.Flatten(), gain=3.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(2, 2, 8, 8), form=form)


@pytest.mark.parametrize("name", ["max", "max, overlapping", "max, dilated", "max, over the edge", "adaptive max"])
def test_maxima_of_spikes(name: str) -> None:
    pools: dict[str, nn.Module] = {
        "max": nn.MaxPool2d(2),
        "max, overlapping": nn.MaxPool2d(3, 2, padding=1),
        "max, dilated": nn.MaxPool2d(2, 1, dilation=2),
        "max, over the edge": nn.MaxPool2d(3, 2, ceil_mode=True),
        "adaptive max": nn.AdaptiveMaxPool2d(4),
    }
    module = net(
        nn.Conv2d(1, 3, 3, padding=1), neuron.IFNode(), pools[name], nn.Conv2d(3, 2, 3), neuron.IFNode(v_reset=None), nn.Flatten(), gain=4.0
    )
    network = same(module, images(2, 1, 8, 8))
    assert any(isinstance(p.neuron, Threshold) for p in network.spiking)


@pytest.mark.parametrize("form", ["step", "sequence"])
def test_one_dimension(form: str) -> None:
    module = net(
        layer.Conv1d(2, 4, 3, padding=1), layer.BatchNorm1d(4), neuron.LIFNode(), layer.MaxPool1d(2),
        layer.Conv1d(4, 4, 3, dilation=2, groups=2),
        layer.AvgPool1d(2), neuron.IFNode(), layer.Flatten(), layer.Linear(8, 5), layer.BatchNorm1d(5), neuron.IFNode(), gain=3.0,
    )  # fmt: skip
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(2, 2, 16), form=form)


def sew(x: torch.Tensor, y: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the spike-element-wise function of Fang et al., Deep residual learning in spiking neural networks, 2021, table 1."""
    return {"ADD": x + y, "AND": x * y, "IAND": x * (1.0 - y)}[kind]


class Block(nn.Module):
    """Two layers whose spikes are brought together."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first = nn.Sequential(layer.Conv2d(3, 3, 3, padding=1), neuron.IFNode())
        self.conv = nn.Sequential(layer.Conv2d(3, 3, 3, padding=1), layer.BatchNorm2d(3), neuron.IFNode())
        self.last = nn.Sequential(layer.Flatten(), layer.Linear(3 * 36, 6), neuron.IFNode(v_reset=None))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        y = self.conv(x)
        if self.kind == "cat":
            return self.last[1:](torch.cat([x, y], -3)[..., :3, :, :].flatten(-3))
        if self.kind == "OR":
            return self.last(torch.maximum(x, y))
        if self.kind == "NOR":
            return self.last((1.0 - x) * (1.0 - y))
        return self.last(sew(x, y, self.kind))


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("kind", ["ADD", "AND", "IAND", "OR", "NOR", "cat"])
def test_branches(kind: str, form: str) -> None:
    module = seeded(Block(kind), gain=3.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(2, 3, 6, 6), form=form)


def test_concatenated_channels_stay_taps() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(4, 3, 3)
            self.s, self.t, self.u = neuron.IFNode(), neuron.IFNode(), neuron.IFNode()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.s(self.a(x))
            return self.u(self.c(torch.cat((x, self.t(self.b(x))), 1)))

    network = same(seeded(Dense()), images(2, 1, 7, 7))
    assert all(isinstance(p.synapses, Convolution) for p in network.projections)


class Csnn(nn.Module):
    """SpikingJelly's tutorial: a convolutional network for Fashion-MNIST, with voting."""

    def __init__(self, steps: int, channels: int = 4) -> None:
        super().__init__()
        self.T = steps
        self.conv_fc = nn.Sequential(
            layer.Conv2d(1, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode(), layer.MaxPool2d(2, 2),
            layer.Conv2d(channels, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels), neuron.IFNode(), layer.MaxPool2d(2, 2),
            layer.Flatten(), layer.Linear(channels * 4, 20, bias=False), neuron.IFNode(), layer.Linear(20, 30, bias=False), neuron.IFNode(),
            layer.VotingLayer(3),
        )  # fmt: skip
        functional.set_step_mode(self, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_fc(x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)).mean(0)


def test_the_tutorial_s_csnn() -> None:
    network = same(seeded(Csnn(T), gain=3.0), images(2, 1, 8, 8), form="own")
    assert network.votes == 3


class DvsNet(nn.Module):
    """SpikingJelly's networks for recordings: blocks of convolutions on events, dropout, voting."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for i in range(2):
            blocks += [
                layer.Conv2d(2 if i == 0 else 4, 4, 3, padding=1, bias=False),
                layer.BatchNorm2d(4),
                neuron.LIFNode(),
                layer.MaxPool2d(2, 2),
            ]
        self.net = nn.Sequential(*blocks, layer.Flatten(), layer.Dropout(0.5), layer.Linear(16, 12), neuron.LIFNode(), layer.VotingLayer(4))
        functional.set_step_mode(self, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_recordings() -> None:
    frames = torch.randint(0, 2, (T, 2, 2, 8, 8), generator=torch.Generator().manual_seed(3)).float()
    module = seeded(DvsNet(), gain=4.0)
    drawn = proven(module, sample=frames, timesteps=T, events=True)
    assert (drawn.network.input.encoding, drawn.network.input.levels, drawn.network.votes) == ("events", 1, 4)
    twin = copy.deepcopy(module).double()
    wanted = twin(frames.double()).detach().sum(0).numpy()
    found = reference.simulate_float(drawn.exact, frames.transpose(0, 1).long().numpy())[drawn.exact.populations[-1].name]
    np.testing.assert_allclose(reference.class_counts(found, 4) / 4, wanted)
    assert wanted.any()


class SewBlock(nn.Module):
    """A basic block of SEW-ResNet, with a path that is downsampled."""

    def __init__(self, inner: int, outer: int, stride: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv1, self.bn1, self.sn1 = layer.Conv2d(inner, outer, 3, stride, 1, bias=False), layer.BatchNorm2d(outer), neuron.IFNode()
        self.conv2, self.bn2, self.sn2 = layer.Conv2d(outer, outer, 3, 1, 1, bias=False), layer.BatchNorm2d(outer), neuron.IFNode()
        self.downsample: nn.Module | None = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(layer.Conv2d(inner, outer, 1, stride, bias=False), layer.BatchNorm2d(outer), neuron.IFNode())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.sn2(self.bn2(self.conv2(self.sn1(self.bn1(self.conv1(x))))))
        return sew(x if self.downsample is None else self.downsample(x), y, self.kind)


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("kind", ["ADD", "AND", "IAND"])
def test_sew_resnet(kind: str, form: str) -> None:
    stem = (layer.Conv2d(3, 4, 7, 2, 3, bias=False), layer.BatchNorm2d(4), neuron.IFNode(), layer.MaxPool2d(3, 2, 1))
    blocks = (SewBlock(4, 4, 1, kind), SewBlock(4, 6, 2, kind), SewBlock(6, 6, 1, kind))
    module = net(*stem, *blocks, layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Linear(6, 4), neuron.IFNode(), gain=4.0)
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(2, 3, 16, 16), form=form, active=kind == "ADD")


# --- forms of a forward -----------------------------------------------------------------------------------------------


class Loop(nn.Module):
    """A forward with its own loop over time."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.body = nn.Sequential(nn.Linear(6, 8), neuron.LIFNode(), nn.Linear(8, 4), neuron.LIFNode())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sent = [self.body(x) for _ in range(T)]
        if self.kind == "stack":
            return torch.stack(sent)
        if self.kind == "cat":
            return torch.cat([s.unsqueeze(0) for s in sent], 0).mean(0)
        if self.kind == "sum":
            return sum(sent) / T  # pyright: ignore[reportReturnType]
        total = torch.zeros_like(sent[0])
        for s in sent:
            total += s
        return total


@pytest.mark.parametrize("kind", ["stack", "cat", "sum", "total"])
def test_a_loop_of_its_own(kind: str) -> None:
    same(seeded(Loop(kind), gain=3.0), images(2, 6), form="own")


@pytest.mark.parametrize("container", ["MultiStep", "SeqToANN", "StepMode"])
def test_containers(container: str) -> None:
    front = {
        "MultiStep": lambda: layer.MultiStepContainer(nn.Linear(6, 8), neuron.LIFNode()),
        "SeqToANN": lambda: nn.Sequential(layer.SeqToANNContainer(nn.Linear(6, 8), nn.BatchNorm1d(8)), neuron.LIFNode(step_mode="m")),
        "StepMode": lambda: nn.Sequential(
            layer.StepModeContainer(False, "m", nn.Linear(6, 8)), layer.StepModeContainer(True, "m", neuron.LIFNode())
        ),
    }[container]()
    module = seeded(nn.Sequential(front, layer.Linear(8, 4, step_mode="m"), neuron.IFNode(step_mode="m")), gain=3.0)
    same(module, images(2, 6), form="sequence")


@pytest.mark.parametrize("kind", ["elements", "linear", "delay"])
def test_recurrence_and_delays(kind: str) -> None:
    back: nn.Module = {
        "elements": lambda: layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda x, y: x - 0.5 * y),
        "linear": lambda: layer.LinearRecurrentContainer(neuron.LIFNode(), 8, 8),
        "delay": lambda: nn.Sequential(neuron.LIFNode(), layer.Delay(2)),
    }[kind]()
    network = same(net(nn.Linear(6, 8), back, nn.Linear(8, 4), neuron.IFNode(), gain=3.0), images(2, 6))
    assert any(p.lag for p in network.projections)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("form", ["step", "sequence"])
def test_few_steps_and_samples(steps: int, batch: int, form: str) -> None:
    module = net(
        layer.Conv2d(1, 2, 3),
        neuron.IFNode(v_threshold=0.3),
        layer.Flatten(),
        layer.Linear(32, 4),
        neuron.IFNode(v_threshold=0.2),
        gain=4.0,
    )
    if form == "sequence":
        functional.set_step_mode(module, "m")
    same(module, images(batch, 1, 6, 6), steps=steps, form=form, active=False)


def test_the_module_is_left_as_it_was() -> None:
    module = net(nn.Linear(6, 8), neuron.LIFNode(), nn.BatchNorm1d(8), nn.Linear(8, 4), neuron.IFNode(), gain=3.0)
    x = images(2, 6).float()
    module(x)  # leaves a state with its history behind
    before, v = {k: t.clone() for k, t in module.state_dict().items()}, module[1].v.clone()  # pyright: ignore[reportIndexIssue]
    modes = [m.training for m in module.modules()]
    read_module(module, sample=x, timesteps=T)
    assert torch.equal(module[1].v, v)  # pyright: ignore[reportIndexIssue]
    assert module[1].v.grad_fn is not None  # pyright: ignore[reportIndexIssue]
    assert [m.training for m in module.modules()] == modes
    assert all(torch.equal(t, before[k]) and t.dtype == before[k].dtype for k, t in module.state_dict().items())
    assert all("forward" not in vars(m) and not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())  # pyright: ignore[reportPrivateUsage]


# --- what cannot come in ----------------------------------------------------------------------------------------------


def refusal(module: nn.Module, sample: Any, error: type[SpikeloomError] = NetworkError, *, timesteps: int = T, events: bool = False) -> str:
    with pytest.raises(error) as caught:
        read_module(module, sample=sample, timesteps=timesteps, events=events)
    return str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "needle"),
    [
        (nn.PReLU(), "1 (PReLU) computes prelu"),
        (nn.ReLU(), "Put spiking neurons there"),
        (nn.LayerNorm(8), "Use BatchNorm"),
        (nn.Softmax(1), "the prediction is the class whose neurons spike most"),
        (nn.MaxPool1d(2), "MaxPool1d"),
        (neuron.KLIFNode(), "1 (KLIFNode) is a neuron that is not read. It cuts its potential off below 0"),
        (neuron.HalfThresholdIFNode(), "is a neuron that is not read"),
        (neuron.PSN(T=T), "Use LIFNode or ParametricLIFNode"),
    ],
    ids=lambda w: type(w).__name__ if isinstance(w, nn.Module) else "",
)
def test_a_layer_is_refused_by_its_name(wrong: nn.Module, needle: str) -> None:
    class Calls(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return wrong(x, x) if isinstance(wrong, nn.Bilinear) else wrong(x)

    module = net(nn.Linear(6, 8), wrong, neuron.IFNode())
    if isinstance(wrong, nn.Bilinear):
        inner = Calls()
        inner.wrong = wrong
        module = nn.Sequential(nn.Linear(6, 8), inner, neuron.IFNode()).eval()
        needle = "1.wrong (Bilinear)"
    assert needle in refusal(module, images(2, 6))


def test_maxima_before_neurons_are_refused() -> None:
    module = net(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), neuron.IFNode())
    assert "1 (MaxPool2d) takes the maximum over windows of values that are not spikes" in refusal(module, images(1, 1, 8, 8))


def test_bad_modules() -> None:
    good, x = net(nn.Linear(6, 4), neuron.IFNode()), images(2, 6)
    assert refusal(copy.deepcopy(good).train(), x, UsageError).startswith("The module (Sequential) is in train mode")
    hooked = copy.deepcopy(good)
    hooked[0].register_forward_hook(lambda *_: None)  # pyright: ignore[reportIndexIssue]
    assert "0 (Linear) has forward hooks" in refusal(hooked, x, UsageError)
    broken = copy.deepcopy(good)
    broken[0].weight.data[0, 0] = float("nan")  # pyright: ignore[reportIndexIssue]
    assert "0.weight has 1 values that are not finite" in refusal(broken, x)
    assert "meta" in refusal(copy.deepcopy(good).to("meta"), x, UsageError)
    assert "shared by places" in refusal(nn.Sequential(nn.Linear(6, 6), good[1], nn.Linear(6, 4), good[1]).eval(), x)  # pyright: ignore[reportIndexIssue]
    assert "no spiking neurons" in refusal(net(nn.Linear(6, 4)), x)
    assert "a chip counts spikes" in refusal(net(nn.Linear(6, 4), neuron.IFNode(), nn.Linear(4, 3)), x)

    def double(v: torch.Tensor) -> torch.Tensor:
        return (v >= 0).to(v) * 2.0

    graded = net(nn.Linear(6, 4), neuron.IFNode(surrogate_function=double), gain=9.0)  # pyright: ignore[reportArgumentType]
    assert "values other than 0 and 1" in refusal(graded, x)
    assert "compiled by torch.jit" in refusal(torch.jit.script(nn.Linear(6, 4)).eval(), x, UsageError)
    assert "timesteps is 0" in refusal(good, x, UsageError, timesteps=0)


def test_potentials_and_random_numbers_are_refused() -> None:
    class Potential(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.n, self.out, self.sn = nn.Linear(6, 4), neuron.LIFNode(), nn.Linear(4, 3), neuron.IFNode()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.n(self.fc(x))
            return self.sn(self.out(self.n.v))  # pyright: ignore[reportArgumentType]

    assert "sn (IFNode) receives values that no layer sends" in refusal(seeded(Potential(), gain=3.0), images(2, 6))
    noisy = nn.Sequential(encoding.PoissonEncoder(), nn.Linear(6, 4), neuron.IFNode()).eval()
    assert "0 (PoissonEncoder) computes rand_like" in refusal(noisy, images(2, 6))


def test_bad_samples() -> None:
    good = net(nn.Linear(6, 4), neuron.IFNode())
    assert "at least one sample" in refusal(good, images(0, 6), UsageError)
    assert "at least one sample" in refusal(good, images(6), UsageError)
    assert "cannot be run on a sample of the shape (2, 5)" in refusal(good, images(2, 5), UsageError)
    assert "not finite" in refusal(good, images(2, 6) * float("nan"), UsageError)
    assert "Put the normalisation into the module" in refusal(good, images(2, 6) - 0.5, UsageError)
    assert "its first axis is the time" in refusal(good, images(2, 1, 6), UsageError, events=True)
    assert "it must hold numbers" in refusal(good, np.array([["a"]]), UsageError)


def test_control_flow_on_data() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.sn = nn.Linear(6, 4), neuron.IFNode()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.sn(self.fc(x) if x.sum() > 3 else self.fc(-x))

    message = refusal(seeded(Branches()), images(2, 6))
    assert "he module (Branches)" in message
    assert "compares values itself" in message or "sum over the samples" in message


def test_neurons_that_do_other_things_are_found() -> None:
    class Doubled(neuron.IFNode):
        def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
            return super().single_step_functional_forward((inputs[0] * 2.0,), states, **kwargs)

    with pytest.raises(SpikeloomError, match="do not follow the equation of their class"):
        read_module(net(nn.Linear(6, 4), Doubled(), gain=1.0), sample=images(2, 6), timesteps=T)


def test_another_thing_at_another_step_is_found() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.sn, self.t = nn.Linear(6, 4), neuron.IFNode(), 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.t += 1
            return self.sn(self.fc(x) * (2.0 if self.t > 3 else 0.5))

    with pytest.raises(
        SpikeloomError, match=r"first at sn \(IFNode\): what arrives there differs .* first at step 0. The module does other things"
    ):
        read_module(seeded(Late(), gain=3.0), sample=images(2, 6), timesteps=T)


def test_the_network_compiles(tmp_path: Any) -> None:
    from spikeloom.compile import compile_network

    network = read_module(seeded(Csnn(T), gain=3.0), sample=images(2, 1, 8, 8), timesteps=T)
    deployed = compile_network(network)
    values = np.random.default_rng(0).integers(0, 256, (4, 64))
    events = reference.encode(deployed.network, values)
    assert reference.simulate(deployed.network, events)[deployed.network.populations[-1].name].any()
