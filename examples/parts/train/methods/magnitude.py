"""Gradual magnitude pruning (Zhu and Gupta, 2017), as a pruning rule of one's own.

    z(t) = z_S + (z_0 - z_S) (1 - t / r)^3   for t < r,   z_S after,     t: the share of the float epochs done, r: `ramp`

The z(t) smallest |w| of all layers, in units of each layer's mean |w|, are zero and stay so. The paper gives each layer the same
sparsity; here the layers share one threshold in those units, and each keeps its largest weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from spikeloom.train.methods.api import JUST_LIVE, MASKED, Goal, Prunable, Pruning, check_number, largest


@dataclass(frozen=True)
class Options:
    """How fast synapses go.

    Args:
        ramp: the share of the float epochs in which they do.
    """

    ramp: float = 0.5

    def __post_init__(self) -> None:
        check_number("ramp", self.ramp, 0.0, 1.0, include_low=False)


def build(model: Prunable, settings: Goal, options: Options) -> Magnitude:
    """Build the method for `model`."""
    return Magnitude(model, settings, options)


class Magnitude(Pruning):
    """Adam under a mask that loses its smallest weights after every epoch."""

    TENSORS: ClassVar[tuple[str, ...]] = ("mask", "mean", "square")

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings)
        self.ramp = options.ramp
        self.mask = self.alive.to(torch.int8)

    def step(self, lr: float, progress: float) -> None:
        """Take one step of Adam on the weights that are left."""
        adam = self.advance(lr)
        for layer in self.flat:
            values = layer.values()
            mask, mean, square = self.state_of(layer, "mask", "mean", "square")
            MASKED((values, mask, layer.gradient(), mean, square), (*adam, JUST_LIVE))
            layer.put(values)

    def control(self, progress: float) -> None:
        """Set the smallest weights to zero, as many as the ramp asks for now."""
        left = max(0.0, 1.0 - progress / self.ramp)
        kept = self.size - self.ramped_zeros(1.0 - left**3)
        sizes = self.flat.with_best_first(self.flat.scaled(self.flat.values().abs(), self.flat.units()))
        chosen = largest(sizes, kept) & (self.mask > 0)
        self.mask = chosen.to(torch.int8)
        self.flat.put(torch.where(chosen, self.flat.values(), 0))
