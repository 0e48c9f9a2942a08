"""What Deep R and soft Deep R share: signs fixed at the start, a first random connectivity, Langevin noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ..optimiser_kernels import LANGEVIN
from ..random_numbers import NOISE, key_of, normals, signs_of
from ..subject import Goal, Prunable
from ._start import Start, first_mask
from .api import JUST_LIVE, Pruning, check_choice, check_number

__all__ = ["DeepRewiring", "LangevinOptions"]

Cooling = Literal["linear", "none"]
First = Literal[Start, "dense"]


@dataclass(frozen=True)
class LangevinOptions:
    """The random walk of the synapses.

    Args:
        temperature: of the noise; a step of learning rate lr adds temperature sqrt(lr_t) N(0, 1). It is sqrt(2 T) of the paper.
        cooling: "linear": the temperature falls linearly to 0 at the end of the float epochs; "none": it stays constant.
        l1: the pull of active synapses towards 0, of a step lr_t l1.
        start: "random": the first active synapses are drawn, as in the paper; "magnitude": they are those of largest |w|; "auto":
            magnitude where the training starts from trained weights, else random; "dense" (deep-r): all are active, l1 and noise prune,
            and a layer is rewired once its sparsity would exceed the requested one, as in the code of Grad R. That sparsity is not
            reached if l1 is too weak or the training too short.
    """

    temperature: float = 0.003
    cooling: Cooling = "linear"
    l1: float = 0.03
    start: First = "auto"

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.0, 1e3)
        check_number("l1", self.l1, 0.0, 1e3)
        check_choice("cooling", self.cooling, get_args(Cooling))
        check_choice("start", self.start, (*get_args(Start), "dense"))


class DeepRewiring(Pruning):
    """theta > 0: an active synapse, w = sign theta; theta <= 0: a dormant one.

    Attributes:
        active: the required number of active synapses of each layer.
        theta: (M,); sign: int8 (M,).
    """

    TENSORS: ClassVar[tuple[str, ...]] = ("theta", "sign", "mean", "square")
    soft: ClassVar[bool]
    own_update = "adds noise to an Adam step of its own, in which the two are balanced (Langevin dynamics)"

    def __init__(self, model: Prunable, settings: Goal, options: LangevinOptions) -> None:
        super().__init__(model, settings)
        self.temperature, self.l1, self.cooling = options.temperature, options.l1, options.cooling
        initial = self.flat.values()
        self.sign = signs_of(initial, self.seed)
        mask, self.active = self.first(options.start, settings)
        self.theta = torch.where(mask, initial.abs().clamp(min=JUST_LIVE), self.dormant())
        self.write_weights()
        self.alive = mask
        self._check_layers()
        self.rate = 0.0

    def first(self, start: First, settings: Goal) -> tuple[Tensor, list[int]]:
        """Return which synapses are active at first, bool (M,), and how many of each layer are to be."""
        if start == "dense":
            mask, active = first_mask(self.flat, self.size - self.asked_zeros, "random", settings)
            return torch.ones_like(mask), active
        return first_mask(self.flat, self.size - self.asked_zeros, start, settings)

    def dormant(self) -> Tensor:
        """Return theta (M,) for synapses that start dormant."""
        return self.flat.zeros()

    def lowest(self) -> float:
        """The floor of theta."""
        return 0.0

    def write_weights(self) -> None:
        """w = sign max(theta, 0)."""
        self.flat.put(self.sign * self.theta.clamp(min=0))

    def prepare(self, lr: float, progress: float) -> None:
        """Set the numbers of Adam, and the noise."""
        adam = self.advance(lr)
        warmth = self.temperature * (1.0 - progress if self.cooling == "linear" else 1.0)
        pull, noise = (0.0, 0.0) if self.frozen else (adam[2] * self.l1, warmth * math.sqrt(adam[2]))
        self.set_scalars((*adam, pull, noise, self.lowest(), JUST_LIVE))
        self.key = self.placed("noise", key_of(self.seed, NOISE, self.steps))
        self.rate = adam[2]

    def update(self) -> None:
        """Take one step of Adam, with noise; see `optimiser_kernels.LANGEVIN`."""
        key, table = self.key, normals(self.flat.device, self.flat.dtype)
        for layer in self.flat:
            values = layer.values()
            theta, sign, mean, square = self.state_of(layer, "theta", "sign", "mean", "square")
            key[2] = layer.part.start
            arrays = (theta, sign, values, layer.gradient(), mean, square, key, table)
            LANGEVIN(arrays, self.scalars[0], (self.soft, self.frozen))
            layer.put(values)

    def active_counts(self) -> list[int]:
        """Count each layer's active synapses."""
        return self.flat.positive_by_layer(self.theta)
