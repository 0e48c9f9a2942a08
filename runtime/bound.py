"""What a step waits for: the work of every core, what binds, and which one change of the mapping would shorten it most.

Binding is the largest of four parts of the step as it was timed: memory (synaptic operations), compute (updates, spikes), traffic
(messages, links, routes, waiting) and the barrier. Changes are judged by `compile.mapping.objectives.step_model` at the rates of the
run, which are mean loads: the two times of a change compare with each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..compile.deployed import DeployedNetwork
from ..compile.mapping.loads.load import holds
from ..compile.mapping.objectives.halve import halved, without_slowest
from ..compile.mapping.objectives.step_model import StepModel, StepTime, both_ways
from ..compile.mapping.place import Placement
from ..hwmodels.chip import Chip
from ..report.step_bound import Binds, StepBound, StepChange, StepOfCore
from .counts import Counts
from .step_times import NANO, StepTimes, core_parts

__all__ = ["step_bound"]

Float = NDArray[np.float64]
LISTED = 512  # cores in results.json
# Synapses up to which sharing all work out is tried: among all numbers of cores, some tenths of a second, or twice as many, about a second.
SPREAD, DOUBLED = 300_000, 3_000_000
WORTH = 0.99  # a change has to leave less than this share of the step
KINDS: tuple[tuple[Binds, tuple[str, ...]], ...] = (
    ("memory", ("synaptic operations",)),
    ("compute", ("neuron updates", "spikes out")),
    ("barrier", ("barrier",)),
)


def step_bound(deployed: DeployedNetwork, counts: Counts, model: Chip, found: StepTimes) -> StepBound | None:
    """Return what a step of a run waits for; None for crossbars, whose steps take the same time whatever happens in them.

    Args:
        found: the time of a step under the model.
    """
    if deployed.crossbars is not None:
        return None
    parts: dict[Binds, float] = {"memory": 0.0, "compute": 0.0, "traffic": 0.0, "barrier": 0.0}
    for row in found.components:
        parts[_kind(row.name)] += float(row.seconds_per_step)
    return StepBound(
        model=model.name,
        overlap=model.time.overlap,
        seconds=found.seconds,
        memory=parts["memory"],
        compute=parts["compute"],
        traffic=parts["traffic"],
        barrier=parts["barrier"],
        binds=max(parts, key=parts.__getitem__),
        cores=_cores(deployed, counts, model, found),
        of_cores=deployed.mapping.cores,
        change=_change(deployed, counts, model),
    )


def _kind(component: str) -> Binds:
    """Return the part of a step that a component of it belongs to."""
    found: Binds = "traffic"
    for kind, names in KINDS:
        if component.startswith(names):
            found = kind
    return found


def _cores(deployed: DeployedNetwork, counts: Counts, model: Chip, found: StepTimes) -> list[StepOfCore]:
    """Return the cores that are busy the longest, by their mean loads."""
    busy = {"synaptic operations": 0, "neuron updates": 1, "spikes out": 1, "messages in": 2, "messages out": 3}
    times = np.zeros((4, deployed.mapping.cores))
    for part in core_parts(deployed, counts, model):
        times[busy[part.name.partition(",")[0]]] += part.times
    longest = both_ways(model.time, times[1] + times[3], times[0] + times[2])
    order = np.lexsort((np.arange(len(longest)), -longest))[:LISTED]
    shares = np.asarray(found.slowest_cores)
    return [
        StepOfCore(
            core=core,
            synapses=float(times[0, core] * NANO),
            updates=float(times[1, core] * NANO),
            messages_in=float(times[2, core] * NANO),
            messages_out=float(times[3, core] * NANO),
            slowest=float(shares[core]),
        )
        for core in order.tolist()
    ]


def _change(deployed: DeployedNetwork, counts: Counts, model: Chip) -> StepChange | None:
    """Return the change that shortens a step most, if any does."""
    mapping, steps = deployed.mapping, deployed.network.timesteps
    share = np.divide(counts.core_active, counts.core_updates, out=np.ones(mapping.cores), where=counts.core_updates > 0)
    wiring = replace(deployed.wiring, rates=counts.fired / steps)
    step_model = StepModel(wiring, _priced(deployed.chip, model), share[mapping.core_of], mapping.cores == 1)
    placed = Placement(mapping.slot_of, mapping.tile_of, mapping.chip_of)
    now = step_model.step(mapping.core_of, placed)
    tried = list(_tried(step_model, deployed, placed, now))
    if not tried:
        return None
    after, what = min(tried)
    return StepChange(what=what, before=now.total * NANO, after=after * NANO) if after < WORTH * now.total else None


def _priced(chip: Chip, model: Chip) -> Chip:
    """Return the chip of a mapping with the times of another model."""
    system = chip.system
    if system is not None and model.system is not None:
        system = system.model_copy(update={"hop_time": model.system.hop_time})
    return chip.model_copy(update={"time": model.time, "system": system})


def _fits(model: StepModel, core_of: NDArray[np.int64]) -> bool:
    """Return whether a partition keeps the limits. Of one core cut up, only output axons can be too many, and no kernel is loaded."""
    if not model.plain:
        return holds(model.wiring, model.chip, core_of)
    sent = np.bincount(core_of, weights=model.reach(core_of)[model.wiring.outside :])
    return bool(sent.max() <= model.chip.limit("output_axons"))


def _tried(model: StepModel, deployed: DeployedNetwork, placed: Placement, now: StepTime) -> Iterator[tuple[float, str]]:
    """Yield the nanoseconds of a step after each change, and the change in words; busy links and routes are taken as they are."""
    mapping, chip, wiring = deployed.mapping, deployed.chip, model.wiring
    tiles = np.unique(np.column_stack([placed.chip_of, placed.tile_of]), axis=0)
    in_use, held = int(np.bincount(tiles[:, 0]).max()), chip.mesh.cores_per_tile
    most = min(mapping.chips * chip.cores_offered(mapping.chips), wiring.neurons)

    def after(core: float, tiles_in_use: int) -> float:
        within = model.chip.time.barrier(min(tiles_in_use, chip.tiles), chip.tiles).value
        return now.barrier - model.chip.time.barrier(in_use, chip.tiles).value + within + model.joined(core, now.link, now.route)

    if mapping.chips == 1 and -(-mapping.cores // held) < in_use:
        fewest = -(-mapping.cores // held)
        yield after(now.core, fewest), f"place the {mapping.cores} cores on {fewest} tiles, not {in_use}"
    if most <= mapping.cores:
        return
    synaptic = (wiring.rates * model.synapse_times(mapping.core_of))[wiring.sources]
    worst, core = without_slowest(model, mapping.core_of, synaptic)
    full = len(tiles) * held == mapping.cores
    yield after(core, in_use + full), f"split core {worst} in two"
    core_of, cores = mapping.core_of, mapping.cores
    synapses = len(wiring.sources)
    while cores < most and synapses <= (SPREAD if cores > mapping.cores else DOUBLED):
        cores = min(2 * cores, most)
        core_of = halved(model, core_of, cores, synaptic)
        if _fits(model, core_of):
            core = model.slowest(model.core_times(core_of))
            tiles_then = max(in_use, -(-cores // held // mapping.chips))
            yield after(core, tiles_then), f"share the work out among {cores:,} cores (compile --objective latency)"
