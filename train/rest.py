"""The parameters that no method owns, biases and the scale and shift of batch normalisation: torch's Adam, kept in the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from . import devices

__all__ = ["Rest"]

KEYS = ("step", "exp_avg", "exp_avg_sq")


class Rest:
    """One Adam over parameters by name; does nothing if there are none.

    On the CPU the learning rate is a number; elsewhere a tensor there, `rate`, which a captured step reads anew (`step_graph`).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.adam: torch.optim.Adam | None = None
        self.rate: Tensor | None = None
        if not self.parameters:
            return
        trained = list(self.parameters.values())
        if not devices.uses_numpy(trained[0]):
            self.rate = torch.zeros((), device=trained[0].device)
        self.adam = torch.optim.Adam(trained, lr=1e-3 if self.rate is None else self.rate, fused=True, capturable=self.rate is not None)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        if self.adam is not None:
            self.adam.zero_grad(set_to_none=True)

    def step(self, lr: float) -> None:
        """Take one step of Adam."""
        self.prepare(lr)
        self.update()

    def prepare(self, lr: float) -> None:
        """Set the learning rate of the next step."""
        if self.rate is not None:
            devices.uploaded(torch.tensor(lr, dtype=self.rate.dtype), self.rate)
        elif self.adam is not None:
            self.adam.param_groups[0]["lr"] = lr

    def update(self) -> None:
        """Take the step."""
        if self.adam is not None:
            self.adam.step()

    def state_tensors(self) -> dict[str, Tensor]:
        """Adam's moments and step counts; the parameters themselves are part of the model's state."""
        if self.adam is None:
            return {}
        states = {name: self.adam.state.get(p, {}) for name, p in self.parameters.items()}
        return {f"{name}:{key}": state[key] for name, state in states.items() for key in KEYS if key in state}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned."""
        if self.adam is None:
            return
        for name, parameter in self.parameters.items():
            if f"{name}:step" in tensors:
                self.adam.state[parameter] = {key: tensors[f"{name}:{key}"].to(parameter.device, copy=True) for key in KEYS}
