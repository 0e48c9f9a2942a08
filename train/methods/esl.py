"""ESL, evolutionary structure learning (Shen et al., AAAI 2023, arXiv 2306.03693): sparse from the first step to the last.

Start: a random graph of the requested density, a layer's share by Erdos-Renyi:

    er:  density of a layer proportional to (in + out) / (in out);   erk:  to (in + out + kh + kw) / (in out kh kw), for convolutions

a density that would exceed 1 is 1, and what is cut goes to the other layers, so that the total is the requested one. In between, Adam
moves the live weights. Every T_iter iterations, in each layer: the k smallest |w| of the live synapses are dropped, and k dead ones
grow: at random, or those of the largest |dL/dw| or of the largest |m|, the moment of dL/dw that Adam keeps for dead synapses too.

    k = share(t) * live synapses,   share(t) = share (1 + cos(pi t)) / 2  (`decay="cosine"`)  or  share

t being the share of the float epochs done.

The sparsity is the requested one at every step. A grown synapse begins at w = 1e-6, so that it counts as alive, and may be one that was
just dropped.

Where ours departs, or the paper (arXiv:2306.03693; its code is not published) does not say: the share dropped, here 0.3 as in
sparse evolutionary training (Mocanu et al., 2018) with the cosine decay of RigL (Evci et al., 2020); Adam in place of its optimiser;
and T_iter = 1000 is a maximum: a training has at least `rewirings` of them, evenly spaced, however short it is. Its length is not
known to a method; it is estimated at each step as (steps taken) / (share of the float epochs done).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..flat import Layer, largest_of
from ..optimiser_kernels import MASKED
from ..random_numbers import GROWTH, hashed, key_of
from ..subject import Goal, Prunable
from ._start import Start, first_mask
from .api import JUST_LIVE, Method, Pruning, check_choice, check_number, check_unused, masked

Growth = Literal["random", "gradient", "momentum"]
Density = Literal["er", "erk", "uniform"]
Decay = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Options:
    """The graph and its evolution.

    Args:
        density: how the synapses are distributed among the layers at the start.
        growth: which dead synapses grow.
        share: of the live synapses of a layer that a rewiring drops, at the start.
        decay: how that share changes over the float epochs.
        every: T_iter, the most steps between two rewirings.
        rewirings: the least number of them in a training.
        start: "random": the random graph; "magnitude": the largest |w|, whatever `density`; "auto": magnitude where the training starts
            from trained weights, else random.
    """

    density: Density = "erk"
    growth: Growth = "gradient"
    share: float = 0.3
    decay: Decay = "cosine"
    every: int = 1000
    rewirings: int = 20
    start: Start = "auto"

    def __post_init__(self) -> None:
        check_choice("density", self.density, get_args(Density))
        check_choice("growth", self.growth, get_args(Growth))
        check_number("share", self.share, 0.0, 1.0)
        check_choice("decay", self.decay, get_args(Decay))
        check_number("every", self.every, 1, 1_000_000_000, whole=True)
        check_number("rewirings", self.rewirings, 1, 1_000_000, whole=True)
        check_choice("start", self.start, get_args(Start))
        if self.start == "magnitude":
            check_unused(self, ("density",), "start=magnitude", "start=random")


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: fewer live synapses than layers.
    """
    return ESL(model, settings, options)


class ESL(Pruning):
    """Adam under a mask that evolves.

    Attributes:
        mask: int8 (M,), 1 where alive; counts: how many are, by layer.
        rewired: the step of the last rewiring.
    """

    TENSORS: ClassVar[tuple[str, ...]] = ("mask", "mean", "square")
    COUNTERS: ClassVar[tuple[str, ...]] = ("steps", "zeros_at_start", "rewired")

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings)
        self.options, self.rewired = options, 0
        self.own_update = "grows synapses by the momentum that its Adam keeps (growth)" if options.growth == "momentum" else ""
        self.alive, self.counts = first_mask(self.flat, self.size - self.asked_zeros, options.start, settings, options.density)
        self.mask = self.alive.to(torch.int8)
        values = self.flat.values()
        self.flat.put(torch.where(self.alive, torch.where(values == 0, JUST_LIVE, values), 0))
        self._check_layers()

    def prepare(self, lr: float, progress: float) -> None:
        """Set Adam's numbers."""
        self.set_scalars((*self.advance(lr), JUST_LIVE))

    def update(self) -> None:
        """Take one step of Adam on the live weights."""
        for layer in self.flat:
            values = layer.values()
            mask, mean, square = self.state_of(layer, "mask", "mean", "square")
            MASKED((values, mask, layer.gradient(), mean, square), self.scalars[0])
            layer.put(values)

    def follow(self, progress: float) -> None:
        """Rewire when it is time."""
        self._evolve(progress)

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move the live weights; rewire when it is time."""
        before = self.flat.values().clone()
        move()
        self.steps += 1
        self.flat.put(masked(before, self.flat.values(), self.mask > 0, JUST_LIVE))
        self._evolve(progress)

    def _evolve(self, progress: float) -> None:
        if not self.frozen and progress < 1.0 and self.steps - self.rewired >= self.interval(progress):
            self.rewired = self.steps
            for layer, live in zip(self.flat, self.counts, strict=True):
                self._rewire(layer, int(self.share_at(progress) * live))

    def interval(self, progress: float) -> int:
        """Steps between two rewirings, as estimated now."""
        estimated = self.steps / max(progress, 1e-12)
        return max(1, min(self.options.every, int(estimated / (self.options.rewirings + 1))))

    def share_at(self, progress: float) -> float:
        """The share of the live synapses that a rewiring drops now."""
        decay = (1.0 + math.cos(math.pi * progress)) / 2.0 if self.options.decay == "cosine" else 1.0
        return self.options.share * decay

    def restored(self) -> None:
        """Count each layer's live synapses, whose number stays the same."""
        self.counts = [int(self.mask[layer.part].sum(dtype=torch.int64)) for layer in self.flat]

    def _rewire(self, layer: Layer, count: int) -> None:
        mask, values = self.mask[layer.part], layer.values()
        if count == 0:
            return
        alive = mask > 0
        alive &= ~largest_of(-values.abs(), alive, count)
        grown = largest_of(self._wish(layer), ~alive, count)
        mask.copy_(alive | grown)
        layer.put(values.copy_(torch.where(grown, JUST_LIVE, torch.where(alive, values, 0))))

    def _wish(self, layer: Layer) -> Tensor:
        """The priority of each synapse (M_layer,) for growth."""
        if self.options.growth == "gradient":
            return layer.gradient().abs()
        if self.options.growth == "momentum":
            return self.mean[layer.part].abs()
        key = self.placed("growth", key_of(self.seed, GROWTH, self.steps))
        index = torch.arange(layer.part.start, layer.part.stop, device=self.flat.device)
        return hashed(index, key).to(self.flat.dtype)
