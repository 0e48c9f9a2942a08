"""What torch finds to compute on."""

from __future__ import annotations

import torch

__all__ = ["describe_cuda"]


def describe_cuda() -> str | None:
    """Return the first CUDA device's name and memory, and torch's version of CUDA; None without one."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
