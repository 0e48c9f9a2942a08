"""The states of a module's neurons: setting them back to their start, and copies of a module without them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from ...errors import UsageError
from .cells import is_neuron

__all__ = ["copied", "reset_states", "widened"]


def reset_states(module: torch.nn.Module) -> None:
    """Set the states of all neurons, and of SpikingJelly's other modules with states, back to their start."""
    for part in module.modules():
        for name in ("reset", "reset_mem"):
            method = getattr(part, name, None)
            if (is_neuron(part) or hasattr(part, "_memories")) and callable(method):
                method()


def copied(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a module with its states at their start.

    Raises:
        UsageError: it holds what cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for kept in (getattr(part, "_memories", {}), part.__dict__, part.__dict__.get("_buffers", {})):
            for tensor in kept.values():
                if isinstance(tensor, torch.Tensor) and not isinstance(tensor, torch.nn.Parameter) and tensor.grad_fn is not None:
                    memo[id(tensor)] = tensor.detach().clone()  # a state with its history, which torch does not copy
    try:
        made = copy.deepcopy(module, memo)
    except Exception as error:  # whatever the user's attributes raise
        raise UsageError(
            f"The module cannot be copied ({type(error).__name__}: {error}). Take what it holds beside its layers out of it."
        ) from error
    reset_states(made)
    return made


def widened(module: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a module in float64 with its states at their start; see `copied`."""
    made = copied(module).double()
    for part in made.modules():
        for held in ("input_weights", "recurrent_weights"):  # of Norse, which may hold tensors that are no parameters
            if is_neuron(part) and isinstance(tensor := part.__dict__.get(held), torch.Tensor):
                setattr(part, held, tensor.detach().double())
        if is_neuron(part) and hasattr(part, "spike_grad"):  # of snnTorch, whose spikes are float32 whatever its weights are
            setattr(part, "spike_grad", _in_type_of(part.spike_grad))  # noqa: B010
    return made


def _in_type_of(surrogate: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of tensors whose result has the type of what it takes."""
    return lambda potential: surrogate(potential).to(potential)
