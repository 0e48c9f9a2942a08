"""STDS, state transition of dendritic spines (Chen et al., ICML 2022).

    w = sign(theta) max(|theta| - d, 0);   dL/dtheta := dL/dw  everywhere (straight through), Adam on theta
    d(t) = D (1 + sin(pi (t / r - 1/2))) / 2   for t < r,   D after,     t: the share of the float epochs done, r: `ramp`

A synapse with |theta| <= d is a filopodium: it has no weight but keeps learning, and becomes a spine, of either sign, once |theta|
exceeds d. The schedule is the paper's sine.

Open control is this rule, with a fixed final d (the paper's are 1 to 5 on CIFAR-10, with r = 1); the sparsity follows.

Closed control, the default, lets the number of zeros follow the sine instead,

    z(t) = z_0 + (z_S - z_0) (1 + sin(pi (t / r - 1/2))) / 2,      z_0 zeros at the start, z_S those requested

and every few steps sets d to the z(t)-th smallest |theta| of all layers, in units of the layer's mean |w| at the start, so that d differs
between layers as their initial weights do (one d for all would, in a short training, prune a layer of large fan-in away entirely). Each
layer keeps its largest |theta|, so that none falls silent. Where ties or rounding would give another number of zeros, the |theta| at the
boundary move by 1e-6. r is 0.5 by default, so that the final sparsity holds for half of the training, whose best epoch can be kept.

A start from trained weights that hold zeros has d = one unit at once and theta = w + sign(w) d, so that w does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..flat import largest, smallest_value
from ..optimiser_kernels import SOFT_THRESHOLD
from ..subject import Goal, Prunable
from .api import JUST_LIVE, Method, Pruning, check_choice, check_number, check_unused

Control = Literal["closed", "open"]


@dataclass(frozen=True)
class Options:
    """How the threshold d rises.

    Args:
        control: "closed" reaches the requested sparsity; "open" is the paper's, with a fixed final `width`.
        width: D under open control.
        ramp: the share of the float epochs in which d rises; the paper's is 1.
        every: steps between two choices of d under closed control.
    """

    control: Control = "closed"
    width: float = 1.0
    ramp: float = 0.5
    every: int = 10

    def __post_init__(self) -> None:
        check_choice("control", self.control, get_args(Control))
        check_number("width", self.width, 0.0, 1e3, include_low=False)
        check_number("ramp", self.ramp, 0.0, 1.0, include_low=False)
        check_number("every", self.every, 1, 1_000_000, whole=True)
        if self.control == "open":
            check_unused(self, ("every",), "control=open", "control=closed")
        else:
            check_unused(self, ("width",), "control=closed", "control=open")


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: fewer live synapses than layers.
    """
    return STDS(model, settings, options)


def sine(share: float) -> float:
    """The schedule: 0..1 as `share` goes from 0 to 1, 1 after."""
    return (1.0 + math.sin(math.pi * (min(share, 1.0) - 0.5))) / 2.0


class STDS(Pruning):
    """A soft threshold that rises.

    Attributes:
        theta: (M,); units: mean |w| at the start, by layer; widths: d, by layer.
    """

    own_update = ""
    TENSORS: ClassVar[tuple[str, ...]] = ("theta", "mean", "square", "units", "widths")

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings)
        self.options, self.closed = options, options.control == "closed"
        if not self.closed:
            self.remedy = f"Lower method.width, {options.width:g} now."
        self.units = self.flat.units()
        begun = self.closed and self.zeros_at_start > 0
        self.widths = self.units.clone() if begun else torch.zeros_like(self.units)
        initial = self.flat.values()
        self.theta = initial + torch.sign(initial) * self.flat.spread(self.widths)

    def zeros_at(self, progress: float) -> int:
        """The number of weights that are to be zero at the share `progress` of the float epochs, under closed control."""
        return self.ramped_zeros(sine(progress / self.options.ramp))

    def thresholds(self) -> Tensor:
        """Return d and the least weight of a live synapse by layer, that by which |theta| can exceed d in its precision: float64 (L, 2)."""
        widths = self.widths.double()
        return torch.stack([widths, (1e-6 * widths).clamp(min=JUST_LIVE)], 1)

    def prepare(self, lr: float, progress: float) -> None:
        """Set Adam's numbers; move d."""
        self.set_scalars(self.advance(lr))
        self._widen(progress)

    def _rows(self) -> Sequence[Sequence[float]] | Tensor:
        """Return the kernel's numbers by layer."""
        if isinstance(self.scalars, Tensor):
            return torch.cat([self.scalars.expand(len(self.flat), -1), self.thresholds().to(self.flat.dtype)], 1)
        return [(*self.scalars[0], width, floor) for width, floor in self.thresholds().tolist()]

    def update(self) -> None:
        """Take one step of Adam on theta."""
        for layer, numbers in zip(self.flat, self._rows(), strict=True):
            values = layer.values()
            theta, mean, square = self.state_of(layer, "theta", "mean", "square")
            SOFT_THRESHOLD((theta, values, layer.gradient(), mean, square), numbers, (self.frozen,))
            layer.put(values)

    def follow(self, progress: float) -> None:
        """Choose d anew every few steps."""
        self._correct(progress)

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move theta; move d."""
        self.flat.put(self.theta)
        move()
        self.steps += 1
        self._widen(progress)
        new = self.flat.values().clone()
        if self.frozen:
            for layer, (width, floor) in zip(self.flat, self.thresholds(), strict=True):
                old, own = self.theta[layer.part], new[layer.part]
                low = torch.where(old < -width, own.clamp(max=-width - floor), old)
                new[layer.part] = torch.where(old > width, own.clamp(min=width + floor), low)
        self.theta = new
        self._write_weights()
        self._correct(progress)

    def _widen(self, progress: float) -> None:
        if not self.closed and not self.frozen:
            self.widths.fill_(self.options.width * sine(progress / self.options.ramp))

    def _correct(self, progress: float) -> None:
        if not self.frozen and self.steps % self.options.every == 0:
            self.control(progress)

    def control(self, progress: float) -> None:
        """Closed: choose d so that z(t) weights are zero."""
        wanted = self.zeros_at(progress)
        if not self.closed:
            return
        live = self.flat.alive_by_layer()
        if self.size - sum(live) == wanted and all(live):
            return
        scaled = self.flat.with_best_first(self.flat.scaled(self.theta.abs(), self.units))
        spines = largest(scaled, self.size - wanted)
        self.widths.copy_(self.units * smallest_value(scaled, wanted) if wanted else torch.zeros_like(self.units))
        for layer, (width, floor) in zip(self.flat, self.thresholds(), strict=True):
            self._settle(self.theta[layer.part], spines[layer.part], width, floor)
        self._write_weights()

    @staticmethod
    def _settle(theta: Tensor, spines: Tensor, width: Tensor, floor: Tensor) -> None:
        """Bring |theta| above d for spines and to d or below for all others, whatever the rounding."""
        size = theta.abs()
        size = torch.where(spines, size.clamp(min=width + floor), size.clamp(max=width))
        theta.copy_(torch.where(theta < 0, -size, size))

    def _write_weights(self) -> None:
        wide = self.flat.spread(self.widths)
        self.flat.put(torch.sign(self.theta) * (self.theta.abs() - wide).clamp(min=0))

    def numbers(self) -> dict[str, float]:
        """The mean d over the layers."""
        return {"width": float(self.widths.mean())}

    def is_final(self, progress: float) -> bool:
        """Closed: the number of zeros is the requested one. Open: d has its final value."""
        if not self.closed or self.frozen:
            return self.frozen or progress >= self.options.ramp
        return progress >= self.options.ramp and super().is_final(progress)
