"""The integer reference: the deployed network in plain NumPy, from `hwmodels.fixed_point` alone.

Its spikes are the definition; every backend is held against them. Time is local: step t of a population is its t-th step,
whenever the chip's pipeline reaches it, which a feed-forward network cannot tell apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import UsageError
from ..hwmodels import fixed_point
from .network import LIF, IntegerLIF, Network, Population, Synapses

Spikes = dict[str, NDArray[np.bool_]]


def check_values(network: Network, values: NDArray[Any]) -> NDArray[np.int64]:
    """Flatten samples to (samples, inputs) integers within the network's input range.

    Raises:
        UsageError: another number of inputs, or values outside 0..levels.
    """
    flat = np.asarray(values).reshape(len(values), -1)
    inputs = network.populations[0].size
    if flat.shape[1] != inputs:
        raise UsageError(f"The samples have {flat.shape[1]} values each; the network has {inputs} inputs. Use the data it was trained on.")
    if flat.size and (flat.min() < 0 or flat.max() > network.input.levels):
        raise UsageError(f"Sample values run from {flat.min()} to {flat.max()}; the network takes integers 0..{network.input.levels}.")
    if not np.issubdtype(flat.dtype, np.integer):
        raise UsageError(f"The samples are {flat.dtype}; the network takes integers 0..{network.input.levels}.")
    return flat.astype(np.int64)


def encode(network: Network, values: NDArray[Any], *, seed: int = 0, first: int = 0) -> NDArray[np.uint8]:
    """Turn samples into what enters the chip at each step.

    current, host: the payload once, at step 0 (a current that never decays holds it);  graded: at every step;
    rate: a spike with probability value/levels, drawn per sample from Philox(seed, index of the sample).

    Args:
        values: (samples, ...) integers 0..levels.
        seed: of the rate code.
        first: index of the first sample in its data set, so that shards draw what the whole would.

    Returns:
        (samples, timesteps, inputs) payloads.
    """
    flat = check_values(network, values)
    events = np.zeros((len(flat), network.timesteps, flat.shape[1]), np.uint8)
    if network.input.encoding in ("current", "host"):
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


def matrix(synapses: Synapses, dtype: type = np.int64) -> sp.csr_matrix:
    """Return the synapses as a scipy CSR matrix (targets, sources)."""
    return sp.csr_matrix((synapses.data.astype(dtype), synapses.indices, synapses.indptr), shape=synapses.shape)


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
    arriving = [(matrix(p.synapses), p.exponent, streams[p.source]) for p in network.inputs_of(population.name)]
    samples, steps = next(iter(streams.values())).shape[:2]
    u = v = np.zeros((population.size, samples), np.int64)
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    for t in range(steps):
        a = np.zeros_like(u)
        for weights, exponent, stream in arriving:
            a = a + fixed_point.synaptic_input(weights, stream[:, t].T.astype(np.int64), exponent)
        u, v, s = fixed_point.lif_step(u, v, a, du=neuron.du, dv=neuron.dv, vth=neuron.vth)
        spikes[:, t] = s.T
    return spikes


def simulate_float(network: Network, values: NDArray[Any], *, events: NDArray[Any] | None = None) -> Spikes:
    """Run the float network in float64: constant input  integer * scale,  or the given spikes of a rate code.

    Args:
        values: (samples, ...) integers 0..levels.
        events: (samples, timesteps, inputs) spikes that replace the constant input.
    """
    flat = check_values(network, values)
    constant = np.repeat((flat * network.input.scale)[:, None], network.timesteps, axis=1)
    streams: dict[str, NDArray[Any]] = {network.populations[0].name: constant if events is None else events}
    for population in network.spiking:
        streams[population.name] = float_layer(network, population, streams)
    return {p.name: streams[p.name] for p in network.spiking}


def float_layer(network: Network, population: Population, streams: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Run one population of a float network on its sources' (samples, timesteps, neurons) streams."""
    neuron = population.neuron
    if not isinstance(neuron, LIF):
        raise UsageError(f"Population {population.name} is already quantised.")
    arriving = [(matrix(p.synapses, np.float64), streams[p.source]) for p in network.inputs_of(population.name)]
    samples, steps = next(iter(streams.values())).shape[:2]
    v = np.full((population.size, samples), neuron.v_reset, np.float64)
    spikes = np.zeros((samples, steps, population.size), np.bool_)
    for t in range(steps):
        x = sum((w @ s[:, t].T.astype(np.float64) for w, s in arriving), np.zeros_like(v))
        v = v + (neuron.v_reset - v + x) / neuron.tau if neuron.decay_input else v + (neuron.v_reset - v) / neuron.tau + x
        fired = v >= neuron.v_threshold
        v = np.where(fired, neuron.v_reset, v)
        spikes[:, t] = fired.T
    return spikes


def decide(output: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the class with the most output spikes; the lowest index wins a tie. `output`: (samples, timesteps, classes)."""
    return output.sum(axis=1, dtype=np.int64).argmax(axis=1)
