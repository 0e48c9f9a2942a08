"""Makes the hierarchical Lava process of a deployed network in this interpreter, from the very files that an export writes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from ...errors import BackendError, UsageError
from ...files import sha256, write_bytes
from ...network.model import Network
from .installed import INSTALL, missing
from .writer import package_files

__all__ = ["to_lava"]

WAY_OUT = "Or write a package for an interpreter that has Lava: spikeloom export model.loom --to lava."
_FOLDERS: dict[str, tempfile.TemporaryDirectory[str]] = {}  # by package, kept until this process ends


def to_lava(network: Network, *, period: int | Literal["sample"] | None = "sample", first_step: int = 1, name: str | None = None) -> Any:
    """Return the network as a Lava process with the ports `s_in`, `s_out` and `spikes_LAYER`.

    Args:
        network: an integer network, as deployed.
        period: time steps from one sample to the next, at which all neurons are set to zero; "sample": the time steps that the network
            was compiled for; None: one sample without end.
        first_step: time step at which the first sample starts to arrive at `s_in`.
        name: of the process.

    Raises:
        BackendError: this interpreter has no Lava, or Lava cannot be imported.
        NetworkError: Lava cannot compute the network exactly.
        UsageError: a period or first step below 1, or samples longer than Lava's integers allow.
    """
    lacking = missing()
    if lacking:
        raise BackendError(f"to_lava needs {', '.join(lacking)}, which {sys.executable} does not have. Install with: {INSTALL}. {WAY_OUT}")
    package = _package(network)
    try:
        return package.Network(period=network.timesteps if period == "sample" else period, first_step=first_step, name=name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _package(network: Network) -> Any:
    """Return the imported package of a network; the same network gives the same one."""
    files = package_files(network, "network")
    name = f"spikeloom_{sha256(b''.join(files.values()))[:12]}"
    if name not in sys.modules:
        folder = tempfile.TemporaryDirectory(prefix="loom-to-lava-")
        for path, content in package_files(network, name).items():
            write_bytes(Path(folder.name) / path, content)
        _FOLDERS[name] = folder
        _import(name, Path(folder.name) / name)
    return sys.modules[name]


def _import(name: str, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise BackendError(
            f"{sys.executable} cannot import Lava ({type(error).__name__}: {error}). Call to_lava before Lava is imported, and leave the "
            f"start method of multiprocessing at fork, which Lava needs. {WAY_OUT}"
        ) from error
