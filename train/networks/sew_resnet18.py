"""SEW-ResNet18: residual blocks that join spikes element by element.

Fang et al., Deep residual learning in spiking neural networks, NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import nn

from ...errors import unknown_name
from ..connections import INPUT
from ..layers import SpikingLayer, SpikingNetwork
from .api import Conv, Stack, check_sizes, maps_of

Join = Literal["add", "and", "iand"]

SCALE = 2.0  # initial scale of the normalisations: at torch's 1 so few neurons fire that deep networks learn slowly (docs/networks.md)
GAIN: dict[Join, float] = {"add": 5.0, "and": 30.0, "iand": 14.0}  # of the linear layer's initial weights
ALWAYS = 2.0  # a current at which a neuron fires in every step: with it initially, an AND is close to the identity
LARGE = 64  # samples with at least this many rows and columns get the stem for ImageNet
DENSE, UNCOUNTED = ("conv1", "output"), ("output",)  # not pruned, and not counted, in the code of UPR's authors
STAGES = (1, 2, 4, 8)  # channels in units of the width, two blocks each


@dataclass(frozen=True)
class Options:
    """The sizes, and how branches join.

    Args:
        width: channels of the first stage; the others have 2, 4 and 8 times as many. The published network has 64.
        connect: "add": the sum of spikes; "and"; "iand": the shortcut and not the branch.
        votes: output neurons per class; published: 1.
        dropout: before the linear layer; published: none.
        scale: initial scale of the normalisations; published: 1.
    """

    width: int = 64
    connect: Join = "add"
    votes: int = 1
    dropout: float = 0.0
    scale: float = SCALE

    def __post_init__(self) -> None:
        check_sizes(self.width, self.votes, self.dropout, self.scale)
        if self.connect not in get_args(Join):
            raise unknown_name("net.connect", str(self.connect), get_args(Join))


def build(shape: tuple[int, ...], classes: int, timesteps: int, options: Options, *, temporal: bool) -> SpikingNetwork:
    """Build  stem - 4 stages of 2 blocks - average of the map - fc classes.

    A block joins s (or, where the shape changes, LIF(norm(conv 1x1 (s)))) with LIF(norm(conv(LIF(norm(conv(s)))))).
    The stem is conv 7x7 of stride 2 and max pool 3x3 of stride 2; for samples below 64 rows or columns, conv 3x3.

    Raises:
        UsageError: samples too small for its strides; the message names the layer.
    """
    stack = Stack("sew-resnet18", maps_of(shape), timesteps, temporal=temporal, scale=options.scale)
    if min(stack.shape[1:]) >= LARGE:
        conv = stack.conv("conv1", [INPUT], Conv(options.width, kernel=7, stride=2))
        sources = [stack.max_pool("pool1", conv, 3, stride=2, padding=1)]
    else:
        sources = [stack.conv("conv1", [INPUT], Conv(options.width))]
    for stage, factor in enumerate(STAGES, 1):
        for block in (1, 2):
            form = Conv(factor * options.width, stride=2 if stage > 1 and block == 1 else 1)
            sources = _block(stack, f"stage{stage}_block{block}", sources, form, options.connect)
    side = min(stack.shape_of(sources[0])[1:])
    stack.linear("output", sources, classes * options.votes, gain=GAIN[options.connect], pool=side, dropout=options.dropout)
    return stack.network(classes, options.votes, dense=DENSE, uncounted=UNCOUNTED)


def _block(stack: Stack, prefix: str, sources: list[str], form: Conv, connect: Join) -> list[str]:
    """Add a block; return the layers whose spikes, summed, are its output."""
    inner = stack.conv(f"{prefix}a", sources, form)
    branch = stack.conv(f"{prefix}b", [inner], Conv(form.channels))
    if form.stride > 1:
        sources = [stack.conv(f"{prefix}c", sources, Conv(form.channels, kernel=1, stride=form.stride))]
    if connect == "add":
        return [*sources, branch]
    if connect == "iand":
        return [stack.gate(f"{prefix}_iand", sources, [branch])]
    layer = stack.units[branch]
    if isinstance(layer, SpikingLayer) and layer.inputs[0].norm is not None:
        nn.init.constant_(layer.inputs[0].norm.bias, ALWAYS)
    return [stack.gate(f"{prefix}_and", [*sources, branch])]
