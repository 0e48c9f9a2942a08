"""No pruning: Adam on all weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...errors import UsageError
from ..optimiser_kernels import MASKED
from ..subject import Goal, Prunable
from .api import JUST_LIVE, Method, Pruning, masked


@dataclass(frozen=True)
class Options:
    """There are no options."""


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: a sparsity above 0 was requested.
    """
    if settings.sparsity > 0:
        raise UsageError(f"The method dense prunes nothing, but a sparsity of {settings.sparsity} was asked for. Try --method grad-r.")
    return Dense(model, settings)


class Dense(Pruning):
    """Adam. Weights that are 0 at the start may grow; once frozen, weights that are 0 stay 0."""

    own_update = ""

    def __init__(self, model: Prunable, settings: Goal) -> None:
        super().__init__(model, settings)
        self.mask = torch.ones(self.size, dtype=torch.int8, device=self.flat.device)

    @property
    def settled(self) -> bool:
        """All synapses are alive."""
        return True

    def prepare(self, lr: float, progress: float) -> None:
        """Set Adam's numbers."""
        self.set_scalars((*self.advance(lr), JUST_LIVE if self.frozen else 0.0))

    def update(self) -> None:
        """Take one step of Adam."""
        for layer in self.flat:
            values = layer.values()
            mask, mean, square = self.state_of(layer, "mask", "mean", "square")
            MASKED((values, mask, layer.gradient(), mean, square), self.scalars[0])
            layer.put(values)

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move the weights."""
        before = self.flat.values().clone()
        move()
        self.steps += 1
        if self.frozen:
            self.flat.put(masked(before, self.flat.values(), self.mask > 0, JUST_LIVE))

    def is_final(self, progress: float) -> bool:
        """Every epoch's weights may be kept."""
        return True

    def freeze(self) -> None:
        """Dead synapses stay dead."""
        super().freeze()
        self.restored()

    def restored(self) -> None:
        """A frozen method's mask is that of its weights."""
        if self.frozen:
            self.mask = self.flat.alive().to(torch.int8)
