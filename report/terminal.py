"""The final output of `spikeloom compile`, `run` and `report --format text`. It fits 80 columns; names from files are never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from . import compare, deployed, tables
from .compiled import Compiled, OnPaper, PassRecord
from .document import Check, Document
from .format import clean, compact, compiled_once, count, duration, percent, samples_said, shorten
from .table import Cell, Column, Table

__all__ = ["comparison", "explanation", "mapping_summary", "paper", "summary", "table"]

MOST_CORES = 12
"""More cores than this are folded into one row per limit."""
NAME = 48
"""The maximum length of a name in the first column."""


def summary(results: Document) -> RenderableType:
    """Return the end of `spikeloom run`: headline, accuracy by stage, layers, energy, latency, check, warnings."""
    found = clean(results)
    made = tables.of_run(found)
    shown = [made[name] for name in ("stages", "layers", "energy", "baselines", "latency", "step", "arithmetic") if name in made]
    checks = [_check(check) for check in found.checks or ([found.check] if found.check else [])]
    return _stack([_headline(found), *map(table, shown), *checks, _warnings(found.warnings)])


def mapping_summary(compiled: dict[str, Any]) -> RenderableType:
    """Return the end of `spikeloom compile`: passes, layers, cores against every limit, and the mapping against its lower bounds."""
    found = clean(Compiled.model_validate(compiled))
    first = [deployed.passes(found), deployed.layers(found)]
    per_core = [tables.cores(found.cores)] if len(found.cores) <= MOST_CORES else []
    then = [*per_core, tables.limits(found.cores, found.chip), tables.bounds(found.mapping)]
    changes = Text("\n".join(found.mapping.changes), style="dim") if found.mapping.changes else None
    said = [Text.assemble((f"{name}: ", "bold"), line) for name, line in deployed.sentences(found)]
    return _stack([*_all(first), Group(*said) if said else None, *_all(then), changes, _warnings(found.warnings)])


def paper(estimated: dict[str, Any]) -> RenderableType:
    """Return the output of `spikeloom estimate`: layers, the cores that each limit requires, energy, warnings."""
    found = clean(OnPaper.model_validate(estimated))
    return _stack([*_all(deployed.on_paper(found)), _warnings(found.warnings)])


def comparison(rows: Sequence[compare.Run]) -> RenderableType:
    """Return what `spikeloom report RUN...` prints as text: one line per run of `rows`, made by `compare.rows`; the best are bold."""
    drawn = table(compare.table(rows))
    models = list(dict.fromkeys(str(run.model) for run in rows if run.model))
    by = f"by the model {models[0]}" if len(models) == 1 else f"each by its own model ({', '.join(models)}), not comparable across models"
    drawn.caption = Text(f"energy {by}; dynamic: without the static power", style="dim")
    warned = [f"{'run' if len(numbers) == 1 else 'runs'} {', '.join(map(str, numbers))}: {text}" for text, numbers in compare.warned(rows)]
    return _stack([drawn, *_all([compare.seeds(rows)]), _warnings(warned)])


def explanation(passes: list[dict[str, Any]]) -> RenderableType:
    """Return what `--explain` prints: each pass with its purpose, options, sizes before and after, and time."""
    return _stack([_explained(number, clean(PassRecord.model_validate(one))) for number, one in enumerate(passes, 1)])


def _explained(number: int, one: PassRecord) -> RenderableType:
    lines = [Text.assemble((f"{number}. {one.name}", "bold"), f"  {one.summary}  ({duration(one.seconds)})")]
    lines += [Text(f"   {option}", style="dim") for option in one.options]
    if one.before and one.after:
        ends = ((kind, getattr(one.before, kind), getattr(one.after, kind)) for kind in ("neurons", "synapses", "weights"))
        lines.append(Text("   " + ", ".join(f"{count(before)} -> {count(after)} {kind}" for kind, before, after in ends)))
    return Group(*lines, *(Text(f"   {change}") for change in one.changes))


def table(found: Table) -> Drawn:
    """Draw a table without its wide columns; below it what the figures are per, and its note."""
    shown = [index for index, column in enumerate(found.columns) if not column.wide]
    columns = [found.columns[index] for index in shown]
    said = "\n".join(filter(None, [_units(columns), found.note]))
    drawn = Drawn(
        title=Text(found.title, style="bold"),
        title_justify="left",
        caption=Text(said, style="dim") if said else None,
        caption_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for column in columns:
        heading = column.brief or column.heading
        drawn.add_column(Text(heading), justify="right" if column.figure else "left", no_wrap=column.figure, overflow="fold")
    for cells in (*found.rows, *found.totals):
        drawn.add_row(*(written(cells[index], found.columns[index], first=index == 0) for index in shown))
    return drawn


def written(cell: Cell, column: Column, *, first: bool) -> Text:
    """Return a cell as it stands in the terminal."""
    text = shorten(cell.text, NAME) if first else cell.text
    return Text("\n".join([text, *cell.details]) if column.whole else text, style="bold" if cell.strong and column.figure else "")


def _units(columns: Sequence[Column]) -> str:
    """Say what figures are per: "spikes, SOPs: per sample"."""
    named: dict[str, list[str]] = {}
    for column in columns:
        if column.unit:
            named.setdefault(column.unit, []).append(column.brief or column.heading)
    return "; ".join(f"{', '.join(headings)}: {unit}" for unit, headings in named.items())


def _all(found: Iterable[Table]) -> list[RenderableType]:
    return [table(one) for one in found if one.rows]


def _stack(parts: Sequence[RenderableType | None]) -> Group:
    """Put the parts that exist under each other with an empty line between."""
    shown = [part for part in parts if part is not None]
    return Group(*(piece for index, part in enumerate(shown) for piece in ((Text(""), part) if index else (part,))))


def _headline(results: Document) -> RenderableType:
    network, over = results.network, samples_said(results)
    found = f"{over}, which had no labels," if results.accuracy is None else f"{percent(results.accuracy)} right on {over},"
    said = (
        f"{shorten(results.data, 60)} on {shorten(results.chip.name, 40)}, backend {shorten(results.backend, 40)}: "
        f"{found} in {duration(results.wall_seconds)} ({count(results.samples_per_second)} samples/s).{compiled_once(results)} "
        f"{count(network.neurons)} neurons, {count(network.synapses)} synapses, T {count(network.timesteps)}."
    )
    per = (
        f"Per sample: {compact(results.spikes_per_sample)} spikes, {compact(results.sops_per_sample)} SOPs, "
        f"{compact(results.neuron_updates_per_sample)} neuron updates, {compact(results.messages_per_sample)} messages, "
        f"{compact(results.hops_per_sample)} hops."
    )
    host = results.host_macs_per_sample
    return Text(f"{said}\n{per}" + (f"\nOn the host, counted apart: {compact(host)} multiply-accumulates per sample." if host else ""))


def _check(check: Check) -> RenderableType:
    over = (
        f"{count(check.spikes_compared)} spike positions of {shorten(check.backend, 40)} against the "
        f"{shorten(check.reference, 40)}, {count(check.samples)} samples, "
        f"populations {', '.join(shorten(p, 30) for p in check.populations)}"
    )
    verdict = ("Check: every spike is equal. ", "bold green") if check.equal else ("Check: the spikes DIFFER. ", "bold red")
    return Text.assemble(verdict, over)


def _warnings(warnings: Sequence[str]) -> RenderableType | None:
    return Group(*(Text.assemble(("Warning: ", "bold yellow"), warning) for warning in warnings)) if warnings else None
