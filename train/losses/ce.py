"""mean_n CE(s mean_t o, y),  CE: softmax cross-entropy, in nats;  s: `scale`.

Rates lie in 0..1, so with a scale of 1 the probability of a class cannot exceed  e / (e + classes - 1),  0.23 of ten, and the loss never
comes near 0: it keeps pulling at samples that are classified well. A scale of some 10 lets it end there.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from ..settings import check_real
from .api import Loss, wide


@dataclass(frozen=True)
class Options:
    """How rates become logits.

    Args:
        scale: s above, 0 < scale <= 1000; 1 takes rates as they are.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_real("scale", self.scale, 0.0, 1000.0, "0 < scale <= 1000", include_low=False)


def build(options: Options) -> Loss:
    """Return the loss."""
    return lambda output, labels: rate_cross_entropy(output, labels, options.scale)


def rate_cross_entropy(output: Tensor, labels: Tensor, scale: float = 1.0) -> Tensor:
    """The cross-entropy of the output averaged over time, times `scale`, taken as logits."""
    return cross_entropy(wide(output).mean(0) * scale, labels)
