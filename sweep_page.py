"""The page of a sweep: accuracy against connectivity and against SOPs, one line a method, and the table behind them."""

from __future__ import annotations

import html
import io
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from .files import write_text

__all__ = ["Point", "points", "table", "write_page"]

# Okabe and Ito's colours, which the colour-blind tell apart; each line has a marker of its own besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
NOTE = (
    "Accuracy is that of what was handed over, on the test set; deployed, SOPs and energy are those of the compiled network on all of it. "
    "± is half the way from the lowest to the highest seed, in points; all else are means over the seeds. Connectivity is the share of "
    "weights that are not zero, unrolled that of synapses. Pruned and regrown are summed over the epochs."
)
Row = dict[str, Any]
Point = dict[str, Any]


def points(rows: Iterable[Row]) -> list[Point]:
    """Group finished rows over their seeds: means, and the spread (largest minus smallest) of the accuracy, by method and sparsity."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault((row["method"], row["sparsity_asked"]), []).append(row)
    return [_point(method, sparsity, group) for (method, sparsity), group in groups.items()]


def _point(method: str, sparsity: float, group: list[Row]) -> Point:
    accuracies = [row["accuracy"] for row in group]
    names = ("connectivity", "connectivity_unrolled", "sparsity", "pruned", "regrown", "deployed_accuracy", "sops", "dynamic_energy_joules")
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


def table(rows: Iterable[Row]) -> list[list[str]]:
    """Return the head and the lines of the table, one a method and sparsity; `±` is half the way from the lowest to the highest seed."""
    head = ["method", "connect.", "accuracy", "±", "seeds", "deployed", "SOPs", "dynamic", "unrolled", "pruned", "regrown"]
    return [head, *([*_cells(point)] for point in points(rows))]


def _cells(point: Point) -> Iterable[str]:
    yield point["method"]
    yield f"{point['connectivity']:.2%}"
    yield f"{point['accuracy']:.2%}"
    yield f"{50 * (point['highest'] - point['lowest']):.2f}" if point["seeds"] > 1 else ""
    yield str(point["seeds"])
    yield f"{point['deployed_accuracy']:.2%}" if "deployed_accuracy" in point else ""
    yield f"{point['sops']:,.0f}" if "sops" in point else ""
    yield f"{point['dynamic_energy_joules'] * 1e9:,.0f} nJ" if "dynamic_energy_joules" in point else ""
    yield f"{point['connectivity_unrolled']:.2%}"
    yield f"{point['pruned']:,.0f}"
    yield f"{point['regrown']:,.0f}"


def write_page(rows: list[Row], path: Path, settings: dict[str, Any]) -> Path:
    """Write the page, whole or not at all; it needs nothing from elsewhere.

    Raises:
        OutputError: the folder is full or read-only.
    """
    style = (Path(__file__).parent / "runtime/report/templates/style.css").read_text()
    head, *lines = table(rows)
    failed = [row for row in rows if "error" in row]
    shown = ", ".join(_settings(settings))
    drawn = points(rows)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sweep</title><style>{style}figure svg{{max-width:100%;height:auto;background:#fff;border-radius:6px}}</style>",
        f'<p class="kicker">Spikeloom sweep</p><h1>{html.escape(", ".join(dict.fromkeys(r["method"] for r in rows)))}</h1>',
        f"<p>{html.escape(shown)}</p>",
        _failures(failed),
        f'<section class="pair">{_figure(drawn, "connectivity", "connectivity (share of weights that are not zero)", _percent)}'
        f"{_figure(drawn, 'sops', 'synaptic operations a sample', _plain)}</section>",
        "<section><h2>Table</h2><div class='scroll'><table class='wide'><thead><tr>",
        "".join(f"<th>{html.escape(name)}</th>" for name in head),
        "</tr></thead><tbody>",
        "".join("<tr>" + "".join(f"<td class='t'>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines),
        f"</tbody></table></div><p class='note'>{NOTE}</p></section></html>",
    ]
    return write_text(path, "".join(parts) + "\n")


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name what was asked for, options with their part: net.hidden 400."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from (f"{name.removesuffix('_options')}.{option}" for option in _settings(cast("Mapping[str, Any]", value)))
        elif value is not None:
            yield f"{name} {', '.join(map(str, cast('list[Any]', value))) if isinstance(value, list | tuple) else value}"


def _failures(failed: list[Row]) -> str:
    if not failed:
        return ""
    named = (f"{row['method']} {row['sparsity_asked']:g} seed {row['seed']}: {row['error']}" for row in failed)
    items = (f"<li>{html.escape(text)}</li>" for text in named)
    return f"<section class='warnings'><h2>{len(failed)} failed</h2><ul>{''.join(items)}</ul></section>"


def _percent(value: float) -> str:
    return f"{value:.3g} %"


def _plain(value: float) -> str:
    return f"{value:,.0f}"


def _figure(drawn: list[Point], axis: str, label: str, written: Callable[[float], str]) -> str:
    """Draw accuracy against `axis`, logarithmic; points at a connectivity of 1 are a line across."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    if not any(axis in point for point in drawn):
        return ""
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    scale = 100.0 if axis == "connectivity" else 1.0
    for i, method in enumerate(dict.fromkeys(point["method"] for point in drawn)):
        line = sorted((p for p in drawn if p["method"] == method and axis in p), key=lambda p: p[axis])
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        if line and all(p["sparsity_asked"] == 0 for p in line):
            suffix = f" ({_plain(line[0]['sops'])} SOPs)" if axis == "sops" else ""
            axes.axhline(100 * line[0]["accuracy"], color="#555555", linestyle="--", linewidth=1, label=method + suffix)
            continue
        x, y = [scale * p[axis] for p in line], [100 * p["accuracy"] for p in line]
        around = [[100 * (p["accuracy"] - p["lowest"]) for p in line], [100 * (p["highest"] - p["accuracy"]) for p in line]]
        axes.errorbar(x, y, around, color=colour, marker=marker, markersize=5, linewidth=1.4, capsize=2, label=method)
    along = [scale * p[axis] for p in drawn if axis in p and p["sparsity_asked"]]
    if along:
        axes.set_xlim(min(along) / 1.3, max(along) * 1.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: written(value) if f"{value:e}"[0] in "25" else ""))
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.set_xlabel(label)
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    stream = io.StringIO()
    with rc_context({"svg.hashsalt": axis}):  # so that the same rows give the same page
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    caption = f"Test accuracy against {label}; bars from the lowest to the highest seed."
    return f"<figure>{text[text.index('<svg') :]}<figcaption>{html.escape(caption)}</figcaption></figure>"
