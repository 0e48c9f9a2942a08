"""A training step recorded once and repeated: on CUDA as one graph, whose kernels the host launches all at once.

A step has three parts. The host sets its numbers (`prepare`: learning rate, Adam's corrections, noise), in tensors whose memory stays. The
device computes: loss, gradients, the method's `update` and Adam's on the other parameters. Then the host may correct the sparsity
(`follow`). Only the second part is recorded. It can be, because it depends on the host for nothing: it takes no number from the device,
its shapes are those of the batch, and it reads and writes the same memory each time. `tests/train/test_meta_device.py` holds every method
and network to that, and `tests/train/test_step_graph.py` repeats recorded steps on the CPU, to the bits of a training without.

The first steps of a run, and the first after the method's `form` has changed, run as they are: they compile kernels and make the
optimisers' state. So does a last, smaller batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import SpikeloomWarning, UsageError
from .chosen import Own
from .cuda_options import CudaOptions
from .distributed import World
from .layers import SpikingNetwork
from .methods.api import Method, Pruning
from .model import Model
from .optimizers import Outer
from .rest import Rest

__all__ = ["Recorder", "StepGraph", "reason_against", "step_graph"]

WARM_UP = 3  # steps before the recording, on the stream on which it happens, as torch asks


class Recorder(Protocol):
    """Records work of the device."""

    def warming(self) -> AbstractContextManager[None]:
        """Return a context for steps before the recording."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record `work`, which may or may not be done; return what does it again."""
        ...


class CudaRecorder:
    """Records by stream capture."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    @contextmanager
    def warming(self) -> Generator[None]:
        """Run on the stream of the recording; work before and after waits its turn, the host does not."""
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            yield
        current.wait_stream(self.stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record; nothing is done."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            work()
        return graph.replay


class Step(Protocol):
    """What is recorded: the parts of `loop.Trainer.step`."""

    model: Model
    method: Method
    rest: Rest
    warnings: list[str]

    @property
    def batch_size(self) -> int:
        """Samples per step."""
        ...

    def backward(self, x: Tensor, labels: Tensor, part: float = 1.0) -> Tensor:
        """Compute the loss and the gradients; return the loss."""
        ...

    def whole_step(self, x: Tensor, labels: Tensor, rate: float, progress: float, part: float = 1.0) -> Tensor:
        """Take a step as it is; return the loss."""
        ...


class StepGraph:
    """Takes a trainer's steps by repeating a recorded one.

    Args:
        trainer: whose steps; its method is a `Pruning` with parts.
        recorder: records them.
        mode: "auto": where the recording fails, train on without, with a warning; "on": raise.
    """

    def __init__(self, trainer: Step, recorder: Recorder, mode: str = "auto") -> None:
        self.trainer, self.recorder, self.mode = trainer, recorder, mode
        self.form: tuple[Method, tuple[bool, ...]] | None = None
        self.warm, self.recorded = 0, 0
        self.replay: Callable[[], None] | None = None
        self.gradients: list[tuple[nn.Parameter, Tensor | None]] = []
        self.x = self.labels = self.loss = torch.zeros(())

    def step(self, x: Tensor, labels: Tensor, rate: float, progress: float) -> Tensor:
        """Take a training step, see `loop.Trainer.step`; the loss that it returns is overwritten by the next step.

        Raises:
            UsageError: the recording failed, in the mode "on".
        """
        trainer = self.trainer
        method = trainer.method
        assert isinstance(method, Pruning)
        form = (method, method.form)  # a method that takes the place of another has other memory
        if form != self.form:
            self.form, self.warm, self.replay = form, 0, None
        if len(labels) != trainer.batch_size:
            return trainer.whole_step(x, labels, rate, progress)
        if self.warm < WARM_UP:
            self.warm += 1
            with self.recorder.warming():
                return trainer.whole_step(x, labels, rate, progress)
        method.prepare(rate, progress)
        trainer.rest.prepare(rate)
        if self.replay is None:
            self.replay = self._record(x, labels)
        self.x.copy_(x)
        self.labels.copy_(labels)
        self.replay()
        for parameter, gradient in self.gradients:  # a step of another size in between has left its own
            parameter.grad = gradient
        method.follow(progress)
        return self.loss

    def _record(self, x: Tensor, labels: Tensor) -> Callable[[], None]:
        self.x, self.labels, self.gradients = x.clone(), labels.clone(), []
        try:
            replay = self.recorder.record(self._work)
        except RuntimeError as error:
            said = str(error).strip().partition("\n")[0]
            if self.mode == "on":
                raise UsageError(f"The training step could not be recorded as a CUDA graph: {said}. Leave out cuda.graph=on.") from error
            text = f"The training step could not be recorded as a CUDA graph, and runs without: {said}"
            self.trainer.warnings.append(text)
            warnings.warn(text, SpikeloomWarning, stacklevel=2)
            return self._work
        self.recorded += 1
        self.gradients = [(p, p.grad) for p in self.trainer.model.parameters()]
        return replay

    def _work(self) -> None:
        trainer = self.trainer
        self.loss = trainer.backward(self.x, self.labels)
        trainer.method.update()  # pyright: ignore[reportAttributeAccessIssue]
        trainer.rest.update()


def reason_against(world: World, model: Model, method: Method, outer: Outer | None, own: Own) -> str | None:
    """Return why a run's step is not recorded; None if it can be."""
    reasons = {
        "the run is on the CPU": world.device.type != "cuda",
        "several processes train together": world.size > 1,
        "another optimizer than the method's own moves the weights": outer is not None,
        "a module of your own may read numbers from the device": not isinstance(model, SpikingNetwork),
        "the method does not have its step in parts (train.methods.api.Pruning)": not _has_parts(method),
        "a loss of your own may read numbers from the device": own.loss is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _has_parts(method: Any) -> bool:
    return isinstance(method, Pruning) and type(method).step is Pruning.step


def step_graph(trainer: Step, options: CudaOptions, world: World, outer: Outer | None, own: Own) -> StepGraph | None:
    """Return what records the trainer's steps; None if they run as they are.

    Raises:
        UsageError: a graph is required (`graph="on"`), and something is against it.
    """
    if options.graph == "off":
        return None
    reason = reason_against(world, trainer.model, trainer.method, outer, own)
    if reason is None:
        return StepGraph(trainer, CudaRecorder(world.device), options.graph)
    if options.graph == "on":
        raise UsageError(f"cuda.graph is on, but {reason}. Leave it out: a graph is used wherever it can be.")
    return None
