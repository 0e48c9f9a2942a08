"""A `torch.nn.Module` of spiking layers, of SpikingJelly, snnTorch or Norse, read as a network. torch is imported at the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import read_module as read_module

__all__ = ["read_module"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import module

    return getattr(module, name)
