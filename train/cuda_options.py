"""How a training run uses CUDA: the options `cuda.x`, checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import unknown_name

__all__ = ["CudaOptions"]

Graph = Literal["auto", "on", "off"]
Cudnn = Literal["benchmark", "deterministic", "plain"]


@dataclass(frozen=True)
class CudaOptions:
    """How CUDA is used; without effect on a CPU, except that `graph="on"` is refused there.

    Args:
        graph: whether a training step is recorded as one CUDA graph and repeated, which launches all its kernels at once. "auto": where the
            run allows it (see `step_graph.reason_against`); "on": refuse to train otherwise; "off": never.
        tf32: whether float32 products and convolutions may round their operands to TF32 (a mantissa of 10 bits), on GPUs that have it.
        cudnn: how cuDNN chooses its convolutions. "benchmark": the fastest of those tried; "deterministic": only those that give the same
            bits every time; "plain": by its own rules.
    """

    graph: Graph = "auto"
    tf32: bool = True
    cudnn: Cudnn = "benchmark"

    def __post_init__(self) -> None:
        for name, known in (("graph", get_args(Graph)), ("cudnn", get_args(Cudnn))):
            if getattr(self, name) not in known:
                raise unknown_name(f"cuda.{name}", str(getattr(self, name)), known)
