"""Several runs side by side: one row a run, accuracy against connectivity, operations and energy. Rendered as page, text or Markdown.

Energies are compared under one chip model: one that has priced every run, the first run's own where it did. Where no model priced all,
each model has a drawing of its own runs, and the table names the model of each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from . import scatter, stages
from .format import MISSING, clean, compact, count, percent, points, samples_said, shorten, si

__all__ = ["COLUMNS", "cells", "columns", "digital", "document", "rows", "shared", "view"]

FORMAT = "spikeloom.comparison"
VERSION = 1
Row = dict[str, Any]
_DRAWN = 4
NO_LABELS = "no labels"


def rows(runs: Sequence[tuple[str, Row]]) -> list[Row]:
    """Return one row a run of the figures that runs are compared by.

    Args:
        runs: (name, results.json parsed).

    Returns:
        Per sample and in SI units; None where a run does not say. `joules`, `dynamic_joules` and `seconds` are those of `model`.
    """
    cleaned = [(clean(name), clean(results)) for name, results in runs]
    model = common_model([results for _, results in cleaned])
    return [_row(number, name, results, model) for number, (name, results) in enumerate(cleaned, 1)]


def common_model(runs: Sequence[Row]) -> str | None:
    """Return the chip model that has priced every run, the first run's own if it did; None where there is none."""
    if not runs:
        return None
    priced = [_models(results) for results in runs]
    own = str((runs[0].get("energy") or {}).get("model"))
    shared = [name for name in priced[0] if all(name in other for other in priced)]
    return own if own in shared else next(iter(shared), None)


def _models(results: Row) -> dict[str, tuple[Any, Any, Any]]:
    """Return joules, dynamic joules and seconds a sample by model; the run's own first."""
    power, time = results.get("energy") or {}, results.get("latency") or {}
    found: dict[str, tuple[Any, Any, Any]] = {}
    if power.get("model"):
        found[str(power["model"])] = (
            power.get("joules_per_sample"),
            power.get("dynamic_joules_per_sample"),
            time.get("seconds_per_sample"),
        )
    for row in (results.get("models") or {}).get("rows") or []:
        figures = row.get("joules_per_sample"), row.get("dynamic_joules_per_sample"), row.get("seconds_per_sample")
        found.setdefault(str(row["model"]), figures)
    return found


def _row(number: int, name: str, results: Row, model: str | None) -> Row:
    network, trained = results.get("network") or {}, (results.get("provenance") or {}).get("training") or {}
    models = _models(results)
    used = model or next(iter(models), None)
    joules, dynamic, seconds = models.get(used or "", (None, None, None))
    kept = network.get("weight_connectivity")
    drawn = results.get("subset") or {}
    here = {"split": "test", "samples": results.get("samples"), "of": drawn.get("of"), "chosen": drawn.get("chosen")}
    same = stages.tested_on(here)  # on other samples the accuracy differs by chance alone
    before = [s for s in results.get("stages") or [] if stages.tested_on({"split": "test", **s}) == same]
    check = results.get("check") or {}
    digital = results.get("baselines") or {}
    plain = {str(row.get("name")): row.get("joules_per_sample") for row in digital.get("rows") or []}
    return {
        "number": number,
        "run": name,
        "data": results.get("data"),
        "net": trained.get("net"),
        "method": trained.get("method"),
        "sparsity_asked": _float(trained.get("sparsity_asked")),
        "seed": trained.get("seed"),
        "chip": (results.get("chip") or {}).get("name"),
        "encoding": network.get("encoding"),
        "timesteps": network.get("timesteps"),
        "weight_bits": network.get("weight_bits"),
        "connectivity": network.get("connectivity") if kept is None else kept,
        "synapses": network.get("synapses"),
        "float_accuracy": before[0].get("accuracy") if len(before) > 1 else None,
        "accuracy": results.get("accuracy"),
        "samples": results.get("samples"),
        "of": drawn.get("of"),
        "chosen": drawn.get("chosen"),
        "over": samples_said(results, drawn),
        "interval": stages.interval(results.get("accuracy"), int(results.get("samples") or 0)),
        "sops": results.get("sops_per_sample"),
        "spikes": results.get("spikes_per_sample"),
        "messages": results.get("messages_per_sample"),
        "cores": (results.get("mapping") or {}).get("cores"),
        "model": used,
        "joules": joules,
        "dynamic_joules": dynamic,
        "seconds": seconds,
        "digital_model": digital.get("model"),
        "dense_ann_joules": plain.get("dense ANN"),
        "dense_snn_joules": plain.get("dense SNN"),
        "deployed_snn_joules": plain.get("deployed SNN"),
        "equal": check.get("equal"),
        "warnings": len(results.get("warnings") or []),
        "command": (results.get("provenance") or {}).get("command") or None,
        "artefact_sha256": (results.get("provenance") or {}).get("artefact_sha256"),
        "date": (results.get("provenance") or {}).get("date"),
    }


def _float(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def document(made: Sequence[Row]) -> dict[str, Any]:
    """Return the comparison as JSON values."""
    return {"format": FORMAT, "version": VERSION, "runs": [dict(row) for row in made]}


def _checked(row: Row) -> str:
    return MISSING if row["equal"] is None else "equal" if row["equal"] else "DIFFERS"


def _change(row: Row) -> str:
    before, after = row["float_accuracy"], row["accuracy"]
    return points(None if before is None or after is None else after - before)


Column = tuple[str, bool, Callable[[Row], str], str, int]
COLUMNS: tuple[Column, ...] = (
    ("", True, lambda r: str(r["number"]), "", 0),
    ("run", False, lambda r: str(r["run"]), "", 0),
    ("data", False, lambda r: shorten(r["data"], 24), "", 0),
    ("method", False, lambda r: shorten(r["method"] or MISSING, 16), "", 0),
    ("connectivity", True, lambda r: percent(r["connectivity"]), "", 0),
    ("accuracy", True, lambda r: NO_LABELS if r["accuracy"] is None else percent(r["accuracy"]), "accuracy", 1),
    ("samples", True, lambda r: r["over"].removesuffix(" samples"), "", 0),
    ("from float", True, _change, "", 0),
    ("SOPs", True, lambda r: compact(r["sops"]), "sops", -1),
    ("spikes", True, lambda r: compact(r["spikes"]), "spikes", -1),
    ("messages", True, lambda r: compact(r["messages"]), "messages", -1),
    ("cores", True, lambda r: count(r["cores"]), "", 0),
    ("energy", True, lambda r: si(r["joules"], "J"), "joules", -1),
    ("dynamic", True, lambda r: si(r["dynamic_joules"], "J"), "dynamic_joules", -1),
    ("latency", True, lambda r: si(r["seconds"], "s"), "seconds", -1),
    ("dense ANN", True, lambda r: si(r["dense_ann_joules"], "J"), "", 0),
    ("dense SNN", True, lambda r: si(r["dense_snn_joules"], "J"), "", 0),
    ("deployed SNN", True, lambda r: si(r["deployed_snn_joules"], "J"), "deployed_snn_joules", -1),
    ("model", False, lambda r: shorten(r["model"] or MISSING, 24), "", 0),
    ("chip", False, lambda r: shorten(r["chip"] or MISSING, 24), "", 0),
    ("check", False, _checked, "", 0),
)
"""Heading, whether it is a figure, how a row is written, and the key whose lowest (-1) or highest (1) value is the best of its data set."""


_SAID_ONCE = ("data", "method", "samples", "model", "chip", "check")
_DIGITAL = {"dense ANN": "dense_ann_joules", "dense SNN": "dense_snn_joules", "deployed SNN": "deployed_snn_joules"}


def columns(made: Sequence[Row]) -> list[Column]:
    """Return the columns of the table of these runs: those of `COLUMNS`, without names that all runs share, and baselines that none has."""
    told = [c for c in COLUMNS if c[0] not in _SAID_ONCE or len({c[2](r) for r in made}) > 1]
    return [c for c in told if c[0] not in _DIGITAL or any(r[_DIGITAL[c[0]]] is not None for r in made)]


def digital(made: Sequence[Row]) -> str:
    """Say by which model dense and deployed networks are priced in plain arithmetic; nothing where no run has it."""
    models = ", ".join(dict.fromkeys(shorten(r["digital_model"], 24) for r in made if r["digital_model"]))
    priced = "Dense ANN (one pass), dense SNN (the measured spikes), deployed SNN: arithmetic alone by"
    return f"{priced} {models}; not to be added to the chip's energy." if models else ""


def shared(made: Sequence[Row]) -> list[tuple[str, str]]:
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
    found = [(name, made[0][key], unit) for key, name, unit in keys if len({str(r[key]) for r in made}) == 1 and made[0][key] is not None]
    said = [(name, f"{value if isinstance(value, str) else count(value)}{unit}") for name, value, unit in found]
    checked = {r["equal"] for r in made}
    return [*said, ("check", "every spike of every run is equal")] if checked == {True} else said


def cells(made: Sequence[Row]) -> list[list[tuple[str, bool]]]:
    """Return the table: for every row the texts of its `columns`, each with whether it is the best among runs on the same data."""
    best: dict[tuple[Any, str], Any] = {}
    rivals = Counter((_group(row, key), key) for _, _, _, key, _ in COLUMNS if key for row in made)
    chosen = columns(made)
    for _, _, _, key, way in chosen:
        for row in made if key else ():
            value, place = row[key], (_group(row, key), key)
            if value is not None and (place not in best or way * value > way * best[place]):
                best[place] = value
    return [
        [
            (say(row), key != "" and row[key] is not None and row[key] == best[_group(row, key), key] and rivals[_group(row, key), key] > 1)
            for _, _, say, key, _ in chosen
        ]
        for row in made
    ]


def _group(row: Row, key: str) -> Any:
    """Only what is of one data set has a best: accuracies on the same samples, energies and times of one model."""
    if key == "accuracy":
        return row["data"], *stages.tested_on(row)
    return (row["data"], row["model"]) if key in ("joules", "dynamic_joules", "seconds") else row["data"]


def view(made: Sequence[Row]) -> dict[str, Any]:
    """Return what the template of the page needs."""
    series = _series(made)
    names = list(dict.fromkeys(series))
    models = list(dict.fromkeys(str(r["model"]) for r in made if r["model"]))
    one = models[0] if len(models) == 1 else None
    drawn = [
        _figure(made, series, names, "connectivity", "Connectivity", "share of the trained weights that are left", _share),
        _figure(made, series, names, "sops", "Synaptic operations", "SOPs a sample", compact),
    ]
    for model in models[:_DRAWN]:
        label = f"dynamic energy a sample, model {shorten(model, 30)}"
        drawn.append(_figure(made, series, names, "dynamic_joules", "Energy", label, _energy, None if one else model))
    data = list(dict.fromkeys(shorten(r["data"], 30) for r in made))
    return {
        "title": f"{len(made)} runs on {', '.join(data[:4])}{' and more' if len(data) > 4 else ''}",
        "rows": made,
        "shared": shared(made),
        "columns": [(heading, figure) for heading, figure, *_ in columns(made)],
        "cells": cells(made),
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


def _series(made: Sequence[Row]) -> list[str]:
    """Return the series of each run: what differs among data, network, method and chip."""
    keys = [k for k in ("data", "net", "method", "chip", "encoding", "weight_bits") if len({str(r[k]) for r in made}) > 1]
    chosen = keys or ["method"]
    return [" · ".join(_named(k, r[k]) for k in chosen) for r in made]


def _named(key: str, value: Any) -> str:
    text = shorten(MISSING if value is None else value, 24)
    return f"{text} bits" if key == "weight_bits" else text


def _figure(
    made: Sequence[Row],
    series: Sequence[str],
    names: Sequence[str],
    key: str,
    title: str,
    label: str,
    written: Callable[[float], str],
    model: str | None = None,
) -> dict[str, Any] | None:
    """Return a drawing of the runs (of one model) that say `key`; None where fewer than two do."""
    marks = [
        scatter.Mark(r["number"], r["run"], s, r[key], r["accuracy"], r["interval"], r["sparsity_asked"])
        for r, s in zip(made, series, strict=True)
        if (r[key] or 0.0) > 0.0 and r["accuracy"] is not None and r["interval"] and (model is None or r["model"] == model)
    ]
    if len(marks) < 2:
        return None
    return {"title": title, "chart": scatter.chart(marks, names, label, written)}
