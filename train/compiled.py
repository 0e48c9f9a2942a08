"""torch.compile around a network, with its failures reported in one line."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import SpikeloomError
from .model import Model

__all__ = ["compiled"]


def compiled(model: Model) -> Callable[[Tensor], Tensor]:
    """Return  x -> model(x)  run by torch.compile: the same parameters, the same buffers.

    The forward pass is one graph, and so is the backward pass: the CPU's fused neuron (`neurons.FusedLIFNode`), machine code already, is an
    operation in it.

    Raises:
        SpikeloomError: at the first call: no compiler, or an unsupported operation.
    """
    from torch._dynamo.exc import TorchDynamoException

    run = torch.compile(model)

    def call(x: Tensor) -> Tensor:
        try:
            return run(x)
        except TorchDynamoException as error:
            said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2]) or type(error).__name__
            raise SpikeloomError(f"torch.compile could not build the training step: {said} Leave out --compile.") from error

    return call
