"""The integer reference: the deployed network in plain NumPy, from `hwmodels.fixed_point` alone.

Its spikes are the definition; every backend is held against them. Time is local: step t of a population is its t-th step,
whenever the chip's pipeline reaches it, which a feed-forward network cannot tell apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..hwmodels import fixed_point
from .network import LIF, IntegerLIF, Network, Population, Threshold

Spikes = dict[str, NDArray[np.bool_]]


def check_values(network: Network, values: NDArray[Any]) -> NDArray[np.int64]:
    """Flatten samples to (samples, inputs) integers within the network's input range; (samples, timesteps, inputs) if they are events.

    Raises:
        UsageError: another number of inputs, or values outside 0..levels.
    """
    flat = np.asarray(values).reshape(len(values), -1)
    inputs, frames = network.populations[0].size, network.timesteps if network.input.is_temporal else 1
    if flat.shape[1] != inputs * frames:
        steps = f" at each of {frames} time steps" if network.input.is_temporal else ""
        raise UsageError(
            f"The samples have {flat.shape[1]} values each; the network has {inputs} inputs{steps}. Use the data it was trained on."
        )
    if flat.size and (flat.min() < 0 or flat.max() > network.input.levels):
        raise UsageError(f"Sample values run from {flat.min()} to {flat.max()}; the network takes integers 0..{network.input.levels}.")
    if not np.issubdtype(flat.dtype, np.integer):
        raise UsageError(f"The samples are {flat.dtype}; the network takes integers 0..{network.input.levels}.")
    return flat.astype(np.int64).reshape(len(flat), *([frames] if network.input.is_temporal else []), inputs)


def encode(network: Network, values: NDArray[Any], *, seed: int = 0, first: int = 0) -> NDArray[np.uint8]:
    """Turn samples into what enters the chip at each step.

    current, host: the payload once, at step 0 (a current that never decays holds it);  graded: at every step;
    events: each step's own payload, as recorded;
    rate: a spike with probability value/levels, drawn per sample from Philox(seed, index of the sample).

    Args:
        values: (samples, ...) integers 0..levels.
        seed: of the rate code.
        first: index of the first sample in its data set, so that shards draw what the whole would.

    Returns:
        (samples, timesteps, inputs) payloads.
    """
    flat = check_values(network, values)
    events = np.zeros((len(flat), network.timesteps, flat.shape[-1]), np.uint8)
    if network.input.is_temporal:
        events[:] = flat
    elif network.input.encoding in ("current", "host"):
        events[:, 0] = flat
    elif network.input.encoding == "graded":
        events[:] = flat[:, None]
    elif network.input.encoding == "rate":
        for i, row in enumerate(flat):
            draws = np.random.Generator(np.random.Philox(key=[seed, first + i])).integers(network.input.levels, size=events.shape[1:])
            events[i] = draws < row
    else:
        raise UsageError("The network is not encoded yet (encoding 'direct'): compile it first.")
    return events


def simulate(network: Network, events: NDArray[Any]) -> Spikes:
    """Run the integer network; state starts at zero.

    Args:
        events: (samples, timesteps, inputs) payloads, as `encode` gives them.

    Returns:
        By population, its spikes (samples, timesteps, neurons).
    """
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: events}
    for population in network.spiking:
        streams[population.name] = layer(network, population, streams)
    return {p.name: streams[p.name] for p in network.spiking}


def layer(network: Network, population: Population, streams: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Run one population of an integer network on its sources' (samples, timesteps, neurons) streams."""
    neuron = population.neuron
    if not isinstance(neuron, IntegerLIF):
        raise UsageError(f"Population {population.name} is not quantised yet: compile the network first.")
    arriving = [(p.synapses.operator(), p.exponent, streams[p.source]) for p in network.inputs_of(population.name)]
    samples, steps = next(iter(streams.values())).shape[:2]
    bias = population.biases.astype(np.int64)[:, None]
    u = v = np.zeros((population.size, samples), np.int64)
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    for t in range(steps):
        a = np.zeros_like(u)
        for weights, exponent, stream in arriving:
            a = a + fixed_point.synaptic_input(weights, stream[:, t].T.astype(np.int64), exponent)
        u, v, s = fixed_point.lif_step(u, v, a, du=neuron.du, dv=neuron.dv, vth=neuron.vth, bias=bias)
        spikes[:, t] = s.T
    return _living(population, spikes)


def _living(population: Population, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return spikes if population.alive is None else spikes & population.alive


def simulate_float(network: Network, values: NDArray[Any], *, events: NDArray[Any] | None = None) -> Spikes:
    """Run the float network in float64: input  integer * scale,  constant or step by step, or the given spikes of a rate code.

    Args:
        values: (samples, ...) integers 0..levels.
        events: (samples, timesteps, inputs) spikes that replace that input.
    """
    real = check_values(network, values) * network.input.scale
    steps = real if network.input.is_temporal else np.repeat(real[:, None], network.timesteps, axis=1)
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: steps if events is None else events}
    for population in network.spiking:
        streams[population.name] = float_layer(network, population, streams)
    return {p.name: streams[p.name] for p in network.spiking}


def float_layer(network: Network, population: Population, streams: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Run one population of a float network on its sources' (samples, timesteps, neurons) streams."""
    neuron = population.neuron
    if not isinstance(neuron, LIF | Threshold):
        raise UsageError(f"Population {population.name} is already quantised.")
    arriving = [(p.synapses.operator(np.float64), streams[p.source]) for p in network.inputs_of(population.name)]
    samples, steps = next(iter(streams.values())).shape[:2]
    bias = population.biases.astype(np.float64)[:, None]
    v = np.full((population.size, samples), neuron.v_reset if isinstance(neuron, LIF) else 0.0, np.float64)
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    for t in range(steps):
        x = sum((w @ s[:, t].T.astype(np.float64) for w, s in arriving), np.zeros_like(v)) + bias
        v, fired = float_step(neuron, v, x)
        spikes[:, t] = fired.T
    return _living(population, spikes)


def float_step(neuron: LIF | Threshold, v: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Advance float neurons by one time step; return the potential after the reset, and the spikes."""
    if isinstance(neuron, Threshold):
        return v, x >= neuron.level
    v = v + (neuron.v_reset - v + x) / neuron.tau if neuron.decay_input else v + (neuron.v_reset - v) / neuron.tau + x
    fired = v >= neuron.v_threshold
    return np.where(fired, neuron.v_reset, v), fired


def decide(output: NDArray[np.bool_], votes: int = 1) -> NDArray[np.int64]:
    """Return the class with the most output spikes; the lowest index wins a tie.

    Args:
        output: (samples, timesteps, classes * votes), the neurons of a class side by side.
        votes: output neurons a class.
    """
    counts = output.sum(axis=1, dtype=np.int64)
    return counts.reshape(len(counts), -1, votes).sum(axis=2).argmax(axis=1)
