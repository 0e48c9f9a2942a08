"""The loss, the schedule and the augmentation of a run: files found by name, or the caller's own functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import registry
from ..data.dataset import Dataset
from ..errors import UsageError
from . import augments, losses, schedules
from .augment import Augmentation
from .losses.api import Loss, LossOfSamples, RunLoss, with_samples
from .schedules.api import Schedule
from .settings import TrainSettings

__all__ = ["Own", "augmentation_of", "check_effects", "loss_of", "name_of", "schedule_of"]

SHARED = ("tet_lambda", "warmup")  # settings passed to plug-ins that have an option of that name
INTEGER = ("qat_fraction", "qat_lr")  # of the epochs in integers


@dataclass(frozen=True)
class Own:
    """The caller's own functions; None: the settings name a file."""

    loss: Loss | LossOfSamples | None = None
    schedule: Schedule | None = None
    augment: Augmentation | None = None
    optimizer: Callable[[list[nn.Parameter]], Optimizer] | None = None


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a caller's function in settings: MODULE.NAME, whose dot distinguishes it from a file's name."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def loss_of(settings: TrainSettings, own: Own) -> RunLoss:
    """Return the loss, as one that may be given the samples; the result of a caller's own loss is checked.

    Raises:
        UsageError: the settings name a function that the caller did not pass, or options that the loss does not have.
    """
    _require("loss", settings.loss, own.loss)
    if own.loss is None:
        return with_samples(cast(Loss, _built(losses, "loss", settings.loss, settings.loss_options, settings)))
    given = with_samples(own.loss)

    def checked(output: Tensor, labels: Tensor, samples: Tensor | None = None, /) -> Tensor:
        value = cast(object, given(output, labels, samples))
        if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
            what = f"a tensor of shape {tuple(value.shape)} and {value.dtype}" if isinstance(value, Tensor) else repr(value)
            raise UsageError(f"The loss {settings.loss} returned {what}; it must return one real number, a tensor without dimensions.")
        return value

    return checked


def schedule_of(settings: TrainSettings, own: Own) -> Schedule:
    """Return the schedule; the result of a caller's own schedule is checked.

    Raises:
        UsageError: see `loss_of`.
    """
    _require("schedule", settings.schedule, own.schedule)
    if own.schedule is None:
        return cast(Schedule, _built(schedules, "schedule", settings.schedule, settings.schedule_options, settings))
    given = own.schedule

    def checked(t: float) -> float:
        share = cast(object, given(t))
        if not isinstance(share, int | float) or not math.isfinite(share) or share < 0:
            raise UsageError(
                f"The schedule {settings.schedule} returned {share!r} at {t:g} of the training; it must return the share of the peak "
                "learning rate, a number of at least 0."
            )
        return float(share)

    return checked


def check_effects(settings: TrainSettings) -> None:
    """Look for settings that nothing would read.

    Raises:
        UsageError: one that is not its default would have no effect beside the others; the message says why, and a way out.
    """
    files = ((losses, "loss", settings.loss, "tet_lambda", "tet"), (schedules, "schedule", settings.schedule, "warmup", "warmup-cosine"))
    idle = [
        (option, f"the {kind} {name} has no such option", f"choose one that has, such as {other}")
        for package, kind, name, option, other in files
        if option not in (set[str]() if "." in name else _options_of(registry.load(package, kind, name)))
    ]
    if settings.weight_bits is None:
        idle += [(name, "no epoch is trained in integers", "ask for weight_bits, such as 8") for name in INTEGER]
    for name, why, way in idle:
        if getattr(settings, name) != getattr(TrainSettings, name):
            raise UsageError(f"{name} is {getattr(settings, name)}, and would have no effect: {why}. Leave it out, or {way}.")


def augmentation_of(settings: TrainSettings, own: Own, dataset: Dataset) -> Augmentation:
    """Return the augmentation; the result of a caller's own augmentation is checked.

    Raises:
        UsageError: see `loss_of`; or the augmentation does not suit the data.
    """
    _require("augment", settings.augment, own.augment)
    if own.augment is None:
        return cast(Augmentation, _built(augments, "augmentation", settings.augment, settings.augment_options, settings, dataset))
    given = own.augment

    def checked(x: Tensor, generator: torch.Generator) -> Tensor:
        value = cast(object, given(x, generator))
        if not isinstance(value, Tensor) or value.shape != x.shape or value.dtype != x.dtype or value.device != x.device:
            what = f"{tuple(value.shape)}, {value.dtype} on {value.device}" if isinstance(value, Tensor) else repr(value)
            raise UsageError(
                f"The augmentation {settings.augment} returned {what} for a batch of {tuple(x.shape)}, {x.dtype} on {x.device}; it must "
                "return a tensor like it."
            )
        return value

    return checked


def _require(what: str, name: str, given: object) -> None:
    if given is None and "." in name:
        raise UsageError(
            f"The {what} {name} is a function of the program that began this run. Go on from there, by train.fit(..., {what}=..., "
            "resume=True), or put it into a file of its own (docs/extending.md)."
        )


def _built(package: ModuleType, kind: str, name: str, given: Mapping[str, Any], settings: TrainSettings, *before: Any) -> Any:
    module = registry.load(package, kind, name)
    shared = {name: getattr(settings, name) for name in SHARED if name in _options_of(module)}
    return module.build(*before, registry.options_of(module, shared | dict(given), f"the {kind} {name}"))


def _options_of(module: ModuleType) -> set[str]:
    options = getattr(module, "Options", None)
    return set() if options is None else {f.name for f in fields(options)}
