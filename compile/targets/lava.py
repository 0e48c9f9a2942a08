"""Loihi as Intel's Lava simulator executes it: what its fixed-point processes hold exactly."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import DoesNotFitError, NetworkError
from ...hwmodels.chip import Chip
from ...hwmodels.fixed_point import BIAS_BITS, BIAS_EXPONENT_MAX, BIAS_MAX, holds_bias
from ...network.model import IntegerLIF, Network
from ..api import CompileOptions, Pass, Rates
from ..chain import loihi
from ..mapping.api import Effort
from ..mapping.build import build
from ..mapping.progress import Progress
from .api import Mapped, refuse_mode

MAX_WEIGHT_BITS = 8  # Lava stores 2 w with the exponent lowered by one: int8 in full, not more


@dataclass(frozen=True)
class Lava:
    """Loihi's neurons in Lava's simulator."""

    chips: tuple[str, ...] = ("loihi2", "loihi", "loihi-silicon", "loihi-shared")

    def passes(self, options: CompileOptions) -> tuple[Pass, ...]:
        """Return all passes."""
        refuse_mode(options, "lava")
        return loihi(options)

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what the chip or Lava's processes cannot hold exactly.

        Raises:
            DoesNotFitError: too many weight bits or too large an exponent; the projection is named.
            DoesNotFitError: a bias that is not a 13-bit mantissa shifted by 0 to 7; the layer is named.
            NetworkError: a population without integer neurons.
        """
        for projection in network.projections:
            bits = projection.weight_bits or 0
            limit = min(MAX_WEIGHT_BITS, chip.limit("weight_bits"))
            if bits > limit:
                raise DoesNotFitError(
                    f"{projection.name} has {bits}-bit weights; {chip.name} in Lava holds {limit}. Use --weight-bits {limit}."
                )
            if projection.exponent > 7:
                raise DoesNotFitError(f"{projection.name} has the weight exponent {projection.exponent}; {chip.name} allows up to 7.")
        for population in network.spiking:
            if not isinstance(population.neuron, IntegerLIF):
                raise NetworkError(f"Layer {population.name} is not quantised.")
            if population.neuron.soft_reset and not chip.limit("soft_reset"):
                raise DoesNotFitError(
                    f"Layer {population.name} has a soft reset, which the neurons of {chip.name} do not have. Try --chip loihi2."
                )
            wrong = population.biases[~holds_bias(population.biases)]
            if wrong.size:
                raise DoesNotFitError(
                    f"Layer {population.name} has a bias of {int(wrong[0]):,}; {chip.name} holds mantissas of {BIAS_BITS} bits shifted by "
                    f"0 to {BIAS_EXPONENT_MAX} (up to {BIAS_MAX:,}). Train without --weight-bits, so that the compiler rounds it."
                )

    def map(self, network: Network, rates: Rates, options: CompileOptions, effort: Effort, progress: Progress) -> Mapped:
        """Fill cores with neurons and their incoming synapses."""
        chip, seed, objective = options.chip, options.seed, options.objective
        return Mapped(build(network, rates, chip, effort=effort, seed=seed, progress=progress, given=options.given, objective=objective))


TARGET = Lava()
