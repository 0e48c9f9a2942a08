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
from .table import Cell, Column, Table, row

__all__ = ["Run", "digital", "document", "provenance", "rows", "shared", "table", "view"]

FORMAT = "spikeloom.comparison"
VERSION = 1
_DRAWN = 4
NO_LABELS = "no labels"


def document(made: Sequence[Run]) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    return {"format": FORMAT, "version": VERSION, "runs": [asdict(run) for run in made]}


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
    series = _series(made)
    names = list(dict.fromkeys(series))
    models = list(dict.fromkeys(str(r.model) for r in made))
    one = models[0] if len(models) == 1 else None
    drawn = [
        _figure(made, series, names, "connectivity", "Connectivity", "share of the trained weights that are left", _share),
        _figure(made, series, names, "sops", "Synaptic operations", "SOPs per sample", compact),
    ]
    for model in models[:_DRAWN]:
        label = f"dynamic energy per sample, model {shorten(model, 30)}"
        drawn.append(_figure(made, series, names, "dynamic_joules", "Energy", label, _energy, None if one else model))
    data = list(dict.fromkeys(shorten(r.data, 30) for r in made))
    return {
        "title": f"{len(made)} runs on {', '.join(data[:4])}{' and more' if len(data) > 4 else ''}",
        "shared": shared(made),
        "table": table(made),
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


def _series(made: Sequence[Run]) -> list[str]:
    """Return the series of each run: what differs among data, network, method and chip."""
    keys = [k for k in ("data", "net", "method", "chip", "encoding", "weight_bits") if len({str(getattr(r, k)) for r in made}) > 1]
    chosen = keys or ["method"]
    return [" · ".join(_named(k, getattr(r, k)) for k in chosen) for r in made]


def _named(key: str, value: Any) -> str:
    text = shorten(MISSING if value is None else value, 24)
    return f"{text} bits" if key == "weight_bits" else text


def _figure(
    made: Sequence[Run],
    series: Sequence[str],
    names: Sequence[str],
    key: str,
    title: str,
    label: str,
    written: Callable[[float], str],
    model: str | None = None,
) -> dict[str, Any] | None:
    """Return a drawing of the runs (of one model) that have `key`; None if fewer than two do."""
    marks = [
        scatter.Mark(r.number, r.run, s, getattr(r, key), r.accuracy, r.interval, r.sparsity_asked)
        for r, s in zip(made, series, strict=True)
        if getattr(r, key) > 0.0 and r.accuracy is not None and r.interval and (model is None or r.model == model)
    ]
    if len(marks) < 2:
        return None
    return {"title": title, "chart": scatter.chart(marks, names, label, written)}
