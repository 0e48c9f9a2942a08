"""Energy and time of the same counts under every chip model, side by side, and the baselines in digital arithmetic."""

from __future__ import annotations

from typing import Any

from .bars import Bar, Part, chart

__all__ = ["baselines", "side_by_side"]

STYLES = {
    "synaptic operations": "c1",
    "neuron updates": "c2",
    "spikes and messages": "c3",
    "messages": "c3",
    "hops": "c4",
    "links and routes": "c4",
    "static power": "c5",
    "barrier": "c5",
}


def side_by_side(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the section: both drawings with their legends, and a table a quantity; None where no model was priced."""
    rows = (found or {}).get("rows") or []
    if not found or not rows:
        return None
    quantities = [
        ("energy", "Energy a sample", "J", "joules_per_sample"),
        ("latency", "Latency a sample", "s", "seconds_per_sample"),
    ]
    return {
        "mapped_for": found.get("mapped_for"),
        "models": [str(row["model"]) for row in rows],
        "titles": [(str(row["model"]), str(row.get("title") or ""), str(row.get("note") or "")) for row in rows],
        "left_out": _grouped(found.get("left_out") or []),
        "crossbars": any(str(row["model"]).startswith("truenorth") for row in rows),
        "quantities": [_quantity(rows, *one) for one in quantities],
    }


def _grouped(left_out: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return each reason with the models that it holds for."""
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(str(one.get("why")), []).append(str(one.get("model")))
    return list(reasons.items())


def _quantity(rows: list[dict[str, Any]], key: str, title: str, unit: str, total: str) -> dict[str, Any]:
    bars = [Bar(str(row["model"]), tuple(_part(part) for part in row.get(key) or [])) for row in rows]
    names = list(dict.fromkeys(part.name for bar in bars for part in bar.parts))
    cells = {name: [next((p for p in row.get(key) or [] if p["name"] == name), None) for row in rows] for name in names}
    listed: list[dict[str, Any]] = [{"name": name, "style": STYLES.get(name, "c6"), "cells": cells[name]} for name in names]
    return {
        "title": title,
        "unit": unit,
        "chart": chart(bars, unit, f"{title} under each chip model"),
        "parts": [part for part in listed if any(cell and cell.get("value") for cell in part["cells"])],
        "totals": [row.get(total) for row in rows],
        "dynamic": [row.get("dynamic_joules_per_sample") for row in rows] if key == "energy" else None,
    }


def _part(part: dict[str, Any]) -> Part:
    status = f", {part['status']}" if part.get("status") else ""
    return Part(str(part["name"]), max(0.0, float(part.get("value") or 0.0)), STYLES.get(str(part["name"]), "c6"), status)


def baselines(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the networks in arithmetic alone with a drawing of their energies; None where there are none."""
    if not found or not found.get("rows"):
        return None
    priced = [row for row in found["rows"] if row.get("joules_per_sample") is not None]
    bars = [Bar(str(row["name"]), (Part(str(row["what"]), row["joules_per_sample"], "c6"),)) for row in priced]
    return {**found, "chart": chart(bars, "J", "Energy a sample in arithmetic alone") if bars else None}
