"""Writes a network as an ONNX model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import NetworkError
from ...network.model import LIF, Connectivity, Convolution, CrossbarLIF, IntegerLIF, Network, Population, Projection, Threshold, XyloLIF
from . import functions
from .functions import DOMAIN, OPSET

FORMAT_VERSION = 2
_DOUBLE, _INT64, _FLOAT, _BOOL = (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL)


def to_bytes(network: Network) -> bytes:
    """Serialise `network` as an ONNX model; see the package's docstring for its inputs and outputs.

    Raises:
        NetworkError: a projection with a lag, which the file cannot express, or names that collide in it.
    """
    check(network)
    nodes: list[onnx.NodeProto] = []
    inputs = [_value("input", _FLOAT, network.populations[0].size)]
    outputs: list[onnx.ValueInfoProto] = []
    weights = _weight_names(network)
    for population in network.spiking:
        states = _state_names(population)
        nodes += _population_nodes(network, population, states, weights)
        state_type = _INT64 if isinstance(population.neuron, IntegerLIF) else _DOUBLE
        inputs += [_value(s, state_type, population.size) for s in states]
        outputs.append(_value(f"s_{population.name}", _BOOL, population.size))
        outputs += [_value(f"{s}_out", state_type, population.size) for s in states]
    _check_distinct([*(v.name for v in inputs), *(out for n in nodes for out in n.output)])
    graph = helper.make_graph(nodes, "spikeloom", inputs, outputs, _initializers(network), sparse_initializer=_sparse(network, weights))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=_functions(network), producer_name="spikeloom", ir_version=10)
    helper.set_model_props(model, {"spikeloom.version": str(FORMAT_VERSION), "spikeloom.network": json.dumps(_document(network))})
    return model.SerializeToString(deterministic=True)


def check(network: Network) -> None:
    """Refuse what the file cannot express.

    Raises:
        NetworkError: a projection with a lag, or neurons of a crossbar, or with a synaptic current in floating point; each by name.
    """
    lagging = next((p for p in network.projections if p.lag), None)
    if lagging is not None:
        raise NetworkError(
            f"Projection {lagging.name} has a lag of {lagging.lag}, which model.onnx, with its single time step, cannot express. "
            f"Export to nir, which holds lags as Delay nodes."
        )
    for population in network.spiking:
        _neuron_attributes(population)


def _functions(network: Network) -> list[onnx.FunctionProto]:
    convolutions = [p.synapses for p in network.projections if isinstance(p.synapses, Convolution)]
    by_geometry = {functions.convolution_name(c): c for c in convolutions}
    kinds = {_neuron_attributes(p)[0] for p in network.spiking}
    quiet = {isinstance(p.neuron, IntegerLIF) for p in network.spiking if not network.inputs_of(p.name)}
    soft = [functions.soft_reset(kind) for kind in sorted(kinds) if kind.endswith(functions.SOFT_RESET)]
    return [
        *functions.fixed(),
        *soft,
        *(functions.silence(integer=i) for i in sorted(quiet)),
        *(functions.convolution(c) for c in by_geometry.values()),
    ]


def _check_distinct(names: list[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise NetworkError(
            f"Two values of the exported file would be called {twice}. Give the layers other names: none may be called as "
            f"another with _out, _d or _shifted at its end."
        )


def _weight_names(network: Network) -> dict[int, str]:
    """By the identity of the synapses, the name of their initializer: projections that share weights share it."""
    names: dict[int, str] = {}
    for projection in network.projections:
        names.setdefault(id(projection.synapses), f"w_{projection.name}")
    return names


def _state_names(population: Population) -> list[str]:
    if isinstance(population.neuron, Threshold):
        return []
    return [f"{s}_{population.name}" for s in (("u", "v") if isinstance(population.neuron, IntegerLIF) else ("v",))]


def _document(network: Network) -> dict[str, Any]:
    return {
        "timesteps": network.timesteps,
        "input": asdict(network.input),
        "shapes": {p.name: list(p.shape) for p in network.populations},
        "input_name": network.populations[0].name,
        "votes": network.votes,
        "stages": [asdict(s) for s in network.stages],
        "provenance": dict(network.provenance),
    }


def _value(name: str, element: int, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["N", size])


def _population_nodes(network: Network, population: Population, states: list[str], weights: dict[int, str]) -> list[onnx.NodeProto]:
    nodes: list[onnx.NodeProto] = []
    arriving: list[str] = []
    for projection in network.inputs_of(population.name):
        source = "input" if projection.source == network.populations[0].name else f"s_{projection.source}"
        nodes += _projection_nodes(projection, source, weights[id(projection.synapses)])
        arriving.append(nodes[-1].output[0])
    if not arriving:
        kind = functions.SILENCE[isinstance(population.neuron, IntegerLIF)]
        nodes.append(helper.make_node(kind, ["input"], [f"a_{population.name}"], domain=DOMAIN, neurons=[population.size]))
        arriving.append(f"a_{population.name}")
    bias = [f"b_{population.name}"]
    if population.bias is not None:
        spread = [population.shape[0], population.size // population.shape[0]]
        nodes.append(helper.make_node("Spread", [f"bias_{population.name}"], bias, domain=DOMAIN, spread=spread))
    if isinstance(population.neuron, IntegerLIF):
        if population.bias is None:
            nodes.append(helper.make_node("Constant", [], bias, value_int=0))
        states = [*states, *bias]
    elif population.bias is not None:
        nodes.append(helper.make_node("Cast", bias, [f"{bias[0]}_d"], to=_DOUBLE))
        arriving.append(f"{bias[0]}_d")
    while len(arriving) > 1:  # int64 has no n-ary Sum
        total = f"{arriving[0]}+{len(arriving)}"
        nodes.append(helper.make_node("Add", arriving[:2], [total]))
        arriving = [total, *arriving[2:]]
    return [*nodes, *_neuron_nodes(population, [*arriving, *states])]


def _projection_nodes(projection: Projection, source: str, weights: str) -> list[onnx.NodeProto]:
    out, name = f"a_{projection.name}", projection.name
    if isinstance(projection.synapses, Convolution):
        kind, attributes = functions.convolution_name(projection.synapses), functions.geometry(projection.synapses)
    else:
        kind, attributes = "Synapses", {}
    nodes = [helper.make_node(kind, [source, weights], [out], name=name, domain=DOMAIN, **attributes)]
    if projection.weight_bits is not None:
        registers: dict[str, Any] = {"exponent": projection.exponent, "weight_bits": projection.weight_bits}
        registers |= {"factor": functions.double(2.0**projection.exponent), "scale": functions.double(projection.scale)}
        nodes.append(helper.make_node("Shift", [out], [f"{out}_shifted"], name=f"{name}_shift", domain=DOMAIN, **registers))
    return nodes


def _neuron_nodes(population: Population, inputs: list[str]) -> list[onnx.NodeProto]:
    spikes = f"s_{population.name}"
    fired = spikes if population.alive is None else f"fired_{population.name}"
    outputs = [fired, *(f"{s}_out" for s in _state_names(population))]
    kind, attributes = _neuron_attributes(population)
    nodes = [helper.make_node(kind, inputs, outputs, name=population.name, domain=DOMAIN, **attributes)]
    if population.alive is not None:
        nodes.append(
            helper.make_node("Alive", [fired, f"alive_{population.name}"], [spikes], name=f"{population.name}_alive", domain=DOMAIN)
        )
    return nodes


def _neuron_attributes(population: Population) -> tuple[str, dict[str, Any]]:
    neuron = population.neuron
    if isinstance(neuron, IntegerLIF):
        return f"IntegerLIF{_reset(neuron)}", {"keep_u": 4095 - neuron.du, "keep_v": 4096 - neuron.dv, "threshold": neuron.vth << 6}
    if isinstance(neuron, Threshold):
        return "Threshold", {"level": functions.double(neuron.level)}
    if neuron is None:
        raise NetworkError(f"{population.name} has no neuron model to export.")
    if isinstance(neuron, CrossbarLIF):
        raise NetworkError(
            f"{population.name} has neurons of a crossbar, which model.onnx cannot express. Use --backend native or truenorth."
        )
    if isinstance(neuron, XyloLIF):
        raise NetworkError(f"{population.name} has neurons of Xylo, which model.onnx cannot express. Use --backend native or xylosim.")
    if neuron.tau_syn != 1.0:
        raise NetworkError(f"{population.name} has a synaptic current that decays, which a float model.onnx cannot express.")
    kind = "LIF" if neuron.decay_input else "LIFUndecayedInput"
    return kind + _reset(neuron), {k: functions.double(getattr(neuron, k)) for k in ("tau", "v_threshold", "v_reset")}


def _reset(neuron: LIF | IntegerLIF) -> str:
    return functions.SOFT_RESET if neuron.soft_reset else ""


def _initializers(network: Network) -> list[onnx.TensorProto]:
    """Biases (one per channel) and the flags of live neurons."""
    tensors: list[onnx.TensorProto] = []
    for p in network.spiking:
        if p.bias is not None:
            kind = np.int64 if isinstance(p.neuron, IntegerLIF) else np.float32
            tensors.append(numpy_helper.from_array(p.bias.astype(kind), f"bias_{p.name}"))
        if p.alive is not None:
            tensors.append(numpy_helper.from_array(p.alive, f"alive_{p.name}"))
    return tensors


def _sparse(network: Network, weights: dict[int, str]) -> list[onnx.SparseTensorProto]:
    distinct = {weights[id(p.synapses)]: p.synapses for p in network.projections}
    return [_sparse_initializer(name, synapses) for name, synapses in distinct.items()]


def _sparse_initializer(name: str, synapses: Connectivity) -> onnx.SparseTensorProto:
    """A matrix as (sources, targets), so that a step is  spikes @ W;  taps as (channels out, the rest). Indices are linear and rising.

    They are written as protobuf's numbers of variable length: three bytes for each of the 635,200 weights of 784-800-10, not eight.
    """
    matrix = synapses.taps if isinstance(synapses, Convolution) else synapses.transposed()
    linear = matrix.rows * matrix.shape[1] + matrix.indices
    order = np.argsort(linear)
    values = numpy_helper.from_array(matrix.data[order].astype(np.float32), name)
    indices = helper.make_tensor(f"{name}_indices", onnx.TensorProto.INT64, [len(linear)], linear[order])
    return helper.make_sparse_tensor(values, indices, list(matrix.shape))
