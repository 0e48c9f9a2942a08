"""A network as a JSON document and arrays, and back, as in `.loom` files and pass dumps. Nothing read is trusted or executed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..errors import FormatError
from ..hwmodels.crossbar import LEVEL_MAX, TYPES
from ..hwmodels.fixed_point import STATE_LIMIT
from .model import (
    Connectivity,
    Convolution,
    CrossbarLIF,
    InputSpec,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Stage,
    Synapses,
    Trained,
)
from .neurons import NEURONS, is_integer

Arrays = dict[str, NDArray[Any]]


def document_of(network: Network) -> dict[str, Any]:
    """Return everything of a network except its arrays."""
    return {
        "timesteps": network.timesteps,
        "input": asdict(network.input),
        "populations": [_population_document(p) for p in network.populations],
        "projections": [_projection_document(p) for p in network.projections],
        "stages": [asdict(s) for s in network.stages],
        "provenance": dict(network.provenance),
        "votes": network.votes,
        "reachable": {name: list(counts) for name, counts in network.reachable.items()},
    }


def arrays_of(network: Network) -> Arrays:
    """Return the arrays of a network by name: `PROJECTION.indptr`, `.indices`, `.data`, and `POPULATION.bias`, `.alive`."""
    arrays: Arrays = {}
    for projection in network.projections:
        synapses = projection.synapses.taps if isinstance(projection.synapses, Convolution) else projection.synapses
        arrays[f"{projection.name}.indptr"] = synapses.indptr
        arrays[f"{projection.name}.indices"] = synapses.indices
        arrays[f"{projection.name}.data"] = synapses.data.astype(np.float32 if projection.weight_bits is None else np.int16)
    for population in network.spiking:
        if population.bias is not None:
            arrays[f"{population.name}.bias"] = population.bias
        if population.alive is not None:
            arrays[f"{population.name}.alive"] = population.alive.astype(np.uint8)
        if population.levels is not None:
            arrays[f"{population.name}.levels"] = population.levels.astype(np.int16)
    return arrays


@np.errstate(invalid="raise")  # NaN where integers are expected
def rebuild(document: dict[str, Any], arrays: Arrays) -> Network:
    """Return the network of a document and its arrays; arrays with other names are ignored.

    Raises:
        FormatError: shapes, weights or registers out of range.
        NetworkError, and those of `DAMAGE`: other damage.
    """
    return Network(
        tuple(_population(p, arrays) for p in document["populations"]),
        tuple(_projection(p, arrays) for p in document["projections"]),
        int(document["timesteps"]),
        TypeAdapter(InputSpec).validate_python(document["input"]),
        TypeAdapter(tuple[Stage, ...]).validate_python(document["stages"]),
        TypeAdapter(dict[str, str]).validate_python(document["provenance"]),
        TypeAdapter(int).validate_python(document["votes"]),
        reachable=TypeAdapter(dict[str, tuple[float, float]]).validate_python(document.get("reachable", {})),
    )


def _population_document(population: Population) -> dict[str, Any]:
    neuron = population.neuron
    kind = None if neuron is None else {"kind": type(neuron).__name__, **asdict(neuron)}
    if kind and not kind.get("soft_reset", True):
        kind.pop("soft_reset")  # omitted, as in files older than soft reset
    flags = {"bias": population.bias is not None, "alive": population.alive is not None}
    return {"name": population.name, "shape": population.shape, "neuron": kind, "place": population.place, **flags}


def _projection_document(projection: Projection) -> dict[str, Any]:
    kept = {n: getattr(projection, n) for n in ("name", "source", "target", "exponent", "weight_bits", "scale", "lag", "delay")}
    origin = None if projection.origin is None else asdict(projection.origin)
    return kept | {"synapses": _synapses_document(projection.synapses), "origin": origin}


def _synapses_document(synapses: Connectivity) -> dict[str, Any]:
    if isinstance(synapses, Synapses):
        return {"shape": synapses.shape}
    geometry = {n: getattr(synapses, n) for n in ("source_shape", "kernel", "stride", "padding", "pool")}
    return geometry | {"shape": synapses.taps.shape}


def _population(document: dict[str, Any], arrays: Arrays) -> Population:
    name, shape = str(document["name"]), TypeAdapter(tuple[int, ...]).validate_python(document["shape"])
    place: Place = TypeAdapter(Place).validate_python(document["place"])
    neuron = None if document["neuron"] is None else _neuron(document["neuron"])
    integer = is_integer(neuron)
    bias = arrays[f"{name}.bias"].astype(np.int32 if integer else np.float32) if document["bias"] else None
    alive = arrays[f"{name}.alive"].astype(np.bool_) if document["alive"] else None
    if not shape or min(shape) < 1 or (bias is not None and integer and np.abs(bias).max(initial=0) >= STATE_LIMIT):
        raise FormatError(f"population {name}: its shape {shape} or its biases are out of range")
    levels = arrays[f"{name}.levels"].astype(np.int64) if isinstance(neuron, CrossbarLIF) else None
    if levels is not None and (levels.shape != (int(np.prod(shape)), TYPES) or np.abs(levels).max(initial=0) > LEVEL_MAX + 1):
        raise FormatError(f"population {name}: its weights by axon type have shape {levels.shape}, or are out of range")
    return Population(name, shape, neuron, place, bias, alive, levels)


def _neuron(document: dict[str, Any]) -> Neuron:
    registers = dict(document)
    kind = NEURONS.get(str(registers.pop("kind")))
    if kind is None:
        raise FormatError(f"there is no neuron model called {document['kind']!r}")
    return kind(**registers)


def _projection(document: dict[str, Any], arrays: Arrays) -> Projection:
    name, bits = document["name"], document["weight_bits"]
    synapses = _synapses(document["synapses"], name, arrays, np.float32 if bits is None else np.int32)
    exponent, data = int(document["exponent"]), synapses.data
    if bits is not None and not (2 <= int(bits) <= 9 and -32 <= exponent <= 7 and np.abs(data).max(initial=0) < 1 << (int(bits) - 1)):
        raise FormatError(f"projection {name}: weights, {bits} bits or exponent {exponent} are out of range")
    origin = TypeAdapter(Trained | None).validate_python(document["origin"])
    if origin is not None and not (0 <= origin.weights <= origin.possible_weights and synapses.count <= origin.possible_synapses):
        raise FormatError(f"projection {name}: {synapses.count} synapses cannot be left of {origin}")
    ends, scale = (str(document["source"]), str(document["target"])), float(document["scale"])
    bits = None if bits is None else int(bits)
    return Projection(name, *ends, synapses, exponent, bits, scale, origin, int(document["lag"]), int(document["delay"]))


def _synapses(document: dict[str, Any], name: str, arrays: Arrays, kind: type[Any]) -> Connectivity:
    rows, columns = (int(d) for d in document["shape"])
    data = arrays[f"{name}.data"].astype(kind)
    indptr, indices = arrays[f"{name}.indptr"].astype(np.int64), arrays[f"{name}.indices"].astype(np.int32)
    matrix = Synapses(indptr, indices, data, (rows, columns))
    if "kernel" not in document:
        return matrix
    source = TypeAdapter(tuple[int, int, int]).validate_python(document["source_shape"])
    kernel = TypeAdapter(tuple[int, int]).validate_python(document["kernel"])
    return Convolution(matrix, source, kernel, *(int(document[n]) for n in ("stride", "padding", "pool")))
