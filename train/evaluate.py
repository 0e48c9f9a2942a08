"""Accuracy: the predicted class is the one whose output neurons spiked most, ties go to the lowest index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar, cast

import torch
from torch import Tensor

from ..data.dataset import Split
from .distributed import World
from .model import Model
from .quantise import IntegerArithmetic

ModelT = TypeVar("ModelT", bound=Model)
__all__ = ["accuracy", "inputs_of", "is_silent", "with_weights"]

BATCH = 500
BATCH_SPIKES = 1 << 26  # most spikes of the largest layer over all steps in a batch: half a GiB in float64


def inputs_of(values: Tensor, levels: int, *, integer: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a network's input values: the integers themselves, or  p / levels  rounded to float32 (then widened to `dtype`)."""
    real = values.to(torch.float32)
    return (real if integer else real / levels).to(dtype)


def accuracy(
    model: Model, split: Split, levels: int, world: World | None = None, context: AbstractContextManager[object] | None = None
) -> float:
    """Return the share (0..1) of samples that are predicted correctly, in the precision of the model's weights, dropout off.

    Args:
        model: on the device to evaluate on.
        split: the samples, uint8 (N, *shape).
        levels: the integer that represents 1.
        world: the process group, each process evaluating every `size`-th sample before the counts are added up; None: this process alone.
        context: context manager entered around the model, e.g. torch.autocast.
    """
    world = world or World()
    right = torch.zeros((), dtype=torch.int64, device=next(model.parameters()).device)
    for counts, labels in _run(model, split, levels, range(world.rank, len(split), world.size), context):
        right += (counts.argmax(1) == labels.to(right.device)).sum()
    return int(world.total(right)) / len(split)


def is_silent(model: Model, split: Split, levels: int) -> bool:
    """Return whether no neuron of the output spikes on any sample, in which case every prediction is class 0; see `accuracy`."""
    return not any(bool(counts.any()) for counts, _ in _run(model, split, levels, range(len(split)), None))


def _run(
    model: Model, split: Split, levels: int, mine: range, context: AbstractContextManager[object] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the output spikes by class (n, classes) and the labels of the samples `mine`, batch by batch, with dropout off."""
    weight, training, size = next(model.parameters()), model.training, _batch_size(model)
    model.eval()
    try:
        with torch.no_grad(), context or nullcontext():
            for low in range(0, len(mine), size):
                chosen = mine[low : low + size]
                part = slice(chosen.start, chosen.stop, chosen.step)
                values, labels = torch.from_numpy(split.values[part].copy()), torch.from_numpy(split.labels[part].copy())
                output = model(inputs_of(values.to(weight.device), levels, integer=model.is_integer, dtype=weight.dtype))
                yield model.counts(output), labels
    finally:
        model.train(training)


def _batch_size(model: Model) -> int:
    return min(max(BATCH_SPIKES // (model.largest * model.timesteps), 1), BATCH)


def with_weights(model: ModelT, state: Mapping[str, Tensor], arithmetic: Mapping[str, IntegerArithmetic] | None = None) -> ModelT:
    """Return a copy of `model` in this state: float64, or the chip's integers where `arithmetic` is given.

    Args:
        model: determines the structure.
        state: the whole `state_dict` of such a model.
        arithmetic: the integer arithmetic by layer.
    """
    copied = model.copied()
    copied.load_state_dict(dict(state))
    copied.use_integers(arithmetic)
    return cast(ModelT, copied.eval())
