"""What the page shows, gathered from results.json: every section as plain values and drawings, missing parts as None or empty."""

from __future__ import annotations

import json
from typing import Any

from . import core_map, histogram, models, raster, stages, traffic
from .format import MISSING, compact, compiled_once, count, duration, percent, ratio, samples_said, shorten, si, size

Rows = list[dict[str, Any]]
_LAYER: dict[str, Any] = dict.fromkeys(("name", "place", "sources", "neurons", "synapses", "connectivity", "spike_rate"))
_CORE: dict[str, Any] = dict.fromkeys(("core", "tile", "populations"))
"""What a layer and a core always have on the page, as a dash where the results lack it."""
_LISTED = 512


def gather(results: dict[str, Any]) -> dict[str, Any]:
    """Return everything that the template needs, by section."""
    cores, chip = results.get("cores") or [], results.get("chip") or {}
    drawn, left_out = core_map.in_use(cores, chip)
    found = traffic.matrix(results.get("traffic"), cores)
    made: dict[str, Any] = {
        "title": f"{shorten(results.get('data'), 60)} on {shorten(chip.get('name'), 60)}",
        "facts": facts(results),
        "headlines": headlines(results),
        "checks": results.get("checks") or [c for c in [results.get("check")] if c],
        "warnings": results.get("warnings") or [],
        "stages": stages.rows(results.get("stages") or []),
        "stages_chart": stages.chart(results.get("stages") or []),
        "stages_from_zero": stages.from_zero(results.get("stages") or []),
        "layers": layers(results),
        "cores": core_rows(cores),
        "limits": core_map.limits(cores, chip) if cores else [],
        "cores_in_all": len(cores),
        "core_map": core_map.chart(cores, drawn) if cores else None,
        "core_map_said": left_out,
        "core_maps": core_map.by_limit(cores, drawn),
        "bounds": bounds(results.get("mapping") or {}),
        "chip": chip,
        "traffic": traffic.chart(found) if found else None,
        "traffic_unit": found.unit if found else "",
        "traffic_said": traffic.sentence(found) if found else "",
        "raster": results.get("raster"),
        "rasters": raster.panels(results.get("raster"), results.get("rates")),
        "rates_samples": (results.get("rates") or {}).get("samples"),
        "weights": histogram.panels(results.get("weights")),
        "models": models.side_by_side(results.get("models")),
        "energy": energy(results.get("energy")),
        "baselines": models.baselines(results.get("baselines")),
        "latency": latency(results.get("latency")),
        "neurobench": neurobench(results.get("neurobench")),
        "provenance": provenance(results.get("provenance") or {}),
    }
    return {**made, "contents": [(anchor, name) for anchor, name, key in _SECTIONS if not key or made[key]]}


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
    ("energy", "Energy", "energy"),
    ("latency", "Latency", "latency"),
    ("neurobench", "NeuroBench", "neurobench"),
    ("provenance", "Provenance", ""),
)
"""Anchor and name of each section, and the part of the view without which it is left out."""


def facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the run in a few words: (name, value)."""
    network = results.get("network") or {}
    listed: list[tuple[str, str]] = [
        ("time steps", count(network.get("timesteps"))),
        ("input encoding", str(network.get("encoding") or MISSING)),
        ("weights", f"{network.get('weight_bits')} bits"),
        ("neurons", count(network.get("neurons"))),
        ("synapses", f"{count(network.get('synapses'))} ({percent(network.get('connectivity'))} of the possible)"),
        ("backend", str(results.get("backend") or MISSING)),
        ("run", f"{duration(results.get('wall_seconds'))}, {count(results.get('samples_per_second'))} samples/s.{compiled_once(results)}"),
    ]
    if (network.get("votes") or 1) > 1:
        listed.append(("output", f"{count(network['votes'])} neurons vote for each of {count(network.get('classes'))} classes"))
    if network.get("weight_connectivity") is not None and network.get("possible_weights") != network.get("possible_synapses"):
        shared = f"{count(network['weights'])} ({percent(network['weight_connectivity'])} of the possible), shared by the synapses of a map"
        listed.append(("trained weights", shared))
    if network.get("connectivity_reachable") is not None:
        listed.append(("reachable synapses", f"{percent(network['connectivity_reachable'])} of the possible, as trained (UPR's Conn.)"))
    if results.get("host_macs_per_sample"):
        listed.append(("on the host", f"{count(results['host_macs_per_sample'])} multiply-accumulates a sample, not in the SOPs"))
    return listed


def headlines(results: dict[str, Any]) -> Rows:
    """Return the five figures that people come for: name, figure, and what it stands on."""
    power, time, mapping = (results.get(k) or {} for k in ("energy", "latency", "mapping"))
    chip = results.get("chip") or {}
    return [
        {
            "name": "accuracy",
            "figure": percent(results.get("accuracy")),
            "note": samples_said(results, results.get("subset") or {}) + ("" if results.get("accuracy") is not None else ", no labels"),
        },
        {
            "name": "synaptic operations",
            "figure": compact(results.get("sops_per_sample")),
            "note": f"a sample, from {compact(results.get('spikes_per_sample'))} spikes",
        },
        {"name": "energy", "figure": si(power.get("joules_per_sample"), "J"), "note": f"a sample, model {power.get('model', MISSING)}"},
        {"name": "latency", "figure": si(time.get("seconds_per_sample"), "s"), "note": f"a sample, model {time.get('model', MISSING)}"},
        {
            "name": "cores",
            "figure": count(mapping.get("cores")),
            "note": f"of {''.join(room(chip))}; lower bound {count(mapping.get('cores_bound'))}",
        },
    ]


def room(chip: dict[str, Any]) -> tuple[str, str]:
    """Return how many cores the chips in use have, and " on 3 chips" where there are several."""
    used = int(chip.get("chips_in_use") or 1)
    if used == 1:
        return count(chip.get("cores")), ""
    return count(used * int(chip.get("cores_offered") or chip.get("cores") or 0)), f" on {count(used)} chips"


def layers(results: dict[str, Any]) -> Rows:
    """Return the layers, each with the share of all SOPs that it does."""
    listed = results.get("layers") or []
    total = sum(layer.get("sops_per_sample") or 0.0 for layer in listed)
    return [{**_LAYER, **layer, "share": (layer.get("sops_per_sample") or 0.0) / total if total else 0.0} for layer in listed]


def core_rows(cores: Rows) -> Rows:
    """Return the cores, each with the `tightest` of its limits and its `place`; of very many only the `_LISTED` fullest."""
    several = any(core.get("chip") for core in cores)
    made: Rows = [{**_CORE, **core, "tightest": core_map.tightest(core), "place": traffic.tile_name(core, several)} for core in cores]
    if len(made) <= _LISTED:
        return made
    return sorted(made, key=lambda core: (-core["tightest"][1], core["core"]))[:_LISTED]


def bounds(mapping: dict[str, Any]) -> Rows:
    """Return what the mapping reached, each against its lower bound where there is one."""
    keys = (
        ("cores", "cores", "cores_bound"),
        ("messages a time step", "messages_per_step", "messages_bound"),
        ("hops a message", "hops_per_message", ""),
        *([("chips", "chips", "")] if (mapping.get("chips") or 1) > 1 else []),
    )
    listed = [(name, mapping.get(reached), mapping.get(bound)) for name, reached, bound in keys]
    return [{"name": n, "value": value, "bound": bound, "ratio": ratio(value, bound)} for n, value, bound in listed if value is not None]


def energy(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the energy section with each component's `share` of the sum."""
    if not found:
        return None
    return {**found, "components": _shares(found.get("components") or [], "joules_per_sample")}


def latency(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the latency section with each component's `share` of a time step."""
    if not found:
        return None
    return {**found, "components": _shares(found.get("components") or [], "seconds_per_step")}


def _shares(components: Rows, key: str) -> Rows:
    total = sum(max(0.0, c.get(key) or 0.0) for c in components)
    return [{**c, "share": max(0.0, c.get(key) or 0.0) / total if total else 0.0} for c in components]


def neurobench(found: dict[str, Any] | None) -> Rows:
    """Return NeuroBench's metrics as rows of name, value as written, and definition."""
    if not found:
        return []
    parts = ", ".join(f"{name} {size(held)}" for name, held in (found.get("footprint_parts") or {}).items() if held)
    per = "a sample"
    return [
        {
            "name": "footprint",
            "value": size(found.get("footprint_bytes")),
            "said": f"Bytes of the dense model, zeros included, in the smallest integers that hold them: {parts or MISSING}.",
        },
        {
            "name": "connection sparsity",
            "value": percent(found.get("connection_sparsity")),
            "said": f"Share of the {count(found.get('weights'))} weights that are zero.",
        },
        {
            "name": "activation sparsity",
            "value": percent(found.get("activation_sparsity")),
            "said": "Share of neuron outputs that are no spike, over all layers, time steps and samples; the input is not among them.",
        },
        {
            "name": "effective MACs",
            "value": f"{compact(found.get('effective_macs_per_sample'))} {per}",
            "said": "Multiply-accumulates: non-zero weights that meet a non-zero input which is no single spike.",
        },
        {
            "name": "effective ACs",
            "value": f"{compact(found.get('effective_acs_per_sample'))} {per}",
            "said": "Accumulates: non-zero weights that meet a spike.",
        },
        {
            "name": "dense operations",
            "value": f"{compact(found.get('dense_per_sample'))} {per}",
            "said": "As if no input and no weight were zero, each layer as often as it is evaluated.",
        },
    ]


def provenance(found: dict[str, Any]) -> dict[str, Any]:
    """Return the command, and every other entry as (name, value) with nested ones as text."""
    listed = [(str(k).replace("_", " "), v) for k, v in found.items() if k != "command"]
    groups = [(k, [(str(n).replace("_", " "), _written(x)) for n, x in v.items()]) for k, v in listed if isinstance(v, dict) and v]
    single = [(k, _written(v)) for k, v in listed if not isinstance(v, dict) and v is not None]
    return {"command": found.get("command"), "single": single, "groups": groups}


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
