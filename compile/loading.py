"""Deployed networks by name: a `.loom` file is read, a network of the zoo is compiled."""

from __future__ import annotations

from pathlib import Path

from ..checked import checked
from ..network import zoo
from . import deployed
from .compiler import compile_network
from .deployed import DeployedNetwork

__all__ = ["compile_of_zoo", "load"]


@checked(path="Name a model.loom that spikeloom compile wrote.")
def load(path: Path | str) -> DeployedNetwork:
    """Read a `.loom` file, of this format version or of the one before; or compile "zoo:NAME", a network of the package (docs/zoo.md).

    Raises:
        FormatError: the file is missing, truncated, damaged, of another format, newer or too old; the message says which.
        UsageError: no network of the zoo has this name.
    """
    name = zoo.name_of(path)
    return deployed.load(path) if name is None else compile_of_zoo(name)


def compile_of_zoo(name: str) -> DeployedNetwork:
    """Compile a network of the zoo as its record says that it was deployed.

    Raises:
        UsageError: an unknown name.
        FormatError: a damaged file or record.
    """
    how = zoo.entry(name).deployed
    return compile_network(f"{zoo.PREFIX}{name}", target=how.target, chip=how.chip, weight_bits=how.weight_bits)
