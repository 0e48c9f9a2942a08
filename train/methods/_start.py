"""The initial synapses of a network that is sparse from the first step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..flat import Flat, largest, share_out
from ..random_numbers import START, key_of, uniform_choice
from ..subject import Goal

__all__ = ["Start", "first_mask"]

Start = Literal["auto", "random", "magnitude"]


def first_mask(flat: Flat, live: int, start: Start, settings: Goal, density: str = "uniform") -> tuple[Tensor, list[int]]:
    """Choose `live` synapses; return them as a mask, bool (M,), with their number in each layer.

    Args:
        start: "random": drawn from the seed, as many in each layer as `density` gives. "magnitude": the largest |w| in units of their
            layer's mean |w|, whatever the layer. "auto": magnitude where the training starts from trained weights (`init`), else random.
        settings: the seed, and whether there are trained weights.
        density: see `share_out`.
    """
    if start == "magnitude" or (start == "auto" and settings.init is not None):
        mask = largest(flat.scaled(flat.values().abs(), flat.units()), live)
        return mask, [int(mask[layer.part].sum()) for layer in flat]
    mask = flat.zeros(torch.bool)
    counts = share_out(flat, live, density)
    for i, (layer, count) in enumerate(zip(flat, counts, strict=True)):
        dormant = torch.zeros(layer.size, device=flat.device)
        mask[layer.part][uniform_choice(dormant, count, 1.0, key_of(settings.seed, START, i, flat.device))] = True
    return mask, counts
