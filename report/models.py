"""Energy and time of the same counts under every chip model, side by side, and the baselines in digital arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from .bars import Bar, Part, chart
from .prices import Baselines, ModelPrices, Models
from .prices import Part as PartOfModel

__all__ = ["STYLES", "Quantity", "baselines", "left_out", "quantities"]

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


@dataclass(frozen=True)
class Quantity:
    """Energy or latency by model: every part's value and status, the totals and, for energy, the dynamic part."""

    title: str
    unit: str
    models: tuple[str, ...]
    parts: tuple[tuple[str, tuple[tuple[float | None, str], ...]], ...]
    totals: tuple[float, ...]
    dynamic: tuple[float, ...]
    chart: Markup


def quantities(found: Models | None) -> list[Quantity]:
    """Return energy and latency by part and model, with their drawings; empty if no model was priced."""
    if found is None or not found.rows:
        return []
    joules, seconds = ([row.energy for row in found.rows], [row.latency for row in found.rows])
    dynamic = tuple(row.dynamic_joules_per_sample for row in found.rows)
    return [
        _quantity("Energy per sample", "J", found.rows, joules, tuple(row.joules_per_sample for row in found.rows), dynamic),
        _quantity("Latency per sample", "s", found.rows, seconds, tuple(row.seconds_per_sample for row in found.rows), ()),
    ]


def _quantity(
    title: str, unit: str, rows: list[ModelPrices], parts: list[list[PartOfModel]], totals: tuple[float, ...], dynamic: tuple[float, ...]
) -> Quantity:
    models = tuple(row.model for row in rows)
    bars = [Bar(model, tuple(map(_part, listed))) for model, listed in zip(models, parts, strict=True)]
    said: list[dict[str, tuple[float | None, str]]] = [{part.name: (part.value, part.status) for part in listed} for listed in parts]
    names = [
        name for name in dict.fromkeys(part.name for listed in parts for part in listed) if any(one.get(name, (0,))[0] for one in said)
    ]
    cells = tuple((name, tuple(one.get(name, (None, "")) for one in said)) for name in names)
    return Quantity(title, unit, models, cells, totals, dynamic, chart(bars, unit, f"{title} under each chip model"))


def _part(part: PartOfModel) -> Part:
    return Part(part.name, part.value, STYLES.get(part.name, "c6"), f", {part.status}" if part.status else "")


def left_out(found: Models | None) -> list[tuple[str, list[str]]]:
    """Return each reason for leaving models out, with the models that it applies to."""
    reasons: dict[str, list[str]] = {}
    for one in found.left_out if found else []:
        reasons.setdefault(one.why, []).append(one.model)
    return list(reasons.items())


def baselines(found: Baselines | None) -> Markup | None:
    """Draw the energies of the networks in digital arithmetic; None if there are none."""
    rows = found.rows if found else []
    bars = [Bar(row.name, (Part(row.what, row.joules_per_sample, "c6"),)) for row in rows if row.joules_per_sample is not None]
    return chart(bars, "J", "Energy per sample in arithmetic alone") if bars else None
