"""Quantise a float network to the chip's integers; one trained in integers keeps its own.

Per population: weights are scaled by a share of each projection's largest magnitude (a few shares are tried on the calibration samples;
the one chosen makes the deployed spikes of this layer, fed by the deployed layers before it, differ least from the float ones);
power-of-two exponents rule out overflow; threshold and biases are scaled along. Populations on a common cycle use the same share,
since none of them runs without the others. Memoryless threshold units are left to the lower pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError, unknown_name
from ...hwmodels.fixed_point import NEVER_DECAYS, VTH_MAX
from ...hwmodels.quantise import (
    CLIPS,
    Arriving,
    PopulationRegisters,
    choose_plain,
    choose_population,
    current_decay,
    round_bias,
    round_bias_plain,
)
from ...network import reference
from ...network.model import LIF, IntegerLIF, Network, Population, Projection, Threshold
from ..analysis.advice import if_silent
from ..api import Calibration, PassResult, differing
from ..bits import Bits
from . import lower
from ._channels import GROUPS, parts

GRANULARITIES = ("layer", "channel")
FEW_BITS = 3  # with at most this many, thresholds are tried, too
LOW_CLIPS = (0.15, 0.07, 0.05)
FACTORS = (0.7, 0.8, 0.9, 1.1, 1.25, 1.4)
Streams = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Quantise:
    """Choose registers population by population. Without `calibration`, weights are scaled by their largest magnitude.

    `plain`: exponents of 0 only and biases shifted left by 6, for formats that have no others. `clips`: by layer, the share of the largest
    magnitude that calibration chose before; used where there is no `calibration` now.
    """

    name: ClassVar[str] = "quantise"

    weight_bits: str | int = 8
    calibration: Calibration | None = None
    seed: int = 0
    granularity: str = "layer"
    plain: bool = False
    clips: dict[str, float] | None = field(default=None, repr=False)

    @property
    def bits(self) -> Bits:
        """The bits of each layer."""
        return Bits.parse(self.weight_bits)

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise unknown_name("granularity", self.granularity, GRANULARITIES)

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: a layer's weights are all zero or round to zero, or one layer has integer weights and another float weights.
        """
        if not any(isinstance(p.neuron, LIF) for p in network.spiking):
            bits = sorted({p.weight_bits for p in network.projections if p.weight_bits})
            return PassResult(network, (f"kept the integers as trained ({', '.join(map(str, bits))} bits)",))
        _check_all_float(network)
        self.bits.check(network)
        if self.calibration is None:
            return self._uncalibrated(network)
        return self._calibrated(network, self.calibration.affordable(network))

    def _uncalibrated(self, network: Network) -> PassResult:
        integer, changes = network, list[str]()
        for population in network.spiking:
            if isinstance(population.neuron, LIF):
                clip = (self.clips or {}).get(population.name, 1.0)
                integer = self._install(integer, network, population, population.neuron, clip)
                changes.append(_describe(integer, population.name, clip))
        if self.clips:
            return PassResult(integer, (*changes, "clips as recorded with the network"), _lost(network, integer))
        unknown = "No calibration samples: weights scaled by their largest magnitude, rates unknown."
        return PassResult(integer, tuple(changes), (unknown, *_lost(network, integer)))

    def _calibrated(self, network: Network, calibration: Calibration) -> PassResult:
        events = reference.encode(network, calibration.values, seed=self.seed)
        floats = reference.simulate_float(network, calibration.values, events=events if network.input.is_rate_coded else None)
        streams: Streams = {network.populations[0].name: events}
        integer, changes, drift = network, list[str](), dict[str, float]()
        for group in network.components():
            clip = 0.0
            if any(isinstance(p.neuron, LIF) for p in group):
                integer, clip, spikes = self.best(integer, network, group, streams, floats)
            else:
                spikes = _gates(network, group, streams)
            streams |= spikes
            for population in group:
                drift[population.name] = differing(spikes[population.name], floats[population.name])
                if isinstance(population.neuron, LIF):
                    changes.append(f"{_describe(integer, population.name, clip)}, {drift[population.name]:.2%} of spikes differ")
        return PassResult(integer, tuple(changes), _lost(network, integer), drift)

    def best(
        self, integer: Network, network: Network, group: tuple[Population, ...], streams: Streams, goals: reference.Spikes
    ) -> tuple[Network, float, reference.Spikes]:
        """Return `integer` with the populations installed, the clip with the least spike mismatch (the largest if tied), their spikes."""
        best: tuple[int, Network, float, reference.Spikes] | None = None
        few = min(self.bits.of(p.name) for p in group) <= FEW_BITS
        for clip in (*CLIPS, *LOW_CLIPS) if few else CLIPS:
            candidate = integer
            for population in group:
                if isinstance(population.neuron, LIF):
                    candidate = self._install(candidate, network, population, population.neuron, clip)
            for factor in (1.0, *FACTORS) if few else (1.0,):
                tuned = _scaled(candidate, group, factor)
                spikes = _deployed(tuned, group, streams)
                wrong = sum(int(np.count_nonzero(spikes[p.name] != goals[p.name])) for p in group)
                if best is None or wrong < best[0]:
                    best = (wrong, tuned, clip, spikes)
            if best is not None and best[0] == 0:
                break
        if best is None:
            raise NetworkError(f"Layer {group[0].name}: there is no clip to try.")
        return best[1:]

    def _install(self, integer: Network, network: Network, population: Population, neuron: LIF, clip: float) -> Network:
        """Return `integer` with the population and its incoming projections in integers."""
        arriving = network.inputs_of(population.name)
        chosen = self._registers(network, population, neuron, clip)
        bits, groups = self.bits.of(population.name), GROUPS if self.granularity == "channel" else 1
        changed = {
            p.name: parts(p, exponent, step, bits, groups)
            for p, exponent, step in zip(arriving, chosen.exponents, chosen.steps, strict=True)
        }
        _check_alive(network, population, arriving, changed)
        held = any(network.payload_of(p).once for p in arriving)
        registers = IntegerLIF(NEVER_DECAYS if held else current_decay(neuron.tau_syn), chosen.dv, chosen.vth, neuron.soft_reset)
        rounded = round_bias_plain if self.plain else round_bias
        bias = None if population.bias is None else rounded(population.bias, chosen.gain)
        integer = replace(integer, projections=tuple(q for p in integer.projections for q in changed.get(p.name, [p])))
        return integer.with_population(replace(population, neuron=registers, bias=bias))

    def _registers(self, network: Network, population: Population, neuron: LIF, clip: float) -> PopulationRegisters:
        inputs = [_arriving(network, p) for p in network.inputs_of(population.name)]
        headroom = min(neuron.tau_syn, float(network.timesteps))  # a slowly decaying current accumulates up to this many inputs
        choose = choose_plain if self.plain else partial(choose_population, finest=True, headroom=headroom)
        return choose(
            inputs,
            tau=neuron.tau,
            decay_input=neuron.decay_input,
            v_threshold=neuron.v_threshold,
            bias=population.bias,
            weight_bits=self.bits.of(population.name),
            clip=clip,
        )


def _check_all_float(network: Network) -> None:
    for population in network.spiking:
        integers = [p.name for p in network.inputs_of(population.name) if p.weight_bits is not None]
        if isinstance(population.neuron, IntegerLIF) or (integers and isinstance(population.neuron, LIF)):
            raise NetworkError(f"Layer {population.name} mixes integers with a float network; quantise all or none of it.")


def _deployed(candidate: Network, group: tuple[Population, ...], streams: Streams) -> reference.Spikes:
    """Run populations with their integers; memoryless units on their cycle run as the neurons that they will become."""
    if any(isinstance(p.neuron, Threshold) for p in group):
        candidate = lower.Lower().run(candidate).network
    return reference.component(candidate, [candidate.population(p.name) for p in group], streams)


def _gates(network: Network, group: tuple[Population, ...], streams: Streams) -> reference.Spikes:
    """Run memoryless units on the deployed spikes; payloads count in their real units, and a held current at every step."""
    entry, carried = network.populations[0].name, network.input.payload
    if any(p.source == entry for g in group for p in network.inputs_of(g.name)):
        real = streams[entry] * carried.scale
        held = np.broadcast_to(real[:, :1], real.shape) if carried.once else real
        streams = streams | {entry: held}
    return reference.float_component(network, group, streams)


def _arriving(network: Network, projection: Projection) -> Arriving:
    synapses, sources = projection.synapses, network.population(projection.source).living
    carried = network.payload_of(projection)
    return Arriving(synapses.data, lambda values: synapses.forward(values, sources), carried.largest, carried.scale)


def _scaled(network: Network, group: tuple[Population, ...], factor: float) -> Network:
    """Return the network with the thresholds of a group's neurons multiplied by a factor: few bits distort the mean of the weights."""
    for member in group:
        population = network.population(member.name)
        if factor != 1.0 and isinstance(population.neuron, IntegerLIF):
            vth = min(max(round(population.neuron.vth * factor), 0), VTH_MAX)
            network = network.with_population(replace(population, neuron=replace(population.neuron, vth=vth)))
    return network


def _lost(network: Network, integer: Network) -> tuple[str, ...]:
    """Name layers with channels whose weights have all been rounded to zero."""
    warnings: list[str] = []
    for population in network.spiking:
        before, after = (
            sum(network_.fan_in(p) for p in network_.inputs_of(population.name)) for network_ in (network, _without_zeros(integer))
        )
        gone = int(((np.asarray(before) > 0) & (np.asarray(after) == 0)).sum())
        if gone:
            warnings.append(
                f"Layer {population.name}: {gone:,} of {population.count:,} neurons lost every weight to rounding. Try more --weight-bits."
            )
    return tuple(warnings)


def _without_zeros(network: Network) -> Network:
    return replace(network, projections=tuple(replace(p, synapses=p.synapses.select(p.synapses.data != 0)) for p in network.projections))


def _check_alive(network: Network, population: Population, arriving: list[Projection], changed: dict[str, list[Projection]]) -> None:
    if arriving and not any(p.synapses.data.any() for made in changed.values() for p in made):
        raise NetworkError(f"Layer {population.name}: every weight is zero after quantisation. {if_silent(network)}")


def _describe(network: Network, name: str, clip: float) -> str:
    neuron = network.population(name).neuron
    exponents = ", ".join(str(p.exponent) for p in network.inputs_of(name)) or "none"
    vth = neuron.vth if isinstance(neuron, IntegerLIF) else 0
    return f"{name}: exponent {exponents}, threshold {vth:,}, weights clipped at {clip:.0%} of the largest"
