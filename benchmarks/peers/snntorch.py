"""snnTorch: Leaky neurons with a reset to zero in the same step, in float32."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor
from torch.nn.functional import linear

from ._torch import runner, weights
from .case import Case, Run

snntorch = importlib.import_module("snntorch")
SAMPLES = (1024, 1024)


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    w1, w2 = weights(case.w1), weights(case.w2)
    first, second = (
        snntorch.Leaky(beta=0.5, threshold=float(vth), reset_mechanism="zero", reset_delay=False) for vth in (case.vth1, case.vth2)
    )

    def block(x: Tensor) -> Tensor:
        sums, outputs = linear(x, w1), list[Tensor]()
        v1, v2 = torch.zeros_like(sums[0]), torch.zeros(x.shape[1], len(w2))
        for a in sums:
            hidden, v1 = first(a, v1)
            out, v2 = second(linear(hidden, w2), v2)
            outputs.append(out)
        return torch.stack(outputs)

    return runner(case, block)
