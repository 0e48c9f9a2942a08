"""The contents of results.json, section by section, as types that refuse a damaged or foreign file and name the wrong key.

They are here and not in `runtime`, which fills them, because `runtime` may import `report` and not the other way round: the report reads
what it shows by attribute, from the same types that a run makes and a file is checked by. Figures are per sample unless their names say
otherwise; units end the names (joules, seconds, bytes). A section that a file of an earlier version lacks, or a figure of one, is None.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from .prices import Baselines, Definition, Energy, Latency, Models
from .section import MOST, Amount, Fraction, Labels, PerSample, Positive, Rate, SamplesByClasses, Section, Whole
from .sizes import ChipInUse, Core, Layer, MappingFound, NetworkSize, TrafficTable
from .step_bound import StepBound

__all__ = [
    "Arithmetic",
    "ByStep",
    "Check",
    "Document",
    "FORMAT",
    "Histogram",
    "Histograms",
    "NeuroBench",
    "NumberFormat",
    "Probe",
    "Probed",
    "Provenance",
    "Raster",
    "RasterOfPopulation",
    "Rates",
    "RatesOfPopulation",
    "StageResult",
    "StepsOfCores",
    "StepsOfPopulation",
    "SubsetRun",
    "VERSION",
]

FORMAT = "spikeloom.results"
VERSION = 1


class StageResult(Section):
    """Accuracy (0..1) at a stage of the chain, over `samples` of the `of` samples of a split, `chosen` all, evenly or first."""

    name: str
    accuracy: Fraction
    samples: Whole
    split: str = "test"
    of: Whole | None = None
    chosen: str = "all"


class StepsOfPopulation(Section):
    """Spikes of a population per sample, by time step."""

    name: str
    spikes: list[Rate]


class StepsOfCores(Section):
    """Counts per sample by core and time step: spikes of its neurons, SOPs that arrive, messages that it sends."""

    spikes: list[list[Rate]]
    sops: list[list[Rate]]
    messages: list[list[Rate]]


class ByStep(Section):
    """Counts per sample by time step; `input_messages`: those from off chip."""

    populations: list[StepsOfPopulation]
    cores: StepsOfCores
    input_messages: list[Rate]


class NeuroBench(Section):
    """NeuroBench's complexity metrics: bytes, shares 0..1, operations per sample; `runtime/neurobench.py` has their definitions."""

    footprint_bytes: Whole
    footprint_parts: dict[str, Whole]
    connection_sparsity: Fraction
    weights: Whole
    activation_sparsity: Fraction
    effective_macs_per_sample: Amount
    effective_acs_per_sample: Amount
    dense_per_sample: Amount


class Histogram(Section):
    """A projection's weights before quantisation (None: not known) and as deployed, counted in bins of `width` from `first` on.

    All are real weights. `step`: that of one integer; `integers`: distinct integers in use.
    """

    layer: str
    projection: str
    bits: Whole
    step: Amount
    weights_before: Whole | None
    weights_after: Whole
    integers: Whole
    largest_before: Amount | None
    largest_after: Amount
    first: Annotated[float, Field(ge=-MOST, le=MOST)]
    width: Annotated[float, Field(gt=0.0, le=MOST)]
    before: Annotated[list[Whole], Field(min_length=1)] | None
    after: Annotated[list[Whole], Field(min_length=1)]

    @model_validator(mode="after")
    def _same_bins(self) -> Self:
        if self.before is not None and len(self.before) != len(self.after):
            raise ValueError("before and after must have equally many bins")
        return self


class Histograms(Section):
    """The weights of every trained projection; `before`: where the float ones come from, or None with `why_not`."""

    before: str | None
    why_not: str | None
    rows: list[Histogram]


class RatesOfPopulation(Section):
    """Mean spikes per neuron at each time step, 0..1."""

    name: str
    rate_per_step: list[Rate]


class Rates(Section):
    """The rates by step, over this many samples."""

    samples: Whole
    populations: list[RatesOfPopulation]


class Check(Section):
    """The comparison of every spike with the integer reference."""

    reference: str
    backend: str
    samples: Whole
    populations: list[str]
    spikes_compared: Whole
    equal: bool


class RasterOfPopulation(Section):
    """The spikes of a population in one sample: time steps and neurons, as pairs; of many neurons only every `every`-th."""

    name: str
    neurons: Whole
    every: Positive = 1
    times: list[Whole]
    ids: list[Whole]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.times) != len(self.ids):
            raise ValueError("times and ids must be equally many")
        if self.ids and max(self.ids) >= self.neurons:
            raise ValueError(f"ids must be below the {self.neurons} neurons")
        return self


class Raster(Section):
    """The spikes of one sample: its number in the data, its label (None: none given) and the prediction."""

    sample: Whole
    label: int | None = None
    prediction: int | None = None
    timesteps: Whole
    populations: list[RasterOfPopulation]

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if any(max(p.times, default=-1) >= self.timesteps for p in self.populations):
            raise ValueError(f"times must be below the {self.timesteps} time steps")
        return self


class NumberFormat(Section):
    """The format that a projection was computed in: the largest sum that can occur, up to which the format is exact."""

    projection: str
    format: str
    largest_sum: Amount | None = None
    exact_to: Amount | None = None


class Arithmetic(Section):
    """What computed, and in which number formats, on a backend that chooses them."""

    device: str
    torch: str | None = None
    neurons: str | None = None
    projections: list[NumberFormat]


class Provenance(Section):
    """Where the figures come from: the command that reproduces them, versions, seed, checksums, the compile options.

    `before`: the commands that trained and compiled the network, where they are known.

    `training`: what the training recorded, by name; free-form, since each framework records something different.

    `data_options`: options of the data that the command set (--set data.NAME=VALUE), in place of those of the training.
    """

    command: str | None = None
    before: list[str] = Field(default_factory=list[str])
    spikeloom: str | None = None
    date: str | None = None
    python: str | None = None
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    artefact_sha256: str | None = None
    chip_sha256: str | None = None
    compiling: dict[str, str] = Field(default_factory=dict[str, str])
    training: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    data_options: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    native_form: str | None = None
    processes: Whole | None = None

    def trained(self, name: str) -> str | None:
        """Return an entry of `training` as text; None where there is none."""
        value = self.training.get(name)
        return None if value is None else str(value)


class SubsetRun(Section):
    """Which samples of the data were run: `samples` of `of`, `chosen` all, evenly (spread over the set) or first."""

    samples: Positive
    of: Positive
    chosen: str


class Probe(Section):
    """What one probe recorded: `population`.`state`, with the shape, type and unit of its array; `threshold` in the unit of v."""

    name: str
    population: str
    state: str
    shape: list[Whole]
    dtype: str
    unit: str
    threshold: int | None = None


class Probed(Section):
    """The probes of a run. `axes`: of every array; `sample_ids`: which sample of the data each row is; `file`: the safetensors file that
    holds the arrays, with its SHA-256."""

    axes: list[str]
    sample_ids: PerSample
    probes: list[Probe]
    file: str | None = None
    sha256: str | None = None


class Document(BaseModel):
    """The results of one run.

    `accuracy`: fraction of the predictions that match the labels; None if the samples had none.
    `predictions`: (samples,) int64, of each sample the class whose output neurons spiked most, the lowest where several did.
    `output_counts`: (samples, classes) int64, the spikes that this was decided by: of all output neurons of a class, over all time steps.
    `sample_ids`: (samples,) int64, which sample of the data each row is. All three are None in older results, which did not store them.
    `labels`: (samples,) int64, the class of each sample; None without labels, and in older results, which did not store them.
    `crossbar_events_per_sample`: set bits under a spike, of crossbars. `check`, `checks`: the first and all comparisons with the integer
    reference, where results of several backends were gathered. `probed`: what the probes recorded, and where it is.
    `definitions`: SOPs and energy as papers count them, by name: upr, neurobench, spikeloom; None in older results.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: str = FORMAT
    version: int = VERSION
    network: NetworkSize
    data: str
    backend: str
    samples: Positive
    subset: SubsetRun | None = None  # None: results of an earlier version, whose samples were the first ones
    accuracy: Fraction | None = None
    predictions: PerSample | None = None
    output_counts: SamplesByClasses | None = None
    sample_ids: PerSample | None = None
    labels: Labels | None = None
    wall_seconds: Amount
    samples_per_second: Amount
    compiling_seconds: Amount = 0.0
    sops_per_sample: Amount
    crossbar_events_per_sample: Amount | None = None
    spikes_per_sample: Amount
    neuron_updates_per_sample: Amount
    messages_per_sample: Amount
    hops_per_sample: Amount
    host_macs_per_sample: Whole
    layers: list[Layer]
    cores: list[Core]
    chip: ChipInUse
    traffic: TrafficTable
    mapping: MappingFound
    energy: Energy
    latency: Latency
    step_bound: StepBound | None = None
    stages: list[StageResult]
    baselines: Baselines | None = None
    definitions: dict[str, Definition] | None = None
    by_step: ByStep | None = None
    models: Models | None = None
    neurobench: NeuroBench | None = None
    weights: Histograms | None = None
    rates: Rates | None = None
    check: Check | None = None
    checks: list[Check] = Field(default_factory=list[Check])
    raster: Raster | None = None
    probed: Probed | None = None
    arithmetic: Arithmetic | None = None
    warnings: list[str] = Field(default_factory=list[str])
    provenance: Provenance = Field(default_factory=Provenance)
