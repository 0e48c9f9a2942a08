"""mean_{n,c} (mean_t o - y)^2,  y: the one-hot label. The rate loss of SpikingJelly's examples and of Grad R."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import mse_loss, one_hot

from .api import Loss, wide


def build(options: None) -> Loss:
    """Return the loss."""
    return rate_mse


def rate_mse(output: Tensor, labels: Tensor) -> Tensor:
    """The mean squared distance between the output averaged over time and the one-hot label."""
    rates = wide(output).mean(0)
    return mse_loss(rates, one_hot(labels, rates.shape[-1]).to(rates.dtype))
