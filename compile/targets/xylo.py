"""Xylo: one core of channels, hidden neurons that may all be connected, and outputs; 16-bit neurons that send several spikes in a step."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import NetworkError, UsageError
from ...hwmodels.chip import Chip
from ...network.model import Network, XyloLIF
from ..api import CompileOptions, Pass, Rates
from ..chain import front
from ..mapping.api import Effort
from ..mapping.build import build
from ..mapping.progress import Progress
from ..passes.balance import Balance
from ..xylo.layout import Layout
from ..xylo.limits import check_limits
from ..xylo.quantise import QuantiseXylo
from .api import Mapped, refuse_mode


@dataclass(frozen=True)
class Xylo:
    """SynSense's Xylo, as its maker's simulator executes it."""

    chips: tuple[str, ...] = ("xylo",)

    def passes(self, options: CompileOptions) -> tuple[Pass, ...]:
        """Return the passes before quantisation, then the one that chooses the chip's integers.

        Raises:
            UsageError: options of other chips' synapses or cores.
        """
        refuse_mode(options, "xylo")
        if options.given is not None:
            raise UsageError("Xylo has one core, so that there is nothing to map: leave --mapping and --pin out.")
        if str(options.weight_bits) != "8" or options.granularity != "layer":
            given = f"--granularity {options.granularity}" if str(options.weight_bits) == "8" else f"--weight-bits {options.weight_bits}"
            raise UsageError(f"{given} is for Loihi: Xylo's weights have 8 bits and one shift for all synapses of a kind. Leave it out.")
        quantise = QuantiseXylo(options.chip, options.calibration, options.seed)
        return (*front(options), quantise, Balance(options.chip.limit("max_delay"), relays=False, chip=options.chip.name))

    def check(self, network: Network, chip: Chip) -> None:
        """Refuse what the chip does not hold.

        Raises:
            DoesNotFitError: more channels, neurons or synapses than it has.
            NetworkError: other neurons, or connections that it does not have.
        """
        for population in network.spiking:
            if not isinstance(population.neuron, XyloLIF):
                raise NetworkError(f"Layer {population.name} has neurons that Xylo does not have.")
        Layout.of(network.flat.network)
        check_limits(network, chip)

    def map(self, network: Network, rates: Rates, options: CompileOptions, effort: Effort, progress: Progress) -> Mapped:
        """Put everything on the one core; the errors are those of `check`."""
        return Mapped(build(network, rates, options.chip, effort=effort, seed=options.seed, progress=progress))


TARGET = Xylo()
