"""Quantise a float network to the chip's integers, calibrated on training samples; a network trained in integers passes as it is.

Per layer: a step for the weights (`clip` chosen so that the deployed spikes of this layer, fed by the deployed layers before
it, differ least from the float ones), a power-of-two exponent that rules out overflow, the threshold scaled with both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError, UsageError
from ...hwmodels.fixed_point import NEVER_DECAYS, NO_MEMORY
from ...hwmodels.quantise import CLIPS, LayerRegisters, choose_registers, quantise, threshold
from .. import reference
from ..network import LIF, IntegerLIF, Network, Population, Projection, Synapses
from ..pipeline import Calibration, CompileOptions, PassResult

ORDERS = (40,)


@dataclass(frozen=True)
class Pass:
    """Choose registers layer by layer. Without `calibration`, weights are scaled by their largest magnitude."""

    weight_bits: int = 8
    calibration: Calibration | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.weight_bits <= 8:
            raise UsageError(f"--weight-bits is {self.weight_bits}; the compiler quantises to 2..8 bits.")

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: a layer's weights are all zero, or round to zero.
        """
        if network.is_integer:
            bits = sorted({p.weight_bits for p in network.projections if p.weight_bits})
            return PassResult(network, (f"kept the integers as trained ({', '.join(map(str, bits))} bits)",))
        if self.calibration is None:
            return self._uncalibrated(network)
        return self._calibrated(network, self.calibration)

    def _uncalibrated(self, network: Network) -> PassResult:
        integer, changes = network, list[str]()
        for population in network.spiking:
            integer = self._install(integer, network, population, 1.0)
            changes.append(_describe(integer, population.name, 1.0))
        return PassResult(integer, tuple(changes), ("No calibration samples: weights scaled by their largest magnitude, rates unknown.",))

    def _calibrated(self, network: Network, calibration: Calibration) -> PassResult:
        events = reference.encode(network, calibration.values, seed=self.seed)
        floats = reference.simulate_float(network, calibration.values, events=events if network.input.encoding == "rate" else None)
        streams: dict[str, NDArray[np.generic]] = {network.populations[0].name: events}
        integer, changes, drift = network, list[str](), dict[str, float]()
        for population in network.spiking:
            candidates = [(self._install(integer, network, population, clip), clip) for clip in CLIPS]
            runs = [reference.layer(n, n.population(population.name), streams) for n, _ in candidates]
            errors = [float((r != floats[population.name]).mean()) for r in runs]
            best = int(np.argmin(errors))
            integer, streams[population.name] = candidates[best][0], runs[best]
            rate = float(floats[population.name].mean())
            drift[population.name] = errors[best] / rate if rate else 0.0
            changes.append(_describe(integer, population.name, candidates[best][1]) + f", {drift[population.name]:.2%} of spikes differ")
        return PassResult(integer, tuple(changes), drift=drift)

    def _install(self, integer: Network, network: Network, population: Population, clip: float) -> Network:
        """Return `integer` with the population and its incoming projections in integers."""
        arriving = network.inputs_of(population.name)
        chosen = [self._registers(network, population, p, clip) for p in arriving]
        units = [_payload(network, p)[1] for p in arriving]
        gain = min(r.scale / unit for r, unit in zip(chosen, units, strict=True))  # all inputs of a neuron share its threshold
        for projection, registers, unit in zip(arriving, chosen, units, strict=True):
            scale = gain * unit
            step = scale / 2.0**registers.exponent
            data = quantise(projection.synapses.data, step, self.weight_bits)
            _check_alive(projection, data)
            synapses = Synapses(projection.synapses.indptr, projection.synapses.indices, data, projection.synapses.shape)
            integer = integer.with_projection(
                replace(projection, synapses=synapses, exponent=registers.exponent, weight_bits=self.weight_bits, scale=scale)
            )
        neuron = _lif(population)
        vth = threshold(gain, 0, neuron.tau if neuron.decay_input else 1.0, neuron.v_threshold, 1.0)
        held = network.input.encoding in ("current", "host") and arriving[0].source == network.populations[0].name
        registers = IntegerLIF(NEVER_DECAYS if held else NO_MEMORY, chosen[0].dv, vth)
        return integer.with_population(replace(population, neuron=registers))

    def _registers(self, network: Network, population: Population, projection: Projection, clip: float) -> LayerRegisters:
        neuron = _lif(population)
        levels, scale = _payload(network, projection)
        return choose_registers(
            projection.synapses.to_dense(),
            tau=neuron.tau,
            decay_input=neuron.decay_input,
            v_threshold=neuron.v_threshold,
            levels=levels,
            input_scale=scale,
            weight_bits=self.weight_bits,
            clip=clip,
            headroom=float(len(network.inputs_of(population.name))),
        )


def create(options: CompileOptions) -> Pass:
    """Build the pass from the weight bits, the calibration samples and the seed of the rate code."""
    return Pass(options.weight_bits, options.calibration, options.seed)


def _lif(population: Population) -> LIF:
    if not isinstance(population.neuron, LIF):
        raise NetworkError(f"Layer {population.name} mixes integer neurons with float weights; quantise all or none of it.")
    return population.neuron


def _payload(network: Network, projection: Projection) -> tuple[int, float]:
    """Return the largest payload that the projection carries, and the real value of one unit."""
    graded = projection.source == network.populations[0].name and network.input.encoding != "rate"
    return (network.input.levels, network.input.scale) if graded else (1, 1.0)


def _check_alive(projection: Projection, data: NDArray[np.int32]) -> None:
    if not data.any():
        raise NetworkError(f"Projection {projection.name}: every weight is zero after quantisation. Train with a lower --sparsity.")


def _describe(network: Network, name: str, clip: float) -> str:
    neuron = network.population(name).neuron
    exponents = ", ".join(str(p.exponent) for p in network.inputs_of(name))
    vth = neuron.vth if isinstance(neuron, IntegerLIF) else 0
    return f"{name}: exponent {exponents}, threshold {vth:,}, weights clipped at {clip:.0%} of the largest"
