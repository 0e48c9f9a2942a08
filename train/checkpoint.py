"""Checkpoints: safetensors with the bookkeeping as JSON in the metadata, written atomically after every epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import DAMAGE, FormatError
from ..files import read_bytes, write_bytes

VERSION = "1"
KEY = "spikeloom.checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """Everything needed to continue a run bit for bit: flat tensors, and a JSON document (settings, epoch, metrics, registers)."""

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors called `prefix`/..., without the prefix."""
        return {name.removeprefix(f"{prefix}/"): t for name, t in self.tensors.items() if name.startswith(f"{prefix}/")}


def write(path: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint atomically: if the process is killed, the old or the new one is left.

    Raises:
        OutputError: the folder is full or read-only.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    metadata = {KEY: VERSION, "document": json.dumps(checkpoint.document, allow_nan=False)}
    return write_bytes(path, save(tensors, metadata))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        FormatError: missing, truncated, foreign or newer than this version.
    """
    content = read_bytes(path, "the checkpoint")
    damaged = f"{path} is damaged or no checkpoint of spikeloom train"
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        version, document = metadata.get(KEY), json.loads(metadata.get("document", "null"))
    except (SafetensorError, *DAMAGE) as error:
        raise FormatError(f"{damaged}: {error}. Train again, with another --out.") from error
    if version is not None and version != VERSION:
        raise FormatError(f"{path} has checkpoint version {version!r}; this spikeloom reads {VERSION}. Update spikeloom.")
    if version is None or not isinstance(document, dict) or not isinstance(document.get("settings", {}), dict):
        raise FormatError(f"{damaged}. Train again, with another --out.")
    return Checkpoint(tensors, document)
