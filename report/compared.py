"""One run among several: the figures by which runs are compared, under one chip model if one has priced all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from . import stages
from .document import Document
from .format import clean, samples_said

__all__ = ["Run", "common_model", "rows"]


class Priced(NamedTuple):
    """A run under a chip model: joules, those without the static power, and seconds per sample."""

    joules: float
    dynamic_joules: float
    seconds: float


@dataclass(frozen=True)
class Run:
    """A row of the comparison: per sample and in SI units; None if a run does not have the figure.

    `joules`, `dynamic_joules` and `seconds` are those of `model`; `interval`: the 95 % interval of the accuracy; `over`: the samples in
    words; `equal`: whether every spike matched the integer reference, None if not checked; `same_but_seed`: equal for two runs if nothing
    that they recorded differs but the seed of the training; `warned`: the texts of the warnings.
    """

    number: int
    run: str
    data: str
    net: str | None
    method: str | None
    sparsity_asked: float | None
    seed: str | None
    chip: str
    encoding: str
    timesteps: int
    weight_bits: int
    connectivity: float
    synapses: int
    float_accuracy: float | None
    accuracy: float | None
    samples: int
    of: int | None
    chosen: str | None
    over: str
    interval: tuple[float, float] | None
    sops: float
    spikes: float
    messages: float
    cores: int
    model: str
    joules: float
    dynamic_joules: float
    seconds: float
    digital_model: str | None
    dense_ann_joules: float | None
    dense_snn_joules: float | None
    deployed_snn_joules: float | None
    equal: bool | None
    warnings: int
    command: str | None
    artefact_sha256: str | None
    date: str | None
    same_but_seed: str
    warned: tuple[str, ...] = ()

    @property
    def change(self) -> float | None:
        """The accuracy minus that of the first stage on the same samples."""
        return None if self.float_accuracy is None or self.accuracy is None else self.accuracy - self.float_accuracy

    @property
    def tested_on(self) -> tuple[object, ...]:
        """A key that is equal for two runs if their accuracies are on the same samples."""
        return stages.tested_on("test", self.samples, self.of, self.chosen)


def rows(runs: Sequence[tuple[str, Document]]) -> list[Run]:
    """Return one row of figures per run; runs: (name, results)."""
    cleaned = [(clean(name), clean(results)) for name, results in runs]
    model = common_model([results for _, results in cleaned])
    return [_run(number, name, results, model) for number, (name, results) in enumerate(cleaned, 1)]


def common_model(runs: Sequence[Document]) -> str | None:
    """Return the chip model that has priced every run, the first run's own if it did; None where there is none."""
    if not runs:
        return None
    priced = [_models(results) for results in runs]
    shared = [name for name in priced[0] if all(name in other for other in priced)]
    return next(iter(shared), None)  # a run's own model is the first of its models


def _models(results: Document) -> dict[str, Priced]:
    """Return the figures by model; the run's own first."""
    power, time = results.energy, results.latency
    found = {power.model: Priced(power.joules_per_sample, power.dynamic_joules_per_sample, time.seconds_per_sample)}
    for row in results.models.rows if results.models else []:
        found.setdefault(row.model, Priced(row.joules_per_sample, row.dynamic_joules_per_sample, row.seconds_per_sample))
    return found


def _float_accuracy(results: Document) -> float | None:
    """Return the accuracy of the first stage on the same samples as the run: on others it differs by chance alone."""
    drawn = results.subset
    here = stages.tested_on("test", results.samples, drawn.of if drawn else None, drawn.chosen if drawn else None)
    before = [s.accuracy for s in results.stages if stages.tested_on(s.split, s.samples, s.of, s.chosen) == here]
    return before[0] if len(before) > 1 else None


def _run(number: int, name: str, results: Document, model: str | None) -> Run:
    network, origin, drawn, digital = results.network, results.provenance, results.subset, results.baselines
    used = results.energy.model if model is None else model
    priced = _models(results)[used]
    plain = {row.name: row.joules_per_sample for row in digital.rows} if digital else {}
    kept = network.weight_connectivity
    return Run(
        number=number,
        run=name,
        data=results.data,
        net=origin.trained("net"),
        method=origin.trained("method"),
        sparsity_asked=_float(origin.trained("sparsity_asked")),
        seed=origin.trained("seed"),
        chip=results.chip.name,
        encoding=network.encoding,
        timesteps=network.timesteps,
        weight_bits=network.weight_bits,
        connectivity=network.connectivity if kept is None else kept,
        synapses=network.synapses,
        float_accuracy=_float_accuracy(results),
        accuracy=results.accuracy,
        samples=results.samples,
        of=drawn.of if drawn else None,
        chosen=drawn.chosen if drawn else None,
        over=samples_said(results),
        interval=stages.interval(results.accuracy, results.samples),
        sops=results.sops_per_sample,
        spikes=results.spikes_per_sample,
        messages=results.messages_per_sample,
        cores=results.mapping.cores,
        model=used,
        joules=priced.joules,
        dynamic_joules=priced.dynamic_joules,
        seconds=priced.seconds,
        digital_model=digital.model if digital else None,
        dense_ann_joules=plain.get("dense ANN"),
        dense_snn_joules=plain.get("dense SNN"),
        deployed_snn_joules=plain.get("deployed SNN"),
        equal=results.check.equal if results.check else None,
        warnings=len(results.warnings),
        command=origin.command or None,
        artefact_sha256=origin.artefact_sha256,
        date=origin.date,
        same_but_seed=_same_but_seed(number, results),
        warned=tuple(results.warnings),
    )


_MEASURED = ("seed", "sparsity_reached")
"""What a training records that its seed changes."""


def _same_but_seed(number: int, results: Document) -> str:
    """Return what identifies a run but for its seed; of a run that names no seed, its number."""
    origin, drawn = results.provenance, results.subset
    if origin.trained("seed") is None:
        return f"run {number}"
    trained = {name: str(value) for name, value in origin.training.items() if name not in _MEASURED}
    compiled = {name: re.sub(r"seed \d+", "seed", value) for name, value in origin.compiling.items()}
    run = (results.data, results.backend, results.samples, *((drawn.of, drawn.chosen) if drawn else ()))
    whole = json.dumps(
        [trained, compiled, origin.data_options, run, results.chip.name, results.energy.model, results.network.encoding], sort_keys=True
    )
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _float(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
