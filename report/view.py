"""What the page shows, gathered from results.json: every section as tables, drawings and sentences, missing parts as None or empty."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import core_map, histogram, models, raster, stages, step_chart, tables, traffic
from .document import Document, Provenance
from .format import compiled_once, count, duration, percent, plain, shorten

_LISTED = 512
_TABLES = (
    "stages",
    "layers",
    "weights",
    "bounds",
    "limits",
    "baselines",
    "definitions",
    "energy",
    "latency",
    "step",
    "arithmetic",
    "neurobench",
)


def gather(results: Document) -> dict[str, Any]:
    """Return everything that the template needs, by section."""
    made = tables.of_run(results)
    found = traffic.matrix(results.traffic, results.cores)
    view: dict[str, Any] = {
        "title": f"{shorten(results.data, 60)} on {shorten(results.chip.name, 60)}",
        "results": results,
        "facts": facts(results),
        "tables": dict.fromkeys(_TABLES) | made,
        "headlines": made["headlines"],
        "checks": results.checks or ([results.check] if results.check else []),
        "stages_chart": stages.chart(results.stages),
        "stages_from_zero": stages.from_zero(results.stages),
        "traffic": traffic.chart(found) if found else None,
        "traffic_unit": found.unit if found else "",
        "traffic_said": traffic.sentence(found) if found else "",
        "rasters": raster.panels(results.raster, results.rates),
        "histograms": histogram.panels(results.weights),
        "models": list(zip(models.quantities(results.models), tables.prices(results), strict=True)),
        "left_out": models.left_out(results.models),
        "step_chart": step_chart.chart(results.step_bound) if results.step_bound else None,
        "baselines_chart": models.baselines(results.baselines),
        "provenance": provenance(results.provenance),
    } | _cores(results)
    return {**view, "contents": [(anchor, name) for anchor, name, key in _SECTIONS if not key or view.get(key) or made.get(key)]}


def _cores(results: Document) -> dict[str, Any]:
    """Return the maps of the cores, and their table: of very many only the `_LISTED` fullest."""
    cores = results.cores
    if not cores:
        return {"cores": None}
    drawn, left_out = core_map.in_use(cores, results.chip)
    fullest = sorted(cores, key=lambda core: (-core.tightest[1], core.core))[:_LISTED] if len(cores) > _LISTED else cores
    return {
        "cores": tables.cores(fullest),
        "core_map": core_map.chart(cores, drawn),
        "core_map_said": left_out,
        "core_maps": core_map.by_limit(cores, drawn),
    }


_SECTIONS = (
    ("check", "Check", ""),
    ("accuracy", "Accuracy", "stages"),
    ("layers", "Layers", "layers"),
    ("spikes", "Spikes", "rasters"),
    ("weights", "Weights", "weights"),
    ("cores", "Cores", "cores"),
    ("traffic", "Traffic", "traffic"),
    ("models", "Chip models", "models"),
    ("baselines", "Dense baselines", "baselines"),
    ("definitions", "Definitions", "definitions"),
    ("energy", "Energy", "energy"),
    ("latency", "Latency", "latency"),
    ("step", "What a step waits for", "step"),
    ("arithmetic", "Number formats", "arithmetic"),
    ("neurobench", "NeuroBench", "neurobench"),
    ("provenance", "Provenance", ""),
)
"""Anchor and name of each section, and the part of the view, or the table, without which it is left out."""


def facts(results: Document) -> list[tuple[str, str]]:
    """Return the run in a few words: (name, value)."""
    network = results.network
    listed = [
        ("time steps", count(network.timesteps)),
        ("input encoding", network.encoding),
        ("weights", f"{network.weight_bits} bits"),
        ("neurons", count(network.neurons)),
        ("synapses", f"{count(network.synapses)} ({percent(network.connectivity)} of the possible)"),
        ("backend", results.backend),
        ("run", f"{duration(results.wall_seconds)}, {count(results.samples_per_second)} samples/s.{compiled_once(results)}"),
    ]
    if network.votes > 1:
        listed.append(("output", f"{count(network.votes)} neurons for each of {count(network.classes)} classes"))
    if network.weight_connectivity is not None and network.possible_weights != network.possible_synapses:
        shared = f"{count(network.weights)} ({percent(network.weight_connectivity)} of the possible), shared by the synapses of a map"
        listed.append(("trained weights", shared))
    if network.connectivity_reachable is not None:
        listed.append(("reachable synapses", f"{percent(network.connectivity_reachable)} of the possible, as trained (UPR's Conn.)"))
    if results.host_macs_per_sample:
        listed.append(("on the host", f"{count(results.host_macs_per_sample)} multiply-accumulates per sample, not in the SOPs"))
    return listed


@dataclass(frozen=True)
class Origin:
    """Provenance as text: the commands in their order, the run's own last; entries of one value, and groups of entries."""

    commands: list[str]
    single: list[tuple[str, str]]
    groups: list[tuple[str, list[tuple[str, str]]]]


def provenance(found: Provenance) -> Origin:
    """Return the commands, and every other entry as (name, value) with nested ones as text."""
    entries: dict[str, Any] = {_words(k): v for k, v in found.model_dump(mode="json").items() if k not in ("command", "before")}
    groups = [(k, [(_words(n), _written(x)) for n, x in v.items()]) for k, v in entries.items() if isinstance(v, dict) and v]
    return Origin(
        [*found.before, *([found.command] if found.command else [])],
        [(k, _written(v)) for k, v in entries.items() if not isinstance(v, dict) and v is not None],
        groups,
    )


def _words(key: object) -> str:
    return plain(key).replace("_", " ")


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
