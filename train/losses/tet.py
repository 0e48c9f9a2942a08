"""Temporal efficient training (Deng et al., ICLR 2022, arXiv 2202.11946).

    mean_n [ (1 - l) mean_t CE(o[t], y) + l mean_{t,c} (o[t] - phi)^2 ]

Every step predicts the class, and the second term keeps single steps from running away.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from ..settings import check_real
from .api import Loss, wide

PHI = 1.0  # the target of every output in the second term; the authors' choice: the threshold, 1 here


@dataclass(frozen=True)
class Options:
    """The weights of the two terms.

    Args:
        tet_lambda: l above, 0..1; 1e-3 is what published scripts that use it start from.
    """

    tet_lambda: float = 1e-3

    def __post_init__(self) -> None:
        check_real("tet_lambda", self.tet_lambda, 0.0, 1.0, "0 <= tet_lambda <= 1")


def build(options: Options) -> Loss:
    """Return the loss."""
    return lambda output, labels: temporal_efficient(output, labels, options.tet_lambda)


def temporal_efficient(output: Tensor, labels: Tensor, weight: float) -> Tensor:
    """The cross-entropy of every step's output, averaged, and with `weight` its squared distance from `PHI`."""
    steps = wide(output)
    every = cross_entropy(steps.flatten(0, 1), labels.repeat(steps.shape[0]))
    return (1.0 - weight) * every + weight * (steps - PHI).square().mean()
