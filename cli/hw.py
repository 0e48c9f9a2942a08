"""The commands `spikeloom hw`: chips with the source of every number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import AsJson, print_json, render, say

if TYPE_CHECKING:
    from ..hwmodels.chip import Chip
    from ..hwmodels.operations_model import OperationsModel

__all__ = ["add_to"]

hw = typer.Typer(
    name="hw",
    help="Chips: limits, energies and times, each with unit, source and status.",
    short_help="List and show chips, with sources.",
    no_args_is_help=True,
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(hw)


@hw.command(name="list")
def hw_list(as_json: AsJson = False) -> None:
    """List the chips, and the models of operations for comparison."""
    from ..hwmodels import chip as chips
    from ..hwmodels import operations_model

    models = [chips.load(name) for name in chips.names()]
    if as_json:
        print_json(
            [
                {"name": c.name, "kind": "cores", "title": c.title, "cores": c.limit("cores"), "chips": c.chips, "encodings": c.encodings}
                for c in models
            ]
            + [{"name": m.name, "kind": "operations", "title": m.title} for m in map(operations_model.load, operations_model.names())]
        )
        return
    from rich.table import Table

    table = Table("chip", "what", "cores", "in", "neurons a core", "input as", box=None)
    for c in models:
        system = f"{c.system.name}, {c.chips:,} chips" if c.system else "one chip"
        table.add_row(c.name, c.title, f"{c.limit('cores'):,}", system, f"{c.limit('neurons'):,}", ", ".join(c.encodings))
    compared = Table("operations", "what", box=None)
    for name in operations_model.names():
        compared.add_row(name, operations_model.load(name).title)
    render(table, "", compared)


@hw.command(name="check")
def hw_check(path: Annotated[str, typer.Argument(help="Chip file (TOML).", show_default=False)], as_json: AsJson = False) -> None:
    """Check a chip file. Reports every mistake by line and key."""
    from ..hwmodels import chip as chips

    chip = chips.load(path)
    if as_json:
        print_json({"path": path, "name": chip.name, "cores": chip.cores_available, "sha256": chip.digest})
        return
    say(f"{path} is a valid chip file: {chip.name}, {chip.cores_available:,} cores.")


@hw.command(name="show")
def hw_show(
    name: Annotated[str, typer.Argument(help="Chip name, or path of a chip file.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a chip: every limit, energy and time with unit, source and status."""
    from ..hwmodels import chip as chips
    from ..hwmodels import operations_model

    if name in operations_model.names():
        _show_operations(operations_model.load(name), as_json)
        return
    chip = chips.load(name)
    if as_json:
        print_json(chip.model_dump(mode="json"))
        return
    render(f"[bold]{chip.title}[/bold]\n{chip.description}", *_chip_tables(chip))


def _show_operations(model: OperationsModel, as_json: bool) -> None:
    if as_json:
        print_json(model.model_dump(mode="json"))
        return
    from rich.table import Table

    table = Table("operation", "value", "status", "source", box=None, pad_edge=False)
    for name, quantity in (("accumulate (AC)", model.energy.ac), ("multiply-accumulate (MAC)", model.energy.mac)):
        if quantity is not None:
            table.add_row(name, f"{quantity.value:g} {quantity.unit}", quantity.status, quantity.source)
    render(f"[bold]{model.title}[/bold]\n{model.description}", "", table, f"Note: {model.note}")


def _grid(chip: Chip) -> str:
    """Describe how the chips of a system are arranged."""
    if chip.system is None:
        return ""
    held = chip.system
    room = f"{chip.cores_available:,} cores in all"
    return f"{held.name}, {room}; a grid of {held.columns} x {held.rows} chips, {held.status}: {held.source}."


def _chip_tables(chip: Chip) -> list[Any]:
    from rich.table import Table

    from ..hwmodels.chip import Quantity

    tables: list[Any] = []
    for section in ("limits", "energy", "time", "system"):
        part = getattr(chip, section)
        if part is None:
            continue
        table = Table(section, "value", "status", "source", box=None, title_justify="left", pad_edge=False)
        for field in type(part).model_fields:
            quantity = getattr(part, field)
            if isinstance(quantity, Quantity):
                table.add_row(field.replace("_", " "), f"{quantity.value:g} {quantity.unit}", quantity.status, quantity.source)
        note = _grid(chip) if section == "system" else getattr(part, "note", "")
        tables += ["", table, *([f"Note: {note}"] if note else [])]
    mesh = chip.mesh
    shape = f"mesh: {mesh.columns} x {mesh.rows} tiles of {mesh.cores_per_tile} cores, {mesh.status}: {mesh.source}"
    formats = [
        f"synapses {f.name}: {f.prefix_bits}+{f.index_field_bits} bits per entry, {f.index_bits} index bits each ({f.status})"
        for f in chip.formats
    ]
    held = chip.weight_widths
    widths = [] if held is None else [f"weights of {', '.join(map(str, held.bits))} bits, {held.status}: {held.source}"]
    once = chip.shared_lists
    shared = [] if once is None else [f"lists that sources share are stored once, {once.status}: {once.source}"]
    return [*tables, "", shape, *formats, *shared, *widths, f"input as: {', '.join(chip.encodings)}"]
