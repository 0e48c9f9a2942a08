"""The limits of Xylo, as its chip file states them: what a network needs of each, and the way out where it needs more."""

from __future__ import annotations

import numpy as np

from ...errors import DoesNotFitError
from ...hwmodels.chip import Chip
from ...network.model import Network
from .layout import group_of

__all__ = ["check_limits"]


def check_limits(network: Network, chip: Chip) -> None:
    """Refuse a network that is larger than the chip.

    Raises:
        DoesNotFitError: the layer, the limit, the need and a way out.
    """
    entry, *hidden, output = network.populations
    held = sum(p.count for p in hidden)
    largest = max(hidden, key=lambda p: p.count, default=output)
    _check(chip, "inputs", entry.size, f"The samples have {entry.size:,} values a step", "Pool or sum them into fewer channels")
    _check(
        chip,
        "outputs",
        output.count,
        f"The output {output.name} has {output.count:,} neurons",
        "Use one output neuron per class, and fewer classes",
    )
    _check(
        chip, "hidden", held, f"The hidden layers have {held:,} neurons, {largest.count:,} of them in {largest.name}", "Use smaller layers"
    )
    _check_fans(network, chip)


def _check_fans(network: Network, chip: Chip) -> None:
    between = [p for p in network.projections if group_of(network, p) == "rec"]
    for limit, ends, towards, fan in (
        ("fan_in", "target", "from", network.fan_in),
        ("fan_out", "source", "to", network.fan_out),
    ):
        total: dict[str, np.ndarray] = {}
        for p in between:
            name = str(getattr(p, ends))
            total[name] = total.get(name, np.zeros(network.population(name).size, np.int64)) + fan(p)
        for name, counts in total.items():
            most = int(counts.max(initial=0))
            said = f"Layer {name}: neuron {int(counts.argmax())} has {most:,} synapses {towards} hidden neurons"
            _check(chip, limit, most, said, f"Use a layer of up to {chip.limit(limit)} neurons, or a higher sparsity")
    synapses = sum(network.synapses_of(p) for p in between)
    _check(chip, "recurrent_synapses", synapses, f"The hidden layers have {synapses:,} synapses between them", "Use a higher sparsity")


def _check(chip: Chip, limit: str, need: int, said: str, way_out: str) -> None:
    if need > chip.limit(limit):
        raise DoesNotFitError(f"{said}; {chip.name} has room for {chip.limit(limit):,} (limits.{limit}). {way_out}.")
