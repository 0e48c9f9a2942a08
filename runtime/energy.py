"""Energy and time, computed from counts by a named chip model; every component keeps its source and status.

energy = sum of count * joules per event + static power of the chips in use * time;  `step_times` has the time of a step.
"""

from __future__ import annotations

from ..compile.deployed import DeployedNetwork
from ..hwmodels.chip import Chip
from ..hwmodels.prices import EnergyModel
from ..hwmodels.quantity import Quantity
from ..report.prices import Energy, EnergyComponent, Latency
from .counts import Counts
from .step_loads import Loads
from .step_times import StepTimes, step_times, system_of

__all__ = ["energy", "far_from_load", "latency"]

PICO, MILLI = 1e-12, 1e-3


def latency(deployed: DeployedNetwork, counts: Counts, model: Chip, loads: Loads | None = None, found: StepTimes | None = None) -> Latency:
    """Return seconds per step and per sample by component.

    `loads`: of single steps (`step_loads`); without them the mean loads are used, which make steps shorter than they are; `found`: the time
    of a step, if it is known.
    A sample takes T steps plus one for every connection on the longest path; samples follow each other every T steps.
    """
    network, found = deployed.network, step_times(deployed, counts, model, loads) if found is None else found
    depth = network.depth()
    host = max((depth[p.name] for p in network.spiking if p.place == "host"), default=0)
    steps = network.timesteps + depth[network.populations[-1].name] - host
    missing = model.time.missing()
    lacks = f"It has no time for {' and '.join(missing)}." if missing else ""
    return Latency(
        model=model.name,
        seconds_per_sample=found.seconds * steps,
        steps=steps,
        seconds_per_step=found.seconds,
        throughput_samples_per_second=1.0 / (found.seconds * network.timesteps),
        components=found.components,
        timed_samples=found.samples,
        standard_error=found.error,
        slowest_step=found.slowest,
        note=" ".join(text for text in (model.time.note, lacks) if text),
    )


def energy(deployed: DeployedNetwork, counts: Counts, model: Chip, seconds_per_step: float) -> Energy:
    """Return joules per sample by component, on the chip only: a host's work is counted separately, in MACs.

    Args:
        seconds_per_step: as returned by `latency`; static power is drawn for T steps.
    """
    prices, network = model.energy, deployed.network
    seconds = seconds_per_step * network.timesteps
    active = float(counts.core_active.sum())
    rows = [
        *_synaptic_rows(counts, prices),
        _energy_row("neuron updates, active", active, prices.neuron_update_active),
        _energy_row("neuron updates, inactive", float(counts.core_updates.sum()) - active, prices.neuron_update_inactive),
        _energy_row("spikes out", float(counts.core_spikes.sum()), prices.spike_out),
        _energy_row("messages", counts.messages, prices.message_out),
        _energy_row("hops, horizontal", counts.hops[0], prices.hop_horizontal),
        _energy_row("hops, vertical", counts.hops[1], prices.hop_vertical),
    ]
    chips = deployed.mapping.chips
    if chips > 1:
        rows.append(_energy_row("hops, chip to chip", counts.hops[2], system_of(model).hop_energy))
    if prices.dynamic_power is not None:
        rows.append(_power_row("dynamic power", chips, seconds, network.timesteps, prices.dynamic_power))
    dynamic = sum(r.joules_per_sample for r in rows)
    rows.append(_static_row(chips, seconds, network.timesteps, prices))
    static, low = prices.static_power.value, prices.static_power_low
    return Energy(
        model=model.name,
        joules_per_sample=dynamic + rows[-1].joules_per_sample,
        dynamic_joules_per_sample=dynamic,
        static_joules_low=None if low is None else rows[-1].joules_per_sample * low.value / static,
        components=rows,
        note=" ".join(text for text in (prices.note, far_from_load(deployed, counts, model, seconds)) if text),
    )


def _synaptic_rows(counts: Counts, prices: EnergyModel) -> list[EnergyComponent]:
    """Return the synaptic operations, those of the dense format and of shared lists apart where the model prices them so."""
    sops = float(counts.core_sops.sum())
    apart = (
        ("dense format", float(counts.core_dense.sum()), prices.synaptic_op_dense),
        ("shared lists", float(counts.core_shared.sum()), prices.synaptic_op_shared),
    )
    priced = [(f"synaptic operations, {name}", found, price) for name, found, price in apart if price is not None and found]
    rest = max(sops - sum(found for _, found, _ in priced), 0.0)  # where none is left, the sums may differ in their last bits
    return [_energy_row("synaptic operations", rest, prices.synaptic_op), *(_energy_row(*row) for row in priced)]


def _power_row(name: str, chips: int, seconds: float, timesteps: int, power: Quantity) -> EnergyComponent:
    return EnergyComponent(
        name=f"{name}, {'one chip' if chips == 1 else f'{chips} chips'} ({power.value:g} mW each for {timesteps} steps)",
        count_per_sample=float(chips),
        joules_per_unit=None,
        joules_per_sample=chips * seconds * power.value * MILLI,
        status=power.status,
        source=power.source,
    )


def _static_row(chips: int, seconds: float, timesteps: int, prices: EnergyModel) -> EnergyComponent:
    static, low = prices.static_power, prices.static_power_low
    power = f"{static.value:g} mW" if low is None else f"{low.value:g} to {static.value:g} mW, the upper end"
    return EnergyComponent(
        name=f"static power, {'one chip' if chips == 1 else f'{chips} chips'} ({power} each for {timesteps} steps)",
        count_per_sample=float(chips),
        joules_per_unit=None,
        joules_per_sample=chips * seconds * static.value * MILLI,
        status=static.status,
        source=static.source if low is None else f"{static.source}; the lower end: {low.source}",
    )


def far_from_load(deployed: DeployedNetwork, counts: Counts, model: Chip, seconds: float) -> str:
    """Return a warning where the prices of a model hold at another load than the network's, else nothing.

    Args:
        seconds: that a sample takes.
    """
    load = model.energy.load
    if load is None:
        return ""
    held, found = load.events_per_second.value, float(counts.core_sops.sum()) / seconds / deployed.mapping.chips
    if held / load.factor <= found <= held * load.factor:
        return ""
    times = f"{held / found:,.0f} times fewer" if found < held else f"{found / held:,.0f} times more"
    if not found:
        times = "none"
    left = " The power that the chip draws at rest is nearly left out: see the models that state it." if found < held else ""
    return (
        f"{model.energy.synaptic_op.value:g} pJ a synaptic event holds at {held:.3g} events/s of a chip ({load.events_per_second.source}); "
        f"this network causes {found:.3g}, {times}.{left}"
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
