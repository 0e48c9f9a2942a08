"""Error messages for a network that does not fit: layer, limit, need and a way out."""

from __future__ import annotations

import numpy as np

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from .loads.load import RESOURCES, Layer, Wiring, core_loads, limits

__all__ = ["other_chip", "too_large", "too_many"]


def too_many(wiring: Wiring, chip: Chip, cores: str, cores_allowed: int) -> DoesNotFitError:
    """Return the error for a network that needs more `cores` (in words) than it may use."""
    heaviest = max(wiring.layers, key=lambda layer: _synapses(wiring, layer))
    return DoesNotFitError(
        f"The network needs {cores}; {_held(chip, cores_allowed)}. "
        f"Most of it is layer {heaviest.name} with {_synapses(wiring, heaviest):,} synapses. "
        f"Try a higher sparsity or a smaller network{other_chip(chip)}."
    )


def _held(chip: Chip, cores_allowed: int) -> str:
    """Say how many cores there are, on one chip or on all that may be used."""
    if chip.chips == 1 or cores_allowed <= chip.limit("cores"):
        return f"a {chip.name} chip has {cores_allowed:,}"
    return f"{chip.chips:,} {chip.name} chips have {cores_allowed:,}"


def _synapses(wiring: Wiring, layer: Layer) -> int:
    return int(wiring.indptr[layer.stop] - wiring.indptr[layer.start])


def other_chip(chip: Chip) -> str:
    """Return the end of the advice: use a larger chip, unless this already is the larger one."""
    return "" if chip.name == "loihi2" else ", or --chip loihi2"


def too_large(wiring: Wiring, neuron: int, chip: Chip) -> DoesNotFitError:
    """Return the error for a neuron that does not fit a core even by itself."""
    layer = next(layer for layer in wiring.layers if neuron < layer.stop)
    alone = np.where(np.arange(wiring.neurons) == neuron, 0, 1)
    load = core_loads(wiring, alone, chip)[0]
    k = int(np.flatnonzero(load > limits(chip))[0])
    fan_in, limit = int(wiring.indptr[neuron + 1] - wiring.indptr[neuron]), chip.limit(RESOURCES[k])
    return DoesNotFitError(
        f"Layer {layer.name}: neuron {wiring.places[neuron]} alone, with {fan_in:,} synapses, needs {load[k]:,} "
        f"{RESOURCES[k].replace('_', ' ')} of a core; {chip.name} allows {limit:,}. "
        f"Try a sparsity that leaves at most {limit:,} synapses per neuron{other_chip(chip)}."
    )
