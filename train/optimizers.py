"""Other optimisers of torch in place of the methods' own Adam: `optimizer="sgd"`, or a function from parameters to an optimiser.

A method that can be used with one (its `own_update` is empty) puts what it trains, theta of Grad R and STDS, in place of the weights, lets
the optimiser move it, and applies its rule to the result. The optimiser moves all other parameters in the same step. Its learning rates
follow the schedule: each group has its own peak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UsageError
from .methods.api import Method
from .model import Model
from .settings import ADAM, TrainSettings

__all__ = ["Make", "Outer", "outer_of"]

Make = Callable[[list[nn.Parameter]], Optimizer]
CLASSES = {"sgd": "SGD", "adamw": "AdamW", "adam": "Adam", "rmsprop": "RMSprop", "nadam": "NAdam", "radam": "RAdam", "asgd": "ASGD"}
NUMBERS = (bool, int, float)


def outer_of(settings: TrainSettings, make: Make | None, model: Model, method: Method) -> Outer | None:
    """Return the optimiser that moves the parameters in place of the method's own; None: Adam, within the method.

    Args:
        settings: name the optimiser, its options and its learning rate.
        make: the caller's own, from the trainable parameters to an optimiser.

    Raises:
        UsageError: the method has an update of its own; an option that the optimiser does not have; or what `make` returns is not an
            optimiser of all the parameters; or the settings name a function that the caller did not pass.
    """
    name = settings.optimizer
    if make is None and "." in name:
        raise UsageError(
            f"The optimizer {name} is a function of the program that began this run. Go on from there, by fit(..., optimizer=..., "
            f"resume=True)."
        )
    if make is None and name == ADAM and not settings.optimizer_options:
        return None
    reason = getattr(method, "own_update", "has an update of its own")
    if reason:
        raise UsageError(
            f"The method {settings.method} {reason}, so no other optimizer can take its place ({name} was asked for). Leave out "
            f"optimizer and its options, or use the method dense, grad-r, stds, esl or upr."
        )
    found = {n: p for n, p in {**model.weights(), **model.others()}.items() if p.requires_grad}
    parameters = list(found.values())
    optimizer = _named(name, parameters, settings) if make is None else _made(name, make, found)
    return Outer(optimizer, name)


def _named(name: str, parameters: list[nn.Parameter], settings: TrainSettings) -> Optimizer:
    kind = getattr(torch.optim, CLASSES.get(name, name.capitalize()))
    options = {key: _value(value) for key, value in settings.optimizer_options.items()}
    if "lr" in options:
        raise UsageError("The optimizer has the learning rate lr, not an option of that name. Say lr= (--lr).")
    try:
        return kind(parameters, lr=cast(float, settings.lr), **options)
    except (TypeError, ValueError, RuntimeError) as error:
        said = str(error).replace(f"{kind.__name__}.__init__() ", "")
        raise UsageError(f"The optimizer {name} does not take {options}: {said}. See torch.optim.{kind.__name__}.") from error


def _made(name: str, make: Make, found: Mapping[str, nn.Parameter]) -> Optimizer:
    try:
        optimizer = cast(object, make(list(found.values())))
    except Exception as error:  # the user's own code
        raise UsageError(f"optimizer, {name}, raises {type(error).__name__}: {error}. It is called with a list of parameters.") from error
    if not isinstance(optimizer, Optimizer):
        raise UsageError(f"optimizer, {name}, returns a {type(optimizer).__name__}; it must return a torch.optim.Optimizer.")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UsageError("LBFGS computes the loss several times a step, and the methods take one gradient. Use another optimizer.")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [n for n, p in found.items() if id(p) not in held]
    if missing or len(held) > len(found):
        what = f"does not move {missing[0]}" if missing else "moves parameters that it was not given"
        raise UsageError(f"optimizer, {name}, returns an optimiser that {what}. Give it all the parameters, in as many groups as you like.")
    return optimizer


def _value(value: Any) -> Any:
    """Return an option's value, read from text where a command line gave it."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[value.lower()]
    if "," in value:
        return tuple(_value(part.strip()) for part in value.split(",") if part.strip())
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


class Outer:
    """An optimiser whose learning rates follow the schedule, and whose state checkpoints hold."""

    def __init__(self, optimizer: Optimizer, name: str) -> None:
        self.optimizer, self.name = optimizer, name
        self.peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]

    @property
    def peak(self) -> float:
        """The peak learning rate of the first group."""
        return self.peaks[0]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, share: float) -> None:
        """Move the parameters, at a share of the peak learning rates.

        Raises:
            UsageError: the optimiser raises something.
        """
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        try:
            self.optimizer.step()
        except Exception as error:  # of any author
            raise UsageError(f"The optimizer {self.name} raises {type(error).__name__}: {error}. Use another, or leave it out.") from error

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the state that is tensors."""
        return {name: value for name, value in self._state().items() if isinstance(value, Tensor)}

    def numbers(self) -> dict[str, Any]:
        """Return the rest of the state, and the numbers of the groups, as JSON."""
        groups = {
            f"group {i}:{key}": value
            for i, group in enumerate(self.optimizer.param_groups)
            for key, value in group.items()
            if key != "lr" and isinstance(value, NUMBERS)
        }
        return groups | {name: value for name, value in self._state().items() if not isinstance(value, Tensor)}

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for i, parameter in enumerate(self.parameters):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None and not isinstance(value, (Tensor, *NUMBERS)):
                    raise UsageError(
                        f"The optimizer {self.name} keeps {key}, a {type(value).__name__}, as its state, and a checkpoint holds tensors "
                        f"and numbers. Use another."
                    )
                found[f"{i}:{key}"] = value
        return found

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Restore what `state_tensors` and `numbers` returned.

        Raises:
            KeyError, ValueError, IndexError: they are of another optimiser.
        """
        for name, value in {**tensors, **numbers}.items():
            place, key = name.split(":", 1)
            if place.startswith("group "):
                self.optimizer.param_groups[int(place.removeprefix("group "))][key] = value
                continue
            parameter = self.parameters[int(place)]
            held: Any = value
            if isinstance(value, Tensor):
                held = value.to(value.device if key == "step" else parameter.device, copy=True)
            self.optimizer.state[parameter][key] = held
