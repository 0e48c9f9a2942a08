"""A network by name and shape, without training: for what depends on its sizes and connectivity alone, such as `spikeloom estimate`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import registry
from ..checked import checked
from ..errors import UsageError, unknown_name
from ..network.model import Network
from . import export, networks
from .layers import SpikingNetwork
from .settings import check_real, check_whole
from .shared_options import shared_of

__all__ = ["untrained"]

WEIGHT = 4.0  # twice the input that brings a neuron with tau = 2 to a threshold of 1 in one step: no synapse is too weak to matter
LEVELS = 255  # of a static sample; events are binary


@dataclass(frozen=True)
class _Samples:
    """The samples that the network takes, none of which exists."""

    shape: tuple[int, ...]
    levels: int


@checked(net="Name a network that spikeloom train --help lists.", shape="Name a tuple, such as (3, 32, 32).")
def untrained(
    net: str,
    shape: tuple[int, ...],
    *,
    classes: int = 10,
    timesteps: int = 8,
    sparsity: float = 0.0,
    by_layer: Mapping[str, float] | None = None,
    temporal: bool = False,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Network:
    """Return a network of `train/networks` whose weights were removed at random. All that are left are equal: it computes nothing useful.

    Args:
        net: name of a network: fc, vggsnn, ...
        shape: of a sample, (C, H, W), or of each of its frames; for fc any.
        classes: number of classes.
        timesteps: time steps of a sample.
        sparsity: share of zeros among the weights of every layer, met exactly.
        by_layer: other shares, by layer.
        temporal: whether samples carry their own frames, of binary events.
        options: the network's own, such as {"width": 128}.
        seed: of the weights that are removed.

    Raises:
        UsageError: an unknown network, layer or option, or a shape that does not suit the network.
    """
    for name, value in {"sparsity": sparsity, **{f"sparsity of {name}": share for name, share in (by_layer or {}).items()}}.items():
        check_real(name, value, 0.0, 1.0, "0 <= sparsity < 1, such as 0.95 for 95 % zeros", include_high=False)
    for name, value in (("classes", classes), ("timesteps", timesteps), *((f"shape[{i}]", size) for i, size in enumerate(shape))):
        check_whole(name, value, 1, 1 << 20)
    if not shape:
        raise UsageError("The shape of a sample is empty. Give the size of each of its axes, such as (3, 32, 32).")
    module: Any = registry.load(networks, "network", net)
    chosen, shared = shared_of(module, options or {}, f"the network {net}")
    with torch.random.fork_rng(devices=[]):  # the initial weights are replaced: the caller's random numbers stay as they are
        model: SpikingNetwork = module.build(shape, classes, timesteps, chosen, temporal=temporal)
        shared.apply(model, shape)
    generator = torch.Generator().manual_seed(seed)
    shares = _shares(model, sparsity, by_layer or {})
    with torch.no_grad():
        for name, connection in model.named_ops():
            if connection.op is not None:
                _thin(connection.op.weight, shares.get(name, 0.0), generator)
    provenance = {"net": net, "untrained": f"sparsity {sparsity:g}"}
    return export.network(export.fold(model), None, _Samples(shape, 1 if temporal else LEVELS), (), provenance)


def _shares(model: SpikingNetwork, sparsity: float, by_layer: Mapping[str, float]) -> dict[str, float]:
    """Return the share of zeros of each weight; the second connection of a layer is named LAYER_2, and so on."""
    layers = [name for name, _ in model.named_layers()]
    for name in by_layer:
        if name not in layers:
            raise unknown_name("layer", name, layers)
    return {name: by_layer.get(_layer_of(name, layers), sparsity) for name in model.weights()}


def _layer_of(weight: str, layers: list[str]) -> str:
    return weight if weight in layers else next(name for name in layers if re.fullmatch(rf"{re.escape(name)}_\d+", weight))


def _thin(weight: Tensor, share: float, generator: torch.Generator) -> None:
    """Set a share of the weights to zero, and the others to WEIGHT."""
    zeros = round(share * weight.numel())
    weight.fill_(WEIGHT)
    weight.view(-1)[torch.randperm(weight.numel(), generator=generator)[:zeros]] = 0.0
