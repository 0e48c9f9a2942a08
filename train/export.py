"""From a trained network to its export: normalisation is folded into the weights, then a float or integer `Network` is built.

A layer's connections, each with its own normalisation, become weights without normalisation, plus one bias per channel:

    norm(W x) = g (W x - m) / sqrt(var + eps) + h  =  W' x + b',    W' = W g / sqrt(var + eps),   b' = h - m g / sqrt(var + eps)

Samples that the network standardises are folded into the first layers likewise (`Standardise.folded`).
Averages over windows become sums, with weights divided by the number of neurons in a window. Both are computed in float64 and rounded once,
to the float32 that the file holds.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from ..data.dataset import Dataset
from ..errors import UsageError
from ..fed import CALIBRATION_SAMPLES
from ..files import write_bytes
from ..hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from ..hwmodels.quantise import round_bias
from ..network.model import (
    LIF,
    Connectivity,
    Convolution,
    InputSpec,
    IntegerLIF,
    Network,
    Population,
    Projection,
    Stage,
    Synapses,
    Threshold,
)
from .connections import Connection, Shape
from .layers import And, MaxPool, SpikingLayer, SpikingNetwork
from .quantise import IntegerArithmetic, integer_weights
from .standardise import Standardise

__all__ = ["Samples", "fold", "network", "write_calibration"]


class Samples(Protocol):
    """What a network says about the samples that it takes; a data set has it."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def levels(self) -> int: ...


def fold(model: SpikingNetwork) -> SpikingNetwork:
    """Return a copy without normalisation, dropout and averages, which in float64 reproduces the spikes of the exported file exactly.

    It takes the samples as they are: what standardises them is folded, too.

    A network that has none of these keeps its weights, rounded to float32.

    Args:
        model: of any precision, which the copy keeps.

    Raises:
        UsageError: a gate is neither open nor closed.
    """
    functional.reset_net(model)  # potentials of the last samples may belong to an autograd graph, which cannot be copied
    folded = copy.deepcopy(model).eval()
    standard, folded.standardise = folded.standardise, None
    for name, layer in folded.named_layers():
        _fold_layer(layer, standard if layer.is_first else None)
        if layer.gate is not None and not bool(((layer.gate == 0) | (layer.gate == 1)).all()):
            raise UsageError(f"Gates of {name} are neither open nor closed: pruning has not ended. Train to the end of its search.")
    return folded


def _fold_layer(layer: SpikingLayer, standard: Standardise | None) -> None:
    kind = next(layer.neuron.parameters(), next(layer.parameters(), torch.zeros(()))).dtype
    biases: list[Tensor] = [] if layer.bias is None else [layer.bias.detach().double()]
    for connection in layer.inputs:
        biases += _fold_connection(connection, kind, standard)
    if biases:
        total = torch.stack(_alike(biases)).sum(0)
        layer.bias = nn.Parameter(total.float().to(kind))


def _alike(biases: list[Tensor]) -> list[Tensor]:
    """Return biases (C,) as maps (C, H, W) if one of them is; otherwise as they are."""
    maps = next((b.shape for b in biases if b.dim() > 1), None)
    return biases if maps is None else [b if b.dim() > 1 else b.view(-1, 1, 1).expand(maps) for b in biases]


def _fold_connection(connection: Connection, kind: torch.dtype, standard: Standardise | None) -> list[Tensor]:
    """Fold a connection in place; return its biases (C,) or (C, H, W), none or some, in float64."""
    norm, connection.norm, connection.dropout = connection.norm, None, 0.0
    scale, shift = _scale_and_shift(norm) if norm is not None else (None, None)
    found: list[Tensor] = []
    if connection.op is None:
        if connection.pool > 1 or standard is not None:
            connection.op = _identity(connection, kind)
    else:
        bias = cast("nn.Parameter | None", connection.op.bias)
        connection.op.register_parameter("bias", None)
        found += [] if bias is None else [bias.detach().double()]
    if connection.op is not None:
        weight = connection.op.weight.detach().double()
        if standard is not None:
            weight, offset = standard.folded(connection)
            found += [offset] if bool(offset.any()) else []
        area = connection.pool**2 if connection.pool > 1 else 1
        weight = weight / area if scale is None else weight * (scale / area).view(-1, 1, 1, 1)
        connection.op.weight = nn.Parameter(weight.float().to(kind))
        connection.sums_pools = True
    if scale is not None:
        found = [b * scale.view(-1, *[1] * (b.dim() - 1)) for b in found]
    return found if shift is None else [*found, shift]


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of  norm(x) = scale x + shift,  (C,) in float64."""
    mean, variance = (cast(Tensor, t).detach().double() for t in (norm.running_mean, norm.running_var))
    scale = 1.0 / torch.sqrt(variance + norm.eps)
    if norm.affine:
        scale = scale * norm.weight.detach().double()
        return scale, norm.bias.detach().double() - mean * scale
    return scale, -mean * scale


def _identity(connection: Connection, kind: torch.dtype) -> nn.Conv2d:
    """An identity convolution per channel: an average over windows, or samples in other units, need weights that can be divided."""
    if len(connection.source_shape) != 3:
        raise UsageError("Flat samples that enter a membrane directly cannot be standardised. Leave out net.mean and net.std.")
    channels = connection.source_shape[0]
    conv = nn.Conv2d(channels, channels, 1, bias=False)
    conv.weight = nn.Parameter(torch.eye(channels, dtype=kind)[:, :, None, None])
    return conv


def network(
    model: SpikingNetwork,
    arithmetic: Mapping[str, IntegerArithmetic] | None,
    dataset: Samples,
    stages: tuple[Stage, ...],
    provenance: Mapping[str, str],
) -> Network:
    """Build the network that the compiler takes as input.

    Args:
        model: folded, its weights inside, on the CPU.
        arithmetic: the integers to export, by layer; None: the float weights.
        dataset: provides the input's shape and levels.
        stages, provenance: copied into the network.

    Raises:
        UsageError: the network is not folded.
    """
    shape = dataset.shape if math.prod(dataset.shape) == math.prod(model.shape) else model.shape
    populations = [Population("input", model.shape if len(model.shape) == 3 else shape, None)]
    projections: list[Projection] = []
    for name, unit in model.units():
        chip = arithmetic[name] if arithmetic else None
        populations.append(_population(name, unit, chip))
        for source, synapses in _arriving(unit, chip):
            count = sum(p.target == name and p.source == source for p in projections)
            label = f"{source}_{name}" if not count else f"{source}_{name}_{count + 1}"
            registers = {} if chip is None else _registers(chip)
            projections.append(Projection(label, source, name, synapses, **registers))
    encoding = "events" if model.temporal else "current" if arithmetic else "direct"
    spec = InputSpec(dataset.levels, 1.0 / dataset.levels, encoding)
    return Network(tuple(populations), tuple(projections), model.timesteps, spec, stages, dict(provenance), model.votes)


def _registers(chip: IntegerArithmetic) -> dict[str, Any]:
    return {"exponent": chip.registers.exponent, "weight_bits": chip.registers.weight_bits, "scale": chip.registers.scale}


def _population(name: str, unit: SpikingLayer | MaxPool | And, chip: IntegerArithmetic | None) -> Population:
    if isinstance(unit, MaxPool):
        return Population(name, unit.shape, Threshold(1.0))
    if isinstance(unit, And):
        return Population(name, unit.shape, Threshold(float(len(unit.positive))))
    bias = None if unit.bias is None else unit.bias.detach().float().flatten().numpy()
    if bias is not None and chip is not None:
        bias = round_bias(bias, chip.gain)
    each = unit.bias is not None and unit.bias.dim() > 1  # one per neuron, which a population has where it is flat
    alive = None
    if unit.gate is not None and not bool(unit.gate.all()):
        alive = (unit.gate.detach() != 0).flatten().numpy()
    return Population(name, (math.prod(unit.shape),) if each else unit.shape, _neuron(unit, chip), bias=bias, alive=alive)


def _neuron(layer: SpikingLayer, chip: IntegerArithmetic | None) -> LIF | IntegerLIF:
    node, soft = layer.neuron, layer.neuron.v_reset is None
    if chip is None:
        return LIF(node.tau, node.v_threshold, float(node.v_reset or 0.0), node.decay_input, soft)
    return IntegerLIF(NO_MEMORY if node.repeat is None else NEVER_DECAYS, chip.registers.dv, chip.registers.vth, soft)


def _arriving(unit: SpikingLayer | MaxPool | And, chip: IntegerArithmetic | None) -> Iterator[tuple[str, Connectivity]]:
    """Yield each source with its synapses; the sources of one connection share them."""
    if isinstance(unit, MaxPool):
        kernel = np.broadcast_to(np.eye(unit.shape[0], dtype=np.float32)[:, :, None, None], (*unit.shape[:1] * 2, unit.size, unit.size))
        yield unit.sources[0], Convolution.from_dense(kernel, _maps(unit.source_shape), stride=unit.stride, padding=unit.padding)
    elif isinstance(unit, And):
        for name in unit.sources:
            yield name, _identity_synapses(unit.shape, 1.0 if name in unit.positive else -1.0)
    else:
        for connection in unit.inputs:
            synapses = _synapses(connection, chip)
            yield from ((source, synapses) for source in connection.sources)


def _synapses(connection: Connection, chip: IntegerArithmetic | None) -> Connectivity:
    op, shape = connection.op, connection.source_shape
    if connection.norm is not None or (connection.pool > 1 and not connection.sums_pools):
        raise UsageError("The network still has its normalisation or averages; export what export.fold returns.")
    if op is None:
        return _identity_synapses(shape, 1.0)
    weight = op.weight.detach()
    dense: NDArray[Any] = integer_weights(weight, chip.registers).numpy().astype(np.int32) if chip else weight.float().numpy()
    if isinstance(op, nn.Conv2d):
        stride, padding = op.stride[0], int(op.padding[0])
        return Convolution.from_dense(dense, _maps(shape), stride=stride, padding=padding, pool=connection.pool)
    if connection.pool > 1:
        return Convolution.from_dense(dense.reshape(len(dense), *connection.pooled_shape), _maps(shape), pool=connection.pool)
    return Synapses.from_dense(dense)


def _identity_synapses(shape: Shape, weight: float) -> Connectivity:
    eye = np.eye(shape[0], dtype=np.float32) * np.float32(weight)
    return Convolution.from_dense(eye[:, :, None, None], _maps(shape)) if len(shape) == 3 else Synapses.from_dense(eye)


def _maps(shape: Shape) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width


def write_calibration(path: Path, dataset: Dataset) -> Path:
    """Write training samples for the compiler's calibration.

    values uint8 (n, inputs), for temporal data (n, timesteps, inputs); labels int64 (n,).
    """
    picked = dataset.train.evenly(CALIBRATION_SAMPLES)
    flat = picked.values.reshape(*picked.values.shape[: 1 + dataset.temporal], dataset.inputs)
    tensors = {"values": np.ascontiguousarray(flat), "labels": np.ascontiguousarray(picked.labels)}
    metadata = {"data": dataset.name, "levels": str(dataset.levels), "shape": json.dumps(dataset.shape), "split": "train"}
    return write_bytes(path, save(tensors, metadata))
