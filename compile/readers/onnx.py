"""Reads `model.onnx`, the hand-over file of training."""

from __future__ import annotations

from pathlib import Path

from .. import handover
from ..network import Network

SUFFIXES = (".onnx",)


def read(path: Path) -> Network:
    """Read the network; see `compile.handover` for the format and its errors."""
    return handover.read(path)
