"""Exponential moving averages of a network's weights over its training steps.

    a <- a + (1 - d_n) (w - a),   d_n = min(decay, (1 + n) / (10 + n))   at step n = 0, 1, ...

The ramp of d, as in TensorFlow's ExponentialMovingAverage, lets the first averages forget the weights that they began with. What is
averaged are all floating parameters; running statistics of batch normalisation, averages themselves, follow once an epoch by what d leaves
of an epoch's start. A weight of a synapse that is not zero stays so: its average is at least `JUST_LIVE` away from 0.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .methods.api import JUST_LIVE
from .model import Model

__all__ = ["Averages"]


class Averages:
    """The averages of one model, from the first `update` on.

    Args:
        model: the network in training; its tensors are read where they are.
        decay: d above, 0 < decay < 1; 0: there will be none, and everything but `update` leaves the model as it is.

    Attributes:
        steps: n above, since the averages began; 0: there are none yet.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.model, self.decay, self.steps, self.kept = model, decay, 0, 1.0
        self.values: dict[str, Tensor] = {}

    def forget(self) -> None:
        """Have none, until the next `update`."""
        self.values, self.steps, self.kept = {}, 0, 1.0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        if not self.values:
            self.values = {name: tensor.clone() for name, tensor in self._current().items()}
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in self._current().items():
            if isinstance(tensor, nn.Parameter):
                self.values[name].lerp_(tensor, 1.0 - decay)
        self.steps += 1
        self.kept *= decay

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Take in the running statistics."""
        for name, tensor in self._current().items():
            if self.values and not isinstance(tensor, nn.Parameter):
                self.values[name].lerp_(tensor, 1.0 - self.kept)
        self.kept = 1.0

    @contextmanager
    def in_place(self) -> Generator[None]:
        """Let the model have the averages; afterwards its own weights again. Without averages it keeps its own."""
        own = {name: tensor.detach().clone() for name, tensor in self._current().items()} if self.values else {}
        self.put()
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def put(self) -> None:
        """Give the model the averages for good, if there are any."""
        current = self._current()
        self._copy({name: _live(a, current[name]) if a.dim() > 1 else a for name, a in self.values.items()})

    def state_tensors(self) -> dict[str, Tensor]:
        """The averages, and the number of steps."""
        return {**self.values, "steps": torch.tensor(self.steps)} if self.values else {}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned.

        Raises:
            ValueError: they are of another network.
        """
        if not tensors:
            return
        current = self._current()
        if {n: t.shape for n, t in tensors.items() if n != "steps"} != {n: t.shape for n, t in current.items()}:
            raise ValueError("the averages are of another network")
        self.values = {name: tensors[name].to(tensor, copy=True) for name, tensor in current.items()}
        self.steps = int(tensors["steps"])

    def _current(self) -> dict[str, Tensor]:
        """Parameters as such: their names are those of the state, which are not the model's where it wraps a module of a user's."""
        return {name: tensor for name, tensor in self.model.state_dict(keep_vars=True).items() if tensor.is_floating_point()}

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        current = self._current()
        for name, value in values.items():
            current[name].copy_(value)


def _live(average: Tensor, weight: Tensor) -> Tensor:
    """Return the average; of a live weight at least JUST_LIVE away from 0, with the weight's sign where it is nearer."""
    least = torch.copysign(torch.full_like(weight, JUST_LIVE), weight)
    return torch.where((average.abs() < JUST_LIVE) & (weight != 0), least, average)
