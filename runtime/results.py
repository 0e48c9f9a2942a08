"""results.json: its schema (pydantic), reading and writing. Counts and figures are per sample; units are in the names."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import DAMAGE, FormatError
from ..files import read_json, write_json
from . import arrays
from .arrays import PerSample, SamplesByClasses

FORMAT = "spikeloom.results"
VERSION = 1
Fraction = Field(ge=0.0, le=1.0)


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class StageResult(_Model):
    """Accuracy (0..1) at a stage of the chain, over `samples` of the `of` samples of a split, `chosen` all, evenly or first."""

    name: str
    accuracy: float = Fraction
    samples: int
    split: str = "test"
    of: int | None = None
    chosen: str = "all"


class EnergyComponent(_Model):
    """One term of the energy bill, with its source."""

    name: str
    count_per_sample: float
    joules_per_unit: float | None
    joules_per_sample: float
    status: str
    source: str


class Energy(_Model):
    """Joules per sample under a named chip model."""

    model: str
    joules_per_sample: float
    dynamic_joules_per_sample: float
    components: list[EnergyComponent]
    note: str = ""


class LatencyComponent(_Model):
    """One term of a step's time, with its source."""

    name: str
    seconds_per_step: float
    status: str
    source: str


class Latency(_Model):
    """Seconds per sample under a named chip model."""

    model: str
    seconds_per_sample: float
    steps: int
    seconds_per_step: float
    throughput_samples_per_second: float
    components: list[LatencyComponent]


class Check(_Model):
    """The comparison of every spike with the integer reference."""

    reference: str
    backend: str
    samples: int
    populations: list[str]
    spikes_compared: int
    equal: bool


class SubsetRun(_Model):
    """Which samples of the data were run: `samples` of `of`, `chosen` all, evenly (spread over the set) or first."""

    samples: int = Field(ge=1)
    of: int = Field(ge=1)
    chosen: str


class Results(_Model):
    """What one run found. The tables that only the report reads are kept as plain rows.

    `accuracy`: share of the predictions that are the labels; None where the samples had none.
    `predictions`: (samples,) int64, of each sample the class whose output neurons spiked most, the lowest where several did.
    `output_counts`: (samples, classes) int64, the spikes that this was decided by: of all output neurons of a class, over all time steps.
    `sample_ids`: (samples,) int64, which sample of the data each row is. All three are None in results of before they were kept.
    """

    format: str = FORMAT
    version: int = VERSION
    network: dict[str, Any]
    data: str
    backend: str
    samples: int = Field(ge=1)
    subset: SubsetRun | None = None  # None: results of an earlier version, whose samples were the first ones
    accuracy: float | None = Field(default=None, ge=0.0, le=1.0)
    predictions: PerSample | None = None
    output_counts: SamplesByClasses | None = None
    sample_ids: PerSample | None = None
    wall_seconds: float
    samples_per_second: float
    compiling_seconds: float = 0.0
    sops_per_sample: float
    crossbar_events_per_sample: float | None = None
    spikes_per_sample: float
    neuron_updates_per_sample: float
    messages_per_sample: float
    hops_per_sample: float
    host_macs_per_sample: int
    layers: list[dict[str, Any]]
    cores: list[dict[str, Any]]
    chip: dict[str, Any]
    traffic: dict[str, Any]
    mapping: dict[str, Any]
    energy: Energy
    latency: Latency
    stages: list[StageResult]
    baselines: dict[str, Any] | None = None
    by_step: dict[str, Any] | None = None
    models: dict[str, Any] | None = None
    neurobench: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    rates: dict[str, Any] | None = None
    check: Check | None = None
    checks: list[Check] = []  # of all backends that ran the same artefact, where results were gathered
    raster: dict[str, Any] | None = None
    arithmetic: dict[str, Any] | None = None
    warnings: list[str] = []
    provenance: dict[str, Any] = {}

    def __eq__(self, other: object) -> bool:
        return self.document() == other.document() if isinstance(other, Results) else NotImplemented

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def document(self, most: int | None = None) -> dict[str, Any]:
        """Return the results as a dictionary of JSON values; arrays of more than `most` numbers are left out."""
        return self.model_dump(mode="json", exclude=set(self._large(most)))

    def _large(self, most: int | None) -> dict[str, Any]:
        """Return the arrays of more than `most` numbers, by name."""
        held = {name: getattr(self, name) for name in _ARRAYS}
        return {name: array for name, array in held.items() if array is not None and most is not None and array.size > most}

    def save(self, path: Path | str) -> Path:
        """Write results.json, atomically; before it, arrays of more than `arrays.INLINE` numbers into a safetensors file beside it."""
        place = Path(path)
        said = arrays.write(place, self._large(arrays.INLINE))
        return write_json(place, self.document(arrays.INLINE) | ({} if said is None else {"arrays": said}))

    def write_report(self, path: Path | str) -> Path:
        """Write the HTML page of these results, atomically."""
        from ..report import html

        return html.write(self.document(), Path(path))


_ARRAYS = ("predictions", "output_counts", "sample_ids")


def load(path: Path | str) -> Results:
    """Read a results.json, or those of a run folder (see `gather`).

    Raises:
        FormatError: missing, damaged, foreign or newer.
    """
    if Path(path).is_dir():
        return gather(Path(path))
    document = read_json(Path(path), "results of spikeloom run", "Run the network first, or name its run folder.")
    if not isinstance(document, dict) or document.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise FormatError(f"{path} does not hold results of spikeloom run. Run the network again.")
    if document.get("version") != VERSION:
        raise FormatError(f"{path} has format version {document.get('version')!r}; this spikeloom reads {VERSION}. Update spikeloom.")
    try:
        found: dict[str, Any] = {name: value for name, value in document.items() if name != "arrays"}
        return Results.model_validate(found | arrays.read(Path(path), document.get("arrays")))
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(f"{path} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}. Run the network again.") from error


@contextmanager
def legible(*paths: Path) -> Generator[None]:
    """Refuse results whose plain rows, which no schema checks, lack something that a report shows, or have another kind of value.

    Raises:
        FormatError: the message names `paths`.
    """
    try:
        yield
    except (UndefinedError, *DAMAGE) as error:
        named = ", ".join(map(str, paths))
        raise FormatError(f"The results in {named} are damaged: {type(error).__name__}: {error}. Run the network again.") from error


def gather(folder: Path) -> Results:
    """Read the results of a run folder: those of the native run, with the checks that other backends made of the same artefact.

    Raises:
        FormatError: there are none, or one is damaged.
    """
    paths = sorted(folder.glob("results*.json"), key=lambda p: (p.name != "results.json", p.name))
    if not paths:
        hint = shlex.join(["spikeloom", "run", f"{folder}/model.loom", "--data", "NAME"])
        raise FormatError(f"{folder} holds no results.json. Run the network first: {hint}.")
    main, *others = (load(path) for path in paths)
    same = [o for o in others if o.provenance.get("artefact_sha256") == main.provenance.get("artefact_sha256")]
    stages = [*main.stages, *(s for o in same for s in o.stages if s.name == f"deployed ({o.backend})" and o.backend != main.backend)]
    checks = [r.check for r in (main, *same) if r.check]
    return main.model_copy(update={"stages": stages, "check": next(iter(checks), None), "checks": checks})
