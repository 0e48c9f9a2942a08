"""Deep R, deep rewiring (Bellec et al., ICLR 2018, arXiv 1711.05136): training at a constant number of active synapses.

    active:  theta <- theta - lr_t s m / (sqrt(v_hat) + eps) - lr_t l1 + temperature(t) sqrt(lr_t) N(0, 1),   w = s theta
    theta <= 0: the synapse becomes dormant, w = 0, and another dormant one, drawn at random, becomes active
    temperature(t) = temperature (1 - t)   (`cooling="linear"`)  or  temperature;     t: the share of the float epochs done

The signs s are fixed at the start. The noise is that of Langevin dynamics, temperature = sqrt(2 T) of the paper: training samples
networks rather than descends. The number of active synapses of each layer is constant, as in the paper, at the requested density, the
same for all layers, as in the code of Grad R (Chen et al., 2021). The sparsity is the requested one after every step.

With `start="dense"` the algorithm is that of the code of Grad R, which calls it Deep R as well: it begins with all synapses, and
reactivates dormant ones only in a layer that would be sparser than requested.

Where ours departs: Adam's step replaces plain gradient descent, as in that code, and lr_t = lr / (1 - beta1^t) with it;
the moments take the gradient of dormant synapses too. That code reactivates each dormant synapse with a probability that gives the
requested number on average; here it is exact, and those that have just become dormant may be drawn as well, as in the paper. A reactivated
synapse begins at 1e-6 (the paper: 0) so that it counts as alive. The reference scripts never set the temperature, so theirs is 0.
Linear cooling is ours: a learning rate that falls to 0 lets the noise, which scales with its square root, dominate the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from .. import devices
from ..random_numbers import REACTIVATION, key_of, uniform_choice, uniform_mask
from ..subject import Goal, Prunable
from ._deep_rewiring import DeepRewiring, LangevinOptions
from .api import JUST_LIVE, Method


@dataclass(frozen=True)
class Options(LangevinOptions):
    """See `LangevinOptions`."""


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: fewer live synapses than layers.
    """
    return DeepR(model, settings, options)


class DeepR(DeepRewiring):
    """Constant connectivity by random reactivation, or from dense at most the requested sparsity."""

    soft: ClassVar[bool] = False

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings, options)
        self.dense = options.start == "dense"

    def is_final(self, progress: float) -> bool:
        """Whether the sparsity is the requested one, or, from dense, the float epochs are over."""
        return super().is_final(progress) or (self.dense and progress >= 1.0)

    def prepare(self, lr: float, progress: float) -> None:
        """Set the numbers of Adam, the noise, and what draws the synapses to reactivate."""
        super().prepare(lr, progress)
        self.draw = self.placed("reactivation", key_of(self.seed, REACTIVATION, self.steps))

    def update(self) -> None:
        """Take one step; in each layer, reactivate the same number of dormant synapses as became dormant."""
        super().update()
        if self.frozen:
            return
        if devices.uses_numpy(self.theta):
            self._rewire()
        else:
            self._rewire_at_fixed_size()

    def _rewire_at_fixed_size(self) -> None:
        """Rewire without a count on the host: the same synapses, as a selection whose size is the number of active ones."""
        for layer, wanted in zip(self.flat, self.active, strict=True):
            theta, key = self.theta[layer.part], self.draw
            key[2] = layer.part.start
            fresh = uniform_mask(theta, wanted, key)
            theta.masked_fill_(fresh, JUST_LIVE)
            values = layer.values()
            values.copy_(torch.where(fresh, JUST_LIVE * self.sign[layer.part], values))
            layer.put(values)

    def _rewire(self) -> None:
        for layer, wanted, active in zip(self.flat, self.active, self.active_counts(), strict=True):
            if active >= wanted:  # above only where the training began dense
                continue
            theta = self.theta[layer.part]
            key = self.draw
            key[2] = layer.part.start
            chosen = uniform_choice(theta, wanted - active, 1.0 - active / layer.size, key)
            theta[chosen] = JUST_LIVE
            values = layer.values()
            values[chosen] = JUST_LIVE * self.sign[layer.part][chosen].to(values.dtype)
            layer.put(values)
