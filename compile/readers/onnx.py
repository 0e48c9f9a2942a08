"""Reads `model.onnx`, the hand-over file of training."""

from __future__ import annotations

from pathlib import Path

from .. import handover
from ..network import Network

SUFFIXES = (".onnx",)
REFUSED = {  # options of other readers, and why this one has no use for them
    "dt": "its neurons count in time steps, not in seconds",
    "timesteps": "it was trained with time steps of its own",
    "spike_when": "its neurons say it themselves",
    "reset": "its neurons say it themselves",
    "readout": "its output spikes",
    "input": "it says itself what its samples are",
    "levels": "it says itself what its samples are",
}


def read(path: Path) -> Network:
    """Read the network; see `compile.handover` for the format and its errors."""
    return handover.read(path)
