"""What a loss is: a function of a network's output  o[t, n, c],  the spikes of class c at step t, averaged over the class's output neurons.

A module in this folder has  build(options) -> Loss  and, if it has any,  Options, a frozen dataclass. An option called `tet_lambda` is the
setting of that name where no other value is given. Losses are means over samples, so that the loss of a batch is the mean of its parts'
losses weighted by their sizes: processes that train together rely on this.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["Loss", "wide"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(output (T, N, classes), labels int64 (N,)) -> scalar, in float32 or wider."""


def wide(output: Tensor) -> Tensor:
    """Return the output in float32 or wider: half precision is too coarse to average in."""
    return output if output.element_size() >= 4 else output.float()
