"""Energy and time, computed from counts by a named chip model; every component keeps its source and status.

energy = sum of count * joules per event + static power of the chips in use * time;   time of a step = barrier + the most loaded
core's synaptic operations, neuron updates and messages + the most loaded link's messages + the longest route (mean load over the
steps; a single step may take longer). The components are added up, although a chip overlaps some of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.system import chip_positions, entries, hop_parts
from ..errors import UsageError
from ..hwmodels.chip import Chip, Quantity, System
from ..report.prices import Energy, EnergyComponent, Latency, LatencyComponent
from .counts import Counts

Float = NDArray[np.float64]

PICO, NANO, MILLI = 1e-12, 1e-9, 1e-3


def latency(deployed: DeployedNetwork, counts: Counts, model: Chip) -> Latency:
    """Return seconds per step and per sample by component.

    A sample takes T steps plus one for every connection on the longest path; samples follow each other every T steps.
    """
    network = deployed.network
    components = _step_components(deployed, counts, model)
    per_step = sum(c.seconds_per_step for c in components)
    depth = network.depth()
    host = max((depth[p.name] for p in network.spiking if p.place == "host"), default=0)
    steps = network.timesteps + depth[network.populations[-1].name] - host
    return Latency(
        model=model.name,
        seconds_per_sample=per_step * steps,
        steps=steps,
        seconds_per_step=per_step,
        throughput_samples_per_second=1.0 / (per_step * network.timesteps),
        components=components,
        note=model.time.note,
    )


def _step_components(deployed: DeployedNetwork, counts: Counts, model: Chip) -> list[LatencyComponent]:
    steps, times = deployed.network.timesteps, model.time
    sources = {"synaptic operations": times.synaptic_op, "neuron updates": times.neuron_update_active, "messages": times.message_out}
    parts = core_times(counts, model)
    slowest = int(np.argmax(sum(parts.values())))
    rows = _barriers(deployed, model)
    rows += [_time_row(f"{name} (core {slowest})", float(values[slowest]) / steps, sources[name]) for name, values in parts.items()]
    links = (times.hop_horizontal, times.hop_vertical, _crossing_time(deployed, model), times.message_out)
    horizontal, vertical, crossing, port = (quantity.value for quantity in links)
    busiest = counts.links.busiest(deployed.chip, (horizontal, vertical, crossing, port))
    rows.append(_time_row(f"busiest link ({busiest.name})", busiest.time / steps, links[busiest.kind]))
    return [*rows, _time_row("longest route", _longest(deployed, counts, (horizontal, vertical, crossing)), times.hop_horizontal)]


def core_times(counts: Counts, model: Chip) -> dict[str, Float]:
    """Return the nanoseconds per sample that each core (cores,) spends on its synapses, its neurons, and sending."""
    times, inactive = model.time, counts.core_updates - counts.core_active
    return {
        "synaptic operations": counts.core_sops * times.synaptic_op.value,
        "neuron updates": counts.core_active * times.neuron_update_active.value + inactive * times.neuron_update_inactive.value,
        "messages": np.asarray(counts.between.sum(axis=1)).ravel() * times.message_out.value,
    }


def _barriers(deployed: DeployedNetwork, model: Chip) -> list[LatencyComponent]:
    """Return the barrier of the chip with the most tiles in use and, with several chips, the barrier across them.

    The second is our own model: a signal is gathered along the chips from the farthest one to chip 0, and the release travels back.
    """
    mapping, times = deployed.mapping, model.time
    tiles = np.unique(np.column_stack([mapping.chip_of, mapping.tile_of]), axis=0)
    most = int(np.bincount(tiles[:, 0]).max())
    share = (most - 1) / max(model.tiles - 1, 1)
    within = times.barrier_min.value + share * (times.barrier_max.value - times.barrier_min.value)
    rows = [_time_row(f"barrier ({most} {'tile' if most == 1 else 'tiles'} of a chip)", within, times.barrier_max)]
    if mapping.chips > 1:
        crossing = _crossing_time(deployed, model)
        far = int(chip_positions(deployed.chip)[: mapping.chips].sum(axis=1).max())
        rows.append(_time_row(f"barrier ({mapping.chips} chips)", 2 * far * crossing.value, crossing))
    return rows


def _crossing_time(deployed: DeployedNetwork, model: Chip) -> Quantity:
    return _system(model).hop_time if deployed.mapping.chips > 1 else model.time.hop_horizontal


def _system(model: Chip) -> System:
    if model.system is None:
        raise UsageError(
            f"The network is on several chips; {model.name} describes no system of several, so their links have no price. "
            f"Name another --energy-model, or add a [system] table to its file."
        )
    return model.system


def _longest(deployed: DeployedNetwork, counts: Counts, times: tuple[float, float, float]) -> float:
    """Return the nanoseconds of the slowest route of any message."""
    places, fed = deployed.places, np.flatnonzero(counts.entering)
    senders, receivers, _ = entries(counts.between)
    entry = np.asarray(deployed.chip.mesh.entry)
    routes = [hop_parts(places[senders], places[receivers], deployed.chip), hop_parts(entry, places[fed], deployed.chip)]
    return float((np.concatenate(routes) @ np.asarray(times)).max(initial=0.0))


def _time_row(name: str, nanoseconds: float, quantity: Quantity) -> LatencyComponent:
    return LatencyComponent(name=name, seconds_per_step=nanoseconds * NANO, status=quantity.status, source=quantity.source)


def energy(deployed: DeployedNetwork, counts: Counts, model: Chip, seconds_per_step: float) -> Energy:
    """Return joules per sample by component, on the chip only: a host's work is counted separately, in MACs.

    Args:
        seconds_per_step: as returned by `latency`; static power is drawn for T steps.
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
    chips = deployed.mapping.chips
    if chips > 1:
        rows.append(_energy_row("hops, chip to chip", counts.hops[2], _system(model).hop_energy))
    dynamic = sum(r.joules_per_sample for r in rows)
    static = prices.static_power
    power = f"{'one chip' if chips == 1 else f'{chips} chips'} ({static.value:g} mW each for {network.timesteps} steps)"
    rows.append(
        EnergyComponent(
            name=f"static power, {power}",
            count_per_sample=float(chips),
            joules_per_unit=None,
            joules_per_sample=chips * seconds * static.value * MILLI,
            status=static.status,
            source=static.source,
        )
    )
    return Energy(
        model=model.name,
        joules_per_sample=dynamic + rows[-1].joules_per_sample,
        dynamic_joules_per_sample=dynamic,
        components=rows,
        note=model.energy.note,
    )


def _energy_row(name: str, per_sample: float, price: Quantity) -> EnergyComponent:
    return EnergyComponent(
        name=name,
        count_per_sample=per_sample,
        joules_per_unit=price.value * PICO,
        joules_per_sample=per_sample * price.value * PICO,
        status=price.status,
        source=price.source,
    )
