"""Compile networks onto neuromorphic cores: `compile_network`, `DeployedNetwork`, `load`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from ..network.model import Network
    from .api import Calibration, CompileOptions, PassResult
    from .compiler import Compilation, compile_network
    from .deployed import DeployedNetwork, load

__all__ = ["Calibration", "Compilation", "CompileOptions", "DeployedNetwork", "Network", "PassResult", "compile_network", "load"]

if not TYPE_CHECKING:  # type checkers assume that a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Calibration": ".api",
            "Compilation": ".compiler",
            "CompileOptions": ".api",
            "DeployedNetwork": ".deployed",
            "Network": "..network.model",
            "PassResult": ".api",
            "compile_network": ".compiler",
            "load": ".deployed",
        },
    )
