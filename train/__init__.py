"""Training: networks, pruning rules, the loop, and the export to the compiler.

`fit` trains by names, `train_run` from a `TrainSettings`; `prune` is a torch optimizer for a training loop of your own. Importing this
package does not import torch; using any of these does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import lazy

if TYPE_CHECKING:
    from ..data.dataset import load_dataset
    from ..data.samples import samples_of
    from .finished import TrainedRun
    from .fitting import fit
    from .own_loop import PruningOptimizer, prune
    from .running import train_run
    from .settings import TrainSettings
    from .untrained import untrained

__all__ = ["PruningOptimizer", "TrainSettings", "TrainedRun", "fit", "load_dataset", "prune", "samples_of", "train_run", "untrained"]

if not TYPE_CHECKING:  # to them a module with __getattr__ has every name
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "PruningOptimizer": ".own_loop",
            "TrainSettings": ".settings",
            "TrainedRun": ".finished",
            "fit": ".fitting",
            "load_dataset": "..data.dataset",
            "prune": ".own_loop",
            "samples_of": "..data.samples",
            "train_run": ".running",
            "untrained": ".untrained",
        },
    )
