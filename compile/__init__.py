"""Compile networks onto neuromorphic cores: `compile_network`, `DeployedNetwork`, `load`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from ..network.model import Network
    from .compiler import compile_network, run_passes
    from .deployed import DeployedNetwork, load
    from .pipeline import Calibration, CompileOptions, PassResult

__all__ = ["Calibration", "CompileOptions", "DeployedNetwork", "Network", "PassResult", "compile_network", "load", "run_passes"]

__getattr__, __dir__ = lazy.exports(
    __name__,
    {
        "Calibration": ".pipeline",
        "CompileOptions": ".pipeline",
        "DeployedNetwork": ".deployed",
        "Network": "..network.model",
        "PassResult": ".pipeline",
        "compile_network": ".compiler",
        "load": ".deployed",
        "run_passes": ".compiler",
    },
)
