"""Training: networks, pruning rules, the loop, and the export to the compiler.

`fit` trains by name; `train_run` by a `TrainSettings`. Importing this package does not import torch; using `fit` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from ..data.dataset import load_dataset
    from ..data.samples import samples_of
    from .fitting import TrainedRun, fit, train_run
    from .settings import TrainSettings

__all__ = ["TrainSettings", "TrainedRun", "fit", "load_dataset", "samples_of", "train_run"]

if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "TrainSettings": ".settings",
            "TrainedRun": ".fitting",
            "fit": ".fitting",
            "load_dataset": "..data.dataset",
            "samples_of": "..data.samples",
            "train_run": ".fitting",
        },
    )
