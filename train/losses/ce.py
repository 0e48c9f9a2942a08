"""mean_n CE(mean_t o, y),  CE: softmax cross-entropy, in nats."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from .api import Loss, wide


def build(options: None) -> Loss:
    """Return the loss."""
    return rate_cross_entropy


def rate_cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of the output averaged over time, taken as logits."""
    return cross_entropy(wide(output).mean(0), labels)
