"""What the training loop asks of a model: of Spikeloom's networks (`layers.SpikingNetwork`) and of a user's (`own_module.OwnModule`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .quantise import IntegerArithmetic

__all__ = ["IntegerPart", "Model"]


@dataclass(frozen=True)
class IntegerPart:
    """A layer that can be trained in integers.

    `weight`: as it is quantised, normalisation included, detached, (outputs, ...); `bias`: (outputs,) likewise, None without one; `neuron`:
    anything with tau, v_threshold, v_reset and decay_input; `is_first`: whether it receives the samples.
    """

    weight: Tensor
    bias: Tensor | None
    neuron: Any
    is_first: bool


class Model(nn.Module):
    """A spiking network that is called with samples (N, *shape), or (N, T, *shape), and returns output spikes (T, N, classes).

    Attributes:
        timesteps: T.
        classes: labels are 0..classes - 1.
        exempt: layers that are neither pruned nor counted in the sparsity.
        unpruned: layers that are not pruned, but counted.
    """

    timesteps: int
    classes: int
    exempt: tuple[str, ...]
    unpruned: tuple[str, ...]

    def weights(self) -> dict[str, nn.Parameter]:
        """Return every weight that pruning may remove, by layer: (out, in, *kernel), or (out, in)."""
        raise NotImplementedError

    def positions(self) -> dict[str, Tensor]:
        """Return how many synapses a weight represents when unrolled: int64, broadcastable to the weight of the same name."""
        raise NotImplementedError

    def counted(self) -> dict[str, nn.Parameter]:
        """Return the weights that are not pruned and count in the sparsity, by layer."""
        raise NotImplementedError

    def normalised(self) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the layers among `weights` whose outputs batch normalisation now divides by their own deviation, each with it."""
        raise NotImplementedError

    def others(self) -> dict[str, nn.Parameter]:
        """Return the other trainable parameters, by name."""
        raise NotImplementedError

    @property
    def is_integer(self) -> bool:
        """Whether the layers run the chip's integer arithmetic."""
        raise NotImplementedError

    @property
    def last(self) -> str:
        """The name of the output layer."""
        raise NotImplementedError

    @property
    def largest(self) -> int:
        """The number of neurons in the largest layer."""
        raise NotImplementedError

    def counts(self, output: Tensor) -> Tensor:
        """Return the spikes of each class (N, classes) in an output, as whole numbers, so that ties are exact, as on a chip."""
        raise NotImplementedError

    def integer_parts(self) -> dict[str, IntegerPart]:
        """Return the layers with integer arithmetic, by name."""
        raise NotImplementedError

    def use_integers(self, arithmetic: Mapping[str, IntegerArithmetic] | None) -> None:
        """Run the chip's integer arithmetic with these registers, by layer, from now on; None: floats."""
        raise NotImplementedError

    def copied(self) -> Model:
        """Return a copy in float64, in evaluation mode, its neurons at rest."""
        raise NotImplementedError
