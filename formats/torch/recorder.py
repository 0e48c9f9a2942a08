"""Runs a module on real tensors that record what they are, as `expressions`.

A module's forward is ordinary Python: it looks at shapes, loops over time steps, and calls functions as well as layers. So it is run
unchanged, on a subclass of Tensor whose every operation torch hands to us (`__torch_function__`); layers of neurons alone are taken as a
whole. What only moves elements (view, flatten, select, stack, ...) is run a second time, on the numbers of the elements: where they went
is what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import NetworkError
from .expressions import Book, Expression, leaves

__all__ = ["Lead", "Recorder", "Traced", "Value", "plain"]

Lead = str  # what leads the axes of a sample: N (batch), TN (time, batch), F (both in one axis), 1N (no time yet), NT (batch, time)
FROM = {
    "N": ("N", "1N", "TN", "F"),
    "1N": ("1N", "TN", "N"),
    "TN": ("TN", "F", "N", "1N", "NT"),
    "F": ("F", "TN", "NT"),
    "NT": ("NT", "TN", "N"),
}


@dataclass(frozen=True)
class Value:
    """What a tensor is, and its leading axes before those of a sample."""

    expression: Expression
    lead: Lead


class Traced(torch.Tensor):
    """A tensor that records what it is."""

    value: Value
    recorder: Recorder

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Pass an operation to the recorder of its tensors."""
        found = _first((*args, *(kwargs or {}).values()))
        if found is None:
            return func(*plain(args), **plain(kwargs or {}))
        return found.recorder.operation(func, args, kwargs or {})

    def __deepcopy__(self, memo: Any) -> Traced:
        """Return this tensor: modules that keep one as their state are copied with it."""
        return self


def _first(items: Any) -> Traced | None:
    for item in items:
        if isinstance(item, Traced):
            return item
        if isinstance(item, list | tuple) and (found := _first(item)) is not None:
            return found
    return None


def plain(item: Any) -> Any:
    """Return arguments with ordinary tensors in place of traced ones."""
    if isinstance(item, Traced):
        return torch.Tensor.__torch_function__(torch.Tensor.as_subclass, (), (item, torch.Tensor), {})  # past our own
    if isinstance(item, list | tuple):
        made = [plain(i) for i in item]
        named: Any = type(item)
        return made if isinstance(item, list) else named(*made) if hasattr(item, "_fields") else tuple(made)
    return {k: plain(v) for k, v in item.items()} if isinstance(item, dict) else item


class Recorder:
    """The tensors of one run: `steps` time steps of `samples` samples; `at` names the module that is running, `apply` runs operations."""

    def __init__(self, steps: int, samples: int, apply: Callable[[Recorder, Any, Any, Any], Any]) -> None:
        self.steps, self.samples, self.apply, self.book = steps, samples, apply, Book()
        self.stack: list[str] = []

    @property
    def at(self) -> str:
        """The user's name of the module that is running."""
        return self.stack[-1] if self.stack else "the module"

    def refuse(self, what: str, instead: str) -> NetworkError:
        """Return the error for something unsupported, naming the running module."""
        return NetworkError(f"{self.at} {what}. {instead}")

    def prefix(self, lead: Lead) -> tuple[int, ...]:
        """Return the sizes of the axes that lead those of a sample."""
        sizes = {"T": self.steps, "N": self.samples, "1": 1, "F": self.steps * self.samples}
        return tuple(sizes[axis] for axis in lead)

    def traced(self, data: torch.Tensor, value: Value) -> Traced:
        """Return a tensor that records `value`.

        Raises:
            NetworkError: the tensor does not have its shape.
        """
        shape = (*self.prefix(value.lead), *value.expression.shape)
        if tuple(data.shape) != shape:
            raise self.refuse(
                f"makes a tensor of shape {tuple(data.shape)} where {shape} was expected", "Use the layers in docs/modules.md."
            )
        made = data.detach().as_subclass(Traced)
        made.value, made.recorder = value, self
        return made

    def operation(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation and return its traced result.

        Raises:
            NetworkError: an unsupported operation.
        """
        return self.apply(self, func, args, kwargs)

    # --- what moves elements ------------------------------------------------------------------------------------------

    def moved(self, x: Traced, run: Callable[[torch.Tensor], Any]) -> Any:
        """Return the results of a function that moves elements, traced."""
        numbers = torch.arange(x.numel()).view(x.shape)
        data, went = run(plain(x)), run(numbers)
        if isinstance(data, list | tuple):
            pairs: Any = zip(data, went, strict=True)  # pyright: ignore[reportUnknownVariableType]
            return tuple(self._arrived(x, d, w) for d, w in pairs)
        return self._arrived(x, data, went)

    def _arrived(self, x: Traced, data: torch.Tensor, went: torch.Tensor) -> Traced:
        e, lead = x.value.expression, x.value.lead
        for target in FROM[lead]:
            found = self._decoded(went.numpy(), lead, target, int(np.prod(e.shape)))
            if found is None:
                continue
            numbers, step = found
            shape = tuple(went.shape[len(target) :])
            if lead in ("N", "1N") and target in ("TN", "F") and any(leaf.step is not None for leaf in leaves(e)):
                raise self.refuse("spreads the values of one time step over all of them", "Compute them at each time step.")
            made = self.gathered(e, numbers, shape)
            return self.traced(data, Value(made if step is None else self.book.at(made, step), target))
        raise self.refuse(
            f"mixes samples or time steps: {tuple(x.shape)} becomes {tuple(went.shape)}",
            "Keep the first axis for the batch, or the first two for time and batch.",
        )

    def gathered(self, e: Expression, numbers: NDArray[np.int64], shape: tuple[int, ...]) -> Expression:
        """Return the elements of an expression that `numbers` names, in that order."""
        size = int(np.prod(e.shape))
        if numbers.size == size and (numbers == np.arange(size)).all():
            return e if shape == e.shape else self.book.make("view", (e,), shape, self.at, key="view")
        return self.book.make("gather", (e,), shape, self.at, numbers, key=numbers.tobytes())

    def _decoded(self, went: NDArray[Any], lead: Lead, target: Lead, size: int) -> tuple[NDArray[np.int64], int | None] | None:
        """Return which elements of a sample arrived, and which time step was chosen; None where `target` does not lead the axes."""
        prefix = self.prefix(target)
        if went.shape[: len(prefix)] != prefix:
            return None
        flat = went.reshape(*prefix, -1).astype(np.int64)
        element, rest = flat % size, flat // size
        if lead == "NT":
            sample, time = rest // self.steps, rest % self.steps
        else:
            time, sample = (rest // self.samples, rest % self.samples) if lead in ("TN", "F") else (None, rest)
        wanted_sample, wanted_time = self._positions(target)
        chosen: int | None = None
        if time is not None and wanted_time is None:
            chosen = int(time.flat[0]) if time.size else 0
            wanted_time = np.full(prefix, chosen)
        first = element.reshape(-1, element.shape[-1])[0]
        fits = (sample == wanted_sample[..., None]).all() and (element == first).all()
        fits = fits and (time is None or bool((time == np.asarray(wanted_time)[..., None]).all()))
        return (first, chosen) if fits else None

    def _positions(self, lead: Lead) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the sample, and the time step if any, at each place of the leading axes."""
        steps, samples = np.arange(self.steps), np.arange(self.samples)
        if lead in ("N", "1N"):
            return samples.reshape(self.prefix(lead)), None
        time, sample = np.meshgrid(steps, samples, indexing="ij")
        if lead == "NT":
            return sample.T, time.T
        return sample.reshape(self.prefix(lead)), time.reshape(self.prefix(lead))
