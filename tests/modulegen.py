"""Modules of layers with weights at which they spike, and samples for them."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["T", "images", "seeded"]

T = 5


def seeded(module: nn.Module, seed: int = 0, gain: float = 2.0) -> nn.Module:
    """Give a module weights at which it spikes, and statistics to its normalisations."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            weight = getattr(part, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * gain / weight[0].numel() ** 0.5)
            bias = getattr(part, "bias", None)
            if isinstance(bias, nn.Parameter):
                bias.copy_(torch.randn(bias.shape, generator=generator) * 0.2)
            if isinstance(part, nn.modules.batchnorm._BatchNorm):  # pyright: ignore[reportPrivateUsage]
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.2)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.3)  # pyright: ignore[reportOptionalMemberAccess, reportCallIssue]
                part.weight.copy_(torch.rand(part.weight.shape, generator=generator) + 0.5)
    return module.eval()


def images(*shape: int, seed: int = 1) -> torch.Tensor:
    """Return samples on the 256 levels that a chip takes."""
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).double() / 255.0
