"""The devices that torch finds, and which form of a computation suits a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["describe_cuda", "uploaded", "uses_numpy"]


def describe_cuda() -> str | None:
    """Return the first CUDA device's name and memory, and torch's version of CUDA; None without one."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def uses_numpy(tensor: Tensor) -> bool:
    """Whether NumPy and numba compute on the tensor's memory, as on the CPU; elsewhere the same computation is written in torch.

    Called as `devices.uses_numpy`, so that a test can run the CUDA code path on the CPU.
    """
    return tensor.device.type == "cpu"


def uploaded(values: Tensor, target: Tensor) -> None:
    """Copy numbers made on the host into a tensor of a device, without waiting for the device.

    For CUDA they are copied from pinned memory, which torch does not give to others before the copy is done.
    Called as `devices.uploaded`, so that a test can count the copies.
    """
    target.copy_(values.pin_memory() if target.device.type == "cuda" else values, non_blocking=True)
