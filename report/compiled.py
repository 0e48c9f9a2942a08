"""The results of `spikeloom compile` and `spikeloom estimate`, for the terminal."""

from __future__ import annotations

from pydantic import Field

from .section import Amount, Section, Whole
from .sizes import ChipInUse, CoreLoad, LayerSize, MappingFound

__all__ = ["Compiled", "OnPaper", "PassRecord"]


class PassSize(Section):
    """The size of a network between two passes."""

    neurons: Whole
    synapses: Whole
    weights: Whole


class PassRecord(Section):
    """A pass: its purpose, its options, what it changed, the network before and after it, and its duration in seconds."""

    name: str
    seconds: Amount
    summary: str = ""
    options: list[str] = Field(default_factory=list[str])
    changes: list[str] = Field(default_factory=list[str])
    before: PassSize | None = None
    after: PassSize | None = None


class DeadCode(Section):
    """Synapses and neurons removed without changing any spike, the totals, and the synapses that rounding made zero."""

    synapses: Whole
    neurons: Whole
    of_synapses: Whole
    rounded_synapses: Whole


class FirstMismatch(Section):
    """The first layer with spike mismatch against the float network, and the fraction (0..1) of spikes that differ."""

    layer: str
    share: Amount


class Compiled(Section):
    """A deployed network: passes, layers, cores, chip and mapping."""

    layers: list[LayerSize]
    cores: list[CoreLoad]
    chip: ChipInUse
    mapping: MappingFound
    passes: list[PassRecord] = Field(default_factory=list[PassRecord])
    dead_code: DeadCode | None = None
    first_drift: FirstMismatch | None = None
    warnings: list[str] = Field(default_factory=list[str])


class LayerOnPaper(Section):
    """A layer's sizes, its rate (spikes per neuron and time step) and the SOPs per sample that its spikes cause."""

    name: str
    neurons: Whole
    synapses: Whole
    rate: Amount
    sops_caused_per_sample: Amount


class ComponentOnPaper(Section):
    """A term of the dynamic energy: a count per sample, joules of each and of all, the status of the price."""

    name: str
    count_per_sample: Amount
    joules_per_unit: Amount
    joules_per_sample: Amount
    status: str


class TimeOnPaper(Section):
    """A part of a time step, and the status of its figure."""

    name: str
    seconds_per_step: Amount
    status: str


class OnPaper(Section):
    """The least that a network needs of a chip: cores by limit, dynamic joules per sample by component, the time of a step and a sample."""

    chip: str
    layers: list[LayerOnPaper]
    cores_for: dict[str, Whole]
    joules_per_sample: Amount
    components: list[ComponentOnPaper]
    cores: Whole
    chips: Whole
    steps: Whole
    step: list[TimeOnPaper]
    seconds_per_step: Amount
    seconds_per_sample: Amount
    static_watts: tuple[Amount, Amount]
    warnings: list[str] = Field(default_factory=list[str])
