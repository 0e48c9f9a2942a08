"""The hand-over file `model.onnx`: the one definition that training writes and the compiler reads.

One time step of a `Network` as an ONNX graph. Weights are sparse initializers; synapses and neurons are model-local
functions of standard operators, so onnxruntime runs the file and Netron draws it; neuron state enters and leaves by name:

    inputs   input (N, sources), v_<population> and, for integer neurons, u_<population>: (N, neurons), zeros at the first step
    outputs  s_<population> (the spikes), and v_<population>_out, u_<population>_out for the next step

Float networks compute in float64: sums of float32 weights are then exact in any order (up to a spread of exponents no
trained network has), which is what makes onnxruntime's spikes torch's spikes. Integer networks hold their sums in float64
(exact below 2^53) and their state in int64. Time steps, input encoding and provenance are metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import FormatError, NetworkError
from ..files import read_bytes, write_bytes
from .network import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Stage, Synapses, row_pointers

__all__ = [
    "LIF",
    "InputSpec",
    "IntegerLIF",
    "Network",
    "Population",
    "Projection",
    "Stage",
    "Synapses",
    "from_bytes",
    "read",
    "to_bytes",
    "write",
]

FORMAT_VERSION = 1
DOMAIN = "spikeloom"
OPSET = 21
MAX_NEURONS = 1 << 24
FUNCTIONS = {"Synapses", "IntegerSynapses", "LIF", "LIFUndecayedInput", "IntegerLIF"}
_DOUBLE, _INT64, _FLOAT, _BOOL = (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL)


def write(network: Network, path: Path) -> Path:
    """Write `network` to `path`, atomically.

    Raises:
        OutputError: the folder cannot be written to.
    """
    return write_bytes(path, to_bytes(network))


def read(path: Path) -> Network:
    """Read a hand-over file.

    Raises:
        FormatError: it is missing, damaged, foreign or newer than this version.
    """
    return from_bytes(read_bytes(path, "the network"), str(path))


# --- writing ---------------------------------------------------------------------------------------------------------


def to_bytes(network: Network) -> bytes:
    """Serialise `network` as an ONNX model; see the module's text for its inputs and outputs."""
    nodes: list[onnx.NodeProto] = []
    inputs = [_value("input", _FLOAT, network.populations[0].size)]
    outputs: list[onnx.ValueInfoProto] = []
    for population in network.spiking:
        states = _state_names(population)
        nodes += _population_nodes(network, population, states)
        state_type = _INT64 if isinstance(population.neuron, IntegerLIF) else _DOUBLE
        inputs += [_value(s, state_type, population.size) for s in states]
        outputs.append(_value(f"s_{population.name}", _BOOL, population.size))
        outputs += [_value(f"{s}_out", state_type, population.size) for s in states]
    sparse = [_sparse_initializer(p) for p in network.projections]
    graph = helper.make_graph(nodes, "spikeloom", inputs, outputs, sparse_initializer=sparse)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=_functions(), producer_name="spikeloom", ir_version=10)
    helper.set_model_props(model, {"spikeloom.version": str(FORMAT_VERSION), "spikeloom.network": json.dumps(_document(network))})
    return model.SerializeToString(deterministic=True)


def _state_names(population: Population) -> list[str]:
    return [f"{s}_{population.name}" for s in (("u", "v") if isinstance(population.neuron, IntegerLIF) else ("v",))]


def _document(network: Network) -> dict[str, Any]:
    return {
        "timesteps": network.timesteps,
        "input": asdict(network.input),
        "shapes": {p.name: list(p.shape) for p in network.populations},
        "input_name": network.populations[0].name,
        "stages": [asdict(s) for s in network.stages],
        "provenance": dict(network.provenance),
    }


def _value(name: str, element: int, size: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, ["N", size])


def _population_nodes(network: Network, population: Population, states: list[str]) -> list[onnx.NodeProto]:
    nodes: list[onnx.NodeProto] = []
    arriving: list[str] = []
    for projection in network.inputs_of(population.name):
        source = "input" if projection.source == network.populations[0].name else f"s_{projection.source}"
        out = f"a_{projection.name}"
        attributes: dict[str, Any] = {"factor": float(2.0**projection.exponent), "scale": float(projection.scale)}
        kind = "Synapses" if projection.weight_bits is None else "IntegerSynapses"
        if projection.weight_bits is not None:
            attributes |= {"exponent": projection.exponent, "weight_bits": projection.weight_bits}
        nodes.append(helper.make_node(kind, [source, f"w_{projection.name}"], [out], name=projection.name, domain=DOMAIN, **attributes))
        arriving.append(out)
    while len(arriving) > 1:  # int64 has no n-ary Sum
        total = f"{arriving[0]}+{len(arriving)}"
        nodes.append(helper.make_node("Add", arriving[:2], [total]))
        arriving = [total, *arriving[2:]]
    outputs = [f"s_{population.name}", *(f"{s}_out" for s in states)]
    kind, attributes = _neuron_attributes(population)
    nodes.append(helper.make_node(kind, [*arriving, *states], outputs, name=population.name, domain=DOMAIN, **attributes))
    return nodes


def _neuron_attributes(population: Population) -> tuple[str, dict[str, Any]]:
    neuron = population.neuron
    if isinstance(neuron, IntegerLIF):
        return "IntegerLIF", {"keep_u": 4095 - neuron.du, "keep_v": 4096 - neuron.dv, "threshold": neuron.vth << 6}
    if neuron is None:
        raise NetworkError(f"{population.name} has no neuron model to hand over.")
    kind = "LIF" if neuron.decay_input else "LIFUndecayedInput"
    return kind, {"tau": neuron.tau, "v_threshold": neuron.v_threshold, "v_reset": neuron.v_reset}


def _sparse_initializer(projection: Projection) -> onnx.SparseTensorProto:
    """Weights as (sources, targets), so that a step is  spikes @ W;  indices are linear and rising."""
    synapses = projection.synapses
    targets, sources = synapses.shape
    linear = synapses.indices.astype(np.int64) * targets + synapses.rows
    order = np.argsort(linear)
    values = numpy_helper.from_array(synapses.data[order].astype(np.float32), f"w_{projection.name}")
    indices = numpy_helper.from_array(linear[order], f"w_{projection.name}_indices")
    return helper.make_sparse_tensor(values, indices, [sources, targets])


def _functions() -> list[onnx.FunctionProto]:
    lif = ["tau", "v_threshold", "v_reset"]
    return [
        _function("Synapses", ["s", "w"], ["a"], _SYNAPSES, ["factor", "scale"]),
        _function("IntegerSynapses", ["s", "w"], ["a"], _INTEGER_SYNAPSES, ["factor", "scale", "exponent", "weight_bits"]),
        _function("LIF", ["x", "v"], ["spike", "v_out"], _LIF.replace("CHARGE", _DECAYED), lif),
        _function("LIFUndecayedInput", ["x", "v"], ["spike", "v_out"], _LIF.replace("CHARGE", _UNDECAYED), lif),
        _function("IntegerLIF", ["a", "u", "v"], ["spike", "u_out", "v_out"], _INTEGER_LIF, ["keep_u", "keep_v", "threshold"]),
    ]


def _function(name: str, inputs: list[str], outputs: list[str], body: str, attributes: list[str]) -> onnx.FunctionProto:
    """Build a function from lines  out = Op(in, ...)  in which @name is an attribute and #n a 64-bit constant."""
    nodes: list[onnx.NodeProto] = []
    for line in filter(str.strip, body.splitlines()):
        out, _, call = line.strip().partition(" = ")
        operator, _, rest = call.rstrip(")").partition("(")
        arguments = [a.strip() for a in rest.split(",")]
        nodes += _call(out, operator, arguments)
    return helper.make_function(DOMAIN, name, inputs, outputs, nodes, [helper.make_opsetid("", OPSET)], attributes)


def _call(out: str, operator: str, arguments: list[str]) -> list[onnx.NodeProto]:
    if operator == "Cast":
        return [helper.make_node("Cast", arguments[:1], [out], to=getattr(onnx.TensorProto, arguments[1]))]
    if operator in ("Float", "Int"):  # an attribute as a scalar
        node = helper.make_node("Constant", [], [out])
        kind = onnx.AttributeProto.FLOAT if operator == "Float" else onnx.AttributeProto.INT
        attribute = onnx.AttributeProto(name=f"value_{operator.lower()}", ref_attr_name=arguments[0].removeprefix("@"), type=kind)
        node.attribute.append(attribute)
        return [node]
    constants = [helper.make_node("Constant", [], [f"c{a[1:]}_{out}"], value_int=int(a[1:])) for a in arguments if a.startswith("#")]
    names = [f"c{a[1:]}_{out}" if a.startswith("#") else a for a in arguments]
    return [*constants, helper.make_node(operator, names, [out])]


_SYNAPSES = """
    sd = Cast(s, DOUBLE)
    wd = Cast(w, DOUBLE)
    a = MatMul(sd, wd)
"""
_INTEGER_SYNAPSES = """
    sd = Cast(s, DOUBLE)
    wd = Cast(w, DOUBLE)
    sum = MatMul(sd, wd)
    f = Float(@factor)
    fd = Cast(f, DOUBLE)
    scaled = Mul(sum, fd)
    floored = Floor(scaled)
    a = Cast(floored, INT64)
"""
_DECAYED = """
    away = Sub(rest, v)
    pull = Add(away, x)
    step = Div(pull, tau)
    charged = Add(v, step)
"""
_UNDECAYED = """
    away = Sub(rest, v)
    leak = Div(away, tau)
    kept = Add(v, leak)
    charged = Add(kept, x)
"""
_LIF = """
    tau_f = Float(@tau)
    tau = Cast(tau_f, DOUBLE)
    threshold_f = Float(@v_threshold)
    threshold = Cast(threshold_f, DOUBLE)
    rest_f = Float(@v_reset)
    rest = Cast(rest_f, DOUBLE)
    CHARGE
    spike = GreaterOrEqual(charged, threshold)
    v_out = Where(spike, rest, charged)
"""
_INTEGER_LIF = """
    keep_u = Int(@keep_u)
    keep_v = Int(@keep_v)
    threshold = Int(@threshold)
    pu = Mul(u, keep_u)
    du = Div(pu, #4096)
    au = Mul(a, #64)
    un = Add(du, au)
    over = Greater(un, #8388608)
    less = Sub(un, #16777216)
    u1 = Where(over, less, un)
    under = LessOrEqual(u1, #-8388608)
    more = Add(un, #16777216)
    u_out = Where(under, more, u1)
    pv = Mul(v, keep_v)
    dv = Div(pv, #4096)
    vu = Add(dv, u_out)
    vn = Clip(vu, #-8388607, #8388607)
    spike = Greater(vn, threshold)
    v_out = Where(spike, #0, vn)
"""


# --- reading ---------------------------------------------------------------------------------------------------------


def from_bytes(content: bytes, name: str = "model.onnx") -> Network:
    """Parse a hand-over file.

    Raises:
        FormatError: damaged, foreign, or written by a newer version.
    """
    model = _parse(content, name)
    props = {p.key: p.value for p in model.metadata_props}
    if "spikeloom.version" not in props or "spikeloom.network" not in props:
        raise FormatError(f"{name} is an ONNX model, but not one that spikeloom train wrote. Export the network with spikeloom.")
    if props["spikeloom.version"] != str(FORMAT_VERSION):
        raise FormatError(
            f"{name} has format version {props['spikeloom.version']!r}; this spikeloom reads {FORMAT_VERSION}. Update spikeloom."
        )
    try:
        return _network(model, json.loads(props["spikeloom.network"]))
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError, RecursionError, NetworkError) as error:
        raise FormatError(f"{name} is damaged: {error!s}. Export it again.") from error
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's exception classes differ between its implementations
        raise FormatError(f"{name} is not an ONNX file, or is truncated. Export it again.") from error
    if not model.graph.node:
        raise FormatError(f"{name} is not an ONNX file, or holds an empty graph. Export it again.")
    return model


def _network(model: onnx.ModelProto, document: dict[str, Any]) -> Network:
    if {f.name for f in model.functions} != FUNCTIONS:
        raise FormatError("it lacks the functions of its operators, so it is truncated or damaged. Export it again.")
    weights = {s.values.name: s for s in model.graph.sparse_initializer}
    shapes = {str(k): tuple(int(d) for d in v) for k, v in document["shapes"].items()}
    if any(d < 1 for shape in shapes.values() for d in shape) or sum(int(np.prod(s)) for s in shapes.values()) > MAX_NEURONS:
        raise FormatError(f"the population shapes {shapes} are not usable.")
    source = str(document["input_name"])
    names = {"input": source}
    populations = [Population(source, shapes[source], None)]
    pending: dict[str, Projection] = {}
    projections: list[Projection] = []
    arriving: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type in ("Synapses", "IntegerSynapses"):
            pending[node.output[0]] = _projection(node, names[node.input[0]], weights)
            arriving[node.output[0]] = [node.output[0]]
        elif node.op_type == "Add":
            arriving[node.output[0]] = arriving[node.input[0]] + arriving[node.input[1]]
        elif node.op_type in ("LIF", "LIFUndecayedInput", "IntegerLIF"):
            populations.append(Population(node.name, shapes[node.name], _neuron(node)))
            names[node.output[0]] = node.name
            projections += [replace(pending[a], target=node.name) for a in arriving[node.input[0]]]
        else:
            raise FormatError(f"the operator {node.op_type} (node {node.name!r}) is not one of a hand-over file.")
    return Network(
        tuple(populations),
        tuple(projections),
        int(document["timesteps"]),
        InputSpec(int(document["input"]["levels"]), float(document["input"]["scale"]), document["input"]["encoding"]),
        tuple(Stage(str(s["name"]), float(s["accuracy"]), int(s["samples"]), str(s["split"])) for s in document["stages"]),
        {str(k): str(v) for k, v in document["provenance"].items()},
    )


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _projection(node: onnx.NodeProto, source: str, weights: Mapping[str, onnx.SparseTensorProto]) -> Projection:
    attributes = _attributes(node)
    sparse = weights[node.input[1]]
    integer = node.op_type == "IntegerSynapses"
    synapses = _read_sparse(sparse, node.name, np.int32 if integer else np.float32)
    bits = int(attributes["weight_bits"]) if integer else None
    exponent = int(attributes["exponent"]) if integer else 0
    if bits is not None and not (2 <= bits <= 9 and -32 <= exponent <= 7):
        raise FormatError(f"projection {node.name}: {bits} bits or exponent {exponent} is out of range.")
    return Projection(node.name, source, "", synapses, exponent, bits, float(attributes["scale"]))


def _neuron(node: onnx.NodeProto) -> LIF | IntegerLIF:
    attributes = _attributes(node)
    if node.op_type == "IntegerLIF":
        return IntegerLIF(4095 - int(attributes["keep_u"]), 4096 - int(attributes["keep_v"]), int(attributes["threshold"]) >> 6)
    values = (float(attributes[k]) for k in ("tau", "v_threshold", "v_reset"))
    return LIF(*values, decay_input=node.op_type == "LIF")


def _read_sparse(sparse: onnx.SparseTensorProto, name: str, dtype: type) -> Synapses:
    for tensor in (sparse.values, sparse.indices):
        if tensor.data_location != onnx.TensorProto.DEFAULT:
            raise FormatError(f"projection {name} keeps its weights in another file; only self-contained files are read.")
    sources, targets = (int(d) for d in sparse.dims)
    values: NDArray[Any] = numpy_helper.to_array(sparse.values).ravel()
    linear: NDArray[Any] = numpy_helper.to_array(sparse.indices).ravel()
    if not (0 < sources <= MAX_NEURONS and 0 < targets <= MAX_NEURONS) or linear.shape != values.shape:
        raise FormatError(f"projection {name}: shape {sources} x {targets} with {linear.size} indices and {values.size} values.")
    if linear.size and (linear.min() < 0 or linear.max() >= sources * targets or (np.diff(linear) <= 0).any()):
        raise FormatError(f"projection {name}: its indices do not rise within 0..{sources * targets - 1}.")
    integers = dtype is not np.int32 or ((values == np.round(values)) & (np.abs(values) < 512)).all()
    if not np.isfinite(values).all() or not integers:
        raise FormatError(f"projection {name}: weights that are not finite numbers, or not small integers where they must be.")
    rows, columns = linear % targets, linear // targets
    order = np.lexsort((columns, rows))
    return Synapses(row_pointers(rows, targets), columns[order].astype(np.int32), values[order].astype(dtype), (targets, sources))
