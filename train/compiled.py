"""torch.compile around a network, with its failures reported in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import SpikeloomError
from .model import Model

__all__ = ["compiled"]


def compiled(model: Model) -> Callable[[Tensor], Tensor]:
    """Return  x -> model(x)  run by torch.compile: the same parameters, the same buffers.

    The CPU's fused neuron (`neurons.FusedLIFNode`) is machine code already: torch.compile works on everything in between.

    Raises:
        SpikeloomError: at the first call: no compiler, or an unsupported operation.
    """
    from torch._dynamo import trace_rules
    from torch._dynamo.exc import TorchDynamoException

    cast(Any, trace_rules).add("numba")  # do not look inside Numba's dispatcher
    run = torch.compile(model)

    def call(x: Tensor) -> Tensor:
        try:
            return run(x)
        except TorchDynamoException as error:
            said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2]) or type(error).__name__
            raise SpikeloomError(f"torch.compile could not build the training step: {said} Leave out --compile.") from error

    return call
