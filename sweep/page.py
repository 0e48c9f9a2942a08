"""The page of a sweep: accuracy against connectivity, SOPs and energy, one line per method, and the table behind them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from ..files import write_text
from ..report.format import clean, compact, count, percent, si
from ..report.html import render_page
from ..report.scatter import Mark, chart, legend
from ..report.table import Column, Table, row

__all__ = ["Point", "points", "table", "write_page"]

NOTE = (
    "Accuracy is that of the exported network on the test set; deployed, SOPs and energy are those of the compiled network on all of it. "
    "± is half the way from the lowest to the highest seed, in points; all else are means over the seeds. Connectivity is the share of "
    "weights that are not zero, unrolled is that of synapses, reachable that of synapses that a spike from the input can cross. Pruned and "
    "regrown are summed over the epochs."
)
Row = dict[str, Any]
Point = dict[str, Any]


def points(rows: Iterable[Row]) -> list[Point]:
    """Group finished rows over their seeds: means, and the spread (largest minus smallest) of the accuracy, by method and sparsity."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for found in rows:
        if "error" not in found:
            groups.setdefault((found["method"], found["sparsity_asked"]), []).append(found)
    return [_point(method, sparsity, group) for (method, sparsity), group in groups.items()]


def _point(method: str, sparsity: float, group: list[Row]) -> Point:
    accuracies = [row["accuracy"] for row in group]
    names = ("connectivity", "connectivity_unrolled", "connectivity_reachable", "sparsity", "pruned", "regrown")
    names += ("deployed_accuracy", "sops", "dynamic_energy_joules")
    means = {name: statistics.fmean(row[name] for row in group) for name in names if all(name in row for row in group)}
    return {
        "method": method,
        "sparsity_asked": sparsity,
        "seeds": len(group),
        "accuracy": statistics.fmean(accuracies),
        "lowest": min(accuracies),
        "highest": max(accuracies),
        **means,
    }


COLUMNS = (
    Column("#", wide=True),
    Column("method", figure=False),
    Column("connectivity", brief="connect."),
    Column("accuracy"),
    Column("±"),
    Column("seeds"),
    Column("deployed"),
    Column("SOPs"),
    Column("dynamic energy", brief="dynamic"),
    *(Column(heading, wide=True) for heading in ("unrolled", "reachable", "pruned", "regrown")),
)


def table(rows: Iterable[Row]) -> Table:
    """Return the table, a line per method and sparsity; `±` is half the range over the seeds."""
    lines = (row(str(number), *_cells(point)) for number, point in enumerate(points(rows), 1))
    return Table("Means over seeds, per sample", COLUMNS, tuple(lines), note=NOTE)


def _cells(point: Point) -> Iterator[str]:
    yield point["method"]
    yield percent(point["connectivity"])
    yield percent(point["accuracy"])
    yield f"{50 * (point['highest'] - point['lowest']):.2f}" if point["seeds"] > 1 else ""
    yield count(point["seeds"])
    yield percent(point.get("deployed_accuracy"))
    yield compact(point.get("sops"))
    yield si(point.get("dynamic_energy_joules"), "J")
    yield percent(point["connectivity_unrolled"])
    yield percent(point.get("connectivity_reachable"))
    yield compact(point["pruned"])
    yield compact(point["regrown"])


def write_page(rows: list[Row], path: Path, settings: dict[str, Any]) -> Path:
    """Write the page, completely or not at all; it is self-contained.

    Raises:
        OutputError: the folder is full or read-only.
    """
    failed = [f"{row['method']} {row['sparsity_asked']:g} seed {row['seed']}: {row['error']}" for row in rows if "error" in row]
    methods = ", ".join(dict.fromkeys(r["method"] for r in rows))
    texts = {"methods": methods, "settings": list(_settings(settings)), "failed": failed}
    drawn = {"legend": legend(_methods(points(rows))), "figures": list(_figures(points(rows)))}
    return write_text(
        path, render_page("sweep.html.j2", {"title": f"Sweep of {methods}", **clean(texts), "table": table(clean(rows)), **drawn})
    )


def _methods(drawn: list[Point]) -> list[str]:
    return list(dict.fromkeys(point["method"] for point in drawn))


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings, options with their prefix: net.hidden 400."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from (f"{name.removesuffix('_options')}.{option}" for option in _settings(cast("Mapping[str, Any]", value)))
        elif value is not None:
            yield f"{name} {', '.join(map(str, cast('list[Any]', value))) if isinstance(value, list | tuple) else value}"


def _figures(drawn: list[Point]) -> Iterator[dict[str, Any]]:
    """Plot accuracy against the cost of each point, where at least one has it; whiskers from the lowest to the highest seed."""
    axes = (
        ("connectivity", "Connectivity", "share of weights that are not zero", lambda v: f"{100 * v:.3g} %"),
        ("sops", "Synaptic operations", "SOPs per sample", compact),
        ("dynamic_energy_joules", "Energy", "dynamic energy per sample", lambda v: si(v, "J", 2)),
    )
    for axis, title, label, written in axes:
        marks = [
            Mark(number, _named(p), p["method"], p[axis], p["accuracy"], (p["lowest"], p["highest"]), p["sparsity_asked"])
            for number, p in enumerate(drawn, 1)
            if p.get(axis)
        ]
        if marks:
            yield {"title": title, "chart": chart(marks, _methods(drawn), label, written)}


def _named(point: Point) -> str:
    return f"{point['method']} at sparsity {point['sparsity_asked']:g}, {point['seeds']} {'seed' if point['seeds'] == 1 else 'seeds'}"
