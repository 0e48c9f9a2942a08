"""Three convolutions with max pooling and a linear layer: small enough to train UPR's gates on two cores (benchmarks/claims.py)."""

from __future__ import annotations

from dataclasses import dataclass

from spikeloom.train.connections import INPUT
from spikeloom.train.layers import SpikingNetwork
from spikeloom.train.networks.api import Conv, Stack, check_sizes, maps_of

SCALE, GAIN = 2.0, 4.0  # of normalisations and of the linear layer at the start, as in 6conv2fc


@dataclass(frozen=True)
class Options:
    """The sizes. `width`: channels of the first convolution; the others have twice as many."""

    width: int = 8

    def __post_init__(self) -> None:
        check_sizes(self.width, 1, 0.0, SCALE)


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  conv w - conv 2w - max pool - conv 2w - max pool - classes.  UPR gates the neurons of the second and third convolution.

    Raises:
        UsageError: samples too small for its pools; the message names the layer.
    """
    stack = Stack("small-conv", maps_of(shape), timesteps, temporal=temporal, scale=SCALE)
    name = stack.conv("conv1", [INPUT], Conv(options.width))
    for number in (2, 3):
        name = stack.conv(f"conv{number}", [name], Conv(2 * options.width))
        name = stack.max_pool(f"pool{number - 1}", name, 2)
    stack.linear("output", [name], classes, gain=GAIN)
    return stack.network(classes, 1)
