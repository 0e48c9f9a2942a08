"""The views that an inspection returns. Figures per sample are those of the stated rates; energies are the chip's, in pJ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Connection", "Core", "EnergyPart", "Feed", "Layer", "LayerOnCore", "Link", "Neuron", "Receipt"]


@dataclass(frozen=True)
class Layer:
    """A population.

    `place`: chip, host, or input; `neurons`: those that were not removed, `removed`: the others; `receives_from`, `sends_to`: populations;
    `synapses`: that end at it; `cores`: that hold its neurons; `rate`: spikes (of the input: payloads) of a neuron per time step;
    `sops_per_sample`: synaptic operations at its synapses, `messages_per_sample`: that its spikes send, both for the chip alone.
    """

    name: str
    place: str
    shape: tuple[int, ...]
    neurons: int
    removed: int
    receives_from: tuple[str, ...]
    sends_to: tuple[str, ...]
    synapses: int
    cores: tuple[int, ...]
    rate: float
    sops_per_sample: float
    messages_per_sample: float


@dataclass(frozen=True)
class LayerOnCore:
    """The neurons of a layer on a core: how many, and which, as a text such as "0-36,40"."""

    layer: str
    neurons: int
    which: str


@dataclass(frozen=True)
class Link:
    """What a core receives from, or sends to: a core, or a population off chip (`core` None).

    `axons`: (source, core) pairs, an input axon of the receiver each; `messages_per_sample`: over all of them.
    """

    core: int | None
    name: str
    axons: int
    messages_per_sample: float


@dataclass(frozen=True)
class Core:
    """A core.

    `slot`: its place on its chip, `tile`: the (column, row) there; `used`: of each resource, and `limits`: what the chip has of it;
    `layers`: its neurons; `receives_from`, `sends_to`: by core, and by population off chip; `sops_per_sample`: synaptic operations on it.
    """

    core: int
    chip: int
    slot: int
    tile: tuple[int, int]
    used: Mapping[str, int]
    limits: Mapping[str, int]
    layers: tuple[LayerOnCore, ...]
    receives_from: tuple[Link, ...]
    sends_to: tuple[Link, ...]
    sops_per_sample: float


@dataclass(frozen=True)
class Connection:
    """A synapse of a neuron: the number of its source in the source's population, and its weight."""

    source: int
    weight: int


@dataclass(frozen=True)
class Receipt:
    """What a neuron receives over one projection: input current of a step = (sum of weight * spike) << exponent, `delay` steps late.

    `cores`: those of the sources, none for sources off chip.
    """

    projection: str
    source: str
    exponent: int
    delay: int
    cores: tuple[int, ...]
    connections: tuple[Connection, ...]


@dataclass(frozen=True)
class Feed:
    """What a neuron drives on one core: its axons there (one, on crossbars several), the words of its list, and its synapses by layer.

    `words`: None on crossbars, which have no synapse words. Axons are numbered on their core by source, as lists are in `SynapseWords`.
    `sharing`: how many other sources have the same list on that core, which is then stored once; 0 on chips that share none.
    """

    core: int
    axons: tuple[int, ...]
    words: int | None
    synapses: Mapping[str, int]
    sharing: int = 0


@dataclass(frozen=True)
class EnergyPart:
    """A component of a neuron's energy per sample: how many events, of how many pJ each; `status`: of that number in the chip's file."""

    name: str
    count_per_sample: float
    pj_each: float
    pj_per_sample: float
    status: str


@dataclass(frozen=True)
class Neuron:
    """A neuron, or a source off chip (`core` and what belongs to it None).

    `neuron`: its number in its layer; `position`: in the layer's shape; `local`: its number on its core; `copies`: on crossbars, the cores
    of its copies; `registers`: of its neuron model, with its bias; `receives`, `feeds`: its synapses; `output_axons`: that its core has for
    it; `own_words`, `own_axons`: synapse words and input axons that its core would be without if it were not there (None on crossbars);
    `sent_words`: of its lists on all cores; `rate`: its spikes per time step; SOPs that its input, or its spikes, cause per sample;
    `energy`: on the chip, without static power, an update taken as inactive, so it is a lower bound; `energy_pj_per_sample`: their sum.
    """

    layer: str
    neuron: int
    position: tuple[int, ...]
    place: str
    core: int | None
    local: int | None
    chip: int | None
    slot: int | None
    tile: tuple[int, int] | None
    copies: tuple[int, ...]
    registers: Mapping[str, int]
    receives: tuple[Receipt, ...]
    feeds: tuple[Feed, ...]
    own_words: int | None
    own_axons: int | None
    sent_words: int | None
    output_axons: int
    rate: float
    sops_received_per_sample: float
    sops_caused_per_sample: float
    messages_per_sample: float
    energy: tuple[EnergyPart, ...]

    @property
    def synapses(self) -> int:
        """The synapses that end at it."""
        return sum(len(r.connections) for r in self.receives)

    @property
    def energy_pj_per_sample(self) -> float:
        """The sum of the components, in pJ."""
        return sum(part.pj_per_sample for part in self.energy)
