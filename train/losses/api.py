"""What a loss is: a function of a network's output  o[t, n, c],  the spikes of class c at step t, averaged over the class's output neurons.

A module in this folder has  build(options) -> Loss,  or LossOfSamples, and, if it has any,  Options, a frozen dataclass. An option called
`tet_lambda` is the setting of that name where no other value is given. Losses are means over samples, so that the loss of a batch is the
mean of its parts' losses weighted by their sizes: processes that train together rely on this.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol, cast

from torch import Tensor, nn

__all__ = ["Loss", "LossOfSamples", "RunLoss", "wide", "with_samples"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output (T, N, classes), labels int64 (N,)) -> scalar, in float32 or wider."""

LossOfSamples = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The same, with a third argument: the samples (N, *shape), or (N, T, *shape), as the network received them, in real values."""


class RunLoss(Protocol):
    """A loss as the training loop calls it, always with the samples; without them it can be called if it does not ask for them."""

    def __call__(self, output: Tensor, labels: Tensor, samples: Tensor | None = None, /) -> Tensor:
        """Return the mean over the samples of a batch."""
        ...


def with_samples(loss: Loss | LossOfSamples) -> RunLoss:
    """Return the loss as one that may be given the samples; it asks for them if three of its arguments have no default."""
    if _needs_samples(loss):
        return cast(RunLoss, loss)
    plain = cast(Loss, loss)
    return lambda output, labels, samples=None: plain(output, labels)


def _needs_samples(loss: Loss | LossOfSamples) -> bool:
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters.values()
    except (TypeError, ValueError):  # a function that is not written in Python
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty for p in positional) >= 3


def wide(output: Tensor) -> Tensor:
    """Return the output in float32 or wider: half precision is too coarse to average in."""
    return output if output.element_size() >= 4 else output.float()
