"""Compile networks onto neuromorphic cores: `compile_network`, `DeployedNetwork`, `load`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..network.model import Network
    from .compiler import compile_network
    from .deployed import DeployedNetwork, load

__all__ = ["DeployedNetwork", "Network", "compile_network", "load"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that a module that needs one part of this package does not pay for all of it."""
    from importlib import import_module

    homes = {"compile_network": "compiler", "DeployedNetwork": "deployed", "load": "deployed", "Network": "network"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{homes[name]}", __name__), name)
