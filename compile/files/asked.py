"""compile.json: with which options the model.loom of a run folder was compiled, so that `spikeloom repeat` can do it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ...errors import FormatError
from ...files import read_json, write_json

__all__ = ["FILE", "read", "write"]

FILE = "compile.json"
FORMAT = "spikeloom.compile"


def write(folder: Path, options: Mapping[str, Any], command: str, digest: str) -> Path:
    """Write the options of `compile_network` by name, the command, and the digest of the deployed network that it made."""
    return write_json(folder / FILE, {"format": FORMAT, "options": dict(options), "command": command, "artefact_sha256": digest})


def read(folder: Path, digest: str) -> dict[str, Any] | None:
    """Return the options by which a deployed network with this digest was made; None if that was not recorded.

    Raises:
        FormatError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    document = read_json(path, "the options of spikeloom compile", "Compile again.")
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if found.get("format") != FORMAT or not isinstance(found.get("options"), dict):
        raise FormatError(f"{path} does not hold the options of spikeloom compile. Compile again.")
    return found["options"] if found.get("artefact_sha256") == digest else None
