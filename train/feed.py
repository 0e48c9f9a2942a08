"""Feeding samples to the network: as bytes, on the device where they fit, and converted to real numbers one batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import Split
from .evaluate import inputs_of

__all__ = ["Feed"]

SHARE_OF_MEMORY = 0.5  # largest share of the device's free memory that the samples may occupy
CHUNK = 1 << 26  # bytes that are read at a time on their way to the device


class Feed:
    """A split's samples, from which `take` makes batches.

    The bytes are kept on a CUDA device if they occupy less than half of its free memory. Otherwise, and on the CPU, they stay where they
    are, and a batch's rows are read for each step: from memory, or from the file where that is mapped, which needs no room for all of them.
    To a device they go by pinned memory, while it still works on the batch before.

    Args:
        split: the samples, uint8 (N, *shape).
        levels: the integer that represents 1.
        device: where batches are placed.
    """

    def __init__(self, split: Split, levels: int, device: torch.device) -> None:
        self.levels, self.device, self.rows = levels, device, split.values
        self.resident = device.type != "cpu" and _fits(int(np.prod(self.rows.shape, dtype=np.int64)), device)
        self.values = loaded(self.rows, device) if self.resident else None
        self.labels = torch.from_numpy(split.labels.copy()).to(device)

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
        if self.values is not None:
            there, values = indices, self.values[indices]
        else:
            there, values = self._sent(indices), self._sent(torch.from_numpy(self.rows[indices.numpy()]))
        x = inputs_of(values, self.levels, integer=integer)
        if x.dim() == 4 and self.device.type == "cuda":
            x = x.contiguous(memory_format=torch.channels_last)
        return x, self.labels[there]

    def _sent(self, tensor: Tensor) -> Tensor:
        """Return a tensor of the host on the device, without waiting."""
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)


def _fits(size: int, device: torch.device) -> bool:
    return device.type != "cuda" or size < SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]


def loaded(rows: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy samples to a device, a few at a time: a file that is mapped is never in memory as a whole."""
    values = torch.empty(rows.shape, dtype=torch.uint8, device=device)
    many = max(1, CHUNK // max(1, int(np.prod(rows.shape[1:], dtype=np.int64))))
    for begin in range(0, len(rows), many):
        values[begin : begin + many] = torch.from_numpy(np.array(rows[begin : begin + many])).to(device)
    return values
