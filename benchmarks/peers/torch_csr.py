"""torch: sparse CSR times dense blocks in float32 (MKL where torch has it), and exact neurons."""

from __future__ import annotations

import warnings

from torch import Tensor

from ._torch import lif, runner, weights
from .case import HIDDEN, INPUTS, OUTPUTS, STEPS, Case, Run

SAMPLES = (1024, 512)
BLOCK = 64


def prepare(case: Case) -> Run:
    """Return what runs the case."""
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
    w1, w2 = weights(case.w1).to_sparse_csr(), weights(case.w2).to_sparse_csr()

    def block(x: Tensor) -> Tensor:
        lanes = x.permute(2, 0, 1).reshape(INPUTS, -1)
        hidden = lif((w1 @ lanes).reshape(HIDDEN, STEPS, -1).transpose(0, 1), case.vth1)
        lanes = hidden.transpose(0, 1).reshape(HIDDEN, -1)
        return lif((w2 @ lanes).reshape(OUTPUTS, STEPS, -1).transpose(0, 1), case.vth2)

    return runner(case, block, BLOCK)
