"""Training: data sets, networks, pruning rules, the loop, and the hand-over to the compiler.

Importing this package, or `data.sets`, does not import torch: the command line loads data sets through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.dataset import load_dataset
    from ..data.samples import samples_of
    from .fitting import TrainedRun, fit
    from .settings import TrainSettings

__all__ = ["TrainSettings", "TrainedRun", "fit", "load_dataset", "samples_of"]

_HOMES = {
    "fit": ".fitting",
    "TrainedRun": ".fitting",
    "TrainSettings": ".settings",
    "load_dataset": "..data.dataset",
    "samples_of": "..data.samples",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
