"""The network, its layers, the cores, the chip and the mapping, as in results.json, with their counts per sample."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from .section import MESH, Amount, Place, Rate, Section, Whole

__all__ = ["ChipInUse", "Core", "CoreLoad", "Layer", "LayerSize", "MappingFound", "NetworkSize", "TrafficTable"]


class NetworkSize(Section):
    """The network: time steps of a sample, classes, output neurons for each class (`votes`), input encoding, sizes.

    `connectivity`: synapses / possible synapses; `weight_connectivity`: weights / possible weights, which a kernel shares among synapses;
    `connectivity_reachable`: share of the possible synapses that a spike from the input could cross when the network was trained, None
    if not counted; `weight_bits`: of the widest weights.
    """

    timesteps: Whole
    classes: Whole | None = None
    votes: Whole = 1
    encoding: str
    chip: str
    neurons: Whole
    synapses: Whole
    possible_synapses: Whole | None = None
    connectivity: Amount
    weights: Whole | None = None
    possible_weights: Whole | None = None
    weight_connectivity: Amount | None = None
    connectivity_reachable: Amount | None = None
    weight_bits: Whole


class LayerSize(Section):
    """A layer as deployed: where it runs (chip or host), the populations from which it receives input, its sizes and registers.

    `exponent`: the deployed weights are integer * 2^exponent; `v_threshold`: the threshold in the chip's integers; `drift`: spike mismatch,
    the fraction of its spikes that differ from the float network's on the calibration samples, None if not measured; `kind`: convolution,
    linear, pool, relay or threshold (`compile/analysis/kinds.py`), None in older results. The others are those of `NetworkSize`.
    """

    name: str
    place: str = "chip"
    sources: list[str]
    neurons: Whole
    shape: list[Whole]
    synapses: Whole
    possible_synapses: Whole | None = None
    connectivity: Amount
    weights: Whole | None = None
    possible_weights: Whole | None = None
    weight_connectivity: Amount | None = None
    connectivity_reachable: Amount | None = None
    weight_bits: Whole
    exponent: int
    v_threshold: int
    drift: Amount | None = None
    kind: str | None = None

    @property
    def shares_weights(self) -> bool:
        """Whether a weight stands for several synapses, as in a convolution, or the layer has none, as a pool."""
        return self.possible_weights is not None and self.possible_weights != self.possible_synapses


class Layer(LayerSize):
    """A layer with its counts per sample; `spike_rate`: spikes per neuron and time step, 0..1."""

    spikes_per_sample: Amount
    spike_rate: Amount
    sops_per_sample: Amount
    messages_per_sample: Amount | None = None
    hops_per_sample: Amount | None = None
    neuron_updates_per_sample: Amount


class CoreLoad(Section):
    """A core in use: its number, chip and tile (column, row), how much it holds of each limit, and the neurons of each population on it.

    `utilisation`: by limit, used / limit.
    """

    core: Whole
    chip: Whole = 0
    tile: tuple[Place, Place]
    neurons: Whole
    synapse_words: Whole
    input_axons: Whole
    output_axons: Whole
    utilisation: dict[str, Amount]
    populations: dict[str, Whole]

    def used(self, limit: str) -> float | None:
        """Return how much of a limit is in use, in the limit's unit; None where the core does not say."""
        held: dict[str, float] = {
            "neurons": self.neurons,
            "synapse_words": self.synapse_words,
            "input_axons": self.input_axons,
            "output_axons": self.output_axons,
        }
        return held.get(limit)

    def share(self, limit: str) -> float:
        """Return how much of a limit is in use, 1 being all of it; 0 where the core does not say."""
        return self.utilisation.get(limit, 0.0)

    @property
    def tightest(self) -> tuple[str, float]:
        """The limit that the core is closest to, and how much of it is used; ("", 0.0) where nothing is known."""
        name = max(self.utilisation, key=lambda k: self.utilisation[k], default="")
        return name, self.share(name)


class Core(CoreLoad):
    """A core with its counts per sample: spikes of its neurons, SOPs that arrive, messages that it sends and their hops."""

    spikes_per_sample: Amount
    sops_per_sample: Amount
    neuron_updates_per_sample: Amount
    messages_per_sample: Amount
    hops_per_sample: Amount | None = None


class ChipInUse(Section):
    """The chip: its mesh (columns, rows of tiles), cores of a tile and in all, and the limits of a core.

    `chips_in_use` of the `chips` of its `system`, together with `cores_offered`; `places`: where these chips lie (column, row).
    """

    name: str
    title: str | None = None
    mesh: tuple[Place, Place]
    cores_per_tile: Annotated[int, Field(ge=1, lt=MESH)]
    cores: Amount
    chips_in_use: Annotated[int, Field(ge=1, lt=MESH)] = 1
    cores_offered: Amount | None = None
    system: str | None = None
    chips: Whole | None = None
    places: list[tuple[Place, Place]] = Field(default_factory=lambda: [(0, 0)])
    limits: dict[str, Amount]


class TrafficTable(Section):
    """Messages per sample between cores, or above 256 cores between tiles or chips (`unit`), by the numbers `cores` or the `names`.

    `messages_per_sample`: square, rows send, columns receive; `input_messages_per_sample`: those from off chip.
    """

    unit: str = "core"
    cores: list[Whole] | None = None
    names: list[str] | None = None
    messages_per_sample: list[list[Rate]]
    input_messages_per_sample: list[Rate] | None = None

    @model_validator(mode="after")
    def _square(self) -> Self:
        many, entering = len(self.ends), self.input_messages_per_sample
        if len(self.messages_per_sample) != many or any(len(row) != many for row in self.messages_per_sample):
            raise ValueError(f"messages_per_sample must have a row and a column for each of the {many} {self.unit}s")
        if entering is not None and len(entering) != many:
            raise ValueError(f"input_messages_per_sample must have a number for each of the {many} {self.unit}s")
        return self

    @property
    def ends(self) -> list[str]:
        """The names of the senders and receivers."""
        return self.names or [str(core) for core in self.cores or []]


class MappingFound(Section):
    """The mapping: cores in use, messages per time step and mean hops of a message, each beside its lower bound where there is one."""

    cores: Whole
    cores_bound: Whole | None = None
    chips: Whole = 1
    messages_per_step: Amount
    messages_bound: Amount | None = None
    hops_per_message: Amount
    strategy: str | None = None
    objective: str = "messages"
    changes: list[str] = Field(default_factory=list[str])
