"""A module of torch or a graph of NIR in memory as a source of the compiler. torch is imported only where a module is given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import UsageError
from ..fed import Data, Fed, Known, Samples
from ..formats import nir
from ..network.model import Network
from ..registry import build
from . import sources
from .sources import Source

__all__ = ["Batch", "Given", "Graph", "Module", "is_graph", "is_module", "read_graph", "range_of", "read_module"]

CHECKED = 4  # samples of a data set on which a module and its network are compared


class Module(Protocol):
    """A `torch.nn.Module`."""

    def state_dict(self) -> Any:
        """Return the parameters and buffers by name."""
        ...

    def named_modules(self) -> Any:
        """Return the modules inside by name."""
        ...


class Batch(Protocol):
    """Samples as an array or a tensor."""

    @property
    def shape(self) -> Any:
        """(samples, ...)."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return some of it."""
        ...


class Graph(Protocol):
    """A `nir.NIRGraph`."""

    nodes: Any
    edges: Any

    def to_dict(self) -> Any:
        """Return the graph as nested dictionaries."""
        ...


@dataclass(frozen=True)
class Given:
    """The arguments that accompany a module: see `compile_network`."""

    sample: Batch | None = None
    timesteps: int | None = None
    events: bool = False
    levels: int | None = None
    scale: float | None = None

    def with_options(self, options: Mapping[str, Any]) -> Given:
        """Return this with options by name, as a command line has them.

        Raises:
            UsageError: an option that does not apply to modules, or a value of the wrong type.
        """
        return replace(self, **{n: getattr(build(_Options, options, "a module"), n) for n in options})


@dataclass(frozen=True)
class _Options:
    """The named options of a module: its time steps, whether samples have a value for each, and their largest integer.

    `scale`: the module's value of one level.
    """

    timesteps: int | None = None
    events: bool = False
    levels: int | None = None
    scale: float | None = None


def is_module(source: object) -> bool:
    """Return whether a source is a module of torch, without importing torch: a caller that has a module has imported it."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def is_graph(source: object) -> bool:
    """Return whether a source is a graph of NIR in memory."""
    package: Any = sys.modules.get("nir")
    return package is not None and isinstance(source, package.NIRGraph)


def read_graph(graph: Any, options: Mapping[str, Any], given: Given, data: Data | None) -> Source:
    """Read a graph of NIR; `options` are those of the reader of .nir files.

    Raises:
        UsageError: an option that the reader does not have, or no time steps.
        SpikeloomError: the error that a file with this graph would raise.
    """
    named = dict(options) | ({} if given.timesteps is None else {"timesteps": given.timesteps})
    if given.events:
        named["input"] = "events"
    return sources.read(_InMemory(graph.to_dict()), Path("graph.nir"), named, data)


@dataclass(frozen=True)
class _InMemory:
    """A graph with what the reader of .nir files has, so that data settle what a graph leaves open as they do for a file."""

    document: Mapping[str, Any]
    Options: type[nir.Options] = nir.Options  # the reader's name for it

    def known(self, path: Path, options: nir.Options) -> Known:
        """Return what the graph says about its samples."""
        return nir.known_of(self.document, options, str(path))

    def read(self, _path: Path, options: nir.Options) -> Network:
        """Return the graph as a network."""
        return nir.from_document(self.document, options)


def read_module(module: Any, given: Given, data: Data | None) -> Source:
    """Read a module, checked on the sample that is given, or on the first samples of `data`.

    Raises:
        UsageError: no sample or time steps, or a module that does not run on the data's samples.
        SpikeloomError: any error that `formats.torch.read_module` raises.
    """
    from ..formats import torch
    from ..formats.torch.module import noted_scale

    fed = None if data is None else data.load(Known(given.timesteps, given.events or None, None))
    timesteps = given.timesteps or (None if fed is None else fed.timesteps)
    if timesteps is None:
        raise UsageError("A module does not say how many time steps a sample has. Say timesteps= (-T).")
    if given.events or (fed is not None and fed.temporal):  # other samples are 0..1 by default, whatever their levels
        given = replace(given, scale=given.scale or noted_scale(module))
    if given.sample is not None:
        made = torch.read_module(
            module, sample=given.sample, timesteps=timesteps, events=given.events, levels=given.levels, scale=given.scale
        )
    elif fed is not None:
        made = _read_on(module, fed, timesteps, given)
    else:
        raise UsageError("A module does not say the shape of a sample. Give it some, sample=x[:1], or data=.")
    return Source(made, None) if data is None else sources.feed(made, data)


def _read_on(module: Any, fed: Fed[Samples], timesteps: int, given: Given) -> Network:
    """Read a module on samples of a data set: as they are, with an axis for one channel, or flat, whichever it runs on."""
    from ..formats.torch.module import proven_on

    levels = given.levels or fed.levels or 255
    scale = given.scale or (1.0 if fed.temporal else 1.0 / levels)
    values = np.asarray(fed.train.values[:CHECKED])
    return proven_on(module, values, timesteps, events=fed.temporal, levels=levels, scale=scale).network


def range_of(network: Network) -> tuple[float, float]:
    """Return the range of a module's real samples: 0..1, or whole numbers from 0 upwards."""
    entry = network.input
    return (0.0, 1.0) if entry.levels * entry.scale <= 1.0 else (0.0, float(entry.levels))
