"""The tables of what papers count: NeuroBench's metrics, and SOPs and energy by each definition."""

from __future__ import annotations

from collections.abc import Mapping

from .document import NeuroBench
from .format import MISSING, compact, count, percent, si, size
from .prices import Definition
from .table import Cell, Column, Row, Table, row

__all__ = ["definitions", "neurobench"]

SAMPLE = "per sample"
_NETWORKS = (("deployed", "deployed"), ("dense_snn", "dense SNN"), ("dense_ann", "dense ANN"))


def definitions(found: Mapping[str, Definition] | None) -> Table:
    """Return SOPs and energy by each definition, of the deployed network and of the dense ones."""
    columns = (
        Column("definition", figure=False),
        Column("network", figure=False),
        Column("SOPs", SAMPLE),
        Column("of these MACs", SAMPLE),
        Column("energy", SAMPLE),
        Column("what is counted", figure=False, wide=True),
    )
    rows: list[Row] = []
    for name, one in (found or {}).items():
        for key, network in _NETWORKS:
            counted = getattr(one, key)
            figures = compact(counted.sops_per_sample), compact(counted.macs_per_sample), si(counted.joules_per_sample, "J")
            said = Cell(one.what.removesuffix("."), (f"source: {one.source}",)) if key == "deployed" else Cell("")
            rows.append(row(name, network, Cell(figures[0], strong=key == "deployed"), *figures[1:], said))
    notes = [f"{name}: {', '.join(_priced(one))}. {one.note}".rstrip() for name, one in (found or {}).items()]
    return Table("SOPs and energy as papers count them", columns, tuple(rows), note=" ".join(notes))


def _priced(one: Definition) -> list[str]:
    """Return the prices of a definition in the unit that papers use: "AC 0.9 pJ"."""
    return [f"{price.operation} {price.joules * 1e12:.3g} pJ" for price in one.prices]


_FOOTPRINT = "Bytes of the dense model, zeros included, in the smallest integers that hold them: {}."
_ACTIVATION = "Share of neuron outputs that are no spike, over all layers, time steps and samples; the input is not among them."
_MACS = "Multiply-accumulates: non-zero weights that meet a non-zero input which is no single spike."
_DENSE = "As if no input and no weight were zero, each layer as often as it is evaluated."


def neurobench(found: NeuroBench | None) -> Table:
    """Return NeuroBench's metrics with their definitions."""
    columns = (Column("metric", figure=False), Column("value"), Column("definition", figure=False))
    if found is None:
        return Table("NeuroBench metrics", columns, ())
    held = ", ".join(f"{name} {size(octets)}" for name, octets in found.footprint_parts.items() if octets)
    listed = (
        ("footprint", size(found.footprint_bytes), _FOOTPRINT.format(held or MISSING)),
        ("connection sparsity", percent(found.connection_sparsity), f"Share of the {count(found.weights)} weights that are zero."),
        ("activation sparsity", percent(found.activation_sparsity), _ACTIVATION),
        ("effective MACs", f"{compact(found.effective_macs_per_sample)} {SAMPLE}", _MACS),
        ("effective ACs", f"{compact(found.effective_acs_per_sample)} {SAMPLE}", "Accumulates: non-zero weights that meet a spike."),
        ("dense operations", f"{compact(found.dense_per_sample)} {SAMPLE}", _DENSE),
    )
    return Table("NeuroBench metrics", columns, tuple(row(name, Cell(value, strong=True), said) for name, value, said in listed))
