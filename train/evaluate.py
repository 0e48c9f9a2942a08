"""Accuracy: the predicted class is the one whose output neurons spiked most, ties go to the lowest index."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ..data.dataset import Split
from .distributed import World
from .layers import SpikingNetwork
from .quantise import IntegerArithmetic

__all__ = ["accuracy", "inputs_of", "is_silent", "with_weights"]

BATCH = 500
BATCH_SPIKES = 1 << 26  # most spikes of the largest layer over all steps in a batch: half a GiB in float64


def inputs_of(values: Tensor, levels: int, *, integer: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a network's input values: the integers themselves, or  p / levels  rounded to float32 (then widened to `dtype`)."""
    real = values.to(torch.float32)
    return (real if integer else real / levels).to(dtype)


def accuracy(
    model: SpikingNetwork, split: Split, levels: int, world: World | None = None, context: AbstractContextManager[object] | None = None
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


def is_silent(model: SpikingNetwork, split: Split, levels: int) -> bool:
    """Return whether no neuron of the output spikes on any sample, in which case every prediction is class 0; see `accuracy`."""
    return not any(bool(counts.any()) for counts, _ in _run(model, split, levels, range(len(split)), None))


def _run(
    model: SpikingNetwork, split: Split, levels: int, mine: range, context: AbstractContextManager[object] | None
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
                yield _counts(output, model.votes), labels
    finally:
        model.train(training)


def _batch_size(model: SpikingNetwork) -> int:
    largest = max((math.prod(layer.shape) for _, layer in model.named_layers()), default=1)
    return min(max(BATCH_SPIKES // (largest * model.timesteps), 1), BATCH)


def _counts(output: Tensor, votes: int) -> Tensor:
    """Count the spikes of each class (N, classes): whole numbers, so that ties are exact, as on a chip."""
    return (output.to(torch.float64) * votes).round().sum(0)


def with_weights(
    model: SpikingNetwork, state: Mapping[str, Tensor], arithmetic: Mapping[str, IntegerArithmetic] | None = None
) -> SpikingNetwork:
    """Return a copy of `model` in this state: float64, or the chip's integers where `arithmetic` is given.

    Args:
        model: determines the structure.
        state: the whole `state_dict` of such a model.
        arithmetic: the integer arithmetic by layer.
    """
    copied = copy.deepcopy(model)
    copied.load_state_dict(dict(state))
    for name, layer in copied.named_layers():
        layer.integer = arithmetic[name] if arithmetic else None
    return copied.double().eval()
