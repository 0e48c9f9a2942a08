"""Modules of snnTorch and Norse as networks. Both are used where the user has them; without, these tests skip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from extras import library
from modulegen import T, images, seeded
from spikeloom.errors import NetworkError
from spikeloom.formats.torch import read_module
from spikeloom.formats.torch.module import proven
from spikeloom.network import reference
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
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_snntorch(kind: str, options: dict[str, Any], *, hidden: bool) -> None:
    snntorch: Any = library("snntorch")
    cell = getattr(snntorch, kind)
    sizes = [{"linear_features": n} if "linear_features" in options else {} for n in (8, 4)]
    module = Loop(*(cell(**(options | size), init_hidden=hidden) for size in sizes), hidden=hidden)
    counted(seeded(module, gain=2.0), images(3, 6))


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
