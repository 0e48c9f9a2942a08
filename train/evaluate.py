"""Accuracy: the class whose output neuron spiked most, the lowest index among equals."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from .data import Split
from .layers import SpikingNetwork
from .quantise import IntegerArithmetic

BATCH = 500


def inputs_of(values: Tensor, levels: int, *, integer: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return what a network takes: the integers themselves, or  p / levels  rounded to float32 (then widened to `dtype`)."""
    real = values.to(torch.float32)
    return (real if integer else real / levels).to(dtype)


def accuracy(model: SpikingNetwork, split: Split, levels: int) -> float:
    """Return the share (0..1) of samples classified right, in the precision of the model's weights."""
    dtype = next(model.parameters()).dtype
    right = 0
    with torch.inference_mode():
        for low in range(0, len(split), BATCH):
            values = torch.from_numpy(split.values[low : low + BATCH].copy())
            counts = model(inputs_of(values, levels, integer=model.is_integer, dtype=dtype)).sum(0).numpy()
            right += int((np.argmax(counts, 1) == split.labels[low : low + BATCH]).sum())
    return right / len(split)


def with_weights(
    model: SpikingNetwork, weights: Mapping[str, Tensor], arithmetic: Mapping[str, IntegerArithmetic] | None = None
) -> SpikingNetwork:
    """Return a copy of `model` with these weights: float64, or the chip's integers where `arithmetic` is given."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, layer in copied.named_layers():
            layer.linear.weight.copy_(weights[name])
            layer.integer = arithmetic[name] if arithmetic else None
    return copied.double()
