"""Warnings about a run's results: an accuracy that fell, an output that never spikes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork

__all__ = ["of_run"]


def of_run(deployed: DeployedNetwork, accuracy: float | None, output_counts: NDArray[np.int64]) -> list[str]:
    """Return the warnings of a run with the output spikes `output_counts` (samples, classes); `accuracy`: None without labels."""
    silent = _silent(deployed, output_counts)
    return silent or _fallen(deployed, accuracy, len(output_counts))


def _silent(deployed: DeployedNetwork, output_counts: NDArray[np.int64]) -> list[str]:
    """Warn of an output that never spikes; an untrained network, without training provenance, may intend that."""
    network = deployed.network
    if output_counts.any() or not (network.provenance or network.stages):
        return []
    return [
        f"Layer {network.populations[-1].name} never spiked on {len(output_counts):,} samples, so every prediction is class 0. The stages "
        "and the rates of the layers before it say where the spikes end; try a lower --sparsity, more --timesteps or more --weight-bits."
    ]


def _fallen(deployed: DeployedNetwork, accuracy: float | None, samples: int) -> list[str]:
    """Warn of an accuracy that fell from the first stage by more than 2 points and two standard errors."""
    if accuracy is None or not deployed.network.stages:
        return []
    first = deployed.network.stages[0]
    error = float(np.sqrt(first.accuracy * (1.0 - first.accuracy) / samples))
    if accuracy >= first.accuracy - 0.02 - 2.0 * error:
        return []
    return [
        f"Accuracy fell from {first.accuracy:.2%} ({first.name}) to {accuracy:.2%} as deployed. The stages and the "
        f"drift by layer say where; try more --weight-bits or another --encoding."
    ]
