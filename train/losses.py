"""Losses on a network's output  o[t, n, c]:  the spikes of class c at step t, averaged over its votes (output neurons of the class).

    mse   mean_{n,c} (mean_t o - y)^2                                       y: the one-hot label
    ce    mean_n CE(mean_t o, y)                                            CE: softmax cross-entropy, in nats
    tet   mean_n [ (1 - l) mean_t CE(o[t], y) + l mean_{t,c} (o[t] - phi)^2 ]

mse is the rate loss of SpikingJelly's examples and of Grad R. tet is temporal efficient training (Deng et al., ICLR 2022,
arXiv 2202.11946): every step answers for the class, and the second term keeps single steps from running away. Each is the mean over
samples, so the loss of a batch is the mean of its parts' losses weighted by their sizes.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from .settings import LossName

__all__ = ["Loss", "build"]

Loss = Callable[[Tensor, Tensor], Tensor]
PHI = 1.0  # what tet's second term pulls every output to; the authors' choice: the threshold, 1 here


def build(name: LossName, tet_lambda: float) -> Loss:
    """Return the loss  (output (T, N, classes), labels int64 (N,)) -> scalar  in float32 or wider.

    Args:
        name: see above.
        tet_lambda: l above, 0..1; used by tet alone.
    """
    if name == "mse":
        return rate_mse
    if name == "ce":
        return rate_cross_entropy
    return lambda output, labels: temporal_efficient(output, labels, tet_lambda)


def rate_mse(output: Tensor, labels: Tensor) -> Tensor:
    """The mean squared distance between the output averaged over time and the one-hot label."""
    rates = _wide(output).mean(0)
    return mse_loss(rates, one_hot(labels, rates.shape[-1]).to(rates.dtype))


def rate_cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of the output averaged over time, taken as logits."""
    return cross_entropy(_wide(output).mean(0), labels)


def temporal_efficient(output: Tensor, labels: Tensor, weight: float) -> Tensor:
    """The cross-entropy of every step's output, averaged, and with `weight` its squared distance from `PHI`."""
    steps = _wide(output)
    every = cross_entropy(steps.flatten(0, 1), labels.repeat(steps.shape[0]))
    return (1.0 - weight) * every + weight * (steps - PHI).square().mean()


def _wide(output: Tensor) -> Tensor:
    """Half precision is too coarse to average in."""
    return output if output.element_size() >= 4 else output.float()
