"""Choose how samples enter the chip, before quantisation, since a threshold depends on what a payload unit is worth.

current: a graded spike once, into a synaptic current that never decays;  graded: at every step;  rate: random spikes;
host: the first layer computed off chip with the chip's integers, its spikes sent in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...errors import DoesNotFitError, UsageError
from ...hwmodels.chip import Chip
from ...hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from ..network import Encoding, IntegerLIF, Network
from ..pipeline import CompileOptions, PassResult

ORDERS = (30,)


@dataclass(frozen=True)
class Pass:
    """Set the input's encoding and, for `host`, move the first layer off the chip."""

    chip: Chip
    encoding: Encoding | None = None

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            DoesNotFitError: the chip cannot carry the encoding; the message lists those it can.
            UsageError: the network's integers were trained for another one.
        """
        encoding = self.encoding or self.chip.encodings[0]
        self._check(network, encoding)
        first = {p.target for p in network.outputs_of(network.populations[0].name)}
        network = replace(network, input=replace(network.input, encoding=encoding))
        for name in sorted(first):
            population = network.population(name)
            if isinstance(population.neuron, IntegerLIF):
                du = NO_MEMORY if encoding == "graded" else NEVER_DECAYS
                population = replace(population, neuron=replace(population.neuron, du=du))
            network = network.with_population(replace(population, place="host" if encoding == "host" else "chip"))
        if not network.on_chip:
            raise UsageError("With --encoding host the network's only layer runs off chip and nothing is left. Choose another encoding.")
        return PassResult(network, (f"input as {encoding}",))

    def _check(self, network: Network, encoding: Encoding) -> None:
        if encoding not in self.chip.encodings:
            raise DoesNotFitError(
                f"{self.chip.name} cannot carry --encoding {encoding}: its spikes have {self.chip.limit('payload_bits')} payload bits. "
                f"It carries: {', '.join(self.chip.encodings)}. Or try --chip loihi2."
            )
        if encoding in ("current", "graded") and network.input.levels >= 1 << self.chip.limit("payload_bits"):
            raise DoesNotFitError(
                f"The input has values up to {network.input.levels}; a graded spike on {self.chip.name} carries "
                f"{self.chip.limit('payload_bits')} bits. Use --encoding host or rate."
            )
        if network.is_integer and encoding == "rate":
            raise UsageError(
                "This network's integers were trained for graded input, and rate-coded spikes would meet other thresholds. "
                "Use --encoding current, graded or host, or train without --weight-bits."
            )
        if encoding in ("current", "host"):
            _check_sources(network, encoding)


def _check_sources(network: Network, encoding: str) -> None:
    """A current that never decays would also hold spikes for ever: such a layer may have no other input."""
    entry = network.populations[0].name
    for target in sorted({p.target for p in network.outputs_of(entry)}):
        others = [p.source for p in network.inputs_of(target) if p.source != entry]
        if others:
            raise UsageError(
                f"Layer {target} has inputs besides the samples ({', '.join(others)}): --encoding {encoding} needs it to have none."
            )


def create(options: CompileOptions) -> Pass:
    """Build the pass from the chip and the encoding asked for."""
    return Pass(options.chip, options.encoding)
