"""The page of a sweep: accuracy against connectivity, SOPs and energy, one line per method, and the table behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from ..files import write_text
from ..report.format import MISSING, clean, compact, count, percent, si
from ..report.html import render_page
from ..report.scatter import Mark, chart, legend
from ..report.seeds import spread
from ..report.series import of_names
from ..report.table import Column, Table, row

__all__ = ["Point", "points", "table", "write_page"]

NOTE = (
    "Accuracy is that of the exported network on the test set; deployed, SOPs and energy are those of the compiled network on all of it. "
    "Figures are means over the n seeds; SD is the standard deviation over them (n − 1 in the denominator), of accuracies in percentage "
    "points. Connectivity is the share of weights that are not zero, unrolled is that of synapses, reachable that of synapses that a "
    "spike from the input can cross. Pruned and regrown are summed over the epochs."
)
Row = dict[str, Any]
Point = dict[str, Any]


def points(rows: Iterable[Row]) -> list[Point]:
    """Group finished rows over their seeds, by method and sparsity: the mean of each figure, and its standard deviation as `NAME_sd`."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for found in rows:
        if "error" not in found:
            groups.setdefault((found["method"], found["sparsity_asked"]), []).append(found)
    return [_point(method, sparsity, group) for (method, sparsity), group in groups.items()]


def _point(method: str, sparsity: float, group: list[Row]) -> Point:
    names = ("connectivity", "connectivity_unrolled", "connectivity_reachable", "sparsity", "pruned", "regrown")
    names += ("accuracy", "deployed_accuracy", "sops", "energy_joules", "dynamic_energy_joules")
    point: Point = {"method": method, "sparsity_asked": sparsity, "seeds": len(group)}
    for name in names:
        found = spread(row[name] for row in group) if all(name in row for row in group) else None
        if found is not None:
            point |= {name: found.mean, f"{name}_sd": found.deviation}
    return point


COLUMNS = (
    Column("#", wide=True),
    Column("method", figure=False),
    Column("connectivity", brief="connect."),
    Column("n"),
    Column("accuracy"),
    Column("SD of accuracy", brief="SD"),
    Column("deployed", wide=True),
    Column("SD of deployed", wide=True),
    Column("SOPs"),
    Column("SD of SOPs", brief="SD"),
    Column("dynamic energy", brief="dynamic"),
    Column("SD of dynamic energy", brief="SD"),
    *(Column(heading, wide=True) for heading in ("unrolled", "reachable", "pruned", "regrown")),
)


def table(rows: Iterable[Row]) -> Table:
    """Return the table, a line per method and sparsity: means over the seeds, their number n, and standard deviations (SD)."""
    lines = (row(str(number), *_cells(point)) for number, point in enumerate(points(rows), 1))
    return Table("Means over seeds, per sample", COLUMNS, tuple(lines), note=NOTE)


def _cells(point: Point) -> Iterator[str]:
    yield point["method"]
    yield percent(point["connectivity"])
    yield count(point["seeds"])
    for name in ("accuracy", "deployed_accuracy"):
        deviation = point.get(f"{name}_sd")
        yield percent(point.get(name))
        yield MISSING if deviation is None else f"{100 * deviation:.2f}"
    yield compact(point.get("sops"))
    yield compact(point.get("sops_sd"))
    yield si(point.get("dynamic_energy_joules"), "J")
    yield si(point.get("dynamic_energy_joules_sd"), "J")
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
    commands = [row["command"] for row in rows if "command" in row]
    texts = {"methods": methods, "settings": list(_settings(settings)), "failed": failed, "commands": commands, "warned": _warned(rows)}
    drawn = {"legend": legend(list(of_names(p["method"] for p in points(rows)).values())), "figures": list(_figures(points(rows)))}
    return write_text(
        path, render_page("sweep.html.j2", {"title": f"Sweep of {methods}", **clean(texts), "table": table(clean(rows)), **drawn})
    )


def _warned(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return every warning once, with the cells that have it."""
    found: dict[str, list[str]] = {}
    for cell in rows:
        for text in cell.get("warnings", ()):
            found.setdefault(text, []).append(f"{cell['method']} {cell['sparsity_asked']:g} seed {cell['seed']}")
    return [(text, ", ".join(cells)) for text, cells in found.items()]


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name the settings, options with their prefix: net.hidden 400."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from (f"{name.removesuffix('_options')}.{option}" for option in _settings(cast("Mapping[str, Any]", value)))
        elif value is not None:
            yield f"{name} {', '.join(map(str, cast('list[Any]', value))) if isinstance(value, list | tuple) else value}"


def _figures(drawn: list[Point]) -> Iterator[dict[str, Any]]:
    """Plot accuracy against the cost of each point, where at least one has it; whiskers of one standard deviation over the seeds."""
    axes = (
        ("connectivity", "Connectivity", "share of weights that are not zero", lambda v: f"{100 * v:.3g} %"),
        ("sops", "Synaptic operations", "SOPs per sample", compact),
        ("dynamic_energy_joules", "Energy", "dynamic energy per sample", lambda v: si(v, "J", 2)),
    )
    series = of_names(p["method"] for p in drawn)
    for axis, title, label, written in axes:
        marks = [
            Mark(
                number,
                _named(p),
                series[p["method"]],
                p[axis],
                p["accuracy"],
                _around(p, "accuracy"),
                p["sparsity_asked"],
                _around(p, axis),
            )
            for number, p in enumerate(drawn, 1)
            if p.get(axis)
        ]
        if marks:
            yield {"title": title, "chart": chart(marks, label, written)}


def _around(point: Point, name: str) -> tuple[float, float] | None:
    """Return the mean minus and plus the standard deviation; None of a single seed."""
    deviation = point.get(f"{name}_sd")
    return None if deviation is None else (point[name] - deviation, point[name] + deviation)


def _named(point: Point) -> str:
    return f"{point['method']} at sparsity {point['sparsity_asked']:g}, {point['seeds']} {'seed' if point['seeds'] == 1 else 'seeds'}"
