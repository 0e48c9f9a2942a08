"""What `train_speed.py` compares with: the same networks trained as SpikingJelly's documentation, and as Grad R's authors, write it.

`PlainLoop`: SpikingJelly's multi-step mode over [T, N, ...], torch's Adam. `ReferenceLoop`: one time step after the other, the
first convolution computed once (of a fully connected network, nothing), and an optimiser that walks over the parameters one by one
in Python, an Adam step and the Grad R prior each, as the published code is organised. Both are our own writing of that organisation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

__all__ = ["PlainLoop", "ReferenceLoop", "stages"]

BETA1, BETA2, EPS, ALPHA, MU = 0.9, 0.999, 1e-8, 1e-3, -10.0


def _lif() -> neuron.LIFNode:
    return neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [layer.Conv2d(inputs, outputs, 3, padding=1, bias=False), layer.BatchNorm2d(outputs)]


def stages(net: str, shape: tuple[int, ...], classes: int, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return a network in two parts: what takes the static sample, and what takes spikes.

    Args:
        net: fc or 6conv2fc.
        shape: of a sample.
        classes: output neurons; 6conv2fc has ten a class.
        width: hidden neurons of fc, channels of 6conv2fc.
    """
    if net == "fc":
        first = layer.Linear(math.prod(shape), width, bias=False)
        return nn.Sequential(layer.Flatten()), nn.Sequential(first, _lif(), layer.Linear(width, classes, bias=False), _lif())
    channels, height, columns = shape
    rest: list[nn.Module] = [_lif()]
    for _ in range(2):
        rest += [*_conv(width, width), _lif()]
    rest.append(layer.MaxPool2d(2))
    for _ in range(3):
        rest += [*_conv(width, width), _lif()]
    rest += [layer.MaxPool2d(2), layer.Flatten(), layer.Dropout(0.5)]
    rest += [layer.Linear(width * (height // 4) * (columns // 4), width * 8, bias=False), _lif()]
    rest += [layer.Linear(width * 8, classes * 10, bias=False), _lif(), layer.VotingLayer(10)]
    return nn.Sequential(*_conv(channels, width)), nn.Sequential(*rest)


class PlainLoop:
    """Multi-step mode; the sample stands at every time step, and torch's Adam updates the weights."""

    def __init__(
        self, parts: tuple[nn.Sequential, nn.Sequential], timesteps: int, classes: int, device: str, *, compiled: bool = False
    ) -> None:
        self.net = nn.Sequential(*parts).to(device)
        functional.set_step_mode(self.net, "m")
        self.timesteps, self.classes = timesteps, classes
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """Take one training step; return the loss."""
        self.adam.zero_grad()
        loss = self.loss(x, labels)
        loss.backward()
        self.adam.step()
        functional.reset_net(self.net)
        return loss

    def _loss(self, x: Tensor, labels: Tensor) -> Tensor:
        rates = self.net(x.unsqueeze(0).repeat(self.timesteps, *[1] * x.dim())).mean(0)
        return _mse(rates, labels, self.classes)


class ReferenceLoop:
    """Single-step mode in a Python loop over T; Adam and rewiring by a Python loop over the parameters."""

    def __init__(self, parts: tuple[nn.Sequential, nn.Sequential], timesteps: int, classes: int, device: str) -> None:
        self.first, self.rest = parts[0].to(device), parts[1].to(device)
        for part in (self.first, self.rest):
            functional.set_step_mode(part, "s")
        self.timesteps, self.classes = timesteps, classes
        self.parameters = [*self.first.parameters(), *self.rest.parameters()]
        self.state: dict[int, dict[str, Any]] = {}

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """Take one training step; return the loss."""
        for parameter in self.parameters:
            parameter.grad = None
        static = self.first(x)
        rates = torch.stack([self.rest(static) for _ in range(self.timesteps)]).mean(0)
        loss = _mse(rates, labels, self.classes)
        loss.backward()
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters):
                self._update(index, parameter)
        functional.reset_net(self.rest)
        return loss

    def _update(self, index: int, weight: Tensor) -> None:
        grad = weight.grad
        if grad is None:
            return
        if index not in self.state:
            zeros = {name: torch.zeros_like(weight) for name in ("m", "v")}
            self.state[index] = zeros | {"step": 0, "sign": torch.sign(weight), "theta": weight.abs()}
        state = self.state[index]
        state["step"] += 1
        m, v, theta, sign = state["m"], state["v"], state["theta"], state["sign"]
        m.mul_(BETA1).add_(grad, alpha=1 - BETA1)
        v.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
        rate = 1e-3 / (1 - BETA1 ** state["step"])
        root = (v / (1 - BETA2 ** state["step"])).sqrt_().add_(EPS)
        if weight.dim() == 1:  # of a normalisation layer: plain Adam
            weight.addcdiv_(m, root, value=-rate)
            return
        theta.sub_(sign * m / root, alpha=rate)
        theta.sub_(torch.sign(theta - MU), alpha=rate * ALPHA)
        weight.copy_(sign * theta.clamp(min=0))


def _mse(rates: Tensor, labels: Tensor, classes: int) -> Tensor:
    return nn.functional.mse_loss(rates, nn.functional.one_hot(labels, classes).to(rates.dtype))
