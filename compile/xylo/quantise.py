"""Quantise to Xylo: weights of 8 bits with one shift per kind of synapse, time constants that are powers of two, thresholds of 16 bits.

The float neuron (`network.neurons.LIF`) and the chip's differ in what they keep and in when the current acts:

    i <- (1 - 1/tau_syn) i + W s;   v <- (1 - 1/tau) v + g i      g = 1/tau with decay_input, else 1
    i <- (1 - 2^-ds) (i + w s);     v <- (1 - 2^-dm) v + i

With ds, dm the nearest powers of two, in 1/tau, and weights in the unit in which the threshold v_threshold is the integer T,

    w = W  T / v_threshold  *  tau_syn / (2^ds - 1)  *  g tau / 2^dm

a constant input leads to the same current and potential, and where the time constants are powers of two every step is the same but for
rounding. T and the share of the largest weight at which weights saturate are those of a few that change the fewest predictions of the
calibration samples, and of these the fewest spikes. Two differences remain: a neuron of the chip spikes as often in one step as the
threshold fits, and a state loses at least 1 in every step, so that small ones fade faster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import NetworkError
from ...hwmodels import xylo
from ...hwmodels.chip import Chip
from ...network import reference
from ...network.model import LIF, Network, Population, Projection, XyloLIF
from ..analysis.advice import if_silent
from ..api import Calibration, PassResult, differing
from ..passes.check import rate_warnings
from .layout import GROUPS, group_of, refuse_paths
from .limits import check_limits

LEVELS = tuple(1 << k for k in range(7, 15))  # of the threshold T; at 2^14 a state holds less than two, so that a neuron spikes once a step
CLIPS = (1.0, 0.7, 0.5)
UNKNOWN = 1 << 12  # T without calibration samples
WORTH_SAYING = 0.05  # error of a time constant that is a warning
WORK = 1e8  # synapse updates of a candidate on the calibration samples


@dataclass(frozen=True)
class Shape:
    """What the time constants of a population become: the shifts, and the factor of its weights beside T / v_threshold."""

    dash_syn: int
    dash_mem: int
    current_gain: float
    gain: float


@dataclass(frozen=True)
class QuantiseXylo:
    """Make XyloLIF neurons of LIF ones."""

    name: ClassVar[str] = "xylo"

    chip: Chip
    calibration: Calibration | None = None
    seed: int = 0

    def run(self, network: Network) -> PassResult:
        """Apply the pass.

        Raises:
            NetworkError: a neuron, a time constant or a connection that the chip does not have, or a layer whose weights all vanish.
            DoesNotFitError: more channels, neurons or synapses than the chip has.
        """
        shapes = {p.name: _shape(p) for p in network.spiking}
        refuse_paths(network)
        check_limits(network, self.chip)
        said, warnings = _rounded(network, shapes)
        if self.calibration is None:
            unknown = "No calibration samples: the unit of the weights is a guess, rates unknown."
            made = install(network, shapes, UNKNOWN, 1.0)
            return PassResult(made, (*said, *_described(made)), (unknown, *warnings))
        return self._calibrated(network, shapes, self.calibration.affordable(network, WORK), said, warnings)

    def _calibrated(
        self, network: Network, shapes: dict[str, Shape], calibration: Calibration, said: list[str], warnings: list[str]
    ) -> PassResult:
        events = reference.encode(network, calibration.values, seed=self.seed)
        floats = reference.simulate_float(network, calibration.values, events=events if network.input.is_rate_coded else None)
        best: tuple[tuple[int, int], Network, reference.Spikes] | None = None
        output = network.populations[-1].name
        wanted = reference.decide(floats[output], network.votes)
        refused: NetworkError | None = None
        for clip in CLIPS:
            for level in LEVELS[::-1]:
                try:
                    made = install(network, shapes, level, clip)
                except NetworkError as error:
                    refused = error
                    continue
                spikes = reference.simulate(made, events)
                changed = int(np.count_nonzero(reference.decide(spikes[output], network.votes) != wanted))
                wrong = changed, sum(int(np.count_nonzero(spikes[name] != floats[name])) for name in floats)
                if best is None or wrong < best[0]:
                    best = (wrong, made, spikes)
        if best is None:
            raise refused or NetworkError("There is no unit of the weights to try.")
        _, made, spikes = best
        drift = {name: differing(spikes[name], floats[name]) for name in floats}
        rates = {name: (raster > 0).mean(axis=(0, 1)) for name, raster in {network.populations[0].name: events, **spikes}.items()}
        found = [*rate_warnings({name: rates[name] for name in drift}, len(events)), *_several(spikes)]
        changes = [f"{text}, {drift[name]:.2%} of spikes differ" for name, text in zip(drift, _described(made), strict=True)]
        return PassResult(made, (*said, *changes), (*warnings, *found), drift, rates)


def _several(spikes: reference.Spikes) -> list[str]:
    """Name the layers whose neurons often send several spikes in a step, which those of the float network never do."""
    warnings: list[str] = []
    for name, raster in spikes.items():
        total = int(raster.sum(dtype=np.int64))
        share = int(raster[raster > 1].sum(dtype=np.int64)) / total if total else 0.0
        if share > WORTH_SAYING:
            warnings.append(
                f"Layer {name}: {share:.0%} of its spikes come several in a step, up to {int(raster.max())}; in training it sends one and "
                f"keeps the rest. Compare the accuracies, and train with smaller weights or a higher threshold if they differ."
            )
    return warnings


def _shape(population: Population) -> Shape:
    """Return what a population's time constants become; refuse neurons that the chip does not have."""
    name, neuron = population.name, population.neuron
    if not isinstance(neuron, LIF):
        raise NetworkError(
            f"Layer {name} is not an LIF layer ({type(neuron).__name__}), and Xylo has no other neurons. Use LIF neurons with a synaptic "
            f"current, average pooling in place of max pooling, and train without --weight-bits."
        )
    if not neuron.soft_reset:
        raise NetworkError(
            f"Layer {name} has a hard reset; Xylo's neurons subtract the threshold. Train it with a soft reset (v_reset=None "
            f'in SpikingJelly, reset_mechanism="subtract" in snnTorch).'
        )
    dash_syn, dash_mem = dash_of(neuron.tau_syn), dash_of(neuron.tau)
    if dash_syn < 1:
        raise NetworkError(
            f"Layer {name} has no synaptic current (tau_syn is {neuron.tau_syn:g} steps), and on Xylo a current that lasts one step decays "
            f"before it acts. Train it with one of at least 2 steps (CUBALIFNode in SpikingJelly, Synaptic in snnTorch)."
        )
    if dash_mem > xylo.DASH_MAX:
        raise NetworkError(
            f"Layer {name} has a time constant of {neuron.tau:g} steps; Xylo's longest is {1 << xylo.DASH_MAX:,} (a shift of "
            f"{xylo.DASH_MAX}), and every potential leaks. Train LIF neurons with a finite tau."
        )
    gain = neuron.tau if neuron.decay_input is False else 1.0
    return Shape(dash_syn, dash_mem, neuron.tau_syn / ((1 << dash_syn) - 1), gain / (1 << dash_mem))


def dash_of(tau: float) -> int:
    """Return the shift whose decay, 2^-shift a step, is nearest to 1/tau; one more than the chip's largest for what never leaks."""
    lost = 1.0 / tau
    if lost < 0.75 * 2.0**-xylo.DASH_MAX:
        return xylo.DASH_MAX + 1
    return min(range(xylo.DASH_MAX + 1), key=lambda dash: (abs(2.0**-dash - lost), dash))


def _rounded(network: Network, shapes: dict[str, Shape]) -> tuple[list[str], list[str]]:
    """Return what is said of the time constants, and the warnings on those that are far from a power of two."""
    said, warnings = list[str](), list[str]()
    for population in network.spiking:
        neuron, shape = population.neuron, shapes[population.name]
        if not isinstance(neuron, LIF):
            continue
        for what, tau, dash in (("membrane", neuron.tau, shape.dash_mem), ("current", neuron.tau_syn, shape.dash_syn)):
            error = (1 << dash) / tau - 1.0
            text = f"{population.name}: time constant of the {what} {tau:.4g} -> {1 << dash} steps (shift {dash}, {error:+.1%})"
            said.append(text)
            if abs(error) > WORTH_SAYING:
                warnings.append(f"Layer {text}: Xylo's are powers of two. Train with {1 << dash} steps to lose nothing here.")
    return said, warnings


def install(network: Network, shapes: dict[str, Shape], level: int, clip: float) -> Network:
    """Return the network in the chip's integers.

    Args:
        shapes: by population.
        level: the threshold of all neurons; clip: share of the largest weight of a kind of synapse at which its weights saturate.

    Raises:
        NetworkError: a layer whose weights all round to zero.
    """
    scales = {p.name: _scale(network, p, shapes[p.target], level) for p in network.projections}
    shifts = {group: _shift(network, group, scales, clip) for group in GROUPS}
    made = tuple(_integers(p, scales[p.name], shifts[group_of(network, p)]) for p in network.projections)
    output, populations = network.populations[-1].name, [network.populations[0]]
    for population in network.spiking:
        arriving = [p for p in made if p.target == population.name]
        if arriving and not any(p.synapses.weights for p in arriving):
            raise NetworkError(f"Layer {population.name}: every weight is zero after quantisation. {if_silent(network)}")
        populations.append(_neurons(population, shapes[population.name], level, output=population.name == output))
    return replace(network, populations=tuple(populations), projections=made)


def _threshold(population: Population) -> float:
    if not isinstance(population.neuron, LIF):
        raise NetworkError(f"Layer {population.name} is not an LIF layer.")
    return population.neuron.v_threshold - population.neuron.v_reset


def _scale(network: Network, projection: Projection, shape: Shape, level: int) -> float:
    """Return the integer that a weight of 1.0 would be, before the shift."""
    unit = level / _threshold(network.population(projection.target))
    return unit * shape.current_gain * shape.gain * network.payload_of(projection).scale


def _shift(network: Network, group: str, scales: dict[str, float], clip: float) -> int:
    """Return the least shift with which all weights of a kind of synapse fit 8 bits, those above `clip` of the largest saturated."""
    tops = [float(np.abs(p.synapses.data).max(initial=0.0)) * scales[p.name] for p in network.projections if group_of(network, p) == group]
    top = max(tops, default=0.0) * clip
    return min(max(int(np.ceil(np.log2(top / xylo.WEIGHT_MAX))), 0), xylo.SHIFT_MAX) if top > 0 else 0


def _integers(projection: Projection, scale: float, shift: int) -> Projection:
    rounded = np.rint(projection.synapses.data.astype(np.float64) * scale / (1 << shift))
    values = np.clip(rounded, -xylo.WEIGHT_MAX, xylo.WEIGHT_MAX).astype(np.int32)
    synapses = projection.synapses.with_data(values).select(values != 0)
    return replace(projection, synapses=synapses, weight_bits=8, exponent=shift, scale=scale, origin=projection.trained)


def _neurons(population: Population, shape: Shape, level: int, *, output: bool) -> Population:
    neuron = XyloLIF(shape.dash_syn, shape.dash_mem, level, xylo.OUTPUT_SPIKES if output else xylo.HIDDEN_SPIKES)
    bias: NDArray[Any] | None = None
    if population.bias is not None:
        real = population.bias.astype(np.float64) * level / _threshold(population) * shape.gain
        bias = np.clip(np.rint(real), -xylo.STATE_MAX, xylo.STATE_MAX).astype(np.int32)
    return replace(population, neuron=neuron, bias=bias)


def _described(network: Network) -> list[str]:
    """Return one remark on each population's integers."""
    remarks: list[str] = []
    for population in network.spiking:
        neuron = population.neuron
        shifts = ", ".join(str(p.exponent) for p in network.inputs_of(population.name)) or "none"
        level = neuron.threshold if isinstance(neuron, XyloLIF) else 0
        remarks.append(f"{population.name}: threshold {level:,}, weights shifted by {shifts}")
    return remarks
