"""Grad R, gradient rewiring (Chen et al., IJCAI 2021, arXiv 2105.04916), with controlled sparsity.

    w = s max(theta, 0),   s = sign(w at the start), fixed;   dL/dtheta := s dL/dw  everywhere, so that a pruned synapse can regrow
    theta <- theta - lr_t s m / (sqrt(v_hat) + eps) - lr_t alpha sign(theta - mu),   lr_t = lr / (1 - beta1^t),   mu = ln(2 (1 - p)) / alpha

m and v are Adam's moments of dL/dw; the prior's step stands outside the adaptive denominator. A weight that is exactly 0 at the start,
as in a trained checkpoint, is a dead synapse like any other: its sign is drawn from the seed (in the paper's code it stays 0).

Open control is this rule, with a fixed alpha. In it no theta ever comes down to mu, so p has no effect: the prior is a constant
downward drift of every theta, and the sparsity follows from alpha times the sum of the learning rates.

Closed control, the default, chooses this drift. Every few steps the number of zeros is set to

    z(t) = z_0 + (z_S - z_0) (1 - (1 - t / r)^3)   for t < r,   z_S after,      t: the share of the float epochs done, r: `ramp`

with z_0 zeros at the start and z_S those requested. q is the z(t)-th smallest theta of all layers, in units of its layer's mean |w| at
the start (initial weights shrink with the fan-in; without the unit a layer of large fan-in beside one of small fan-in would be pruned
away entirely). If q > 0 every theta drifts by q units, live and pruned alike as under the prior, which leaves z(t) of them at or below 0
and keeps their order: a pruned synapse regrows when its gradient carries it past a live one. If too many are at or below 0, the largest
of those are lifted just above it, as the prior lifts a theta below mu; so is the largest of a layer that would die out. The number of
zeros is therefore the requested one, whatever the epochs, batches and learning rates. The alpha that would have caused the same drift is
logged.

Batch normalisation takes the scale of a channel's weights out of the loss, so no gradient restores what drift takes there: beside layers
without one such a layer may be pruned until hardly a weight is left, and first all but a few of its channels. Scaling a channel's live
weights changes nothing else, so with `rescale` (ours) their mean is set to the layer's mean |w| at the start before each correction.

The gradient has to restore what the survivors lose to the drift, so a training of a few hundred steps learns little at high
sparsity: take smaller batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ..flat import count_positive, largest_of, share_out, smallest_value
from ..optimiser_kernels import REWIRING
from ..random_numbers import signs_of
from ..subject import Goal, Prunable
from .api import JUST_LIVE, Method, Pruning, check_choice, check_flag, check_number, check_unused

MOST_SCALED = 2.0  # a channel is scaled by at most this in one correction: what has just come alive grows in some

Control = Literal["closed", "open"]


@dataclass(frozen=True)
class Options:
    """How the sparsity is reached.

    Args:
        control: "closed" reaches the requested sparsity; "open" is the paper's prior with a fixed `alpha`.
        alpha: the prior's strength under open control; the paper's is 1e-3.
        ramp: the share of the float epochs after which closed control holds the final sparsity.
        every: steps between two corrections of the sparsity.
        floor: the share of its Erdos-Renyi-kernel number of weights (`share_out`) that each layer keeps at least, 0..1, under closed
            control; 0: one weight.
        rescale: whether closed control scales channels with batch normalisation back to their layer's mean |w| at the start.
    """

    control: Control = "closed"
    alpha: float = 1e-3
    ramp: float = 0.5
    every: int = 10
    floor: float = 0.0
    rescale: bool = False

    def __post_init__(self) -> None:
        check_choice("control", self.control, get_args(Control))
        check_number("alpha", self.alpha, 0.0, 1e6, include_low=False)
        check_number("ramp", self.ramp, 0.0, 1.0, include_low=False)
        check_number("every", self.every, 1, 1_000_000, whole=True)
        check_number("floor", self.floor, 0.0, 1.0)
        check_flag("rescale", self.rescale)
        if self.control == "open":
            check_unused(self, ("ramp", "every", "floor", "rescale"), "control=open", "control=closed")
        else:
            check_unused(self, ("alpha",), "control=closed", "control=open")


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: open control with a sparsity below 0.5, for which mu is not defined; fewer live synapses than layers; or `rescale`
            where no layer stands right before a batch normalisation in training mode.
    """
    if options.rescale and not model.normalised():
        raise UsageError(
            "method.rescale is true, and no layer of this network stands right before a batch normalisation in training mode, so that "
            "there is no channel to scale. Leave it out, or call model.train() first."
        )
    return GradR(model, settings, options)


class GradR(Pruning):
    """Adam and rewiring in one pass over the weights.

    Attributes:
        theta: (M,); sign: int8 (M,), -1/+1; units: mean |w| at the start, by layer.
    """

    own_update = ""
    TENSORS: ClassVar[tuple[str, ...]] = ("theta", "sign", "mean", "square", "units")

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings)
        self.options, self.closed = options, options.control == "closed"
        self.alpha = 0.0 if self.closed else options.alpha
        self.mu = 0.0 if self.closed else self._location()
        initial = self.flat.values()
        self.sign = signs_of(initial, self.seed)
        if not self.closed:
            self.remedy = f"Lower method.alpha, {self.alpha:g} now, or train for fewer steps."
        self.theta = initial.abs()
        self.units = self.flat.units()
        shares = share_out(self.flat, self.size - self.ramped_zeros(1.0), "erk")
        self.floors = [max(1, int(options.floor * share)) for share in shares]
        self.drift = self.rates = 0.0

    def _location(self) -> float:
        if self.target < 0.5:
            raise UsageError(
                f"Open control needs a sparsity of at least 0.5, not {self.target}: the prior's location mu = ln(2 (1 - p)) / alpha "
                "would be above 0. Leave out method.control=open, or ask for 0.5 or more."
            )
        return math.log(2.0 * (1.0 - self.target)) / self.alpha

    def zeros_at(self, progress: float) -> int:
        """The number of weights that are to be zero at the share `progress` of the float epochs."""
        return self.ramped_zeros(1.0 - max(0.0, 1.0 - progress / self.options.ramp) ** 3)

    def prepare(self, lr: float, progress: float) -> None:
        """Set the numbers of Adam and of the prior."""
        adam = self.advance(lr)
        pull = 0.0 if self.frozen else adam[2] * self.alpha
        self.rates += adam[2]
        self.drift += pull
        self.set_scalars((*adam, pull, self.mu, JUST_LIVE))

    def update(self) -> None:
        """Take one step of Adam with the ungated gradient, and of the prior."""
        for layer in self.flat:
            values = layer.values()
            theta, sign, mean, square = self.state_of(layer, "theta", "sign", "mean", "square")
            REWIRING((theta, sign, values, layer.gradient(), mean, square), self.scalars[0], (self.frozen,))
            layer.put(values)

    def follow(self, progress: float) -> None:
        """Correct the sparsity every few steps."""
        self._correct(progress)

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move  sign theta  by the ungated gradient; then the prior."""
        self.flat.put(self.sign * self.theta)
        move()
        self.steps += 1
        pull = 0.0 if self.frozen else lr * self.alpha
        self.rates += lr
        self.drift += pull
        new = self.sign * self.flat.values() - pull * torch.sign(self.theta - self.mu)
        self.theta = torch.where(self.theta > 0, new.clamp(min=JUST_LIVE), self.theta) if self.frozen else new
        self._write_weights()
        self._correct(progress)

    def _correct(self, progress: float) -> None:
        if not self.frozen and self.steps % self.options.every == 0:
            self.control(progress)

    def control(self, progress: float) -> None:
        """Closed: let every theta drift until z(t) of them are at or below 0, or lift the largest of too many."""
        if not self.closed:
            return
        wanted, live = self.zeros_at(progress), self.flat.positive_by_layer(self.theta)
        dead = self.size - sum(live)
        enough = all(n >= least for n, least in zip(live, self.floors, strict=True))
        if dead == wanted and enough:
            return
        self._rescale()
        if not enough:
            self.theta.masked_fill_(torch.isinf(self._ranks()) & (self.theta <= 0), JUST_LIVE)
            dead = self.size - count_positive(self.theta)
        if dead < wanted:
            self._lower(wanted)
            dead = self.size - count_positive(self.theta)
        if dead > wanted:
            self.theta.masked_fill_(largest_of(self._ranks(), self.theta <= 0, dead - wanted), JUST_LIVE)
        self._write_weights()

    def _rescale(self) -> None:
        """Scale the live thetas of each channel before a normalisation so that their mean is the layer's mean |w| at the start.

        The running statistics follow: those of before would be wrong in evaluation.
        """
        free = self.model.normalised() if self.options.rescale else {}
        for i, layer in enumerate(self.flat):
            if layer.name in free:
                theta = self.theta[layer.part].view(layer.weight.shape[0], -1)
                live = (theta > 0).sum(1, keepdim=True)
                mean = theta.clamp(min=0).sum(1, keepdim=True) / live.clamp(min=1)
                factor = torch.where(live > 0, self.units[i] / mean, 1.0).clamp(1 / MOST_SCALED, MOST_SCALED)
                theta.copy_(torch.where(theta > 0, theta * factor, theta))
                op, norm = free[layer.name]
                _scale_statistics(op, norm, factor.view(-1))

    def _ranks(self) -> Tensor:
        """Theta in units of its layer, the best that each layer keeps above all others."""
        return self.flat.with_best_first(self.flat.scaled(self.theta, self.units), self.floors)

    def _lower(self, wanted: int) -> None:
        ranks = self._ranks()
        quantile = smallest_value(ranks, wanted)
        for i, layer in enumerate(self.flat):
            self.theta[layer.part] -= quantile * self.units[i]
        self.theta.masked_fill_((ranks <= quantile) & (self.theta > 0), 0)  # regardless of rounding
        self.theta.masked_fill_(torch.isinf(ranks) & (self.theta <= 0), JUST_LIVE)
        self.drift += float(quantile * self.units.mean())

    def _write_weights(self) -> None:
        self.flat.put(self.sign * self.theta.clamp(min=0))

    def numbers(self) -> dict[str, float]:
        """The drift since the last call, as alpha."""
        alpha = self.drift / self.rates if self.rates else 0.0
        self.drift = self.rates = 0.0
        return {"alpha": alpha}

    def restored(self) -> None:
        """Nothing has drifted yet."""
        self.drift = self.rates = 0.0

    def is_final(self, progress: float) -> bool:
        """Closed: the number of zeros is the requested one. Open: the float epochs are over."""
        if not self.closed or self.frozen:
            return self.frozen or progress >= 1.0
        return progress >= self.options.ramp and super().is_final(progress)

    def state_tensors(self) -> dict[str, Tensor]:
        """Theta, signs, Adam's moments and the step count; the weights follow from them."""
        return {name: tensor for name, tensor in super().state_tensors().items() if name != "weights"}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        super().load_state_tensors({"weights": tensors["sign"] * tensors["theta"].clamp(min=0), **tensors})


def _scale_statistics(op: nn.Module, norm: nn.Module, factor: Tensor) -> None:
    """Scale the running mean and variance of what the weights of `op` give, (channels,); its bias, part of the mean, is not scaled."""
    mean, variance, bias = (getattr(m, name, None) for m, name in ((norm, "running_mean"), (norm, "running_var"), (op, "bias")))
    if isinstance(mean, Tensor) and isinstance(variance, Tensor):
        still = bias.detach() if isinstance(bias, Tensor) else torch.zeros_like(mean)
        mean.copy_((mean - still) * factor + still)
        variance.mul_(factor * factor)
