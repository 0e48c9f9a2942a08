"""A recorder for `step_graph` on the CPU: it repeats the recorded operations on the same memory, with the same numbers of the host, as a
CUDA graph does. What a graph would miss, it misses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Operation = tuple[Any, Any, Any, Any]


class Operations(TorchDispatchMode):
    """Does operations, and keeps them with their tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Operation] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func.namespace != "profiler":
            self.made.append((func, args, kwargs or {}, made))
        return made


def again(operations: list[Operation]) -> None:
    """Do operations once more, each into the memory of its first results."""
    with torch.no_grad():
        for func, args, kwargs, before in operations:
            now = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(now), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


class CpuRecorder:
    """Records operations of the CPU. Unlike a graph's, they are done while they are recorded: that once is undone."""

    def __init__(self, state: Callable[[], list[Tensor]]) -> None:
        self.state = state
        self.operations: list[list[Operation]] = []

    def warming(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        state = self.state()
        before, noise = [t.detach().clone() for t in state], torch.get_rng_state()
        with Operations() as watch:
            work()
        with torch.no_grad():
            for tensor, value in zip(state, before, strict=True):
                tensor.detach().copy_(value)
        torch.set_rng_state(noise)
        operations = watch.made
        self.operations.append(operations)
        return lambda: again(operations)
