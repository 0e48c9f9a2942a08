"""Energy and time under chip models, and the networks in digital arithmetic, as stored in results.json."""

from __future__ import annotations

from pydantic import Field

from .section import Amount, Section, Whole

__all__ = [
    "Baseline",
    "Baselines",
    "Counted",
    "Definition",
    "Energy",
    "EnergyComponent",
    "Latency",
    "LatencyComponent",
    "LeftOut",
    "ModelPrices",
    "Models",
    "Part",
    "Price",
]


class EnergyComponent(Section):
    """A term of the energy: a count per sample, joules of each and of all, with the status and the source of the price."""

    name: str
    count_per_sample: Amount
    joules_per_unit: Amount | None
    joules_per_sample: Amount
    status: str
    source: str


class Energy(Section):
    """Joules per sample under a named chip model; `dynamic` is without the static power.

    `static_joules_low`: the static part at the lower end of the model's range, where it states one; the total has the upper end.
    """

    model: str
    joules_per_sample: Amount
    dynamic_joules_per_sample: Amount
    static_joules_low: Amount | None = None
    components: list[EnergyComponent]
    note: str = ""


class LatencyComponent(Section):
    """A term of the time of a step in seconds, with its status and source."""

    name: str
    seconds_per_step: Amount
    status: str
    source: str


class Latency(Section):
    """Seconds per sample under a named chip model: `steps` (of a sample's way through the network) times seconds per step.

    `timed_samples`: those of which every step was timed, 0 where the time is that of mean loads; `standard_error`: of `seconds_per_step`,
    over them; `slowest_step`: seconds of the longest step among theirs.
    """

    model: str
    seconds_per_sample: Amount
    steps: Whole
    seconds_per_step: Amount
    throughput_samples_per_second: Amount
    timed_samples: Whole = 0
    standard_error: Amount | None = None
    slowest_step: Amount | None = None
    components: list[LatencyComponent]
    note: str = ""


class Part(Section):
    """A part of a model's energy or time: joules or seconds per sample, and the status of its least certain number ("": none)."""

    name: str
    value: Amount
    status: str = ""


class ModelPrices(Section):
    """The counts of the run under one chip model: joules and seconds per sample, in total and by part."""

    model: str
    title: str = ""
    joules_per_sample: Amount
    dynamic_joules_per_sample: Amount
    energy: list[Part]
    seconds_per_sample: Amount
    latency: list[Part]
    note: str = ""


class LeftOut(Section):
    """A chip model without prices for these counts, and why."""

    model: str
    why: str


class Models(Section):
    """Every chip model of the target side by side; `mapped_for`: the chip that the counts belong to."""

    mapped_for: str
    rows: list[ModelPrices]
    left_out: list[LeftOut] = Field(default_factory=list[LeftOut])


class Baseline(Section):
    """A network in digital arithmetic alone: multiply-accumulates, accumulates and joules (None: no price) per sample."""

    name: str
    what: str
    macs_per_sample: Amount
    acs_per_sample: Amount
    joules_per_sample: Amount | None


class Baselines(Section):
    """The same network dense, without spikes, and as deployed, under a named model of operations."""

    model: str
    title: str | None = None
    note: str = ""
    rows: list[Baseline]


class Counted(Section):
    """A network's synaptic operations per sample by a definition, those of them that multiply, and their joules (None: no price)."""

    sops_per_sample: Amount
    macs_per_sample: Amount = 0.0
    joules_per_sample: Amount | None


class Price(Section):
    """Joules of one operation or event, with status and source."""

    operation: str
    joules: Amount
    status: str
    source: str


class Definition(Section):
    """One way of counting SOPs and pricing them: what is counted, who counts so, and the figures per sample.

    `dense_snn`: every weight present under the same spikes, by the same rule; `dense_ann`: one pass of multiply-accumulates.
    """

    what: str
    source: str
    deployed: Counted
    dense_snn: Counted
    dense_ann: Counted
    prices: list[Price]
    note: str = ""
