"""Combines partition, placement and bounds into the mapping of a network onto a chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...hwmodels.chip import Chip
from ...network.model import Network
from .api import Effort, Objective, Partition, check_objective
from .bounds.least import SYNAPSES, Least, cheap, least
from .given import Given, Settled
from .loads import load
from .loads.load import Wiring, core_loads
from .partition import partition
from .pinned import partition_given
from .place import Placement, place, traffic
from .progress import Progress, quiet
from .system import hops_of_all, joint_places, slot_positions

Int = NDArray[np.int64]
RESOURCES = load.RESOURCES[:4]
FEW = 100_000  # synapses up to which `--effort fast` takes the time for the tightest bounds


@dataclass(frozen=True)
class Mapping:
    """Where everything is, and how good the mapping is.

    `core_of`: (neurons,) core of each neuron in global order; `slot_of`: (cores,) slot of each core, numbered across all chips;
    `tile_of`: (cores, 2) its column and row on the mesh of its chip, `chip_of`: (cores,) that chip; `load`: (cores, 4) how much
    each core uses of RESOURCES; `rates`: (sources,) messages per step of each source; then messages per step, hops per message (within
    chips and from chip to chip together), and lower bounds; `strategy`: how the partition was found; `changes`: other remarks for
    the user; `objective`: what it was to make small.
    """

    core_of: Int
    slot_of: Int
    tile_of: Int
    chip_of: Int
    load: Int
    rates: NDArray[np.float64]
    cores_bound: int
    messages_per_step: float
    messages_bound: float
    hops_per_message: float
    strategy: str = "layers"
    changes: tuple[str, ...] = ()
    objective: str = "messages"

    @property
    def cores(self) -> int:
        """The number of cores in use."""
        return len(self.slot_of)

    @property
    def chips(self) -> int:
        """The number of chips in use."""
        return int(self.chip_of.max(initial=0)) + 1


def build(
    network: Network,
    rates: dict[str, NDArray[np.float64]],
    chip: Chip,
    *,
    effort: Effort = "default",
    seed: int = 0,
    progress: Progress = quiet,
    given: Given | None = None,
    objective: Objective = "messages",
) -> Mapping:
    """Map an integer network onto a chip.

    Args:
        rates: per population, spikes per neuron and time step (averages over the calibration samples; 1.0 where unknown).
        effort: how much work goes into partition and placement; see `partition` and `place`.
        seed: of the partition's refinement and the placement's annealing.
        progress: called now and then with the current stage and the share of it that is complete.
        given: what the user says of the mapping.
        objective: what the mapping makes small: messages, or the modelled time (`latency`) or energy of a step under the chip's model.

    Raises:
        UsageError: an unknown effort or objective, one that the chip does not price, or a mapping of other neurons.
        DoesNotFitError: layer, limit, need and a way out are named.
    """
    check_objective(objective, chip)
    wiring = Wiring.of(network, np.concatenate([rates[p.name][p.living] for p in network.senders]), labelled=chip.shared_lists is not None)
    wiring = wiring.stored_on(chip)
    said = None if given is None else given.settled(network, chip)
    if said is None:
        parts = partition(wiring, chip, chip.cores_available, effort=effort, seed=seed, progress=progress)
    else:
        parts = partition_given(wiring, chip, said, effort=effort, seed=seed, progress=progress)
    placed = None if said is None else _placed(said, chip)
    if objective != "messages" and wiring.neurons:
        parts, placed = _searched(objective)(wiring, chip, parts, effort, seed, progress)
    parts = replace(parts, changes=(*parts.changes, *_widened(network, chip)))
    load = core_loads(wiring, parts.core_of, chip)[:, : len(RESOURCES)]
    bounds, remarks = bounds_of(wiring, chip, parts, effort, progress)
    parts = replace(parts, changes=(*parts.changes, *remarks))
    progress("placement", 0.0)
    made = placed_mapping(wiring, parts, load, (bounds.cores, bounds.messages), chip, effort=effort, seed=seed, placed=placed)
    return replace(made, objective=objective)


def _searched(objective: Objective) -> Callable[[Wiring, Chip, Partition, Effort, int, Progress], tuple[Partition, Placement]]:
    """Return the search for an objective."""
    if objective == "latency":
        from .objectives.latency import shortest  # numba takes a while to import

        return shortest
    from .objectives.frugal import least_energy

    return least_energy


def bounds_of(wiring: Wiring, chip: Chip, parts: Partition, effort: Effort, progress: Progress) -> tuple[Least, list[str]]:
    """Return the lower bounds, and why they are not the tightest known where that is so."""
    if parts.core_of.max(initial=0) == 0:
        return cheap(wiring, chip), []  # what one core does cannot be done with less
    most = FEW if effort == "fast" else SYNAPSES
    if wiring.sources.size > most:
        why = f"--effort {effort}, more than {most:,} synapses"
        return cheap(wiring, chip), [f"lower bounds by fan-ins and fan-outs alone ({why})"]
    progress("lower bounds", 0.0)
    return least(wiring, chip), []


def _placed(said: Settled, chip: Chip) -> Placement | None:
    """Return the places that the user says, in the order of the cores' numbers; None if he leaves them to us."""
    if not said.places:
        return None
    places = np.array([said.places[core] for core in sorted(said.named)], np.int64)
    return Placement(places[:, 0] * chip.limit("cores") + places[:, 1], slot_positions(chip)[places[:, 1]], places[:, 0])


def _widened(network: Network, chip: Chip) -> list[str]:
    """Name the weights that take more bits in memory than they have, because the chip has no such width."""
    bits = sorted({p.weight_bits for p in network.projections if p.weight_bits})
    wider = [(b, chip.stored_bits(b)) for b in bits if chip.stored_bits(b) > b]
    return [f"weights of {b} bits take {stored} bits of memory: {chip.name} has no {b}" for b, stored in wider]


def placed_mapping(
    wiring: Wiring,
    parts: Partition,
    load: Int,
    least: tuple[int, float],
    chip: Chip,
    *,
    effort: Effort = "default",
    seed: int = 0,
    placed: Placement | None = None,
) -> Mapping:
    """Place the cores of a partition and measure the result.

    Args:
        load: (cores, 4) how much each core uses of RESOURCES; least: lower bounds of cores and of messages per step.
        placed: where the cores are, if that is decided.
    """
    core_of = parts.core_of
    between, entering = traffic(wiring, core_of)
    placed = place(between, entering, chip, seed=seed, effort=effort) if placed is None else placed
    messages = float(between.sum() + entering.sum())
    crossed = sum(hops_of_all(between, entering, joint_places(chip, placed.tile_of, placed.chip_of), chip))
    return Mapping(
        core_of,
        placed.slot_of,
        placed.tile_of,
        placed.chip_of,
        load,
        wiring.rates,
        least[0],
        messages,
        least[1],
        crossed / messages if messages else 0.0,
        parts.strategy,
        parts.changes,
    )
