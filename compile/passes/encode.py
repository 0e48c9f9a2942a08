"""Choose how samples enter the chip, before quantisation, since a threshold depends on the value of a payload unit.

current: a graded spike once, into a synaptic current that never decays;  graded: at every step;  rate: random spikes;
host: the first layer computed off chip with the chip's integers, its spikes sent in;  events: samples that contain their own time steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import DoesNotFitError, UsageError
from ...hwmodels.chip import Chip
from ...hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from ...network.model import LIF, Encoding, IntegerLIF, Network
from ..api import PassResult

KEPT = ("events", "rate")  # integer networks read with such an input keep the decay of their current
HELD = ("current", "host")  # encodings for a first layer whose current never decays


@dataclass(frozen=True)
class Encode:
    """Set the input's encoding and, for `host`, move the first layer off the chip."""

    name: ClassVar[str] = "encode"

    chip: Chip
    encoding: Encoding | None = None

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            DoesNotFitError: the chip cannot carry the encoding; the message lists those it can.
            UsageError: the network's integers were trained for another encoding.
        """
        encoding = self.encoding or self._default(network)
        self._check(network, encoding)
        first = {p.target for p in network.outputs_of(network.populations[0].name)}
        keeps = network.input.encoding in KEPT
        network = replace(network, input=replace(network.input, encoding=encoding))
        for name in sorted(first):
            population = network.population(name)
            if isinstance(population.neuron, IntegerLIF) and not keeps:
                du = NO_MEMORY if encoding in ("graded", "events") else NEVER_DECAYS
                population = replace(population, neuron=replace(population.neuron, du=du))
            network = network.with_population(replace(population, place="host" if encoding == "host" else "chip"))
        if not network.on_chip:
            raise UsageError("With --encoding host the network's only layer runs off chip and nothing is left. Choose another encoding.")
        return PassResult(network, (f"input as {encoding}",))

    def _default(self, network: Network) -> Encoding:
        """Return `events` for samples with time steps of their own, else the chip's first encoding that the network's layers allow."""
        if network.input.is_temporal:
            return "events"
        if network.input.encoding == "rate" and _has_integers(network):
            return "rate"
        static: list[Encoding] = [e for e in self.chip.encodings if e != "events"]
        if _shared_targets(network) or _decaying_targets(network):
            static = [e for e in static if e not in HELD] or static
        if not static:
            raise DoesNotFitError(f"{self.chip.name} carries events only, and these samples have no time steps of their own.")
        return static[0]

    @property
    def _elsewhere(self) -> str:
        """A chip that takes more, for those whose networks it can run."""
        return " Or try --chip loihi2." if self.chip.limits.inputs is None else ""

    def _check(self, network: Network, encoding: Encoding) -> None:
        _check_time(network, encoding)
        bits = self.chip.limit("payload_bits")
        if encoding not in self.chip.encodings:
            raise DoesNotFitError(
                f"{self.chip.name} cannot carry --encoding {encoding}: its spikes have {bits} payload bits. "
                f"It carries: {', '.join(self.chip.encodings)}.{self._elsewhere}"
            )
        if encoding in ("current", "graded") and network.input.levels >= 1 << bits:
            raise DoesNotFitError(
                f"The input has values up to {network.input.levels}; a graded spike on {self.chip.name} carries "
                f"{bits} bits. Use --encoding {' or '.join(e for e in ('host', 'rate') if e in self.chip.encodings)}."
            )
        if encoding == "events" and network.input.levels >= max(2, 1 << bits):
            raise DoesNotFitError(
                f"The samples' events count up to {network.input.levels}; a spike on {self.chip.name} carries {bits} payload bits, "
                f"so at most {max(1, (1 << bits) - 1)}. Train on events that count no further.{self._elsewhere}"
            )
        if encoding != "rate" and network.input.encoding == "rate" and _has_integers(network):
            raise UsageError(
                f"This network's integers are for rate-coded input, and --encoding {encoding} would meet other thresholds. "
                f"Use --encoding rate, or leave it out."
            )
        if encoding == "rate" and network.input.encoding != "rate" and _has_integers(network):
            raise UsageError(
                "This network's integers were trained for graded input, and rate-coded spikes would meet other thresholds. "
                "Use --encoding current, graded or host, or train without --weight-bits."
            )
        if encoding in HELD and (shared := _shared_targets(network)):
            target, others = next(iter(shared.items()))
            raise UsageError(
                f"Layer {target} has inputs besides the samples ({', '.join(others)}): --encoding {encoding} needs it to have none, since "
                f"a current that never decays would hold their spikes too. Use --encoding graded or rate."
            )
        if encoding in HELD and (decaying := _decaying_targets(network)):
            raise UsageError(
                f"Layer {decaying[0]} has a synaptic current that decays, and --encoding {encoding} needs one that never does. "
                f"Use --encoding graded or rate."
            )


def _has_integers(network: Network) -> bool:
    return any(isinstance(p.neuron, IntegerLIF) for p in network.spiking)


def _check_time(network: Network, encoding: Encoding) -> None:
    if network.input.is_temporal and encoding != "events":
        raise UsageError(
            f"The network's samples have a value for each of their {network.timesteps} time steps, and --encoding {encoding} would send "
            f"one value for all of them. Use --encoding events, or leave it out."
        )
    if encoding == "events" and not network.input.is_temporal:
        raise UsageError(
            "The network's samples have one value for all time steps, and --encoding events sends what was recorded at each. "
            "Use --encoding current, graded, rate or host, or leave it out."
        )


def _shared_targets(network: Network) -> dict[str, list[str]]:
    """Return the layers that receive both samples and spikes, with the sources of those spikes."""
    entry = network.populations[0].name
    targets = sorted({p.target for p in network.outputs_of(entry)})
    others = {t: [p.source for p in network.inputs_of(t) if p.source != entry] for t in targets}
    return {target: sources for target, sources in others.items() if sources}


def _decaying_targets(network: Network) -> list[str]:
    """Return the layers that receive samples and whose synaptic current has its own time constant."""
    targets = sorted({p.target for p in network.outputs_of(network.populations[0].name)})
    neurons = {t: network.population(t).neuron for t in targets}
    return [t for t, n in neurons.items() if isinstance(n, LIF) and n.tau_syn != 1.0]
