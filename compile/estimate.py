"""Estimate what a network needs of a chip at least, without placing neurons: from its synapses, or from fan-ins and fan-outs.

Also for networks that are too large to map, up to thousands of chips. Cores and messages are lower bounds (a mapping needs more:
`benchmarks/mapping.py` measures how much, on networks that can be mapped); synaptic operations and neuron updates are exact for the
given rates. Time is that of a step whose work is spread evenly over those cores, where a chip waits for the most loaded one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..hwmodels.chip import Chip, Quantity
from ..network.model import Network, Population
from .mapping.bounds.counted import bits_of_synapse, capacity
from .mapping.bounds.least import SYNAPSES, Least, least
from .mapping.loads.load import Wiring, format_words

__all__ = ["Estimate", "estimate"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]
PICO, NANO, MILLI = 1e-12, 1e-9, 1e-3
UPDATES, SPIKES, MESSAGES = "neuron updates, all active", "spikes out", "messages, at least"


@dataclass(frozen=True)
class Estimate:
    """What a network needs on a chip.

    `cores_for`: cores that each limit alone requires; `cores`: the largest of these; `chips`: chips that hold them, and whether the chip's
    system has enough; `sops`, `updates`, `spikes`, `messages` (at least): per sample; `components`: dynamic energy, without hops.
    `step`: parts of a time step with the work spread evenly over `cores`, without routes and busy links; `steps`: of a sample, from its
    first time step to the output's last; `static_watts`: of these chips, the lowest and the highest published figure; `by_expansion`:
    whether cores and messages are the bounds that `compile` prints, or those of fan-ins and fan-outs alone.
    """

    layers: list[dict[str, Any]]
    neurons: int
    synapses: int
    cores_for: dict[str, int]
    cores: int
    chips: int
    fits: bool
    sops: float
    updates: float
    spikes: float
    messages: float
    components: list[dict[str, Any]]
    step: list[dict[str, Any]]
    steps: int
    static_watts: tuple[float, float]
    by_expansion: bool = False

    @property
    def seconds_per_step(self) -> float:
        """Seconds of a time step."""
        return sum(part["seconds_per_step"] for part in self.step)

    @property
    def seconds_per_sample(self) -> float:
        """Seconds from a sample's first time step to the output's last: its time steps, and one for every connection on the way."""
        return self.seconds_per_step * self.steps

    @property
    def joules(self) -> float:
        """Dynamic energy per sample, a lower bound."""
        return sum(c["joules_per_sample"] for c in self.components)


def estimate(network: Network, chip: Chip, rates: dict[str, Float] | float) -> Estimate:
    """Estimate an integer network on a chip.

    Cores:  max of neurons / capacity, the words of all lists / limit, and sum over sources of ceil(fan-out / capacity) / limit of axons,
    or if that is more than one and synapses are at most `SYNAPSES`, the bounds of `mapping.bounds.least`;
    SOPs:  T sum over synapses of the source's rate.

    Args:
        network: after the passes, e.g. `Compilation(source).run_passes().network`.
        rates: per population, spikes (or payloads) per neuron and time step; or one number for all neurons and inputs.

    Raises:
        UsageError: a rate outside 0..1.
    """
    senders, chip_names = network.senders, {p.name for p in network.on_chip}
    fan_out = {p.name: _fan(network, p, chip_names) for p in senders}
    fan_in = [_living(p, sum((network.fan_in(q) for q in network.inputs_of(p.name)), np.zeros(p.size, np.int64))) for p in network.on_chip]
    rate = {p.name: _living(p, _rates(rates, p)) for p in senders}
    steps, bits = network.timesteps, chip.stored_bits(max((p.weight_bits or 0 for p in network.projections), default=1))
    held = capacity(np.concatenate(fan_in), bits_of_synapse(bits, chip), chip)
    reach = {p.name: -(-_targets(network, p, chip_names) // held) for p in senders}
    neurons = sum(p.count for p in network.on_chip)
    cores_for = _cores(fan_out, reach, chip_names, bits, neurons, held, chip)
    messages = sum(float(reach[p.name] @ rate[p.name]) for p in senders)
    tight = _tight(network, chip, rate) if max(cores_for.values()) > 1 and sum(int(f.sum()) for f in fan_in) <= SYNAPSES else None
    if tight is not None:
        cores_for = {name: max(cores, tight.cores_for.get(name, 1)) for name, cores in cores_for.items()}
        messages = max(messages, tight.messages)
    cores = max(1, *cores_for.values())
    sops = {name: float(out @ rate[name]) * steps for name, out in fan_out.items()}
    counts = {
        "synaptic operations": sum(sops.values()),
        UPDATES: float(neurons * steps),
        "spikes out": sum(float(rate[p.name].sum()) * steps for p in network.on_chip),
        MESSAGES: messages * steps,
    }
    chips = chip.chips_for(cores)
    static = chip.energy.static_power
    watts = [power.value * MILLI * chips for power in (chip.energy.static_power_low or static, static)]
    return Estimate(
        _layers(network, rate, sops),
        neurons,
        sum(int(values.sum()) for values in fan_in),
        cores_for,
        cores,
        chips,
        cores <= chip.cores_available,
        *counts.values(),
        components=_components(counts, chip),
        step=_step({name: count / steps / cores for name, count in counts.items()}, cores, chip),
        steps=steps + _depth(network),
        static_watts=(watts[0], watts[1]),
        by_expansion=tight is not None or cores == 1,
    )


def _tight(network: Network, chip: Chip, rate: dict[str, Float]) -> Least:
    """Return the bounds from the synapses, one by one."""
    wiring = Wiring.of(network, np.concatenate([rate[p.name] for p in network.senders]))
    return least(wiring.stored_on(chip), chip)


def _depth(network: Network) -> int:
    """Return the time steps by which the output runs behind the first layer's input on the chip."""
    depth = network.depth()
    host = max((depth[p.name] for p in network.spiking if p.place == "host"), default=0)
    return depth[network.populations[-1].name] - host


def _step(of_a_core: dict[str, float], cores: int, chip: Chip) -> list[dict[str, Any]]:
    """Return the parts of a time step, from the counts of a core that has its even share."""
    times = chip.time
    tiles = min(-(-cores // chip.mesh.cores_per_tile), chip.tiles)
    barrier = times.barrier(tiles, chip.tiles)
    receiving = (("synaptic operations", "synaptic operations", times.synaptic_op), ("messages in, at least", MESSAGES, times.message_in))
    sending = (
        (UPDATES, UPDATES, times.neuron_update_active),
        (SPIKES, SPIKES, times.spike_out),
        ("messages out, at least", MESSAGES, times.message_out),
    )
    parts = [
        [(name, of_a_core[counted] * price.value, price) for name, counted, price in way if price is not None]
        for way in (receiving, sending)
    ]
    if times.overlap == "queue":  # a core sends and receives at once: what ends earlier counts nothing
        parts = [max(parts, key=lambda way: sum(ns for _, ns, _ in way))]
    rows = [("barrier", barrier.value, barrier), *(part for way in parts for part in way)]
    return [{"name": name, "seconds_per_step": ns * NANO, "status": price.status, "source": price.source} for name, ns, price in rows]


def _fan(network: Network, population: Population, chip: set[str]) -> Int:
    """Return the number of synapses from each live neuron onto the chip."""
    leaving = [network.fan_out(p) for p in network.outputs_of(population.name) if p.target in chip]
    return _living(population, sum(leaving, np.zeros(population.size, np.int64)))


def _targets(network: Network, population: Population, chip: set[str]) -> Int:
    """Return a lower bound on the chip's neurons that each live neuron reaches: parallel projections may reach the same ones."""
    most: dict[str, Int] = {}
    for p in network.outputs_of(population.name):
        if p.target in chip:
            leaving = network.fan_out(p)
            most[p.target] = np.maximum(most[p.target], leaving) if p.target in most else leaving
    return _living(population, sum(most.values(), np.zeros(population.size, np.int64)))


def _living(population: Population, values: NDArray[Any]) -> NDArray[Any]:
    return values if population.alive is None else values[population.alive]


def _rates(rates: dict[str, Float] | float, population: Population) -> Float:
    if isinstance(rates, dict):
        return rates[population.name]
    if not 0.0 <= rates <= 1.0:
        raise UsageError(f"The rate is {rates}; it must be 0 to 1 spikes per neuron and time step.")
    return np.full(population.size, rates)


def _cores(
    fan_out: dict[str, Int], reach: dict[str, Int], on_chip: set[str], bits: int, neurons: int, held: int, chip: Chip
) -> dict[str, int]:
    lists = np.concatenate(list(fan_out.values()))
    words = int(np.min([format_words(lists, f, bits, chip.word_bits) for f in chip.formats], axis=0).sum())
    words = words if chip.shared_lists is None else 0  # the lists of all sources could be one
    axons = {
        "input_axons": sum(int(r.sum()) for r in reach.values()),
        "output_axons": sum(int(r.sum()) for name, r in reach.items() if name in on_chip),
    }
    needs = {"synapse_words": words} | axons
    return {"neurons": -(-neurons // held)} | {name: -(-need // chip.limit(name)) for name, need in needs.items()}


def _layers(network: Network, rate: dict[str, Float], sops: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "name": p.name,
            "neurons": p.count,
            "synapses": sum(network.synapses_of(q) for q in network.inputs_of(p.name)),
            "rate": float(rate[p.name].mean()) if rate[p.name].size else 0.0,
            "sops_caused_per_sample": sops[p.name],
        }
        for p in network.senders
    ]


def _components(counts: dict[str, float], chip: Chip) -> list[dict[str, Any]]:
    prices: dict[str, Quantity] = {
        "synaptic operations": chip.energy.synaptic_op,
        UPDATES: chip.energy.neuron_update_active,
        SPIKES: chip.energy.spike_out,
        MESSAGES: chip.energy.message_out,
    }
    return [
        {
            "name": name,
            "count_per_sample": counts[name],
            "joules_per_unit": price.value * PICO,
            "joules_per_sample": counts[name] * price.value * PICO,
            "status": price.status,
            "source": price.source,
        }
        for name, price in prices.items()
    ]
