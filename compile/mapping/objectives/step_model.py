"""What a step of a partition is expected to take and to cost, under the chip's own model, from the mean rates of its sources.

The same terms as a run's (`runtime/step_times.py`, `runtime/energy.py`), with mean loads in place of those of single steps. Cores are
busy with two kinds of work: sending (updates, spikes, messages out) and receiving (messages in, synaptic operations).

    step = barrier + F(slowest core, busiest link, longest route)
    slowest core = max over cores of  sending + receiving,  with "queue" of  max(sending, receiving)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....hwmodels.chip import Chip
from ....hwmodels.prices import TimeModel
from ..loads.formats import priced_apart
from ..loads.load import Wiring
from ..place import Placement, traffic
from ..system import chip_positions, entries, hop_parts, hops_of_all, joint_places, link_loads

__all__ = ["CoreTimes", "StepModel", "StepTime", "both_ways"]

Int = NDArray[np.int64]
Float = NDArray[np.float64]


class CoreTimes(NamedTuple):
    """Nanoseconds of each core in a step, (cores,): sending, receiving, and the messages that enter it through its port."""

    sending: Float
    receiving: Float
    port: Float


class StepTime(NamedTuple):
    """The parts of a step in nanoseconds."""

    barrier: float
    core: float
    link: float
    route: float
    total: float


def both_ways(times: TimeModel, sending: ArrayLike, receiving: ArrayLike) -> Float:
    """Return the nanoseconds of cores, from those of sending and of receiving: the longer ones with "queue", else the sums."""
    return np.maximum(sending, receiving) if times.overlap == "queue" else np.add(sending, receiving)


@dataclass(frozen=True)
class StepModel:
    """The model of a chip, applied to the partitions of a wiring.

    `active`: (neurons,) the share of the steps in which the update of a neuron is an active one; None: all of them, the upper end.
    `plain`: whether messages are counted by NumPy alone, so that no kernel is loaded.
    """

    wiring: Wiring
    chip: Chip
    active: Float | None = None
    plain: bool = False

    def pairs(self, core_of: Int) -> tuple[Int, Int]:
        """Return the distinct (source, core) pairs of a partition, sorted by source, then core."""
        if not self.plain:
            return self.wiring.core_pairs(core_of)
        cores = int(core_of.max(initial=0)) + 1
        return np.divmod(np.unique(self.wiring.sources.astype(np.int64) * cores + core_of[self.wiring.rows]), cores)

    def reach(self, core_of: Int) -> Int:
        """Return, per source, the number of distinct cores that it reaches."""
        return np.bincount(self.pairs(core_of)[0], minlength=len(self.wiring.rates)) if self.plain else self.wiring.reach(core_of)

    @property
    def conditions(self) -> str:
        """Say under what the figures hold."""
        known = (
            "mean rates of the calibration samples" if (self.wiring.rates != 1.0).any() else "no rates known: every source at every step"
        )
        return f"model {self.chip.name}, {known}"

    @cached_property
    def update(self) -> Float:
        """Nanoseconds that each neuron keeps its core busy in a step wherever it is, (neurons,): its update and its spikes."""
        times, share = self.chip.time, np.ones(self.wiring.neurons) if self.active is None else self.active
        busy = share * times.neuron_update_active.value + (1.0 - share) * times.neuron_update_inactive.value
        out = 0.0 if times.spike_out is None else times.spike_out.value
        return busy + self.wiring.rates[self.wiring.outside :] * out

    @property
    def message_in(self) -> float:
        """Nanoseconds in which a message is received."""
        return 0.0 if self.chip.time.message_in is None else self.chip.time.message_in.value

    @property
    def port(self) -> float:
        """Nanoseconds for which a message occupies the port of a core, 0 where links never hold up a step."""
        return self.chip.time.message_out.value if self.chip.time.links == "shared" else 0.0

    @property
    def toll(self) -> float:
        """Nanoseconds by which a message from off chip lengthens the step on the links by which it enters: two share the load."""
        times = self.chip.time
        if times.links == "free" or times.overlap != "sum":
            return 0.0
        return (times.hop_horizontal.value + times.hop_vertical.value) / 4.0

    def synapse_times(self, core_of: Int) -> Float:
        """Return the mean nanoseconds of a synaptic operation of each source, (sources,): its formats on the cores of this partition."""
        times, fan_out = self.chip.time, np.maximum(self.wiring.fan_out, 1)
        found = np.full(len(fan_out), times.synaptic_op.value)
        for synapses, more in priced_apart(self.wiring, core_of, self.chip, times):
            found = found + np.asarray(synapses.sum(axis=0)).ravel() / fan_out * more
        return found

    def core_times(self, core_of: Int) -> CoreTimes:
        """Return the times of every core of a partition."""
        wiring, times, cores = self.wiring, self.chip.time, int(core_of.max(initial=0)) + 1
        sources, targets = self.pairs(core_of)
        inside = wiring.rates[wiring.outside :] * np.bincount(sources, minlength=len(wiring.rates))[wiring.outside :]
        received = np.bincount(targets, weights=wiring.rates[sources], minlength=cores).astype(np.float64)
        operations = np.bincount(core_of[wiring.rows], weights=wiring.rates[wiring.sources], minlength=cores) * times.synaptic_op.value
        for synapses, more in priced_apart(wiring, core_of, self.chip, times):
            operations = operations + synapses @ wiring.rates * more
        sending = np.bincount(core_of, weights=self.update + inside * times.message_out.value, minlength=cores)
        return CoreTimes(sending.astype(np.float64), received * self.message_in + operations, received * self.port)

    def slowest(self, found: CoreTimes) -> float:
        """Return the nanoseconds of the slowest core."""
        return float(both_ways(self.chip.time, found.sending, found.receiving).max(initial=0.0))

    def unplaced(self, core_of: Int) -> float:
        """Return the nanoseconds of a step on the fewest tiles, without the ways of messages between tiles."""
        found = self.core_times(core_of)
        tiles = -(-len(found.sending) // self.chip.mesh.cores_per_tile)
        barrier = self.chip.time.barrier(min(tiles, self.chip.tiles), self.chip.tiles).value
        return barrier + self.joined(self.slowest(found), float(found.port.max(initial=0.0)), 0.0)

    def joined(self, core: float, link: float, route: float) -> float:
        """Return the nanoseconds of a step but for its barrier, from those of the slowest core, the busiest link and the longest route."""
        link = link if self.chip.time.links == "shared" else 0.0
        return core + link + route if self.chip.time.overlap == "sum" else max(core, link, route)

    def step(self, core_of: Int, placed: Placement) -> StepTime:
        """Return the time of a step of a partition that is placed on the chip."""
        times, chip = self.chip.time, self.chip
        between, entering = traffic(self.wiring, core_of)
        places = joint_places(chip, placed.tile_of, placed.chip_of)
        crossing = times.hop_horizontal.value if chip.system is None else chip.system.hop_time.value
        hops = times.hop_horizontal.value, times.hop_vertical.value, crossing
        busiest = link_loads(between, entering, places, chip).busiest(chip, (*hops, times.message_out.value)).time
        senders, receivers, _ = entries(between)
        fed = np.flatnonzero(entering)
        ways = hop_parts(places[senders], places[receivers], chip), hop_parts(np.asarray(chip.mesh.entry), places[fed], chip)
        route = float((np.concatenate(ways) @ np.asarray(hops)).max(initial=0.0))
        core, barrier = self.slowest(self.core_times(core_of)), self._barrier(placed, crossing)
        return StepTime(barrier, core, busiest, route, barrier + self.joined(core, busiest, route))

    def _barrier(self, placed: Placement, crossing: float) -> float:
        tiles = np.unique(np.column_stack([placed.chip_of, placed.tile_of]), axis=0)
        within = self.chip.time.barrier(int(np.bincount(tiles[:, 0]).max()), self.chip.tiles).value
        chips = int(placed.chip_of.max()) + 1
        far = int(chip_positions(self.chip)[:chips].sum(axis=1).max())
        return within + (2 * far * crossing if chips > 1 else 0.0)

    def picojoules(self, core_of: Int, placed: Placement) -> float:
        """Return the dynamic energy of a step: synaptic operations, updates, spikes, messages and hops."""
        wiring, prices = self.wiring, self.chip.energy
        share = np.ones(wiring.neurons) if self.active is None else self.active
        between, entering = traffic(wiring, core_of)
        places = joint_places(self.chip, placed.tile_of, placed.chip_of)
        crossing = 0.0 if self.chip.system is None else self.chip.system.hop_energy.value
        hops = hops_of_all(between, entering, places, self.chip)
        total = float((wiring.rates * wiring.fan_out).sum()) * prices.synaptic_op.value
        for synapses, more in priced_apart(wiring, core_of, self.chip, prices):
            total += float((synapses @ wiring.rates).sum()) * more
        total += float((share * prices.neuron_update_active.value + (1.0 - share) * prices.neuron_update_inactive.value).sum())
        total += float(wiring.rates[wiring.outside :].sum()) * prices.spike_out.value
        total += float(between.sum() + entering.sum()) * prices.message_out.value
        return total + float(np.dot(hops, (prices.hop_horizontal.value, prices.hop_vertical.value, crossing)))
