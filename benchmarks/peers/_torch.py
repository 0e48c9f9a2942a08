"""What the engines on torch share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .case import Case, Outcome, Run

BLOCK = 256  # samples side by side


def weights(array: np.ndarray, factor: float = 1.0) -> Tensor:
    """Return integer weights as float32."""
    return torch.from_numpy(array.astype(np.float32) * np.float32(factor))


def runner(case: Case, block: Callable[[Tensor], Tensor], side_by_side: int = BLOCK) -> Run:
    """Return what runs blocks of samples; `block` takes events (steps, samples, inputs) as float32 and returns the output's spikes."""
    torch.set_num_threads(1)
    events = torch.from_numpy(case.events)

    def run() -> Outcome:
        spikes = 0
        with torch.inference_mode():
            for start in range(0, case.samples, side_by_side):
                x = events[start : start + side_by_side].transpose(0, 1).to(torch.float32)
                spikes += int(block(x).sum())
        return Outcome(spikes)

    return run


def lif(sums: Tensor, vth: int) -> Tensor:
    """Run exact LIF neurons over time; `sums`: (steps, ...) in float32, whose integers of 24 bits are exact; written over by spikes."""
    v = torch.zeros_like(sums[0])
    for a in sums.mul_(64.0):
        v.mul_(0.5).trunc_().add_(a)
        torch.gt(v, 64.0 * vth, out=a)
        v.addcmul_(v, a, value=-1.0)
    return sums
