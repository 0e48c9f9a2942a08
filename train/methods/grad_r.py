"""Grad R, gradient rewiring (Chen et al., IJCAI 2021, arXiv 2105.04916), with the sparsity under control.

    w = s max(theta, 0),   s = sign(w at the start), fixed;   dL/dtheta := s dL/dw  everywhere, so that a pruned synapse can regrow
    theta <- theta - lr_t s m / (sqrt(v_hat) + eps) - lr_t alpha sign(theta - mu),   lr_t = lr / (1 - beta1^t),   mu = ln(2 (1 - p)) / alpha

m and v are Adam's moments of dL/dw; the prior's step stands outside the adaptive denominator.

Open control is that, with a fixed alpha. In it no theta ever comes down to mu, so that p decides nothing: the prior is a constant
downward drift of every theta, and the sparsity follows from alpha times the sum of the learning rates.

Closed control, the default, chooses that drift. Every few steps the sparsity shall be

    s(t) = S (1 - (1 - t / r)^3)   for t < r,   S after,      t: the share of the float epochs done, r: `ramp`

and q is the s(t)-quantile, over all layers, of theta in units of its layer's mean |w| at the start (initial weights shrink with the
fan-in; without the unit a layer of large fan-in beside one of small fan-in would be pruned away whole). If q > 0 every theta drifts
by q units, live and pruned alike as under the prior, which leaves s(t) of them at or below 0 and keeps their order: a pruned synapse
regrows when its gradient carries it past a live one. If too many are at or below 0, the largest of those are lifted just above
it, as the prior lifts a theta below mu. The number of zeros is therefore the one asked for, whatever the epochs, batches and learning
rates. The alpha that would have drifted as far is logged. What the survivors lose to the drift the gradient has to give back, so a
training of a few hundred steps learns little at high sparsity: take smaller batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UsageError
from .. import kernels
from ..layers import SpikingNetwork
from ..settings import TrainSettings
from ._base import Method

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
CONTROL_EVERY = 10  # steps between two corrections of the sparsity
JUST_LIVE = 1e-6  # theta of a lifted synapse, and the least theta of a live one once rewiring is frozen


def build(model: SpikingNetwork, settings: TrainSettings) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: open control with a sparsity below 0.5, for which mu is not defined; or fewer live synapses than layers.
    """
    return GradR(model, settings)


class GradR:
    """Adam and rewiring in one pass over the weights. The state of all layers lies in flat arrays, layer after layer."""

    def __init__(self, model: SpikingNetwork, settings: TrainSettings) -> None:
        self.weights = model.weights()
        self.size = sum(w.numel() for w in self.weights.values())
        self.target, self.ramp, self.closed = settings.sparsity, settings.ramp, settings.control == "closed"
        self.alpha = 0.0 if self.closed else settings.alpha
        self.mu = 0.0 if self.closed else self._location(settings)
        if self.closed and self.size - self.zeros_at(1.0) < len(self.weights):
            raise UsageError(
                f"A sparsity of {settings.sparsity} leaves {self.size - self.zeros_at(1.0)} of {self.size} synapses, fewer than the "
                f"{len(self.weights)} layers need to stay connected. Ask for a lower sparsity or more hidden neurons."
            )
        initial = np.concatenate([w.detach().numpy().ravel() for w in self.weights.values()])
        self.sign = np.where(initial < 0, -1, 1).astype(np.int8)  # a weight of exactly 0 may grow too
        self.theta = np.abs(initial)
        self._set_units(np.array([float(w.detach().abs().mean()) or 1.0 for w in self.weights.values()], self.theta.dtype))
        self.mean, self.square = np.zeros_like(self.theta), np.zeros_like(self.theta)
        self.steps, self.frozen = 0, False
        self._begin_epoch()

    @staticmethod
    def _location(settings: TrainSettings) -> float:
        if settings.sparsity < 0.5:
            raise UsageError(
                f"Open control needs a sparsity of at least 0.5, not {settings.sparsity}: the prior's location mu = ln(2 (1 - p)) / alpha "
                "would be above 0. Leave out --control open, or ask for 0.5 or more."
            )
        return math.log(2.0 * (1.0 - settings.sparsity)) / settings.alpha

    def _set_units(self, units: NDArray[Any]) -> None:
        self.units = units
        self.unit = np.repeat(units, [w.numel() for w in self.weights.values()])

    def _begin_epoch(self) -> None:
        self.drift, self.rates = 0.0, 0.0
        self.alive = self.theta > 0

    def zeros_at(self, progress: float) -> int:
        """The number of weights that shall be zero when the share `progress` of the float epochs is done."""
        remaining = max(0.0, 1.0 - progress / self.ramp)
        return round(self.target * (1.0 - remaining**3) * self.size)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    def step(self, lr: float, progress: float) -> None:
        """Take one step of Adam with the ungated gradient and the prior; correct the sparsity every few steps."""
        self.steps += 1
        rate = lr / (1.0 - BETA1**self.steps)
        root = math.sqrt(1.0 - BETA2**self.steps)
        pull = rate * self.alpha
        self.rates += rate
        self.drift += 0.0 if self.frozen else pull
        kind = self.theta.dtype.type
        scalars = [kind(v) for v in (BETA1, BETA2, rate, root, EPS, 0.0 if self.frozen else pull, self.mu, JUST_LIVE)]
        update: Any = kernels.rewiring_adam
        for weight, part in self._parts():
            grad = cast(Tensor, weight.grad).contiguous().view(-1).numpy()
            state = (self.theta[part], self.sign[part], _flat(weight), grad, self.mean[part], self.square[part])
            update(*state, *scalars, self.frozen)
        if self.closed and not self.frozen and self.steps % CONTROL_EVERY == 0:
            self._control(progress)

    def _parts(self) -> list[tuple[Any, slice]]:
        ends = np.cumsum([w.numel() for w in self.weights.values()])
        return [(w, slice(int(end) - w.numel(), int(end))) for w, end in zip(self.weights.values(), ends, strict=True)]

    def _control(self, progress: float) -> None:
        wanted = self.zeros_at(progress)
        dead = int(np.count_nonzero(self.theta <= 0))
        if dead == wanted:
            return
        if dead < wanted:
            scaled = self.theta / self.unit
            quantile = np.partition(scaled, wanted - 1)[wanted - 1]
            lowest = scaled <= quantile
            self.theta -= quantile * self.unit
            self.theta[lowest] = np.minimum(self.theta[lowest], 0)  # whatever the rounding
            self.drift += float(quantile * self.units.mean())
            dead = int(np.count_nonzero(self.theta <= 0))
        if dead > wanted:
            candidates = np.flatnonzero(self.theta <= 0)
            best = np.argpartition(self.theta[candidates] / self.unit[candidates], wanted)[wanted:]
            self.theta[candidates[best]] = JUST_LIVE
        self._write_weights()

    def _write_weights(self) -> None:
        for weight, part in self._parts():
            _flat(weight)[:] = self.sign[part] * np.maximum(self.theta[part], 0)

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Correct the sparsity; return the drift as alpha, and the synapses pruned and regrown, since the last call."""
        if self.closed and not self.frozen:
            self._control(progress)
        alive = self.theta > 0
        numbers = {
            "alpha": self.drift / self.rates if self.rates else 0.0,
            "pruned": float(np.count_nonzero(self.alive & ~alive)),
            "regrown": float(np.count_nonzero(alive & ~self.alive)),
        }
        self._begin_epoch()
        if progress >= self.ramp:
            self._check_layers()
        return numbers

    def _check_layers(self) -> None:
        for name, weight in self.weights.items():
            if not bool((weight != 0).any()):
                raise UsageError(
                    f"At a sparsity of {self.sparsity():.4f} the layer {name} ({weight.shape[1]} -> {weight.shape[0]}) has no live synapse "
                    "left, so nothing reaches the output. Ask for a lower sparsity, more epochs or more hidden neurons."
                )

    def sparsity(self) -> float:
        """The share of weights that are zero."""
        return int(np.count_nonzero(self.theta <= 0)) / self.size

    def is_final(self, progress: float) -> bool:
        """Closed: the number of zeros is the one asked for. Open: the float epochs are over."""
        if not self.closed or self.frozen:
            return self.frozen or progress >= 1.0
        return progress >= self.ramp and int(np.count_nonzero(self.theta <= 0)) == self.zeros_at(1.0)

    def freeze(self) -> None:
        """Stop rewiring: dead synapses stay dead, live ones alive."""
        self.frozen = True

    def state_tensors(self) -> dict[str, Tensor]:
        """Theta, signs, Adam's moments and the step count; the weights follow from them."""
        arrays: dict[str, NDArray[Any]] = {"theta": self.theta, "sign": self.sign, "mean": self.mean, "square": self.square}
        arrays["units"] = self.units
        return {name: torch.from_numpy(a) for name, a in arrays.items()} | {"steps": torch.tensor(self.steps)}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        for name in ("theta", "sign", "mean", "square"):
            array = tensors[name].numpy()
            if array.shape != (self.size,):
                raise ValueError(f"{name} has shape {array.shape}, not {(self.size,)}")
            setattr(self, name, array.copy())
        if tensors["units"].shape != (len(self.weights),):
            raise ValueError(f"units has shape {tuple(tensors['units'].shape)}, not {(len(self.weights),)}")
        self._set_units(tensors["units"].numpy().copy())
        self.steps = int(tensors["steps"])
        self._begin_epoch()
        self._write_weights()


def _flat(weight: Tensor) -> NDArray[Any]:
    return weight.detach().view(-1).numpy()
