"""A fully connected network: the samples as a static current, hidden layers of LIF neurons, one LIF neuron a class."""

from __future__ import annotations

import math

from torch import nn

from ..layers import SpikingLayer, SpikingNetwork

GAIN = 3.0  # of the uniform initial weights, over torch's own: at 1 hardly a neuron reaches its threshold at first


def build(inputs: int, classes: int, hidden: tuple[int, ...] = (800,), timesteps: int = 8) -> SpikingNetwork:
    """Build  inputs - hidden[0] - ... - classes,  no biases; layers are called hidden1, hidden2, ..., output.

    Args:
        inputs: numbers in a sample.
        classes: output neurons.
        hidden: neurons of each hidden layer.
        timesteps: T; the first layer's input current is static and computed once for all T steps.
    """
    sizes = (inputs, *hidden, classes)
    names = [f"hidden{i + 1}" for i in range(len(hidden))] + ["output"]
    layers = {name: SpikingLayer(sizes[i], sizes[i + 1], timesteps if i == 0 else None) for i, name in enumerate(names)}
    for layer in layers.values():
        bound = GAIN / math.sqrt(layer.linear.in_features)
        nn.init.uniform_(layer.linear.weight, -bound, bound)
    return SpikingNetwork(layers, timesteps)
