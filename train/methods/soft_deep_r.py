"""Soft Deep R (Bellec et al., ICLR 2018, arXiv 1711.05136): dormant synapses walk at random and reactivate by themselves.

    active, theta > 0:    theta <- theta - lr_t s m / (sqrt(v_hat) + eps) - lr_t l1 + temperature(t) sqrt(lr_t) N(0, 1),   w = s theta
    dormant, theta <= 0:  theta <- max(theta + temperature(t) sqrt(lr_t) N(0, 1), theta_min),                              w = 0
    theta_min = - (temperature^2 / 2) S / (l1 (1 - S)),   S: the requested sparsity

The floor is the paper's -T (1 - p) / (l1 p), with p = 1 - S the density and T = temperature^2 / 2: under noise and l1 alone theta is
exponential above 0 with mean T / l1 and uniform between theta_min and 0, so that a share p of the synapses is active. Dormant synapses
begin spread evenly over that range, as in the paper's code.

Where ours departs: Adam, and the cooling of temperature(t), as in `deep_r`; theta_min stays that of the first temperature. And the
paper's sparsity is only that of a network without data, and only in equilibrium, which takes longer than most training runs: the
gradient moves it. Here every `every` steps each layer's number of active synapses is set to the requested one. Where too many are
active the l1 step of all of them is lengthened until the smallest fall to 0 (closed control on l1; the l1 that would have had the
same effect is logged). Where too few are, the highest dormant ones become active, as the next noise might have made them. With l1 = 0 or a
temperature of 0 there is no floor but 0; no noise then reactivates a synapse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from .. import devices
from ..flat import largest_of, smallest_value
from ..random_numbers import START, hashed, key_of
from ..subject import Goal, Prunable
from ._deep_rewiring import DeepRewiring, LangevinOptions
from .api import JUST_LIVE, Method, check_number


@dataclass(frozen=True)
class Options(LangevinOptions):
    """The random walk, and how often the sparsity is corrected.

    Args:
        every: steps between two corrections.
    """

    every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start == "dense":
            raise UsageError(
                "method.start is dense, and soft-deep-r has the requested number of active synapses from the first step on. Use deep-r."
            )
        check_number("every", self.every, 1, 1_000_000, whole=True)


def build(model: Prunable, settings: Goal, options: Options) -> Method:
    """Build the method for `model`.

    Raises:
        UsageError: fewer live synapses than layers.
    """
    return SoftDeepR(model, settings, options)


class SoftDeepR(DeepRewiring):
    """Connectivity by noise against l1."""

    soft: ClassVar[bool] = True

    def __init__(self, model: Prunable, settings: Goal, options: Options) -> None:
        super().__init__(model, settings, options)
        self.every = options.every
        self.drift = self.rates = 0.0

    def lowest(self) -> float:
        """theta_min."""
        if self.l1 == 0.0:
            return 0.0
        return -0.5 * self.temperature**2 * self.target / (self.l1 * (1.0 - self.target))

    def dormant(self) -> Tensor:
        """Theta, evenly spread over theta_min..0."""
        index = torch.arange(self.size, device=self.flat.device)
        key = key_of(self.seed, START, len(self.flat)).to(self.flat.device)
        return (hashed(index, key).to(torch.float64) * (self.lowest() / 2**32)).to(self.flat.dtype)

    def follow(self, progress: float) -> None:
        """Correct the sparsity every few steps."""
        if self.frozen:
            return
        self.drift += self.rate * self.l1
        self.rates += self.rate
        if self.steps % self.every == 0:
            self.control(progress)

    def control(self, progress: float) -> None:
        """Set each layer's number of active synapses to the requested one."""
        lowered: list[tuple[Tensor, int]] = []
        for layer, wanted, active in zip(self.flat, self.active, self.active_counts(), strict=True):
            theta = self.theta[layer.part]
            if active > wanted:
                lowered.append((self._lower(theta, active - wanted), layer.size))
            elif active < wanted:
                theta.masked_fill_(largest_of(theta, theta <= 0, wanted - active), JUST_LIVE)
            if active != wanted:
                layer.put(self.sign[layer.part] * theta.clamp(min=0))
        if lowered:
            amounts = torch.stack([amount for amount, _ in lowered]).tolist()
            self.drift += sum(amount * size / self.size for amount, (_, size) in zip(amounts, lowered, strict=True))

    @staticmethod
    def _lower(theta: Tensor, excess: int) -> Tensor:
        """Lower the active synapses until exactly `excess` of them are at 0 or below; return by how much."""
        active = theta > 0
        on_cpu = devices.uses_numpy(theta)
        amount = smallest_value(theta[active] if on_cpu else torch.where(active, theta, torch.inf), excess)
        dying = largest_of(-theta, active, excess)
        lowered = torch.where(dying, 0, (theta - amount).clamp(min=JUST_LIVE))
        theta.copy_(torch.where(active, lowered, theta))
        return amount

    def numbers(self) -> dict[str, float]:
        """The pull on active synapses since the last call, as l1."""
        strength = self.drift / self.rates if self.rates else 0.0
        self.drift = self.rates = 0.0
        return {"l1": strength}

    def restored(self) -> None:
        """Nothing has been pulled yet."""
        self.drift = self.rates = 0.0
