"""No rewiring: the synapses of the weights that training starts from, moved by Adam.

    w <- w - u   for the synapses that are kept, at least 1e-6 away from 0;   0 elsewhere

Kept are those that are not zero at the start; where the requested sparsity is higher, the largest |w| of them, in units of their layer's
mean |w|, whatever the layer: one-shot magnitude pruning.

For fine-tuning a pruned network: without rewiring, moments are kept and steps taken for live synapses alone, and neurons that no longer
take part are not computed (`train/narrow.py`), so that an epoch costs what is left of the network.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from ..optimiser_kernels import MASKED
from ..subject import Goal, Prunable
from .api import JUST_LIVE, Method, Pruning, largest, masked


@dataclass(frozen=True)
class Options:
    """There are no options."""


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: the run to start from has a higher sparsity than a requested one above 0.
    """
    return Fixed(model, settings)


class Fixed(Pruning):
    """Adam on the live synapses.

    Attributes:
        mean, square: Adam's moments of the live synapses alone, in the order of the weights.
    """

    own_update = ""
    TENSORS: ClassVar[tuple[str, ...]] = ("mean", "square")

    def __init__(self, model: Prunable, settings: Goal) -> None:
        super().__init__(model, settings)
        if settings.init is not None and self.target and self.zeros_at_start > self.asked_zeros:
            raise UsageError(
                f"The method fixed regrows no synapse. It starts from weights of which {self.zeros_at_start} of {self.size} are zero, and "
                f"a sparsity of {self.target} asks for {self.asked_zeros}. Ask for more, or leave out --sparsity to keep what there is."
            )
        if self.zeros_at_start < self.asked_zeros:
            ranks = self.flat.with_best_first(self.flat.scaled(self.flat.values().abs(), self.flat.units()))
            self.flat.put(torch.where(largest(ranks, self.size - self.asked_zeros), self.flat.values(), 0))
        self._take_mask()

    @property
    def rewires(self) -> bool:
        """The synapses stay as they are."""
        return False

    @property
    def form(self) -> tuple[bool, ...]:
        """Differs from that of any method whose place it takes after the pruning."""
        return (self.frozen, False, False, True)

    def _take_mask(self) -> None:
        """Take the synapses that are alive now, with no moments."""
        self.alive = self.flat.alive()
        self.places = [self.alive[layer.part].nonzero().view(-1) for layer in self.flat]
        ends = [0, *itertools.accumulate(len(p) for p in self.places)]
        self.parts = [slice(low, high) for low, high in itertools.pairwise(ends)]
        self.mean = torch.zeros(ends[-1], dtype=self.flat.dtype, device=self.flat.device)
        self.square, self.ones = torch.zeros_like(self.mean), torch.ones_like(self.mean, dtype=torch.int8)

    def prepare(self, lr: float, progress: float) -> None:
        """Set Adam's numbers."""
        self.set_scalars((*self.advance(lr), JUST_LIVE))

    def update(self) -> None:
        """Take one step of Adam on the live synapses."""
        for layer, places, part in zip(self.flat, self.places, self.parts, strict=True):
            values = layer.values()
            live = values[places]
            MASKED((live, self.ones[part], layer.gradient()[places], self.mean[part], self.square[part]), self.scalars[0])
            values[places] = live
            layer.put(values)

    def step_by(self, move: Callable[[], None], lr: float, progress: float) -> None:
        """Let another optimiser move the live synapses."""
        before = self.flat.values()
        move()
        self.steps += 1
        self.flat.put(masked(before, self.flat.values(), self.alive, JUST_LIVE))

    def is_final(self, progress: float) -> bool:
        """The number of zeros is the requested one, if one was requested."""
        return not self.target or super().is_final(progress)

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state_tensors` returned; the mask is that of its weights."""
        if tensors["weights"].shape == (self.size,):
            self.flat.put(tensors["weights"].to(device=self.flat.device, dtype=self.flat.dtype))
            self._take_mask()
        super().load_state_tensors(tensors)
