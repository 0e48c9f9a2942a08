"""From trained weights to the hand-over: a float `Network`, or an integer one that deploys with no change of a spike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from ..compile.handover import LIF, InputSpec, IntegerLIF, Network, Population, Projection, Stage, Synapses
from ..files import write_bytes
from ..hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from .data import Dataset
from .layers import SpikingLayer, SpikingNetwork
from .quantise import IntegerArithmetic, integer_weights

CALIBRATION_SAMPLES = 256


def network(
    model: SpikingNetwork,
    weights: Mapping[str, Tensor],
    arithmetic: Mapping[str, IntegerArithmetic] | None,
    dataset: Dataset,
    stages: tuple[Stage, ...],
    provenance: Mapping[str, str],
) -> Network:
    """Build the network that the compiler reads.

    Args:
        model: gives the structure.
        weights: float weights (outputs, inputs) by layer.
        arithmetic: by layer, the integers to hand over; None: the float weights.
        dataset: gives the input's shape and levels.
        stages, provenance: copied into the network.
    """
    populations = [Population("input", dataset.shape, None)]
    projections: list[Projection] = []
    for name, layer in model.named_layers():
        source = populations[-1].name
        chip = arithmetic[name] if arithmetic else None
        populations.append(Population(name, (layer.linear.out_features,), _neuron(layer, chip)))
        projections.append(_projection(f"{source}_{name}", source, name, weights[name], chip))
    spec = InputSpec(dataset.levels, 1.0 / dataset.levels, "current" if arithmetic else "direct")
    return Network(tuple(populations), tuple(projections), model.timesteps, spec, stages, dict(provenance))


def _neuron(layer: SpikingLayer, chip: IntegerArithmetic | None) -> LIF | IntegerLIF:
    if chip is None:
        node = layer.neuron
        return LIF(node.tau, node.v_threshold, float(node.v_reset or 0.0), node.decay_input)
    return IntegerLIF(NEVER_DECAYS if layer.is_first else NO_MEMORY, chip.registers.dv, chip.registers.vth)


def _projection(name: str, source: str, target: str, weight: Tensor, chip: IntegerArithmetic | None) -> Projection:
    if chip is None:
        return Projection(name, source, target, Synapses.from_dense(weight.detach().numpy()))
    registers = chip.registers
    integers: NDArray[np.int32] = integer_weights(weight, registers).numpy().astype(np.int32)
    return Projection(name, source, target, Synapses.from_dense(integers), registers.exponent, registers.weight_bits, registers.scale)


def write_calibration(path: Path, dataset: Dataset) -> Path:
    """Write training samples that a compiler may calibrate on: values uint8 (n, inputs), labels int64 (n,)."""
    count = min(CALIBRATION_SAMPLES, len(dataset.train))
    chosen = np.linspace(0, len(dataset.train) - 1, count).round().astype(np.int64)
    picked = dataset.train.take(chosen)
    tensors = {"values": np.ascontiguousarray(picked.values.reshape(count, -1)), "labels": np.ascontiguousarray(picked.labels)}
    metadata = {"data": dataset.name, "levels": str(dataset.levels), "shape": json.dumps(dataset.shape), "split": "train"}
    return write_bytes(path, save(tensors, metadata))
