"""NeuroBench's complexity metrics (Yik et al., Nature Communications 16, 1545, 2025) of the network as deployed, from its counts.

    footprint            bytes = elements * bytes of an element, over weights (zeros included), biases, registers and state
    connection sparsity  = zero weights / weights                  of all layers with trained weights
    activation sparsity  = 1 - spikes / (neurons * time steps)     over all layers, steps and samples, without the input
    effective ACs        = sum of  spikes * non-zero weights that they meet     where inputs are 0 or 1
    effective MACs       = the same                                              where inputs carry a payload
    dense                = sum over layers of  evaluations * possible synapses   as if no activation and no weight were zero

An element is the smallest of 1, 2 or 4 bytes that holds it, as in a dense tensor; the size of a chip's own encoding is its
synapse words, not this. A layer is evaluated at every time step, and once where the input is sent once (`current`, `host`). The terms
are those of the package neurobench 2.3; tests/runtime/test_neurobench.py compares them with it if it is installed.
"""

from __future__ import annotations

import numpy as np

from ..compile.deployed import DeployedNetwork
from ..hwmodels.fixed_point import NO_MEMORY
from ..network.convolution import Convolution
from ..network.model import CrossbarLIF, IntegerLIF, Network, Population, Projection
from ..network.neurons import states_of
from ..report.document import NeuroBench
from .baselines import split
from .counts import Counts

__all__ = ["evaluations", "metrics"]

WORD = 4  # bytes of a register, a bias, a potential or a current: 12 to 24 bits


def metrics(deployed: DeployedNetwork, counts: Counts) -> NeuroBench:
    """Return the metrics, operations per sample; the module's text has the equations.

    Args:
        deployed: the integer network.
        counts: measured by the run.
    """
    network = deployed.network
    graded, spiking = split(network)
    zero, weights = _zeros(network)
    neurons = sum(p.count for p in network.spiking)
    spikes = sum(counts.spikes[p.name] for p in network.spiking)
    parts = _footprint(network)
    return NeuroBench(
        footprint_bytes=sum(parts.values()),
        footprint_parts=parts,
        connection_sparsity=zero / weights if weights else 0.0,
        weights=weights,
        activation_sparsity=1.0 - spikes / (neurons * network.timesteps),
        effective_macs_per_sample=sum((counts.sops_of[p.name] for p in graded), 0.0),
        effective_acs_per_sample=sum((counts.sops_of[p.name] for p in spiking), 0.0),
        dense_per_sample=float(sum(evaluations(network, p) * p.trained.possible_synapses for p in network.projections)),
    )


def evaluations(network: Network, projection: Projection) -> int:
    """Return how often a projection is evaluated in a sample: at every time step, or once where the input is sent once."""
    return 1 if network.payload_of(projection).once else network.timesteps


def _zeros(network: Network) -> tuple[int, int]:
    """Return the number of zero weights and of all weights; for a kernel unrolled for the target, of its synapses."""
    held = possible = 0
    for p in network.projections:
        whole, nonzero = p.trained, int(np.count_nonzero(p.synapses.data))
        if whole.possible_weights:
            shared = isinstance(p.synapses, Convolution) or whole.possible_weights == whole.possible_synapses
            held, possible = held + nonzero, possible + (whole.possible_weights if shared else whole.possible_synapses)
    return possible - held, possible


def _footprint(network: Network) -> dict[str, int]:
    """Return bytes by part: weights, zeros included; biases; thresholds and decays of a layer; potentials and currents of its neurons."""
    weights = sum(p.trained.possible_weights * _bytes(p.weight_bits or 32) for p in network.projections)
    biases = sum(WORD * p.bias.size for p in network.spiking if p.bias is not None)
    return {
        "weights": weights,
        "biases": biases,
        "registers": sum(_registers(p) for p in network.spiking),
        "state": sum(WORD * p.count * _states(p) for p in network.spiking),
    }


def _registers(population: Population) -> int:
    """Return the bytes of a layer's parameters: threshold and two decays, or threshold and leak."""
    return WORD * (2 if isinstance(population.neuron, CrossbarLIF) else 3)


def _states(population: Population) -> int:
    """Return how many numbers a neuron keeps between steps: the potential, and the current if it outlasts a step."""
    neuron = population.neuron
    if isinstance(neuron, IntegerLIF):
        return 2 if neuron.du != NO_MEMORY else 1
    return len(states_of(neuron))


def _bytes(bits: int) -> int:
    return next(size for size in (1, 2, 4) if bits <= 8 * size)
