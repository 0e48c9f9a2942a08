"""A small convolutional network for images of one channel: two convolutions with normalisation and max pooling, and a linear layer."""

from spikingjelly.activation_based import layer, neuron
from torch import nn


def net() -> nn.Module:
    """Return the network for the digits, 8 x 8."""
    return nn.Sequential(
        layer.Conv2d(1, 16, 3, padding=1, bias=False),
        layer.BatchNorm2d(16),
        neuron.LIFNode(),
        layer.MaxPool2d(2),
        layer.Conv2d(16, 32, 3, padding=1, bias=False),
        layer.BatchNorm2d(32),
        neuron.LIFNode(),
        layer.MaxPool2d(2),
        layer.Flatten(),
        layer.Linear(128, 10, bias=False),
        neuron.LIFNode(),
    )
