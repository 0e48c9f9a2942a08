"""Reads NIR files (https://neuroir.org), which many spiking-network frameworks write. docs/interchange.md says what is supported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from ...errors import DAMAGE, DoesNotFitError, FormatError, NetworkError, UsageError
from ...fed import Known
from ...files import require_readable
from ...hdf5 import read_tree
from ...network.model import LIF, InputSpec, Network, Reading
from .build import Steps, build
from .dt import hint_of_dt
from .graph import Graph, flatten, numbers

SUFFIXES = (".nir",)
RESETS = ("zero", "subtract")
DT = 1e-4
UNSAID_RESET = (
    "A NIR file cannot say whether a spike sets the potential to v_reset or subtracts the threshold; Spikeloom assumes that it is set. By "
    "default snnTorch subtracts one step late (--set reset=subtract-late), Sinabs and Rockpool at once (reset=subtract), and SpikingJelly, "
    "Norse and Lava-dl set the potential (reset=zero); the spikes differ. Say which with --set reset=."
)
NOTE = "spikeloom"  # metadata that our writer adds: what NIR cannot express


@dataclass(frozen=True)
class Options:
    """What a NIR file does not say; None: the value that our own writer noted in it, else the default below.

    Args:
        dt: seconds of a time step; 1e-4.
        timesteps: of a sample; there is no default.
        spike_when: neurons spike `above` their threshold, as NIR's equations have it, or when it is `reached`, as SpikingJelly's do;
            above.
        reset: a spike sets the potential to v_reset (`zero`), or subtracts v_threshold - v_reset from it, at once (`subtract`) or in the
            next step, unaffected by its leak (`subtract-late`); zero, with a warning, since a file cannot say which.
        input: samples hold one value for all time steps (`static`), or one for each (`events`); static.
        levels: samples are integers 0..levels that stand for 0..1; 255, of events 1.
        readout: threshold above rest of the neurons that replace a non-spiking output; None: it is refused.
        data: name of the data set, for the record.
    """

    dt: float | None = None
    timesteps: int | None = None
    spike_when: Literal["above", "reached"] | None = None
    reset: Literal["zero", "subtract", "subtract-late"] | None = None
    input: Literal["static", "events"] | None = None
    levels: int | None = None
    readout: float | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        if self.dt is not None and not (0.0 < self.dt < np.inf):
            raise UsageError(f"dt is {self.dt}; it must be seconds above 0.")
        if self.timesteps is not None and not 1 <= self.timesteps <= 4096:
            raise UsageError(f"timesteps is {self.timesteps}; it must lie in 1..4096.")
        if self.levels is not None and not 1 <= self.levels <= 255:
            raise UsageError(f"levels is {self.levels}; it must lie in 1..255.")
        if self.readout is not None and not (0.0 < self.readout < np.inf):
            raise UsageError(f"readout is {self.readout}; it must be a threshold above 0.")


def known(path: Path, options: Options) -> Known:
    """Return what a file says about its samples: what our own writer noted, and the Input's shape.

    Raises:
        FormatError: it is missing, damaged or foreign.
    """
    return known_of(document_of(path), options, str(path))


def known_of(document: Mapping[str, Any], options: Options, name: str) -> Known:
    """Return what a graph in the form of `nir.NIRGraph.to_dict()` says about its samples; see `known`. `name`: its name in messages."""
    try:
        graph = flatten(document)
        noted, entry = _noted(graph), graph.of_kind("Input")[0]
        inputs = int(np.prod(numbers(entry, "shape"))) if "shape" in entry.fields else None
    except FormatError as error:
        raise FormatError(f"{name}: {str(error).removesuffix('.')}.") from error
    kind = options.input or noted.get("input")
    return Known(options.timesteps or noted.get("timesteps"), None if kind is None else kind == "events", inputs)


def read(path: Path, options: Options | None = None) -> Network:
    """Read a NIR file as a float network.

    Raises:
        FormatError: it is missing, damaged or foreign, or has something unsupported; the node is named.
        NetworkError: what no chip can run faithfully, such as an output that does not spike.
        UsageError: nothing says how many time steps a sample has.
    """
    return from_document(document_of(path), options, name=str(path))


def document_of(path: Path) -> Mapping[str, Any]:
    """Return the graph of a NIR file as nested dictionaries of arrays and text, in the form of `nir.NIRGraph.to_dict()`.

    Raises:
        FormatError: it is missing, damaged, not a NIR file, or has contents that none needs (links, external data, huge arrays).
    """
    if path.exists() and not path.is_file():
        raise FormatError(f"{path} is not a plain file, so it is not a NIR file. Write it with nir.write.")
    require_readable(path, "the network")

    def refuse(what: str) -> FormatError:
        return FormatError(f"{path} is not a NIR file, or is damaged: {what}. Write it again with nir.write.")

    graph = read_tree(path, ("node",), refuse).get("node")
    if not isinstance(graph, dict):
        raise refuse("it has no group called node, so it is an HDF5 file but no NIR file")
    return cast("dict[str, Any]", graph)


def from_document(document: Mapping[str, Any], options: Options | None = None, *, name: str = "the NIR graph") -> Network:
    """Return the network of a graph in the form of `nir.NIRGraph.to_dict()`; see `read`. `name`: its name in messages."""
    try:
        return _network(document, options or Options())
    except UsageError:
        raise
    except (FormatError, NetworkError, DoesNotFitError) as error:
        raise type(error)(f"{name}: {str(error).removesuffix('.')}.") from error
    except DAMAGE as error:
        raise FormatError(f"{name} is damaged: {error}. Write it again.") from error


def _network(document: Mapping[str, Any], options: Options) -> Network:
    graph = flatten(document)
    noted = _noted(graph)
    timesteps = options.timesteps or noted.get("timesteps")
    if timesteps is None:
        raise UsageError(
            "A NIR file does not say how many time steps a sample has. Say it with --timesteps (-T, or --set "
            "timesteps=), or name a data set of events."
        )
    graph = _in_order(graph, noted.get("layers", []))
    steps = Steps(
        options.dt or noted.get("dt") or DT,
        options.spike_when or noted.get("spike_when") or "above",
        options.readout,
        options.reset or noted.get("reset") or "zero",
    )
    provenance = noted.get("provenance", {}) | ({} if options.data is None else {"data": options.data})
    network = build(graph, steps, timesteps, _input(options, noted), provenance, noted.get("votes", 1))
    return replace(network, reading=None if noted else _reading(graph, network, options, steps.dt))


def _reading(graph: Graph, network: Network, options: Options, dt: float) -> Reading:
    """Return what another tool's file leaves open, and what to try if a layer stays silent."""
    hint = hint_of_dt(graph, dt, network.timesteps)
    warnings: list[str] = []
    if options.reset is None and any(isinstance(p.neuron, LIF) and p.neuron.tau > 1.0 for p in network.spiking):
        warnings.append(UNSAID_RESET)
    if options.dt is None and hint.certain:
        warnings.append(f"{hint.text} With the default of {DT:g} s per step, the spikes are not those of the tool that wrote the file.")
    silent = (
        hint.text or f"Check --dt (now {dt:g} s), the levels of the samples and --set spike_when= against the tool that wrote the file."
    )
    return Reading("NIR", tuple(warnings), silent)


def _input(options: Options, noted: Mapping[str, Any]) -> InputSpec:
    kind = options.input or noted.get("input", "static")
    levels = options.levels or noted.get("levels") or (1 if kind == "events" else 255)
    return InputSpec(levels, 1.0 / levels, "events" if kind == "events" else "direct")


def _in_order(graph: Graph, layers: list[str]) -> Graph:
    """Return the graph with our writer's layers in their original order, which HDF5 does not keep."""
    first = {name: graph.nodes[name] for name in layers if name in graph.nodes}
    return Graph(first | {n: node for n, node in graph.nodes.items() if n not in first}, graph.edges, graph.metadata)


def _noted(graph: Graph) -> dict[str, Any]:
    """Return what our writer noted in the file, each value checked."""
    value = graph.metadata.get(NOTE)
    if not isinstance(value, str):
        return {}
    try:
        noted = json.loads(value)
        made: dict[str, Any] = {n: int(noted[n]) for n in ("timesteps", "levels", "votes")}
        made |= {"spike_when": str(noted["spike_when"]), "layers": [str(name) for name in noted["layers"]]}
        made |= {
            "dt": float(noted["dt"]),
            "input": str(noted["input"]),
            "reset": str(noted.get("reset", "zero")),
            "provenance": {str(k): str(v) for k, v in noted["provenance"].items()},
        }
    except DAMAGE as error:
        raise FormatError(f"its note of spikeloom is damaged ({error})") from error
    usable = 1 <= made["timesteps"] <= 4096 and 1 <= made["levels"] <= 255 and made["votes"] >= 1 and 0.0 < made["dt"] < np.inf
    words = (("input", ("static", "events")), ("spike_when", ("above", "reached")), ("reset", RESETS))
    if not usable or any(made[name] not in known for name, known in words):
        raise FormatError("its note of spikeloom holds values out of range")
    return made
