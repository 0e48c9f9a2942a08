"""Conditions on a network after every pass, beyond those that its parts check when they are made."""

from __future__ import annotations

import numpy as np

from ..errors import NetworkError
from .model import Network, Population, Projection
from .neurons import is_integer

LARGEST_EXPONENT = 7


def validate(network: Network, after: str) -> None:
    """Check a network against the rules of the IR; `after` names the pass that made it.

    Raises:
        NetworkError: weights that are not finite, integers beyond their bits, or biases that do not match their neurons' kind; by name.
    """
    for projection in network.projections:
        _check_weights(projection, after)
    for population in network.spiking:
        _check_bias(population, after)


def _check_weights(projection: Projection, after: str) -> None:
    data, bits = projection.synapses.data, projection.weight_bits
    where = f"Projection {projection.name} after the pass {after}"
    if bits is None:
        wrong = int((~np.isfinite(data)).sum())
        if wrong:
            raise NetworkError(f"{where}: {wrong:,} weights are not finite. Train again with a lower learning rate.")
        return
    if not np.issubdtype(data.dtype, np.integer) or np.abs(data).max(initial=0) >= 1 << (bits - 1):
        raise NetworkError(f"{where}: the weights are not integers of {bits} bits.")
    if projection.exponent > LARGEST_EXPONENT:
        raise NetworkError(f"{where}: the exponent {projection.exponent} exceeds {LARGEST_EXPONENT}.")


def _check_bias(population: Population, after: str) -> None:
    if population.bias is None:
        return
    where = f"Layer {population.name} after the pass {after}"
    if not np.isfinite(population.bias).all():
        raise NetworkError(f"{where}: biases are not finite. Train again with a lower learning rate.")
    if is_integer(population.neuron) != np.issubdtype(population.bias.dtype, np.integer):
        raise NetworkError(f"{where} has integer neurons but biases in floating point, or the other way round. Quantise all or none of it.")
