"""Feeding samples to the network: kept as bytes, on the device where they fit, and converted to real numbers one batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import Split
from .evaluate import inputs_of

__all__ = ["Feed"]

SHARE_OF_MEMORY = 0.5  # largest share of the device's free memory that the samples may occupy


class Feed:
    """A split's samples, from which `take` makes batches.

    The bytes are kept on the device if they occupy less than half of its free memory, otherwise in pinned host memory, from which a
    batch is copied while the device still works on the previous one.

    Args:
        split: the samples, uint8 (N, *shape).
        levels: the integer that represents 1.
        device: where batches are placed.
    """

    def __init__(self, split: Split, levels: int, device: torch.device) -> None:
        values, labels = torch.from_numpy(split.values.copy()), torch.from_numpy(split.labels.copy())
        self.levels, self.device = levels, device
        self.resident = device.type == "cpu" or values.numel() < SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]
        self.values = values.to(device) if self.resident else values.pin_memory()
        self.labels = labels.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def place(self, order: NDArray[np.int64]) -> Tensor:
        """Return an epoch's order as a tensor to slice batches from: on the device if the samples are there, so that no step waits."""
        indices = torch.from_numpy(order)
        return indices.to(self.device) if self.resident else indices

    def take(self, indices: Tensor, *, integer: bool) -> tuple[Tensor, Tensor]:
        """Return the samples at `indices` (int64, from `place`) as real values, or as the integers themselves, with their labels.

        Returns:
            x: float32 (n, *shape), images with the channels last in memory on CUDA; labels: int64 (n,).
        """
        there = indices.to(self.device, non_blocking=True)
        values = self.values[there] if self.resident else self.values[indices].pin_memory().to(self.device, non_blocking=True)
        x = inputs_of(values, self.levels, integer=integer)
        if x.dim() == 4 and self.device.type == "cuda":
            x = x.contiguous(memory_format=torch.channels_last)
        return x, self.labels[there]
