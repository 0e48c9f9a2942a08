"""No pruning: Adam on all weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import UsageError
from ..layers import SpikingNetwork
from ..settings import TrainSettings
from ._base import Method


def build(model: SpikingNetwork, settings: TrainSettings) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: a sparsity above 0 was asked for.
    """
    if settings.sparsity > 0:
        raise UsageError(f"The method dense prunes nothing, but a sparsity of {settings.sparsity} was asked for. Try --method grad-r.")
    return Dense(model)


class Dense:
    """torch's Adam, fused."""

    def __init__(self, model: SpikingNetwork) -> None:
        self.weights = model.weights()
        self.adam = torch.optim.Adam(list(self.weights.values()), fused=True)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adam.zero_grad(set_to_none=True)

    def step(self, lr: float, progress: float) -> None:
        """Take one step of Adam."""
        self.adam.param_groups[0]["lr"] = lr
        self.adam.step()

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Nothing to bring about."""
        return {}

    def sparsity(self) -> float:
        """The share of weights that are zero."""
        return sum(int((w == 0).sum()) for w in self.weights.values()) / sum(w.numel() for w in self.weights.values())

    def is_final(self, progress: float) -> bool:
        """Every epoch's weights may be kept."""
        return True

    def freeze(self) -> None:
        """Nothing is rewired."""

    def state_tensors(self) -> dict[str, Tensor]:
        """The weights, Adam's moments and its step count."""
        tensors: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            state = self.adam.state.get(weight, {})
            tensors[f"{name}.weight"] = weight.detach()
            tensors |= {f"{name}.{key}": value for key, value in state.items() if isinstance(value, Tensor)}
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        for name, weight in self.weights.items():
            with torch.no_grad():
                weight.copy_(tensors[f"{name}.weight"])
            keys = ("step", "exp_avg", "exp_avg_sq")
            if f"{name}.step" in tensors:
                self.adam.state[weight] = {key: tensors[f"{name}.{key}"].clone() for key in keys}
