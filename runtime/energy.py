"""Energy and time, computed from counts by a named chip model; every component keeps its source and status.

energy = sum of count * joules per event + static power * time;   time of a step = barrier + the most loaded core's
synaptic operations, neuron updates and messages + the farthest hop (mean load over the steps; a single step may take longer).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compile.deployed import DeployedNetwork
from ..hwmodels.chip import Chip, Quantity
from .counts import Counts

PICO, NANO, MILLI = 1e-12, 1e-9, 1e-3


def latency(deployed: DeployedNetwork, counts: Counts, model: Chip) -> dict[str, Any]:
    """Return seconds per step and per sample by component.

    A sample takes T steps plus one for every connection on the longest path; samples follow each other every T steps.
    """
    network = deployed.network
    components = _step_components(deployed, counts, model)
    per_step = sum(c["seconds_per_step"] for c in components)
    depth = network.depth()
    host = max((depth[p.name] for p in network.spiking if p.place == "host"), default=0)
    steps = network.timesteps + depth[network.populations[-1].name] - host
    return {
        "model": model.name,
        "seconds_per_sample": per_step * steps,
        "steps": steps,
        "seconds_per_step": per_step,
        "throughput_samples_per_second": 1.0 / (per_step * network.timesteps),
        "components": components,
        "note": model.time.note,
    }


def _step_components(deployed: DeployedNetwork, counts: Counts, model: Chip) -> list[dict[str, Any]]:
    steps, times = deployed.network.timesteps, model.time
    inactive = counts.core_updates - counts.core_active
    sent = counts.between.sum(axis=1)
    parts = {
        "synaptic operations": counts.core_sops * times.synaptic_op.value,
        "neuron updates": counts.core_active * times.neuron_update_active.value + inactive * times.neuron_update_inactive.value,
        "messages": sent * times.message_out.value,
    }
    slowest = int(np.argmax(sum(parts.values())))
    tiles = {tuple(t) for t in deployed.mapping.tile_of.tolist()}
    share = (len(tiles) - 1) / max(model.tiles - 1, 1)
    barrier = times.barrier_min.value + share * (times.barrier_max.value - times.barrier_min.value)
    sources = {"synaptic operations": times.synaptic_op, "neuron updates": times.neuron_update_active, "messages": times.message_out}
    rows = [_time_row("barrier", barrier, times.barrier_max)]
    rows += [_time_row(f"{name} (core {slowest})", float(values[slowest]) / steps, sources[name]) for name, values in parts.items()]
    return [*rows, _time_row("farthest hop", _farthest(deployed, counts, model), times.hop_horizontal)]


def _farthest(deployed: DeployedNetwork, counts: Counts, model: Chip) -> float:
    tiles = deployed.mapping.tile_of
    away = np.abs(tiles[:, None] - tiles[None])
    entry = np.abs(tiles - np.asarray(deployed.chip.mesh.entry))
    cost = np.asarray([model.time.hop_horizontal.value, model.time.hop_vertical.value])
    used = np.where(counts.between > 0, (away * cost).sum(axis=-1), 0.0)
    return float(max(used.max(), np.where(counts.entering > 0, (entry * cost).sum(axis=-1), 0.0).max()))


def _time_row(name: str, nanoseconds: float, quantity: Quantity) -> dict[str, Any]:
    return {"name": name, "seconds_per_step": nanoseconds * NANO, "status": quantity.status, "source": quantity.source}


def energy(deployed: DeployedNetwork, counts: Counts, model: Chip, seconds_per_step: float) -> dict[str, Any]:
    """Return joules per sample by component, on the chip only: a host's work is counted apart, in MACs.

    Args:
        seconds_per_step: as `latency` gives it; static power flows for T steps.
    """
    prices, network = model.energy, deployed.network
    seconds = seconds_per_step * network.timesteps
    active = float(counts.core_active.sum())
    rows = [
        _energy_row("synaptic operations", float(counts.core_sops.sum()), prices.synaptic_op),
        _energy_row("neuron updates, active", active, prices.neuron_update_active),
        _energy_row("neuron updates, inactive", float(counts.core_updates.sum()) - active, prices.neuron_update_inactive),
        _energy_row("spikes out", float(counts.core_spikes.sum()), prices.spike_out),
        _energy_row("messages", counts.messages, prices.message_out),
        _energy_row("hops, horizontal", counts.hops[0], prices.hop_horizontal),
        _energy_row("hops, vertical", counts.hops[1], prices.hop_vertical),
    ]
    dynamic = sum(r["joules_per_sample"] for r in rows)
    static = prices.static_power
    rows.append(
        {
            "name": f"static power, one chip ({static.value:g} mW for {network.timesteps} steps)",
            "count_per_sample": 1.0,
            "joules_per_unit": None,
            "joules_per_sample": seconds * static.value * MILLI,
            "status": static.status,
            "source": static.source,
        }
    )
    return {
        "model": model.name,
        "joules_per_sample": dynamic + rows[-1]["joules_per_sample"],
        "dynamic_joules_per_sample": dynamic,
        "components": rows,
        "note": model.energy.note,
    }


def _energy_row(name: str, per_sample: float, price: Quantity) -> dict[str, Any]:
    return {
        "name": name,
        "count_per_sample": per_sample,
        "joules_per_unit": price.value * PICO,
        "joules_per_sample": per_sample * price.value * PICO,
        "status": price.status,
        "source": price.source,
    }
