"""Norse: LIFBox cells, which add half of what arrives to half of the potential (so weights are doubled), in float32."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor
from torch.nn.functional import linear

from ._torch import runner, weights
from .case import Case, Run

box = importlib.import_module("norse.torch.functional.lif_box")
SAMPLES = (1024, 1024)


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    w1, w2 = weights(case.w1, 2.0), weights(case.w2, 2.0)
    first, second = (
        box.LIFBoxParameters(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(float(vth)), torch.tensor(0.0), "heaviside")
        for vth in (case.vth1, case.vth2)
    )

    def block(x: Tensor) -> Tensor:
        sums, outputs = linear(x, w1), list[Tensor]()
        state1 = box.LIFBoxFeedForwardState(torch.zeros_like(sums[0]))
        state2 = box.LIFBoxFeedForwardState(torch.zeros(x.shape[1], len(w2)))
        for a in sums:
            hidden, state1 = box.lif_box_feed_forward_step(a, state1, first, 0.5)
            out, state2 = box.lif_box_feed_forward_step(linear(hidden, w2), state2, second, 0.5)
            outputs.append(out)
        return torch.stack(outputs)

    return runner(case, block)
