"""The integer reference: the deployed network in plain NumPy, from `hwmodels.fixed_point` alone.

Its spikes are the definition; every backend is checked against them. Time is local: step t of a population is its t-th step,
whenever the chip's pipeline reaches it, and receives what its sources sent in their step  t - lag  (silence before step 0). Populations on
a common cycle are stepped together, all others one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..hwmodels import crossbar, fixed_point, xylo
from . import axes
from .coding import rate_code
from .model import LIF, CrossbarLIF, IntegerLIF, Network, Population, Threshold, XyloLIF
from .neurons import most_spikes

Spikes = dict[str, NDArray[Any]]  # booleans; of neurons that send several spikes in a step, their number as uint8
Registers = dict[str, NDArray[np.int32]]


def check_values(network: Network, values: NDArray[Any]) -> NDArray[Any]:
    """Flatten samples to (samples, inputs) integers within the network's input range; (samples, timesteps, inputs) if they are events.

    They keep their type and are copied only if necessary; booleans are the integers 0 and 1.

    Raises:
        UsageError: a shape other than the input's (`axes.fits`), or values that are not integers 0..levels.
    """
    array = np.asarray(values)
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    check_shape(network, array.shape[1:])
    inputs, frames = network.populations[0].size, network.timesteps if network.input.is_temporal else 1
    flat = array.reshape(len(array), -1)
    if not np.issubdtype(flat.dtype, np.integer):
        raise UsageError(f"The samples are {flat.dtype}; the network takes integers 0..{network.input.levels}.")
    if flat.size and (flat.min() < 0 or flat.max() > network.input.levels):
        raise UsageError(f"Sample values run from {flat.min()} to {flat.max()}; the network takes integers 0..{network.input.levels}.")
    return flat.reshape(len(flat), *([frames] if network.input.is_temporal else []), inputs)


def check_shape(network: Network, shape: tuple[int, ...]) -> None:
    """Refuse samples whose shape differs from that of the network's input; axes of length 1 and flat samples are allowed.

    Args:
        network: its input defines the shape of a sample, or of each of a sample's frames.
        shape: of one sample.

    Raises:
        UsageError: names both shapes, and the transposition that would fit.
    """
    steps, declared = network.timesteps, network.populations[0].shape
    temporal = network.input.is_temporal
    if axes.frames_fit(shape, steps, declared) if temporal else axes.fits(shape, declared):
        return
    wanted = (steps, *declared) if temporal else declared
    takes = f"{declared} at each of {steps} time steps, {wanted}" if temporal else f"{declared}"
    way_out = axes.advice(shape, wanted, batched=True) or " Use the data it was trained on, with its axes in that order."
    raise UsageError(f"The samples have the shape {shape}; the network takes {takes}.{way_out}")


def encode(
    network: Network, values: NDArray[Any], *, seed: int = 0, first: int = 0, numbers: NDArray[np.int64] | None = None
) -> NDArray[np.uint8]:
    """Turn samples into what enters the chip at each step.

    current, host: the payload once, at step 0 (a current that never decays holds it);  graded: at every step;
    events: each step's own payload, as recorded;
    rate: a spike with probability value/levels; `coding.rate_code` has the bits.

    Args:
        values: (samples, ...) integers 0..levels.
        seed: of the rate code.
        first: index of the first sample in its data set, so that shards draw the same spikes as the whole set.
        numbers: (samples,) indices of all samples, if they are not consecutive.

    Returns:
        (samples, timesteps, inputs) payloads.
    """
    flat = check_values(network, values)
    events = np.zeros((len(flat), network.timesteps, flat.shape[-1]), np.uint8)
    if network.input.is_temporal:
        events[:] = flat
    elif network.input.is_once:
        events[:, 0] = flat
    elif network.input.encoding == "graded":
        events[:] = flat[:, None]
    elif network.input.encoding == "rate":
        events = rate_code(flat.astype(np.int64), network.input.levels, network.timesteps, seed=seed, first=first, numbers=numbers)
    else:
        raise UsageError("The network is not encoded yet (encoding 'direct'): compile it first.")
    return events


def simulate(
    network: Network,
    events: NDArray[Any],
    *,
    active: dict[str, NDArray[np.int64]] | None = None,
    registers: Registers | None = None,
) -> Spikes:
    """Run the integer network; state starts at zero.

    Args:
        events: (samples, timesteps, inputs) payloads, as `encode` gives them.
        active: filled per population: for each neuron, the updates over all samples with a nonzero state, before or after, or a spike.
        registers: arrays (samples, timesteps, neurons), named population.v and population.u, to be filled with the membrane potential and
            the synaptic current after each step, a spike's reset included; 0 of removed neurons. Those that are not named are not kept.

    Returns:
        Per population, its spikes (samples, timesteps, neurons): booleans, or their numbers as uint8 where neurons send several in a step.
    """
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: events}
    for group in network.components():
        streams |= component(network, group, streams, active, registers)
    return {p.name: streams[p.name] for p in network.spiking}


def layer(
    network: Network, population: Population, streams: dict[str, NDArray[Any]], registers: Registers | None = None
) -> NDArray[np.bool_]:
    """Run one population of an integer network on its sources' (samples, timesteps, neurons) streams."""
    return component(network, (population,), streams, registers=registers)[population.name]


def component(
    network: Network,
    populations: Sequence[Population],
    streams: dict[str, NDArray[Any]],
    active: dict[str, NDArray[np.int64]] | None = None,
    registers: Registers | None = None,
) -> Spikes:
    """Run populations of an integer network step by step together, in their order, on the streams of the others that they receive."""
    neurons: list[_Neurons] = []
    for population in populations:
        make = _CELLS.get(type(population.neuron))
        if make is None:
            raise UsageError(f"Population {population.name} is not quantised yet: compile the network first.")
        neurons.append(make(network, population, population.neuron, _samples(streams)))
    return _run_together(network, populations, neurons, streams, active, registers)


class _Neurons(Protocol):
    """The state of a population's neurons."""

    v: NDArray[Any]

    def step(self, received: list[NDArray[Any]]) -> NDArray[Any]:
        """Return the spikes (neurons, samples) of a step, from what the source of each incoming projection sent (sources, samples)."""
        ...


class _IntegerNeurons:
    def __init__(self, network: Network, population: Population, neuron: IntegerLIF, samples: int) -> None:
        self.neuron = neuron
        self.arriving = [(p.synapses.operator(), p.exponent) for p in network.inputs_of(population.name)]
        self.bias = population.biases.astype(np.int64)[:, None]
        self.u = self.v = np.zeros((population.size, samples), np.int64)

    def step(self, received: list[NDArray[Any]]) -> NDArray[np.bool_]:
        a = np.zeros_like(self.u)
        for (weights, exponent), s in zip(self.arriving, received, strict=True):
            a = a + fixed_point.synaptic_input(weights, s.astype(np.int64), exponent)
        n = self.neuron
        self.u, self.v, fired = fixed_point.lif_step(
            self.u, self.v, a, du=n.du, dv=n.dv, vth=n.vth, bias=self.bias, soft_reset=n.soft_reset
        )
        return fired


class _CrossbarNeurons:
    def __init__(self, network: Network, population: Population, neuron: CrossbarLIF, samples: int) -> None:
        self.neuron = neuron
        self.arriving = [p.synapses.operator() for p in network.inputs_of(population.name)]
        self.v = np.zeros((population.size, samples), np.int64)

    def step(self, received: list[NDArray[Any]]) -> NDArray[np.bool_]:
        a = sum((w @ s.astype(np.int64) for w, s in zip(self.arriving, received, strict=True)), np.zeros_like(self.v))
        self.v, fired = crossbar.crossbar_step(self.v, a, threshold=self.neuron.threshold, leak=self.neuron.leak)
        return fired


class _XyloNeurons:
    def __init__(self, network: Network, population: Population, neuron: XyloLIF, samples: int) -> None:
        self.neuron = neuron
        place = {p.name: i for i, p in enumerate(network.populations)}
        arriving = network.inputs_of(population.name)
        self.order = sorted(range(len(arriving)), key=lambda k: place[arriving[k].source])  # the chip's: channels, then its neurons
        self.weights = [
            np.asarray(arriving[k].synapses.unrolled().operator().toarray(), np.int64) << arriving[k].exponent for k in self.order
        ]
        self.bias = population.biases.astype(np.int64)[:, None]
        self.u = self.v = np.zeros((population.size, samples), np.int64)

    def step(self, received: list[NDArray[Any]]) -> NDArray[np.int64]:
        spikes = [received[k].astype(np.int64) for k in self.order]
        n, u = self.neuron, xylo.receive(self.u, zip(self.weights, spikes, strict=True))
        self.u, self.v, fired = xylo.xylo_step(
            u, self.v, dash_syn=n.dash_syn, dash_mem=n.dash_mem, threshold=n.threshold, most=n.most, bias=self.bias
        )
        return fired


_CELLS: dict[Any, Any] = {IntegerLIF: _IntegerNeurons, CrossbarLIF: _CrossbarNeurons, XyloLIF: _XyloNeurons}  # by kind of neuron


def _samples(streams: dict[str, NDArray[Any]]) -> int:
    return len(next(iter(streams.values())))


def _run_together(
    network: Network,
    populations: Sequence[Population],
    neurons: Sequence[_Neurons],
    streams: dict[str, NDArray[Any]],
    active: dict[str, NDArray[np.int64]] | None = None,
    registers: Registers | None = None,
) -> Spikes:
    samples, steps = next(iter(streams.values())).shape[:2]
    spikes: Spikes = {p.name: np.zeros((samples, steps, p.size), np.bool_ if most_spikes(p.neuron) == 1 else np.uint8) for p in populations}
    sent = streams | spikes
    arriving = [[(sent[q.source], q.lag) for q in network.inputs_of(p.name)] for p in populations]
    for t in range(steps):
        for population, cells, sources in zip(populations, neurons, arriving, strict=True):
            fired = cells.step([(s[:, t - lag] if t >= lag else np.zeros_like(s[:, t])).T for s, lag in sources]).T
            spikes[population.name][:, t] = fired if population.alive is None else fired * population.alive
            if active is not None:
                busy = (fired != 0) | (cells.v != 0).T | (getattr(cells, "u", np.zeros(())) != 0).T
                counted = np.count_nonzero(busy & population.living, axis=0)
                active[population.name] = active.get(population.name, np.zeros(population.size, np.int64)) + counted
            for state in ("u", "v") if registers else ():
                if (kept := (registers or {}).get(f"{population.name}.{state}")) is not None:
                    kept[:, t] = getattr(cells, state).T * population.living
    return spikes


def simulate_float(network: Network, values: NDArray[Any], *, events: NDArray[Any] | None = None) -> Spikes:
    """Run the float network in float64: input  integer * scale,  constant or step by step, or the given spikes of a rate code.

    Args:
        values: (samples, ...) integers 0..levels.
        events: (samples, timesteps, inputs) spikes that replace that input.
    """
    real = check_values(network, values) * network.input.scale
    steps = real if network.input.is_temporal else np.repeat(real[:, None], network.timesteps, axis=1)
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: steps if events is None else events}
    for group in network.components():
        streams |= float_component(network, group, streams)
    return {p.name: streams[p.name] for p in network.spiking}


def float_component(network: Network, populations: Sequence[Population], streams: dict[str, NDArray[Any]]) -> Spikes:
    """Run populations of a float network step by step together, in their order, on the streams of the others that they receive."""
    neurons: list[_Neurons] = []
    for population in populations:
        if not isinstance(population.neuron, LIF | Threshold):
            raise UsageError(f"Population {population.name} is already quantised.")
        neurons.append(_FloatNeurons(network, population, population.neuron, _samples(streams)))
    return _run_together(network, populations, neurons, streams)


class _FloatNeurons:
    def __init__(self, network: Network, population: Population, neuron: LIF | Threshold, samples: int) -> None:
        self.neuron = neuron
        self.arriving = [p.synapses.operator(np.float64) for p in network.inputs_of(population.name)]
        self.bias = population.biases.astype(np.float64)[:, None]
        self.v = np.full((population.size, samples), neuron.v_reset if isinstance(neuron, LIF) else 0.0, np.float64)
        self.i = np.zeros_like(self.v)

    def step(self, received: list[NDArray[Any]]) -> NDArray[np.bool_]:
        left = self.i - self.i / self.neuron.tau_syn if isinstance(self.neuron, LIF) else np.zeros_like(self.v)
        self.i = sum((w @ s.astype(np.float64) for w, s in zip(self.arriving, received, strict=True)), left)
        self.v, fired = float_step(self.neuron, self.v, self.i + self.bias)
        return fired


def float_step(neuron: LIF | Threshold, v: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Advance the potentials of float neurons by one time step, on the input x; return them after the reset, and the spikes."""
    if isinstance(neuron, Threshold):
        return v, x >= neuron.level
    v = v + (neuron.v_reset - v + x) / neuron.tau if neuron.decay_input else v + (neuron.v_reset - v) / neuron.tau + x
    fired = v >= neuron.v_threshold
    return np.where(fired, v - (neuron.v_threshold - neuron.v_reset) if neuron.soft_reset else neuron.v_reset, v), fired


def class_counts(output: NDArray[np.bool_], votes: int = 1) -> NDArray[np.int64]:
    """Return the output spikes of each class over all time steps, (samples, classes).

    Args:
        output: (samples, timesteps, classes * votes), the neurons of a class side by side.
        votes: output neurons per class.
    """
    counts = np.zeros((output.shape[0], output.shape[2]), np.int64)
    for t in range(output.shape[1]):  # three times as fast as the sum along an axis in the middle
        counts += output[:, t]
    return counts.reshape(len(counts), output.shape[2] // votes, votes).sum(axis=2)


def decide(output: NDArray[np.bool_], votes: int = 1) -> NDArray[np.int64]:
    """Return the class with the most output spikes, (samples,); the lowest index wins a tie. The arguments are those of `class_counts`."""
    return class_counts(output, votes).argmax(axis=1)
