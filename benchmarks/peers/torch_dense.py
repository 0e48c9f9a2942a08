"""torch: dense float32 products of all steps at once, and exact neurons."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from ._torch import lif, runner, weights
from .case import Case, Run

SAMPLES = (2048, 2048)


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    w1, w2 = weights(case.w1), weights(case.w2)

    def block(x: Tensor) -> Tensor:
        return lif(linear(lif(linear(x, w1), case.vth1), w2), case.vth2)

    return runner(case, block)
