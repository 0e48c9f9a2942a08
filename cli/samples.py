"""What `spikeloom run` needs: the network, the samples, and the process group."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, UsageError

if TYPE_CHECKING:
    from ..compile.deployed import DeployedNetwork
    from ..runtime.selection import Samples
    from ..runtime.shards import Peers

__all__ = ["peers", "threads_each", "what_to_run"]


@contextmanager
def peers() -> Generator[Peers]:
    """Join the process group that torchrun started, if any; only then torch is imported.

    Raises:
        BackendError: they cannot be reached, or torch is missing.
        UsageError: an environment that names several processes, but not how to reach them.
    """
    from ..runtime.shards import ALONE

    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    try:
        from ..train.peers import joined
    except ModuleNotFoundError as error:
        raise BackendError(
            f"WORLD_SIZE asks for several processes, for which {error.name} is needed. Install it with: "
            f"pip install 'spikeloom[train]', or run a single process."
        ) from error
    with joined() as processes:
        yield processes


def threads_each(threads: int | None, backend: str) -> int | None:
    """Return the threads of this process: the requested number, or its share of the machine's cores if several processes run on it.

    Lava and xylosim have no threads to distribute: one starts a process per layer, the other has one thread.
    """
    here = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if threads is not None or backend in ("lava", "xylosim") or not here.isdecimal() or int(here) < 2:
        return threads
    return max((os.cpu_count() or 1) // int(here), 1)


def what_to_run(
    network: Path, data: str | None, labels: Path | None, data_dir: Path | None, options: Mapping[str, Any]
) -> tuple[DeployedNetwork, str, Samples]:
    """Load the network and its samples: a data set's test split, or the user's own with or without labels; also return their name.

    Recordings are cut into as many frames as the network has time steps. `options`: those of the data set, taking precedence over the ones
    used in training.

    Raises:
        UsageError: labels without samples, or no data set that could be inferred.
        SpikeloomError: files that are missing or damaged.
    """
    from ..compile.loading import load

    deployed = load(network)
    from ..data.samples import samples_of

    data = data or _trained_on(deployed.network.provenance)
    chosen = _data_options(deployed.network.provenance, data) | dict(options)
    return deployed, data, samples_of(data, labels=labels, folder=data_dir, options=chosen).load(deployed.network.takes).test


def _trained_on(provenance: Mapping[str, str]) -> str:
    from ..data.dataset import OWN

    if "data" not in provenance:
        raise UsageError("The network does not say what data it was trained on. Name a data set with --data.")
    if provenance["data"].startswith(OWN):
        raise UsageError(
            f"The network was trained on samples of your own ({provenance['data']}), which it does not hold. Name them with --data."
        )
    return provenance["data"]


def _data_options(provenance: Mapping[str, str], data: str) -> dict[str, Any]:
    """The options of the data set that the network was trained on, such as the number of frames, if `data` is that data set."""
    if provenance.get("data") != data:
        return {}
    return {name.removeprefix("data."): json.loads(value) for name, value in provenance.items() if name.startswith("data.")}
