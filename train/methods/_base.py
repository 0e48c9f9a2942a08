"""What a training method offers: an optimiser that also decides which synapses live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Method(Protocol):
    """Owns the weights of a network while it trains.

    A module in this folder has  build(model, settings) -> Method.
    """

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def step(self, lr: float, progress: float) -> None:
        """Update the weights from their gradients.

        Args:
            lr: the learning rate of this step.
            progress: the share of the float stage that is done, 0..1.
        """
        ...

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Bring the sparsity to what it shall be now; return numbers for the log, counted since the last call.

        Raises:
            UsageError: a layer has no live synapse left.
        """
        ...

    def sparsity(self) -> float:
        """The share of weights that are zero."""
        ...

    def is_final(self, progress: float) -> bool:
        """Whether the sparsity is the one asked for, so that this epoch's weights may be kept."""
        ...

    def freeze(self) -> None:
        """Stop rewiring: dead synapses stay dead, live ones alive."""
        ...

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that continues training to the same bits, the weights included."""
        ...

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        ...
