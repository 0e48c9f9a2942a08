"""Modules of snnTorch and Norse as networks. Both are used where the user has them; without, these tests skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from extras import library
from modulegen import T, images, seeded
from spikeloom.compile import compile_network
from spikeloom.errors import NetworkError, SpikeloomError
from spikeloom.formats.torch import read_module
from spikeloom.formats.torch.module import proven
from spikeloom.network import reference
from spikeloom.runtime import run
from torch import nn


def counted(module: nn.Module, x: torch.Tensor) -> None:
    """Read a module that returns the spikes of all steps; hold the network's spikes against them."""
    drawn = proven(module, sample=x, timesteps=T)
    with torch.no_grad():
        result = module(x.float())  # snnTorch's spikes are float32
    wanted = (result[0] if isinstance(result, tuple) else result).transpose(0, 1).numpy() != 0
    found = reference.simulate_float(drawn.exact, np.rint(x.numpy() * 255).astype(np.int64))[drawn.exact.populations[-1].name]
    np.testing.assert_array_equal(found, wanted)
    assert 0 < wanted.mean() < 1


class Loop(nn.Module):
    """The loop over time of snnTorch's tutorials, states handed on."""

    def __init__(self, first: Any, second: Any, *, hidden: bool = False) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2, self.hidden = nn.Linear(6, 8), first, nn.Linear(8, 4), second, hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.hidden:
            return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(x)))) for _ in range(T)])
        state1, state2 = (s if isinstance(s, tuple) else (s,) for s in (self.lif1.reset_mem(), self.lif2.reset_mem()))
        sent: list[torch.Tensor] = []
        own = hasattr(self.lif1, "recurrent")  # these take their spikes back, too
        for _ in range(T):
            result = self.lif1(self.fc1(x), *state1)
            spikes, state1 = result[0], result if own else result[1:]
            result = self.lif2(self.fc2(spikes), *state2)
            spikes, state2 = result[0], result if own else result[1:]
            sent.append(spikes)
        return torch.stack(sent)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Leaky", {"beta": 0.75}),
        ("Leaky", {"beta": 0.9, "reset_mechanism": "zero"}),
        ("Leaky", {"beta": 0.5, "reset_delay": False, "threshold": 0.5}),
        ("Leaky", {"beta": 1.0}),
        ("RLeaky", {"beta": 0.5, "linear_features": 0}),
        ("RLeaky", {"beta": 0.75, "all_to_all": False, "V": -0.5, "reset_delay": False, "reset_mechanism": "zero"}),
        ("Synaptic", {"alpha": 0.5, "beta": 0.75, "reset_delay": False, "reset_mechanism": "zero"}),
        ("Synaptic", {"alpha": 0.5, "beta": 0.75}),
        ("Synaptic", {"alpha": 0.25, "beta": 1.0, "reset_delay": False}),
        ("RSynaptic", {"alpha": 0.5, "beta": 0.5, "linear_features": 0}),
        ("RSynaptic", {"alpha": 0.75, "beta": 0.5, "all_to_all": False, "V": -0.5}),
        ("Leaky", {"beta": 0.75, "threshold": 0.0}),
        ("Leaky", {"beta": 0.75, "threshold": 0.0, "reset_mechanism": "zero"}),
        ("RSynaptic", {"alpha": 0.5, "beta": 0.5, "linear_features": 0, "threshold": 0.0}),
        ("Leaky", {"beta": None}),
        ("Leaky", {"beta": None, "threshold": 0.0, "reset_mechanism": "zero"}),
        ("RSynaptic", {"alpha": 0.5, "beta": None, "linear_features": 0}),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_snntorch(kind: str, options: dict[str, Any], *, hidden: bool) -> None:
    snntorch: Any = library("snntorch")
    cell = getattr(snntorch, kind)
    sizes: list[dict[str, Any]] = [{"linear_features": n} if "linear_features" in options else {} for n in (8, 4)]
    if options.get("threshold") == 0.0:  # one for each neuron
        sizes = [size | {"threshold": torch.linspace(0.4, 1.7, n).double()} for size, n in zip(sizes, (8, 4), strict=True)]
    if options["beta"] is None:  # of several values in the first layer
        sizes = [size | {"beta": beta} for size, beta in zip(sizes, (torch.tensor([0.5, 0.75, 0.5, 1.0] * 2).double(), 0.5), strict=True)]
    module = Loop(*(cell(**(options | size), init_hidden=hidden) for size in sizes), hidden=hidden)
    counted(seeded(module, gain=2.0), images(3, 6))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (
            "Leaky",
            {"beta": torch.linspace(0.5, 0.9, 4)},
            r"1 \(Leaky\) gives the output and has neurons of 4 time constants",
        ),
        ("Leaky", {"beta": 0.5, "threshold": torch.linspace(0, 1, 4)}, r"has a threshold of 0, which must be above the reset"),
        (
            "Leaky",
            {"beta": 0.5, "threshold": torch.linspace(1, 2, 4)[:, None].repeat(1, 3)[:2]},
            "thresholds of the shape|not match|cannot be run",
        ),
        ("RSynaptic", {"alpha": 0.5, "beta": 0.5, "linear_features": 4, "reset_mechanism": "zero"}, "Use reset_mechanism='subtract'"),
        ("Synaptic", {"alpha": 0.5, "beta": 0.5, "reset_mechanism": "zero"}, "loses the input of the step after a spike"),
    ],
)
def test_snntorch_that_no_chip_carries_is_refused(kind: str, options: dict[str, Any], says: str) -> None:
    snntorch: Any = library("snntorch")
    module = nn.Sequential(nn.Linear(6, 4), getattr(snntorch, kind)(init_hidden=True, **options)).eval()
    with pytest.raises(SpikeloomError, match=says):
        read_module(module, sample=images(2, 6), timesteps=T)


def test_snntorch_without_a_reset_is_refused() -> None:
    snntorch: Any = library("snntorch")
    module = nn.Sequential(nn.Linear(6, 4), snntorch.Leaky(beta=0.5, reset_mechanism="none", init_hidden=True)).eval()
    with pytest.raises(NetworkError, match=r"1 \(Leaky\) has no reset"):
        read_module(module, sample=images(2, 6), timesteps=T)
    module = nn.Sequential(nn.Linear(6, 4), snntorch.Alpha(alpha=0.8, beta=0.5, init_hidden=True)).eval()
    with pytest.raises(NetworkError, match=r"1 \(Alpha\) is a neuron that is not read"):
        read_module(module, sample=images(2, 6), timesteps=T)


@pytest.mark.parametrize("kind", ["LIFCell", "LIFBoxCell", "LIF"])
def test_norse(kind: str) -> None:
    norse: Any = library("norse.torch")
    cell = getattr(norse, kind)

    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.s1, self.fc2, self.s2 = nn.Linear(6, 8), cell(), nn.Linear(8, 4), cell()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if kind == "LIF":
                return self.s2(self.fc2(self.s1(self.fc1(x.unsqueeze(0).repeat(T, 1, 1)))[0]))[0]
            first = second = None
            sent: list[torch.Tensor] = []
            for _ in range(T):
                spikes, first = self.s1(self.fc1(x), first)
                spikes, second = self.s2(self.fc2(spikes), second)
                sent.append(spikes)
            return torch.stack(sent)

    counted(seeded(Cells(), gain=20.0), images(3, 6))


def test_norse_of_several_time_constants() -> None:
    norse: Any = library("norse.torch")
    inverse = torch.tensor([100.0, 300.0, 100.0, 500.0] * 2)

    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 4)
            self.s1, self.s2 = norse.LIF(p=norse.LIFParameters(tau_mem_inv=inverse)), norse.LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.s2(self.fc2(self.s1(self.fc1(x.unsqueeze(0).repeat(T, 1, 1)))[0]))[0]

    counted(seeded(Cells(), gain=20.0), images(3, 6))


@pytest.mark.parametrize("autapses", [False, True])
@pytest.mark.parametrize("kind", ["LIFRecurrentCell", "LIFRecurrent"])
def test_norse_that_takes_its_own_spikes(kind: str, *, autapses: bool) -> None:
    norse: Any = library("norse.torch")
    cell = getattr(norse, kind)

    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.s1, self.s2 = cell(6, 8, autapses=autapses), cell(8, 4, autapses=autapses)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if kind == "LIFRecurrent":
                return self.s2(self.s1(x.unsqueeze(0).repeat(T, 1, 1))[0])[0]
            first = second = None
            sent: list[torch.Tensor] = []
            for _ in range(T):
                spikes, first = self.s1(x, first)
                spikes, second = self.s2(spikes, second)
                sent.append(spikes)
            return torch.stack(sent)

    torch.manual_seed(3)
    module = Cells().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(16.0)
    counted(module, images(3, 6))


@pytest.mark.parametrize("kind", ["Synaptic", "RSynaptic", "thresholds", "betas"])
def test_what_came_in_runs_on_the_chip(kind: str) -> None:
    snntorch: Any = library("snntorch")
    options: dict[str, Any] = {"alpha": 0.5, "beta": 0.75}
    make = getattr(snntorch, kind, snntorch.Leaky)
    cells: list[Any] = []
    for n in (8, 4):
        own = {"threshold": torch.linspace(0.4, 1.7, n).double(), "beta": 0.5} if kind == "thresholds" else options
        own = {"beta": torch.tensor([0.5, 0.75] * 4) if n == 8 else 0.5} if kind == "betas" else own
        cells.append(make(**own, **({"linear_features": n} if kind == "RSynaptic" else {})))
    module = seeded(Loop(*cells), gain=2.0)
    deployed = compile_network(module, sample=images(3, 6), timesteps=T, calibration=images(32, 6))
    found = run(deployed, np.rint(images(16, 6, seed=5).numpy() * 255).astype(np.uint8), check=True)
    assert found.check is not None
    assert found.check.equal
    assert found.output_counts is not None
    assert found.output_counts.any()
