"""`spikeloom repeat`: train, compile and run again from what a run folder holds, and compare what comes out, bit by bit."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from ..checked import checked
from ..compile.deployed import DeployedNetwork
from ..compile.deployed import load as load_deployed
from ..compile.files import asked
from ..errors import FormatError, SpikeloomWarning, UsageError
from ..files import read_bytes, read_json
from ..subset import choose
from ..train.progress import ProgressCallback

if TYPE_CHECKING:
    from ..runtime import Results
    from ..train.settings import TrainSettings

__all__ = ["Part", "Repeated", "repeat"]

LOOM, RESULTS = "model.loom", "results.json"
VOLATILE = ("wall_seconds", "samples_per_second", "compiling_seconds", "provenance", "arithmetic", "probed")
"""Entries of results.json that say when, where and how fast, not what; probes are compared by their arrays."""
Document = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A part of a run, before and again: its file, both SHA-256 digests of what it holds (without times), and what differs first."""

    name: str
    file: str
    before: str
    again: str
    first: str | None

    @property
    def equal(self) -> bool:
        """Whether both are the same, bit by bit."""
        return self.before == self.again


@dataclass(frozen=True)
class Repeated:
    """A run and its repetition: parts in the order in which they are made, conditions that differ, and what was not repeated and why."""

    run: Path
    again: Path
    parts: tuple[Part, ...]
    conditions: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every part that was repeated is the same."""
        return all(part.equal for part in self.parts)

    @property
    def first(self) -> Part | None:
        """The first part that differs; later ones follow from it."""
        return next((part for part in self.parts if not part.equal), None)

    def document(self) -> Document:
        """Return what `spikeloom repeat --json` prints."""
        rows = [
            {"name": p.name, "file": p.file, "equal": p.equal, "sha256": p.before, "sha256_again": p.again, "first": p.first}
            for p in self.parts
        ]
        told: Document = {"conditions": list(self.conditions), "left_out": list(self.left_out)}
        return {"run": str(self.run), "again": str(self.again), "equal": self.equal, "parts": rows, **told}


@checked(run="Name the folder of a finished run.", out="Name a folder that does not exist yet.")
def repeat(
    run: Path | str,
    out: Path | str,
    *,
    data_dir: Path | str | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
    report: Callable[[str], None] | None = None,
) -> Repeated:
    """Train, compile and run again by what a run folder recorded, and compare weights, deployed network and results.

    Args:
        run: folder of a finished run: settings.json and model.safetensors; model.loom and results.json are repeated where they exist.
        out: folder for the new run.
        data_dir: folder of the data sets; that of the run if None.
        threads: of the training; as recorded if None. Last bits depend on their number.
        progress: of the training, see `spikeloom.train.fit`.
        report: called with the name of each part before it is made.

    Returns:
        What is equal and what differs. A part that differs is compiled and run all the same.

    Raises:
        UsageError: a folder without a finished run, one that was trained on samples or with functions of your own, or `out` holds a run.
        SpikeloomError: see `train.fit`, `compile_network` and `runtime.run`.
    """
    from ..train.finished import SETTINGS, SUMMARY, json_object
    from ..train.parts import WEIGHTS
    from ..train.running import train_run
    from ..train.settings import TrainSettings

    folder, again, told = Path(run), Path(out), report or _quiet
    if not (folder / SUMMARY).exists():
        raise UsageError(f"{folder} holds no finished run (no {SUMMARY}). Name the folder given to spikeloom train --out.")
    settings = TrainSettings.read(json_object(folder / SETTINGS, "the settings of a run"))
    settings.check_names()
    own = [name for name in (settings.loss, settings.schedule, settings.augment) if "." in name]
    if own:
        raise UsageError(f"{folder} was trained with functions of your own ({', '.join(own)}), which only the program that made it has.")
    used = threads or settings.threads or json_object(folder / SUMMARY, "the summary of a run").get("threads")
    settings = replace(settings, threads=used, data_dir=settings.data_dir if data_dir is None else str(data_dir))
    left_out: list[str] = []
    with warnings.catch_warnings(action="ignore", category=SpikeloomWarning):  # the run's own files have them
        told("training")
        train_run(settings, again, progress=progress)
        parts = [_weights(folder / WEIGHTS, again / WEIGHTS)]
        if (folder / LOOM).exists():
            told("compiling")
            parts.append(_network(folder, again, left_out))
        if (folder / LOOM).exists() and (folder / RESULTS).exists():
            told("running")
            parts += _results(folder, again, settings, left_out)
    return Repeated(folder, again, tuple(parts), tuple(_conditions(folder, again)), tuple(left_out))


def _quiet(stage: str) -> None:
    """Say nothing."""


def _weights(before: Path, again: Path) -> Part:
    held, made = _tensors(before), _tensors(again)
    first = None
    for name in [*held, *(n for n in made if n not in held)]:
        if name not in held or name not in made or held[name].shape != made[name].shape:
            first = f"{name} has another shape, or is in one of them only"
            break
        differing = int(np.count_nonzero(held[name] != made[name]))
        if held[name].tobytes() != made[name].tobytes():
            largest = float(np.abs(held[name].astype(np.float64) - made[name].astype(np.float64)).max())
            first = f"{name}: {differing:,} of {held[name].size:,} values, by at most {largest:.3g}"
            break
    return Part("weights", before.name, _digest_of(held), _digest_of(made), first)


def _tensors(path: Path) -> dict[str, Any]:
    content = read_bytes(path, "the weights of a run", "Train again, with another --out.")
    try:
        return dict(sorted(load_tensors(content).items()))
    except SafetensorError as error:
        raise FormatError(f"{path} is damaged: {error}. Train again, with another --out.") from error


def _digest_of(arrays: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _network(folder: Path, again: Path, left_out: list[str]) -> Part:
    from ..compile import compile_network

    before = load_deployed(folder / LOOM)
    found = asked.read(folder, before.digest)
    before = _timeless(before)
    options: dict[str, Any] = {"target": before.target} if found is None else found
    if found is None:
        left_out.append(f"how {LOOM} was compiled is not recorded: it was compiled again with the default options of {before.target}")
    made = compile_network(again, **options)
    made.save(again / LOOM)
    made = _timeless(made)
    return Part("network", LOOM, before.digest, made.digest, _first_of_networks(before, made))


def _timeless(deployed: DeployedNetwork) -> DeployedNetwork:
    """Return a deployed network without the seconds that its passes took."""
    return replace(deployed, passes=tuple(replace(record, seconds=0.0) for record in deployed.passes))


def _first_of_networks(before: DeployedNetwork, made: DeployedNetwork) -> str | None:
    if before.digest == made.digest:
        return None
    for p, q in zip(before.network.projections, made.network.projections, strict=False):
        if p.name != q.name or p.exponent != q.exponent:
            return f"projection {p.name}: exponent {p.exponent}, again {q.exponent} ({q.name})"
        one, two = p.synapses.unrolled(), q.synapses.unrolled()
        if one.count != two.count or not (np.array_equal(one.indices, two.indices) and np.array_equal(one.data, two.data)):
            return f"projection {p.name}: {one.count:,} synapses, again {two.count:,}, of other values or places"
    for p, q in zip(before.network.spiking, made.network.spiking, strict=False):
        if p.neuron != q.neuron or not np.array_equal(p.biases, q.biases):
            return f"neurons of {p.name}: {p.neuron}, again {q.neuron}"
    if not np.array_equal(before.mapping.core_of, made.mapping.core_of):
        return "the mapping: neurons lie on other cores"
    return "what the file records beside the network: " + (_first(_told(before), _told(made)) or "options or figures of the passes")


def _told(deployed: DeployedNetwork) -> Document:
    network = deployed.network
    stages = {stage.name: stage.accuracy for stage in network.stages}
    return {"provenance": dict(network.provenance), "stages": stages, "warnings": list(deployed.warnings), "drift": dict(deployed.drift)}


def _results(folder: Path, again: Path, settings: TrainSettings, left_out: list[str]) -> list[Part]:
    from ..runtime.results import load
    from ..runtime.simulator import run as run_network
    from ..train import load_dataset

    before = load(folder / RESULTS)
    if before.data != settings.data:
        left_out.append(f"{RESULTS} is of {before.data}; only runs on the data set of the training, {settings.data}, are repeated")
        return []
    data_dir = None if settings.data_dir is None else Path(settings.data_dir)
    made = run_network(
        again / LOOM,
        load_dataset(settings.data, data_dir, settings.data_options).test,
        backend=before.backend,
        samples=_subset(before),
        check=before.check is not None,
        energy_model=None if before.energy.model == before.chip.name else before.energy.model,
        seed=before.provenance.seed or 0,
        data_name=before.data,
        options=_options(before),
        folder=again,
        probes=tuple(before.probes),
        probe_samples=_probed(before),
    )
    made.save(again / RESULTS)
    one, two = _figures(before), _figures(made)
    return [Part("results", RESULTS, _digest(one), _digest(two), _first(one, two))]


def _options(before: Results) -> Any:
    from ..runtime import BackendOptions

    return BackendOptions(by_step=before.by_step is not None)


def _subset(before: Results) -> int | str | None:
    taken = before.subset
    if taken is None or taken.chosen == "all":
        return None
    return f"first:{taken.samples}" if taken.chosen == "first" else taken.samples


def _probed(before: Results) -> int | str | None:
    """Return which samples of a run its probes recorded, as `--probe-samples` says it."""
    if before.probed is None or before.sample_ids is None or len(before.probed.sample_ids) == before.samples:
        return None
    count = len(before.probed.sample_ids)
    evenly = before.sample_ids[choose(count, before.samples).indices()]
    return count if np.array_equal(evenly, before.probed.sample_ids) else f"first:{count}"


def _figures(results: Results) -> Document:
    """Return what a run found, without times and versions; of what probes recorded a digest each."""
    document = {name: value for name, value in results.document().items() if name not in VOLATILE}
    return document | {f"probe {name}": _digest_of({name: results.probes[name]}) for name in results.probes}


def _digest(document: Document) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _first(before: Any, again: Any, place: str = "") -> str | None:
    """Return the first place where two JSON documents differ, with both values; None if they are equal."""
    if isinstance(before, dict) and isinstance(again, dict):
        return _first_of(_pairs(cast("Document", before), cast("Document", again), place))
    if isinstance(before, list) and isinstance(again, list) and len(cast("list[Any]", before)) == len(cast("list[Any]", again)):
        both = zip(cast("list[Any]", before), cast("list[Any]", again), strict=True)
        return _first_of((a, b, f"{place}[{i}]") for i, (a, b) in enumerate(both))
    return None if before == again else f"{place}: {_short(before)}, again {_short(again)}"


def _pairs(before: Document, again: Document, place: str) -> Iterator[tuple[Any, Any, str]]:
    for name in [*before, *(n for n in again if n not in before)]:
        yield before.get(name), again.get(name), f"{place}.{name}" if place else name


def _first_of(pairs: Iterator[tuple[Any, Any, str]]) -> str | None:
    return next((found for a, b, place in pairs if (found := _first(a, b, place)) is not None), None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _conditions(folder: Path, again: Path) -> Iterator[str]:
    """Yield what differs between the recorded conditions of both runs: threads, processor, libraries, and warnings about last bits."""
    one, two = (_where(place) for place in (folder, again))
    for name in sorted(one.keys() | two.keys()):
        if one.get(name) != two.get(name):
            yield f"{name}: {one.get(name, 'not recorded')}, again {two.get(name, 'not recorded')}"
    for place, when in ((folder, "the run"), (again, "the repetition")):
        for warning in cast("list[str]", read_json(place / "train.json", "the summary of a run").get("warnings", [])):
            if "last bits" in warning:
                yield f"{when} warned: {warning}"


def _where(folder: Path) -> dict[str, str]:
    summary = cast("Document", read_json(folder / "train.json", "the summary of a run"))
    found = {name: str(summary[name]) for name in ("threads", "spikeloom") if name in summary}
    found |= {name: str(value) for name, value in cast("Document", summary.get("platform", {})).items()}
    if (folder / RESULTS).exists():
        told = cast("Document", cast("Document", read_json(folder / RESULTS, "results")).get("provenance", {}))
        found |= {name: str(value) for name, value in cast("Document", told.get("versions", {})).items()}
        found |= {"python": str(told.get("python"))} if told.get("python") else {}
    return found
