"""One neuron: where it is, what it receives and drives, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ...network.model import Population
from ..deployed import DeployedNetwork
from ..mapping.loads.load import RESOURCES, core_loads, layouts
from ..mapping.loads.one_core import bits_by_format
from ..mapping.system import hop_parts
from .views import Connection, EnergyPart, Feed, Neuron, Receipt

Int = NDArray[np.int64]
Float = NDArray[np.float64]
WORDS, INPUTS = RESOURCES.index("synapse_words"), RESOURCES.index("input_axons")

__all__ = ["neuron_view"]


def neuron_view(deployed: DeployedNetwork, rates: Float, population: Population, number: int) -> Neuron:
    """Return the view of a neuron that was not removed; `rates`: (sources,) spikes per time step."""
    return _Neuron(deployed, rates, population, number).view()


@dataclass(frozen=True)
class _Neuron:
    deployed: DeployedNetwork
    rates: Float
    population: Population
    number: int

    @property
    def rank(self) -> int:
        """Its number among the neurons of its population that were not removed."""
        return int(np.count_nonzero(self.population.living[: self.number]))

    @property
    def source(self) -> int | None:
        """Its number among the sources; None if it sends nothing to the chip."""
        first = 0
        for p in self.deployed.network.senders:
            if p.name == self.population.name:
                return first + self.rank
            first += p.count
        return None

    @property
    def row(self) -> int | None:
        """Its number among the chip's neurons; None off chip."""
        outside = self.deployed.wiring.outside
        return None if self.source is None or self.source < outside else self.source - outside

    def view(self) -> Neuron:
        deployed, mapping, population = self.deployed, self.deployed.mapping, self.population
        row = self.row
        core = None if row is None else int(mapping.core_of[row])
        receives, feeds = self._receives(), self._feeds()
        rate = 0.0 if self.source is None else float(self.rates[self.source])
        steps = deployed.network.timesteps
        received = self._sops_received()
        caused = rate * steps * sum(sum(feed.synapses.values()) for feed in feeds)
        messages = rate * steps * sum(len(feed.axons) for feed in feeds)
        own = (None, None) if core is None or deployed.crossbars is not None else self._own(core)
        words = [feed.words for feed in feeds if feed.words is not None]
        return Neuron(
            layer=population.name,
            neuron=self.number,
            position=tuple(int(i) for i in np.unravel_index(self.number, population.shape)),
            place="input" if population.neuron is None else population.place,
            core=core,
            local=None if core is None or row is None else int(np.count_nonzero(mapping.core_of[:row] == core)),
            chip=None if core is None else int(mapping.chip_of[core]),
            slot=None if core is None else int(mapping.slot_of[core]) % deployed.chip.limit("cores"),
            tile=None if core is None else (int(mapping.tile_of[core][0]), int(mapping.tile_of[core][1])),
            copies=self._copies(),
            registers=self._registers(),
            receives=receives,
            feeds=feeds,
            own_words=own[0],
            own_axons=own[1],
            sent_words=None if deployed.crossbars is not None else sum(words),
            output_axons=0 if core is None else sum(len(feed.axons) for feed in feeds),
            rate=rate,
            sops_received_per_sample=received,
            sops_caused_per_sample=caused,
            messages_per_sample=messages,
            energy=self._energy(core, feeds, rate * steps, received),
        )

    def _registers(self) -> dict[str, int]:
        population = self.population
        if population.neuron is None:
            return {}
        return {k: int(v) for k, v in asdict(population.neuron).items()} | {"bias": int(population.biases[self.number])}

    def _copies(self) -> tuple[int, ...]:
        if self.deployed.crossbars is None or self.row is None:
            return ()
        return tuple(np.argwhere(self.deployed.crossbars.logical == self.row)[:, 0].tolist())

    def _receives(self) -> tuple[Receipt, ...]:
        network, flat = self.deployed.network, self.deployed.network.flat.network
        on_chip = {p.name for p in network.on_chip}
        found: list[Receipt] = []
        for p in flat.projections:
            if p.target != self.population.name:
                continue
            synapses = p.synapses.unrolled()
            chosen = slice(*synapses.indptr[self.rank : self.rank + 2].tolist())
            ranks, weights = synapses.indices[chosen], synapses.data[chosen]
            numbers = np.flatnonzero(network.population(p.source).living)[ranks]
            cores = np.unique(self.deployed.cores_of(p.source)[ranks]).tolist() if p.source in on_chip else []
            pairs = sorted(zip(numbers.tolist(), weights.tolist(), strict=True))
            connections = tuple(Connection(int(n), int(w)) for n, w in pairs if w)  # a weight of 0 is no synapse
            found.append(Receipt(p.name, p.source, p.exponent, p.delay, tuple(cores), connections))
        return tuple(found)

    def _feeds(self) -> tuple[Feed, ...]:
        if self.source is None:
            return ()
        wiring, core_of = self.deployed.wiring, self.deployed.mapping.core_of
        pointers, targets = wiring.by_source
        mine = targets[pointers[self.source] : pointers[self.source + 1]].astype(np.int64)
        if self.deployed.crossbars is not None:
            return self._feeds_of_crossbars(mine)
        sources, cores = wiring.core_pairs(core_of)
        found: list[Feed] = []
        for core in np.unique(core_of[mine]).tolist():
            axon = int(np.searchsorted(sources[cores == core], self.source))
            synapses = self._by_layer(mine[core_of[mine] == core])
            found.append(Feed(core, (axon,), self._words(core), synapses, self._sharing(core)))
        return tuple(found)

    def _sharing(self, core: int) -> int:
        """Return how many other sources have its list on a core."""
        wiring, chip = self.deployed.wiring, self.deployed.chip
        if wiring.labels is None:
            return 0
        lists = wiring.lists(self.deployed.mapping.core_of, chip)
        return int(lists.users[(lists.core == core) & (lists.source == self.source)].sum()) - 1

    def _feeds_of_crossbars(self, targets: Int) -> tuple[Feed, ...]:
        crossbars = self.deployed.crossbars
        if crossbars is None:
            return ()
        found: list[Feed] = []
        driven = (crossbars.axon_source == self.source) & (crossbars.axon_type >= 0)
        for core in np.flatnonzero(driven.any(axis=1)).tolist():
            logical = crossbars.logical[core]
            reached = np.isin(targets, logical[(crossbars.bits[core][driven[core]] > 0).any(axis=0) & (logical >= 0)])
            found.append(Feed(core, tuple(np.flatnonzero(driven[core]).tolist()), None, self._by_layer(targets[reached])))
        return tuple(found)

    def _by_layer(self, targets: Int) -> dict[str, int]:
        counts = {n.name: int(((targets >= n.start) & (targets < n.stop)).sum()) for n in self.deployed.wiring.layers}
        return {name: count for name, count in counts.items() if count}

    def _words(self, core: int) -> int:
        """Return the words of its list on a core."""
        wiring, chip = self.deployed.wiring, self.deployed.chip
        members = np.flatnonzero(self.deployed.mapping.core_of == core)
        pointers, targets = wiring.by_group
        bits = 0
        first = (self.source or 0) * wiring.most_kinds
        for group in range(first, first + wiring.most_kinds):
            reached = targets[pointers[group] : pointers[group + 1]]
            local = np.searchsorted(members, reached[np.isin(reached, members)])
            if local.size:
                each = bits_by_format(np.zeros(1, np.int64), np.array([local.size]), local, layouts(wiring.weight_bits, chip))
                bits += int(each.min())
        return -(-bits // chip.word_bits)

    def _own(self, core: int) -> tuple[int, int]:
        """Return the synapse words and input axons of its core that would not be needed without it."""
        wiring, chip = self.deployed.wiring, self.deployed.chip
        members = self.deployed.mapping.core_of == core
        others = members.copy()
        others[self.row] = False
        loads = [
            core_loads(part, np.zeros(part.neurons, np.int64), chip)[0] for part in map(wiring.part, (members, others)) if part.neurons
        ]
        without = loads[1] if len(loads) > 1 else np.zeros_like(loads[0])
        saved = loads[0] - without
        return int(saved[WORDS]), int(saved[INPUTS])

    def _sops_received(self) -> float:
        """Return the synaptic operations at its synapses per sample; on crossbars the set bits of its copies under a spike."""
        row, wiring, steps = self.row, self.deployed.wiring, self.deployed.network.timesteps
        if row is None:
            return 0.0
        crossbars = self.deployed.crossbars
        if crossbars is None:
            return float(self.rates[wiring.sources[wiring.indptr[row] : wiring.indptr[row + 1]]].sum()) * steps
        found = 0.0
        for core, slot in np.argwhere(crossbars.logical == row).tolist():
            active = (crossbars.bits[core, :, slot] > 0) & (crossbars.axon_type[core] >= 0)
            found += float(self.rates[crossbars.axon_source[core][active]].sum())
        return found * steps

    def _energy(self, core: int | None, feeds: tuple[Feed, ...], spikes: float, received: float) -> tuple[EnergyPart, ...]:
        """Return the components of its energy per sample: its updates, the operations at its synapses, its spikes and their messages."""
        deployed, prices = self.deployed, self.deployed.chip.energy
        start = np.asarray(deployed.chip.mesh.entry) if core is None else deployed.places[core]
        hops = np.zeros(3, np.int64)
        for feed in feeds:
            hops += hop_parts(start, deployed.places[feed.core], deployed.chip) * len(feed.axons)
        system = deployed.chip.system
        on_chip = core is not None
        copies = max(len(self._copies()), 1)
        rows = [
            ("synaptic operations received", received, prices.synaptic_op),
            ("updates, taken as inactive", float(deployed.network.timesteps * copies * on_chip), prices.neuron_update_inactive),
            ("spikes out", spikes * on_chip, prices.spike_out),
            ("messages", spikes * sum(len(feed.axons) for feed in feeds), prices.message_out),
            ("hops, horizontal", spikes * float(hops[0]), prices.hop_horizontal),
            ("hops, vertical", spikes * float(hops[1]), prices.hop_vertical),
            ("hops, chip to chip", spikes * float(hops[2]), prices.hop_horizontal if system is None else system.hop_energy),
        ]
        return tuple(EnergyPart(name, n, each.value, n * each.value, each.status) for name, n, each in rows if n)
