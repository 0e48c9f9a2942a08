"""The tables and sentences for a compiled network, and for an estimate."""

from __future__ import annotations

from .compiled import Compiled, OnPaper
from .format import MISSING, compact, count, duration, percent, shorten, si
from .table import Column, Table, row
from .tables import SHARED, sizes

__all__ = ["layers", "on_paper", "passes", "sentences"]


def passes(found: Compiled) -> Table:
    """Return the passes with their times and what each changed."""
    columns = (Column("pass", figure=False), Column("time"), Column("what it changed", figure=False))
    rows = tuple(row(one.name, duration(one.seconds), "\n".join(one.changes) or MISSING) for one in found.passes)
    return Table("Passes", columns, rows)


def layers(found: Compiled) -> Table:
    """Return the layers as deployed, with their registers."""
    columns, cells = sizes(found.layers)
    shared = any(layer.shares_weights for layer in found.layers)
    return Table("Layers", columns, tuple(map(tuple, cells)), note=SHARED if shared else "")


def sentences(found: Compiled) -> list[tuple[str, str]]:
    """Say what was removed without effect, what rounding removed, and where deployed spikes first differ from the float network's."""
    dead, first, said = found.dead_code, found.first_drift, list[tuple[str, str]]()
    whole = max(dead.of_synapses, 1) if dead else 1
    if dead and (dead.synapses or dead.neurons):
        share = percent(dead.synapses / whole, 1)
        said.append(
            ("Dead code", f"{count(dead.synapses)} synapses ({share}) and {count(dead.neurons)} neurons removed; the spikes stay the same.")
        )
    if dead and dead.rounded_synapses:
        share = percent(dead.rounded_synapses / whole, 1)
        said.append(("Rounded away", f"{count(dead.rounded_synapses)} synapses ({share}) became zero in quantisation."))
    if first:
        line = f"{shorten(first.layer, 40)}, {percent(first.share, 1)} of its spikes differ from the float network's."
        said.append(("First mismatch", line))
    return said


def on_paper(found: OnPaper) -> tuple[Table, ...]:
    """Return the layers, the cores that each limit requires, the dynamic energy and the time of an estimate."""
    layer = Table(
        "Layers, estimated",
        (Column("layer", figure=False), Column("neurons"), Column("synapses"), Column("rate"), Column("SOPs caused")),
        tuple(
            row(shorten(one.name, 24), compact(one.neurons), compact(one.synapses), f"{one.rate:.4f}", compact(one.sops_caused_per_sample))
            for one in found.layers
        ),
    )
    cores = Table(
        "Cores that each limit asks for",
        (Column("limit", figure=False), Column("cores, at least")),
        tuple(row(name.replace("_", " "), count(needed)) for name, needed in found.cores_for.items()),
    )
    energy = Table(
        f"Dynamic energy per sample, at least: {si(found.joules_per_sample, 'J')} by the model {shorten(found.chip, 30)}",
        (
            Column("component", figure=False),
            Column("count", "per sample"),
            Column("each"),
            Column("energy", "per sample"),
            Column("status", figure=False),
        ),
        tuple(
            row(p.name, compact(p.count_per_sample), si(p.joules_per_unit, "J"), si(p.joules_per_sample, "J"), p.status)
            for p in found.components
        ),
        note=f"Hops are not included, nor the static power of {_several(found.chips, 'chip')}: {_watts(found.static_watts)}.",
    )
    time = Table(
        f"Time: {si(found.seconds_per_sample, 's')} per sample of {count(found.steps)} steps, {si(found.seconds_per_step, 's')} each",
        (Column("part of a step", figure=False), Column("time"), Column("status", figure=False)),
        tuple(row(p.name, si(p.seconds_per_step, "s"), p.status) for p in found.step),
        note=f"With the work spread evenly over {_several(found.cores, 'core')}; a chip waits for the most loaded one. Without routes.",
    )
    return layer, cores, energy, time


def _several(number: float, what: str) -> str:
    return f"{count(number)} {what}{'s' * (number != 1)}"


def _watts(watts: tuple[float, float]) -> str:
    low, high = (si(value, "W") for value in watts)
    return low if low == high else f"{low} to {high}, as sources differ"
