"""Looks into a deployed network: `inspect` returns an `Inspection`, whose parts are computed when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checked import checked
from ...errors import UsageError, unknown_name
from ...network.model import Population
from ..deployed import DeployedNetwork
from ..loading import load
from ..mapping.build import RESOURCES
from ..mapping.given import said_cores
from ..mapping.loads.load import RESOURCES as ALL
from ..mapping.loads.load import core_loads
from .neuron import neuron_view
from .views import Core, Layer, LayerOnCore, Link, Neuron

Int = NDArray[np.int64]
Float = NDArray[np.float64]

__all__ = ["Inspection", "inspect"]


@checked(
    network="Pass what spikeloom.compile_network returned, or name a model.loom or its run folder.",
    rates="Give spikes per neuron and time step, such as 0.1, or a number for each population.",
)
def inspect(network: DeployedNetwork | Path | str, *, rates: float | Mapping[str, float] | None = None) -> Inspection:
    """Look into a deployed network.

    Args:
        network: what `compile_network` returned, or the path of a .loom or of a run folder with a model.loom.
        rates: spikes per neuron and time step, of all populations or by population; of those not named, and if None of all, the rates
            stored in the network: measured on calibration samples by neuron, or 1 where there were none.

    Returns:
        `.layers`, `.cores`, `.core(12)` and `.neuron("hidden1", 37)`: frozen dataclasses of plain values; `.document()` for JSON.

    Raises:
        FormatError: a .loom that cannot be read.
        UsageError: a population that does not exist, or a rate below 0 or above 1.
    """
    if isinstance(network, Path | str):
        path = Path(network)
        network = load(path / "model.loom" if path.is_dir() and (path / "model.loom").exists() else path)
    return Inspection(network, rates)


class Inspection:
    """A deployed network, looked into at stated rates. Figures per sample are rates times the time steps of a sample."""

    def __init__(self, network: DeployedNetwork, rates: float | Mapping[str, float] | None = None) -> None:
        """Prepare to look into `network`; see `inspect`."""
        self.network = network
        self.rates: Float = _rates(network, rates)

    def __repr__(self) -> str:
        return f"<Inspection of {self.network!r}>"

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The populations, the input first."""
        return tuple(self._layer(p) for p in self.network.network.populations)

    @cached_property
    def cores(self) -> tuple[Core, ...]:
        """All cores, in the order of their numbers."""
        return tuple(self._core(number) for number in range(self.network.mapping.cores))

    def core(self, number: int) -> Core:
        """Return one core.

        Raises:
            UsageError: there is no core of that number.
        """
        cores = self.network.mapping.cores
        if not 0 <= number < cores:
            raise UsageError(f"There is no core {number}; the network is on {cores:,}, numbered 0 to {cores - 1:,}.")
        return self._core(number)

    def neuron(self, layer: str, number: int) -> Neuron:
        """Return one neuron, by its number in its layer as compiled, or a source off chip.

        Raises:
            UsageError: no such population or neuron, or one that the compiler removed.
        """
        network = self.network.network
        known = [p.name for p in network.populations]
        if layer not in known:
            raise unknown_name("population", layer, known)
        population = network.population(layer)
        if not 0 <= number < population.size:
            raise UsageError(
                f"{layer} has no neuron {number}; the compiled network has {population.size:,}, numbered 0 to {population.size - 1:,}."
            )
        if not population.living[number]:
            near = np.flatnonzero(population.living)
            raise UsageError(
                f"{layer}:{number} was removed, since it cannot spike or leads to no output. {population.count:,} neurons of {layer} are "
                f"left, such as {layer}:{near[np.abs(near - number).argmin()]}."
            )
        return neuron_view(self.network, self.rates, population, number)

    def document(self) -> dict[str, Any]:
        """Return layers and cores as a dictionary of JSON values."""
        chip, mapping = self.network.chip, self.network.mapping
        return {
            "target": self.network.target,
            "chip": chip.name,
            "timesteps": self.network.network.timesteps,
            "encoding": self.network.network.input.encoding,
            "chips": mapping.chips,
            "strategy": mapping.strategy,
            "layers": [asdict(layer) for layer in self.layers],
            "cores": [asdict(core) for core in self.cores],
        }

    @cached_property
    def _starts(self) -> dict[str, int]:
        """The first source of each population that sends to the chip."""
        found, first = dict[str, int](), 0
        for p in self.network.network.senders:
            found[p.name] = first
            first += p.count
        return found

    @cached_property
    def _pairs(self) -> tuple[Int, Int]:
        return self.network.wiring.core_pairs(self.network.mapping.core_of)

    @cached_property
    def _sops(self) -> Float:
        """Synaptic operations of each source and neuron's synapse, by neuron of the chip, per sample."""
        wiring = self.network.wiring
        weights = self.rates[wiring.sources] * self.network.network.timesteps
        return np.bincount(wiring.rows, weights=weights, minlength=wiring.neurons).astype(np.float64)

    @cached_property
    def _core_sops(self) -> Float:
        mapping, crossbars = self.network.mapping, self.network.crossbars
        if crossbars is None:
            return np.bincount(mapping.core_of, weights=self._sops, minlength=mapping.cores).astype(np.float64)
        rows = crossbars.bits.sum(axis=2, dtype=np.int64) * (crossbars.axon_type >= 0)
        return (rows * self.rates[crossbars.axon_source]).sum(axis=1) * self.network.network.timesteps

    def _layer(self, population: Population) -> Layer:
        network, wiring = self.network.network, self.network.wiring
        on_chip = population.name in {p.name for p in network.on_chip}
        arriving, leaving = network.inputs_of(population.name), network.outputs_of(population.name)
        first = self._starts.get(population.name)
        mine = slice(0, 0) if first is None else slice(first, first + population.count)
        rates = self.rates[mine]
        messages = np.bincount(self._pairs[0], weights=self.rates[self._pairs[0]], minlength=self.rates.size)[mine].sum()
        sops = 0.0
        if on_chip and first is not None:
            sops = float(self._sops[first - wiring.outside : first - wiring.outside + population.count].sum())
        return Layer(
            name=population.name,
            place="input" if population.neuron is None else population.place,
            shape=tuple(population.shape),
            neurons=population.count,
            removed=population.size - population.count,
            receives_from=tuple(dict.fromkeys(p.source for p in arriving)),
            sends_to=tuple(dict.fromkeys(p.target for p in leaving)),
            synapses=sum(network.synapses_of(p) for p in arriving),
            cores=tuple(np.unique(self.network.cores_of(population.name)).tolist()) if on_chip else (),
            rate=float(rates.mean()) if rates.size else 0.0,
            sops_per_sample=sops,
            messages_per_sample=float(messages) * network.timesteps,
        )

    @cached_property
    def _longest(self) -> Int | None:
        """The longest list of each core; None on crossbars."""
        if self.network.crossbars is not None:
            return None
        return core_loads(self.network.wiring, self.network.mapping.core_of, self.network.chip)[:, len(RESOURCES)]

    def _core(self, number: int) -> Core:
        mapping, chip, network = self.network.mapping, self.network.chip, self.network.network
        names = RESOURCES if self._longest is None else ALL
        used: dict[str, int] = dict(zip(map(str, RESOURCES), mapping.load[number].tolist(), strict=True))
        if self._longest is not None:
            used[ALL[-1]] = int(self._longest[number])
        layers: list[LayerOnCore] = []
        for p in network.on_chip:
            here = np.flatnonzero(p.living)[self.network.cores_of(p.name) == number]
            if here.size:
                layers.append(LayerOnCore(p.name, int(here.size), said_cores(here.tolist())))
        return Core(
            core=number,
            chip=int(mapping.chip_of[number]),
            slot=int(mapping.slot_of[number]) % chip.limit("cores"),
            tile=(int(mapping.tile_of[number][0]), int(mapping.tile_of[number][1])),
            used=used,
            limits={name: chip.limit(name) for name in names},
            layers=tuple(layers),
            receives_from=self._received(number),
            sends_to=self._sent(number),
            sops_per_sample=float(self._core_sops[number]),
        )

    def _received(self, number: int) -> tuple[Link, ...]:
        sources = self._pairs[0][self._pairs[1] == number]
        outside, found = self.network.wiring.outside, list[Link]()
        for p in self.network.network.senders:
            first = self._starts[p.name]
            if first < outside:
                mine = sources[(sources >= first) & (sources < first + p.count)]
                found += [self._link(None, p.name, mine)] if mine.size else []
        inside = sources[sources >= outside]
        cores = self.network.mapping.core_of[inside - outside]
        return (*found, *(self._link(int(core), f"core {core}", inside[cores == core]) for core in np.unique(cores)))

    def _sent(self, number: int) -> tuple[Link, ...]:
        sources, cores = self._pairs
        outside = self.network.wiring.outside
        inside = sources >= outside
        mine = np.zeros(sources.size, np.bool_)
        mine[inside] = self.network.mapping.core_of[sources[inside] - outside] == number
        return tuple(self._link(int(core), f"core {core}", sources[mine & (cores == core)]) for core in np.unique(cores[mine]))

    def _link(self, core: int | None, name: str, sources: Int) -> Link:
        return Link(core, name, int(sources.size), float(self.rates[sources].sum()) * self.network.network.timesteps)


def _rates(network: DeployedNetwork, stated: float | Mapping[str, float] | None) -> Float:
    """Return the rate of each source, (sources,)."""
    senders = network.network.senders
    by_name: Mapping[str, float] = {p.name: float(stated) for p in senders} if isinstance(stated, int | float) else stated or {}
    known = [p.name for p in network.network.populations]
    found, first = network.mapping.rates.astype(np.float64, copy=True), 0
    for name, rate in by_name.items():
        if name not in known:
            raise unknown_name("population", name, known)
        if not 0.0 <= rate <= 1.0:
            raise UsageError(f"The rate of {name} is {rate:g}; it must be from 0 to 1, in spikes per neuron and time step.")
    for p in senders:
        if p.name in by_name:
            found[first : first + p.count] = by_name[p.name]
        first += p.count
    return found
