"""The operators of a model.onnx, as ONNX functions of standard operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...network.model import Convolution

DOMAIN = "spikeloom"
OPSET = 21
SOFT_RESET = "SoftReset"
FIXED = frozenset({"Synapses", "Shift", "Spread", "Alive", "LIF", "LIFUndecayedInput", "Threshold", "IntegerLIF"})
SILENCE = {False: "Silence", True: "IntegerSilence"}  # by whether the neurons are integers
CONVOLUTION = "Convolution"
GEOMETRY = ("source_shape", "kernel", "stride", "padding", "pool")


def fixed() -> list[onnx.FunctionProto]:
    """Return the functions that every file contains."""
    lif = ["tau", "v_threshold", "v_reset"]
    return [
        _function("Synapses", ["s", "w"], ["a"], _SYNAPSES, []),
        _function("Shift", ["a"], ["shifted"], _SHIFT, ["factor", "exponent", "weight_bits", "scale"]),
        _function("Spread", ["b"], ["flat"], _SPREAD, ["spread"]),
        _function("Alive", ["s", "alive"], ["live"], _ALIVE, []),
        _function("LIF", ["x", "v"], ["spike", "v_out"], _LIF.replace("CHARGE", _DECAYED), lif),
        _function("LIFUndecayedInput", ["x", "v"], ["spike", "v_out"], _LIF.replace("CHARGE", _UNDECAYED), lif),
        _function("Threshold", ["x"], ["spike"], _THRESHOLD, ["level"]),
        _function("IntegerLIF", ["a", "u", "v", "bias"], ["spike", "u_out", "v_out"], _INTEGER_LIF, ["keep_u", "keep_v", "threshold"]),
    ]


def soft_reset(kind: str) -> onnx.FunctionProto:
    """Return the function of a neuron with a soft reset; files without such neurons do not contain it."""
    if kind == f"IntegerLIF{SOFT_RESET}":
        body = _INTEGER_LIF.replace("v_out = Where(spike, #0, vn)", "above = Sub(vn, threshold)\n    v_out = Where(spike, above, vn)")
        return _function(kind, ["a", "u", "v", "bias"], ["spike", "u_out", "v_out"], body, ["keep_u", "keep_v", "threshold"])
    charge = _UNDECAYED if kind == f"LIFUndecayedInput{SOFT_RESET}" else _DECAYED
    lowered = "height = Sub(threshold, rest)\n    above = Sub(charged, height)\n    v_out = Where(spike, above, charged)"
    body = _LIF.replace("CHARGE", charge).replace("v_out = Where(spike, rest, charged)", lowered)
    return _function(kind, ["x", "v"], ["spike", "v_out"], body, ["tau", "v_threshold", "v_reset"])


def silence(*, integer: bool) -> onnx.FunctionProto:
    """Return the input function of a population without projections: zeros (N, neurons); only files that need it contain it."""
    body = _SILENCE.replace("KIND", "INT64" if integer else "DOUBLE")
    return _function(SILENCE[integer], ["s"], ["a"], body, ["neurons"])


def double(value: float) -> onnx.TensorProto:
    """Return a number as an attribute that keeps its 64 bits: ONNX's own float attributes have 32."""
    return numpy_helper.from_array(np.array(value, np.float64))


def geometry(c: Convolution) -> dict[str, Any]:
    """Return the attributes of a convolution's node."""
    return {
        "source_shape": list(c.source_shape),
        "kernel": list(c.kernel),
        "stride": c.stride,
        "padding": c.padding,
        "pool": c.pool,
    }


def convolution_name(c: Convolution) -> str:
    """Return the name of the function of a convolution's geometry: a function cannot loop, so each geometry has its own."""
    maps, kernel = "x".join(map(str, c.source_shape)), "x".join(map(str, c.kernel))
    return f"{CONVOLUTION}_{maps}_k{kernel}_s{c.stride}_p{c.padding}_pool{c.pool}"


def convolution(c: Convolution) -> onnx.FunctionProto:
    """Return the function  a = w * s  of a convolution's geometry: windows summed, shifted maps side by side, one matrix product.

    s: (N, sources) spikes or payloads; w: (channels out, channels in * kernel height * kernel width); a: (N, targets) float64.
    """
    channels, height, width = c.source_shape
    rows, columns = c.pooled_shape
    outputs = c.target_shape[1] * c.target_shape[2]
    body = f"""
        sd = Cast(s, DOUBLE)
        whole = Reshape(sd, #[0,{channels},{height},{width}])
        map = Slice(whole, #[0,0], #[{rows * c.pool},{columns * c.pool}], #[2,3])
        windows = Reshape(map, #[0,{channels},{rows},{c.pool},{columns},{c.pool}])
        summed = ReduceSum(windows, #[3,5], keepdims=0)
        wd = Cast(w, DOUBLE)
    """
    body += (
        _shifted(c)
        + f"""
        sides = Reshape(stacked, #[0,{channels * c.kernel[0] * c.kernel[1]},{outputs}])
        product = MatMul(wd, sides)
        a = Reshape(product, #[0,-1])
    """
    )
    return _function(convolution_name(c), ["s", "w"], ["a"], body, list(GEOMETRY))


def _shifted(c: Convolution) -> str:
    """Lines that compute `stacked`, (N, channels, taps, rows, columns): for each tap the map as it falls on the outputs."""
    if c.kernel == c.pooled_shape and not c.padding:  # one output: the map itself
        return "\n        stacked = Identity(summed)"
    p = c.padding
    lines = [f"padded = Pad(summed, #[0,0,{p},{p},0,0,{p},{p}])"]
    places = [(y, x) for y in range(c.kernel[0]) for x in range(c.kernel[1])]
    _, rows, columns = c.target_shape
    for y, x in places:
        ends = f"#[{y + (rows - 1) * c.stride + 1},{x + (columns - 1) * c.stride + 1}]"
        lines += [f"part_{y}_{x} = Slice(padded, #[{y},{x}], {ends}, #[2,3], #[{c.stride},{c.stride}])"]
        lines += [f"tap_{y}_{x} = Unsqueeze(part_{y}_{x}, #[2])"]
    lines += [f"stacked = Concat({', '.join(f'tap_{y}_{x}' for y, x in places)}, axis=2)"]
    return "".join(f"\n        {line}" for line in lines)


def _function(name: str, inputs: list[str], outputs: list[str], body: str, attributes: list[str]) -> onnx.FunctionProto:
    """Build a function from lines  out = Op(in, ...).

    @name is an attribute of the function, #n a 64-bit constant, #[n,m] a vector of them, key=n an attribute of the operator.
    """
    nodes: list[onnx.NodeProto] = []
    for line in filter(str.strip, body.splitlines()):
        out, _, call = line.strip().partition(" = ")
        operator, _, rest = call.removesuffix(")").partition("(")
        nodes += _call(out, operator, [a.strip() for a in rest.split(", ")])
    return helper.make_function(DOMAIN, name, inputs, outputs, nodes, [helper.make_opsetid("", OPSET)], attributes)


# type and value name of an attribute used as a constant
_KINDS = {
    "Double": (onnx.AttributeProto.TENSOR, "value"),
    "Int": (onnx.AttributeProto.INT, "value_int"),
    "Ints": (onnx.AttributeProto.INTS, "value_ints"),
}


def _call(out: str, operator: str, arguments: list[str]) -> list[onnx.NodeProto]:
    if operator == "Cast":
        return [helper.make_node("Cast", arguments[:1], [out], to=getattr(onnx.TensorProto, arguments[1]))]
    if operator in _KINDS:  # an attribute as a constant
        node = helper.make_node("Constant", [], [out])
        kind, name = _KINDS[operator]
        node.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=arguments[0].removeprefix("@"), type=kind))
        return [node]
    constants: list[onnx.NodeProto] = []
    names: list[str] = []
    options: dict[str, Any] = {k: int(v) for k, v in (a.split("=") for a in arguments if "=" in a)}
    for i, argument in enumerate(a for a in arguments if "=" not in a):
        if argument.startswith("#"):
            constants.append(_constant(f"c{i}_{out}", argument[1:]))
        names.append(f"c{i}_{out}" if argument.startswith("#") else argument)
    return [*constants, helper.make_node(operator, names, [out], **options)]


def _constant(name: str, text: str) -> onnx.NodeProto:
    if text.startswith("["):
        return helper.make_node("Constant", [], [name], value_ints=[int(n) for n in text.strip("[]").split(",")])
    return helper.make_node("Constant", [], [name], value_int=int(text))


_SYNAPSES = """
    sd = Cast(s, DOUBLE)
    wd = Cast(w, DOUBLE)
    a = MatMul(sd, wd)
"""
_SHIFT = """
    factor = Double(@factor)
    scaled = Mul(a, factor)
    floored = Floor(scaled)
    shifted = Cast(floored, INT64)
"""
_SPREAD = """
    shape = Ints(@spread)
    column = Unsqueeze(b, #[1])
    wide = Expand(column, shape)
    flat = Reshape(wide, #[-1])
"""
_ALIVE = """
    live = And(s, alive)
"""
_SILENCE = """
    samples = Shape(s, start=0, end=1)
    neurons = Ints(@neurons)
    shape = Concat(samples, neurons, axis=0)
    zeros = ConstantOfShape(shape)
    a = Cast(zeros, KIND)
"""
_THRESHOLD = """
    level = Double(@level)
    spike = GreaterOrEqual(x, level)
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
    tau = Double(@tau)
    threshold = Double(@v_threshold)
    rest = Double(@v_reset)
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
    vb = Add(vu, bias)
    vn = Clip(vb, #-8388607, #8388607)
    spike = Greater(vn, threshold)
    v_out = Where(spike, #0, vn)
"""
