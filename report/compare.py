"""Several runs side by side: one row per run, accuracy against connectivity, operations and energy. Rendered as page, text or Markdown.

Energies are compared under one chip model: one that has priced every run, the first run's own if possible. If no model priced all,
each model has a drawing of its own runs, and the table names the model of each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import scatter
from .compared import Run, rows
from .format import MISSING, compact, count, percent, points, shorten, si
from .seeds import Group, Spread, groups
from .series import Series, of_runs
from .table import Cell, Column, Table, row

__all__ = ["SPREAD", "Run", "digital", "document", "provenance", "rows", "seeds", "shared", "table", "view", "warned"]

FORMAT = "spikeloom.comparison"
VERSION = 1
_DRAWN = 4
NO_LABELS = "no labels"


def document(made: Sequence[Run]) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    return {"format": FORMAT, "version": VERSION, "runs": [asdict(run) for run in made], "seeds": [_of_seeds(g) for g in groups(made)]}


SPREAD = ("connectivity", "accuracy", "sops", "spikes", "messages", "cores", "joules", "dynamic_joules", "seconds")
"""What differs between seeds."""


def _of_seeds(group: Group) -> dict[str, Any]:
    """Return mean, standard deviation and n of a group, with what its runs share."""
    first = group.first
    shared = {key: getattr(first, key) for key in ("data", "net", "method", "sparsity_asked", "chip", "encoding", "weight_bits", "model")}
    spreads = ((key, group.of(key)) for key in SPREAD)
    figures = {key: {"mean": one.mean, "standard_deviation": one.deviation, "n": one.n} if one else None for key, one in spreads}
    return {"runs": [run.number for run in group.runs], "seeds": [run.seed for run in group.runs], **shared, **figures}


def _checked(run: Run) -> str:
    return MISSING if run.equal is None else "equal" if run.equal else "DIFFERS"


@dataclass(frozen=True)
class _Figure:
    """A column: how a run is written in it, and the field whose lowest (-1) or highest (1) value is the best of its data set.

    `once`: omitted if all runs share it; `digital`: omitted if no run has it.
    """

    column: Column
    written: Callable[[Run], str]
    key: str = ""
    way: int = -1
    once: bool = False
    digital: str = ""


def _word(heading: str, written: Callable[[Run], str]) -> _Figure:
    return _Figure(Column(heading, figure=False, wide=True), written, once=True)


_FIGURES: tuple[_Figure, ...] = (
    _Figure(Column("#"), lambda r: str(r.number)),
    _Figure(Column("run", figure=False), lambda r: r.run),
    _word("data", lambda r: shorten(r.data, 24)),
    _word("method", lambda r: shorten(r.method or MISSING, 16)),
    _Figure(Column("connectivity", brief="connect."), lambda r: percent(r.connectivity)),
    _Figure(Column("accuracy"), lambda r: NO_LABELS if r.accuracy is None else percent(r.accuracy), "accuracy", 1),
    _Figure(Column("samples", wide=True), lambda r: r.over.removesuffix(" samples"), once=True),
    _Figure(Column("from float", wide=True), lambda r: points(r.change)),
    _Figure(Column("SOPs"), lambda r: compact(r.sops), "sops"),
    _Figure(Column("spikes", wide=True), lambda r: compact(r.spikes), "spikes"),
    _Figure(Column("messages", wide=True), lambda r: compact(r.messages), "messages"),
    _Figure(Column("cores"), lambda r: count(r.cores)),
    _Figure(Column("energy"), lambda r: si(r.joules, "J"), "joules"),
    _Figure(Column("dynamic"), lambda r: si(r.dynamic_joules, "J"), "dynamic_joules"),
    _Figure(Column("latency", wide=True), lambda r: si(r.seconds, "s"), "seconds"),
    _Figure(Column("dense ANN", wide=True), lambda r: si(r.dense_ann_joules, "J"), digital="dense_ann_joules"),
    _Figure(Column("dense SNN", wide=True), lambda r: si(r.dense_snn_joules, "J"), digital="dense_snn_joules"),
    _Figure(
        Column("deployed SNN", wide=True), lambda r: si(r.deployed_snn_joules, "J"), "deployed_snn_joules", digital="deployed_snn_joules"
    ),
    _word("model", lambda r: shorten(r.model, 24)),
    _word("chip", lambda r: shorten(r.chip, 24)),
    _word("check", _checked),
)


def table(made: Sequence[Run]) -> Table:
    """Return the table of these runs, without columns that all share; the best among runs on the same data is bold."""
    chosen = [f for f in _FIGURES if not f.once or len({f.written(run) for run in made}) > 1]
    chosen = [f for f in chosen if not f.digital or any(getattr(run, f.digital) is not None for run in made)]
    best = _best(made)
    rows = (row(*(Cell(f.written(run), strong=(f.key, run.number) in best) for f in chosen)) for run in made)
    return Table(f"{len(made)} runs, figures per sample", tuple(f.column for f in chosen), tuple(rows))


SEEDS_NOTE = "SD: standard deviation over the n seeds (n − 1 in the denominator), of the accuracy in percentage points."


def seeds(made: Sequence[Run]) -> Table:
    """Return a line for each setting, its runs being its seeds: means, standard deviations and n; empty if none has several seeds."""
    found = groups(made)
    columns = (
        Column("runs", figure=False, wide=True),
        Column("setting", figure=False),
        Column("connectivity", brief="connect."),
        Column("n"),
        Column("accuracy"),
        Column("SD of accuracy", brief="SD"),
        Column("SOPs"),
        Column("SD of SOPs", brief="SD"),
        Column("dynamic energy", brief="dynamic"),
        Column("SD of dynamic energy", brief="SD"),
        Column("energy", wide=True),
        Column("SD of energy", wide=True),
        Column("latency", wide=True),
        Column("SD of latency", wide=True),
    )
    named = {run.number: series.name for run, series in zip(made, of_runs(made), strict=True)}
    lines = [
        row(", ".join(str(run.number) for run in group.runs), named[group.first.number], *_means(group))
        for group in found
        if max(len(g.runs) for g in found) > 1
    ]
    return Table("Means over seeds, per sample", columns, tuple(lines), note=SEEDS_NOTE)


def _means(group: Group) -> list[str]:
    connectivity = group.of("connectivity")
    written = [percent(connectivity.mean if connectivity else None), str(len(group.runs))]
    kinds: tuple[tuple[str, Callable[[float | None], str]], ...] = (
        ("accuracy", percent),
        ("sops", compact),
        ("dynamic_joules", _joules),
        ("joules", _joules),
        ("seconds", lambda value: si(value, "s")),
    )
    for key, write in kinds:
        found = group.of(key)
        written += mean_and_deviation(found, write, _points if key == "accuracy" else write)
    return written


def mean_and_deviation(found: Spread | None, write: Callable[[float | None], str], deviation: Callable[[float | None], str]) -> list[str]:
    """Return the cells of a mean and its standard deviation; dashes where there is none."""
    return [write(found.mean if found else None), deviation(found.deviation if found else None)]


def _joules(value: float | None) -> str:
    return si(value, "J")


def _points(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.2f}"


def warned(made: Sequence[Run]) -> list[tuple[str, list[int]]]:
    """Return every warning of the runs once, with the numbers of the runs that have it."""
    found: dict[str, list[int]] = {}
    for run in made:
        for text in run.warned:
            found.setdefault(text, []).append(run.number)
    return list(found.items())


def _best(made: Sequence[Run]) -> set[tuple[str, int]]:
    """Return the figures (field, number of the run) that are the best of two or more of their group."""
    found: set[tuple[str, int]] = set()
    for figure in (f for f in _FIGURES if f.key):
        rivals = Counter(_group(run, figure.key) for run in made)
        held = [(run, getattr(run, figure.key)) for run in made if getattr(run, figure.key) is not None]
        for run, value in held:
            group = _group(run, figure.key)
            top = max(figure.way * other for rival, other in held if _group(rival, figure.key) == group)
            if rivals[group] > 1 and figure.way * value == top:
                found.add((figure.key, run.number))
    return found


def _group(run: Run, key: str) -> tuple[object, ...]:
    """Only comparable figures have a best: accuracies on the same samples, energies and times of one model."""
    if key == "accuracy":
        return run.data, *run.tested_on
    return (run.data, run.model) if key in ("joules", "dynamic_joules", "seconds") else (run.data,)


def provenance(made: Sequence[Run]) -> Table:
    """Return where each run comes from: the command that repeats it, samples, seed, warnings, date and artefact."""
    columns = (
        Column("#"),
        Column("command that repeats the run", figure=False),
        Column("samples"),
        Column("seed of training"),
        Column("warnings"),
        Column("date", figure=False),
        Column("artefact", figure=False),
    )
    rows = (
        row(
            str(run.number),
            Cell(run.command, code=True) if run.command else "none: started from Python",
            run.over.removesuffix(" samples"),
            MISSING if run.seed is None else run.seed,
            count(run.warnings),
            (run.date or MISSING)[:10],
            Cell((run.artefact_sha256 or MISSING)[:12], code=True),
        )
        for run in made
    )
    return Table("Provenance", columns, tuple(rows), note="Artefact: the first digits of the SHA-256 of the deployed network.")


def digital(made: Sequence[Run]) -> str:
    """Name the model that prices dense and deployed networks in digital arithmetic; empty if no run has it."""
    models = ", ".join(dict.fromkeys(shorten(r.digital_model, 24) for r in made if r.digital_model))
    priced = "Dense ANN (one pass), dense SNN (the measured spikes), deployed SNN: arithmetic alone by"
    return f"{priced} {models}; not to be added to the chip's energy." if models else ""


def shared(made: Sequence[Run]) -> list[tuple[str, str]]:
    """Return what all runs have in common: (name, value)."""
    keys = (
        *(("data", "data", ""), ("net", "network", ""), ("method", "method", ""), ("chip", "chip", ""), ("model", "energy model", "")),
        *(
            ("encoding", "input encoding", ""),
            ("timesteps", "time steps", ""),
            ("weight_bits", "weights", " bits"),
            ("over", "run on", ""),
        ),
    )
    held = [(name, {getattr(run, key) for run in made}, unit) for key, name, unit in keys]
    found = [(name, next(iter(values)), unit) for name, values, unit in held if len(values) == 1 and None not in values]
    said = [(name, f"{value if isinstance(value, str) else count(value)}{unit}") for name, value, unit in found]
    checked = {r.equal for r in made}
    return [*said, ("check", "every spike of every run is equal")] if checked == {True} else said


def view(made: Sequence[Run]) -> dict[str, Any]:
    """Return the values for the page's template."""
    series = of_runs(made)
    names = list(dict.fromkeys(series))
    models = list(dict.fromkeys(str(r.model) for r in made))
    one = models[0] if len(models) == 1 else None
    drawn = [
        _figure(made, series, "connectivity", "Connectivity", "share of the trained weights that are left", _share),
        _figure(made, series, "sops", "Synaptic operations", "SOPs per sample", compact),
    ]
    for model in models[:_DRAWN]:
        label = f"dynamic energy per sample, model {shorten(model, 30)}"
        drawn.append(_figure(made, series, "dynamic_joules", "Energy", label, _energy, None if one else model))
    data = list(dict.fromkeys(shorten(r.data, 30) for r in made))
    return {
        "title": f"{len(made)} runs on {', '.join(data[:4])}{' and more' if len(data) > 4 else ''}",
        "shared": shared(made),
        "table": table(made),
        "seeds": seeds(made),
        "warned": [(text, ", ".join(map(str, numbers))) for text, numbers in warned(made)],
        "provenance": provenance(made),
        "figures": [figure for figure in drawn if figure],
        "legend": scatter.legend(names) if len(names) > 1 else None,
        "model": one,
        "digital": digital(made),
        "models": models,
        "data": data,
    }


def _energy(value: float) -> str:
    return si(value, "J", 2)


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _figure(
    made: Sequence[Run],
    series: Sequence[Series],
    key: str,
    title: str,
    label: str,
    written: Callable[[float], str],
    model: str | None = None,
) -> dict[str, Any] | None:
    """Return a drawing of the runs (of one model) that have `key`; None if fewer than two do."""
    marks = [
        scatter.Mark(r.number, r.run, s, getattr(r, key), r.accuracy, r.interval, r.same_but_seed)
        for r, s in zip(made, series, strict=True)
        if getattr(r, key) > 0.0 and r.accuracy is not None and r.interval and (model is None or r.model == model)
    ]
    if len(marks) < 2:
        return None
    return {"title": title, "chart": scatter.chart(marks, label, written)}
