"""Quantise to crossbars: levels per neuron, a threshold and a linear leak per layer.

SpikingJelly's LIF loses a share of its potential in every step; a TrueNorth core subtracts a constant. The second cannot reproduce the
first exactly. With the potential in units of  tau v  the float neuron adds its input and fires at  tau v_threshold
(with decay_input; without, at v_threshold); the crossbar's threshold and leak are shares of that, tried on the calibration samples layer
by layer, each fed by the deployed layers before it, and the pair with the fewest differing spikes is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...hwmodels.crossbar import STATE_MAX, crossbar_step
from ...network import reference
from ...network.model import LIF, CrossbarLIF, IntegerLIF, Network, Population, Projection, Threshold
from ..analysis.advice import if_silent
from ..api import Calibration, PassResult, differing
from ..passes import quantise
from ..passes.check import rate_warnings, reach_warnings
from .weights import TOP, check_mode, fit

CLIPS = (1.0, 0.7, 0.5, 0.35)
LEAKS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)  # of the threshold
FACTORS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.15)  # of the float threshold
RANGE = {"ternary": TOP, "codebook": TOP, "exact": 127}


@dataclass(frozen=True)
class QuantiseCrossbars:
    """Make CrossbarLIF neurons of LIF ones, and of gates; a layer on the host gets Loihi's integers."""

    name: ClassVar[str] = "crossbars"

    mode: str = "codebook"
    calibration: Calibration | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_mode(self.mode)

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: integers trained for Loihi, biases, no calibration samples, or a layer whose weights all vanish.
        """
        _check(network)
        if self.calibration is None:
            raise NetworkError("Crossbars need calibration samples to choose thresholds and leaks. Compile a run folder, or give samples.")
        samples = self.calibration.affordable(network)
        events = reference.encode(network, samples.values, seed=self.seed)
        floats = reference.simulate_float(network, samples.values, events=events if network.input.is_rate_coded else None)
        streams: dict[str, NDArray[Any]] = {network.populations[0].name: events}
        integer, changes, drift = network, list[str](), dict[str, float]()
        for population in network.spiking:
            goal = floats[population.name]
            integer, spikes, said = self._place(integer, network, population, streams, goal)
            streams[population.name] = spikes
            drift[population.name] = differing(spikes, goal)
            changes.append(f"{population.name}: {said}, {drift[population.name]:.2%} of spikes differ")
        rates = {name: (raster > 0).mean(axis=(0, 1)) for name, raster in streams.items()}
        seen = {name: rates[name] for name in drift}
        warnings = (*_out_of_reach(integer), *rate_warnings(seen, len(samples.values)))
        return PassResult(integer, tuple(changes), warnings, drift, rates)

    def _place(
        self, integer: Network, network: Network, population: Population, streams: dict[str, NDArray[Any]], goal: NDArray[np.bool_]
    ) -> tuple[Network, NDArray[np.bool_], str]:
        neuron = population.neuron
        if population.place == "host":
            host = quantise.Quantise(8, self.calibration, self.seed)
            made, clip, spikes = host.best(integer, network, (population,), streams, {population.name: goal})
            return made, spikes[population.name], f"on the host, weights clipped at {clip:.0%}"
        if isinstance(neuron, Threshold):
            made = _gate(integer, population, neuron)
            return made, reference.layer(made, made.population(population.name), streams), f"a gate of level {neuron.level:g}"
        if isinstance(neuron, LIF) and neuron.soft_reset:
            raise NetworkError(f"Layer {population.name} has a soft reset, which these crossbars do not have. Use --target lava.")
        if not isinstance(neuron, LIF):
            raise NetworkError(
                f"Layer {population.name} is neither an LIF layer nor a memoryless threshold unit; crossbars have nothing else."
            )
        return self._best(integer, network, population, neuron, streams, goal)

    def _best(
        self,
        integer: Network,
        network: Network,
        population: Population,
        neuron: LIF,
        streams: dict[str, NDArray[Any]],
        goal: NDArray[np.bool_],
    ) -> tuple[Network, NDArray[np.bool_], str]:
        """Return the network with the population installed, its spikes, and what was chosen."""
        best: tuple[int, Network, NDArray[np.bool_], str] | None = None
        for clip in CLIPS:
            fitted, unit = fit_layer(integer, network, population, self.mode, clip)
            inputs = _inputs(fitted, population, streams)
            full = _threshold(population, neuron, unit)
            for factor in FACTORS:
                for leak in LEAKS:
                    registers = CrossbarLIF(max(1, round(full * factor)), round(full * factor * leak))
                    spikes = _spikes(inputs, registers)
                    wrong = int(np.count_nonzero(spikes != goal))
                    if best is None or wrong < best[0]:
                        candidate = fitted.with_population(replace(fitted.population(population.name), neuron=registers))
                        said = f"threshold {registers.threshold:,}, leak {registers.leak:,}, weights clipped at {clip:.0%}"
                        best = (wrong, candidate, spikes, said)
        if best is None:
            raise NetworkError(f"Layer {population.name}: there is no clip to try.")
        return best[1:]


def _threshold(population: Population, neuron: LIF, unit: float) -> float:
    """Return the float threshold in units of the weights; refuse one that a core's neuron cannot hold."""
    full = unit * neuron.v_threshold * (neuron.tau if neuron.decay_input else 1.0)
    if full * max(FACTORS) > STATE_MAX:
        raise NetworkError(
            f"Layer {population.name}: beside its weights the threshold would be {full:,.0f}; a crossbar's neuron holds up to "
            f"{STATE_MAX:,}. Its weights are too small to reach it: train again, or with a lower threshold."
        )
    return full


def _out_of_reach(network: Network) -> list[str]:
    """Warn of neurons that could not reach their threshold even if all of their sources spiked in every step.

    Raises:
        NetworkError: this holds for a whole layer.
    """
    warnings: list[str] = []
    for population in network.on_chip:
        neuron, most = population.neuron, np.zeros(population.size, np.float64)
        if not isinstance(neuron, CrossbarLIF):
            continue
        for p in network.inputs_of(population.name):
            most += p.synapses.forward(np.maximum(p.synapses.data, 0).astype(np.float64), np.ones(p.synapses.shape[1], np.bool_))
        dead = int((network.timesteps * (most - neuron.leak) < neuron.threshold)[population.living].sum())
        refusal = (
            f"Layer {population.name}: its threshold {neuron.threshold:,} cannot be reached; the strongest input adds "
            f"{most.max():,.0f} a step, of which {neuron.leak:,} leak away. Try another --mode. {if_silent(network)}"
        )
        warnings += reach_warnings(population, dead, refusal)
    return warnings


def _inputs(network: Network, population: Population, streams: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return a population's input in each step, (timesteps, neurons, samples)."""
    samples, steps = next(iter(streams.values())).shape[:2]
    total = np.zeros((steps, population.size, samples), np.int64)
    for p in network.inputs_of(population.name):
        weights = p.synapses.operator()
        for t in range(p.lag, steps):
            total[t] += weights @ streams[p.source][:, t - p.lag].T.astype(np.int64)
    return total


def _spikes(inputs: NDArray[np.int64], neuron: CrossbarLIF) -> NDArray[np.bool_]:
    """Run neurons on their inputs; (samples, timesteps, neurons)."""
    v, fired = np.zeros(inputs.shape[1:], np.int64), np.zeros(inputs.shape, np.bool_)
    for t, a in enumerate(inputs):
        v, fired[t] = crossbar_step(v, a, threshold=neuron.threshold, leak=neuron.leak)
    return fired.transpose(2, 0, 1)


def _check(network: Network) -> None:
    late = next((p for p in network.projections if p.lag), None)
    if late is not None:
        raise NetworkError(
            f"Projection {late.name} has a lag; recurrent networks and delays cannot be compiled for crossbars. Use --target lava."
        )
    for population in network.spiking:
        if isinstance(population.neuron, IntegerLIF):
            raise NetworkError(f"Layer {population.name} was trained in Loihi's integers. Train without --weight-bits for crossbars.")
        if isinstance(population.neuron, LIF) and population.neuron.tau_syn != 1.0 and population.place == "chip":
            raise NetworkError(f"Layer {population.name} has a synaptic current that decays, which a crossbar's neurons do not have.")
    for population in network.spiking:  # checked last: a bias in front of a decaying current is a population that the user did not name
        if population.bias is not None and population.bias.any() and population.place == "chip":
            raise NetworkError(
                f"Layer {population.name} has biases, which these neurons have no register for. Train a network without biases, without "
                f"normalisation, and on samples as they are (no net.mean), such as fc."
            )


def fit_layer(integer: Network, network: Network, population: Population, mode: str, clip: float) -> tuple[Network, float]:
    """Return the network with a population's weights built from levels, fitted neuron by neuron, and the units of an input of 1.0."""
    arriving = [replace(p, synapses=p.synapses.unrolled(), origin=p.trained) for p in network.inputs_of(population.name)]
    top = max((float(np.abs(p.synapses.data).max(initial=0.0)) for p in arriving), default=0.0)
    if top == 0.0:
        raise NetworkError(f"Layer {population.name}: every weight is zero. {if_silent(network)}")
    unit = RANGE[mode] / (top * clip)
    levels = np.zeros((population.size, 4), np.int64)
    data = [np.zeros(p.synapses.weights, np.int64) for p in arriving]
    pointers = [p.synapses.unrolled().indptr for p in arriving]
    for j in range(population.size):
        spans = [slice(int(q[j]), int(q[j + 1])) for q in pointers]
        mine = np.concatenate([p.synapses.data[s].astype(np.float64) for p, s in zip(arriving, spans, strict=True)])
        levels[j], counts = fit(np.clip(mine * unit, -RANGE[mode], RANGE[mode]), mode)
        formed, start = counts @ levels[j], 0
        for values, span in zip(data, spans, strict=True):
            values[span] = formed[start : start + span.stop - span.start]
            start += span.stop - span.start
    changed = {p.name: _integer(p, values, unit) for p, values in zip(arriving, data, strict=True)}
    if not any(p.synapses.weights for p in changed.values()):
        raise NetworkError(f"Layer {population.name}: every weight is zero after quantisation. {if_silent(network)}")
    made = replace(integer, projections=tuple(changed.get(p.name, p) for p in integer.projections))
    return made.with_population(replace(population, neuron=CrossbarLIF(), levels=levels, bias=None)), unit


def _integer(projection: Projection, values: NDArray[np.int64], unit: float) -> Projection:
    synapses = projection.synapses.with_data(values.astype(np.int32)).select(values != 0)
    return replace(projection, synapses=synapses, weight_bits=9, exponent=0, scale=unit)


def _gate(integer: Network, population: Population, gate: Threshold) -> Network:
    """Return a memoryless threshold unit as a neuron: a leak of L - 1 leaves nothing of a sum below L, and 1, the threshold, of L."""
    level = int(np.ceil(gate.level))
    arriving = integer.inputs_of(population.name)
    if any((p.synapses.data != 1).any() for p in arriving):
        raise NetworkError(
            f"Layer {population.name} is a memoryless threshold unit with weights other than 1, which crossbars cannot represent."
        )
    levels = np.zeros((population.size, 4), np.int64)
    levels[:, 0] = 1
    made = integer.with_population(replace(population, neuron=CrossbarLIF(1, level - 1), levels=levels, bias=None))
    for p in arriving:
        ones = p.synapses.unrolled()
        whole = ones.with_data(ones.data.astype(np.int32))
        made = made.with_projection(replace(p, synapses=whole, weight_bits=9, exponent=0, scale=1.0, origin=p.trained))
    return made
