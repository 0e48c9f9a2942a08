"""The terminal's tables: what `spikeloom compile` and `spikeloom run` end with. They fit 80 columns; names from files are never markup."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import compare, core_map, stages, traffic, view
from .format import MISSING, clean, compact, compiled_once, count, duration, percent, points, ratio, samples_said, shorten, si

_MOST_CORES = 12
"""More cores than this are folded into one row per limit."""


def summary(results: dict[str, Any]) -> RenderableType:
    """Return the end of `spikeloom run`: headline, accuracy by stage, layers, energy, latency, check, warnings. `results`: results.json."""
    results = clean(results)
    parts = [_headline(results), _stages(results), _run_layers(results), _energy(results), _baselines(results)]
    parts += [_latency(results), _arithmetic(results), _check(results)]
    return _stack([*parts, _warnings(results)])


def mapping_summary(compiled: dict[str, Any]) -> RenderableType:
    """Return the end of `spikeloom compile`: passes, layers, cores against every limit, and the mapping against its lower bounds."""
    compiled = clean(compiled)
    cores, chip = compiled.get("cores") or [], compiled.get("chip") or {}
    per_core = _cores(cores) if len(cores) <= _MOST_CORES else None
    parts = [_passes(compiled), _compiled_layers(compiled), _found(compiled), per_core, _limits(cores, chip), _bounds(compiled)]
    return _stack([*parts, _warnings(compiled)])


_COMPARED = ("", "run", "connectivity", "accuracy", "SOPs", "cores", "energy", "dynamic")


def paper(estimated: dict[str, Any]) -> RenderableType:
    """Return what `spikeloom estimate` prints: layers, the cores that each limit asks for, energy, warnings."""
    layers = _table("Layers, on paper", "layer", "neurons", "synapses", "rate", "SOPs caused")
    for row in estimated["layers"]:
        sizes = (compact(row["neurons"]), compact(row["synapses"]), f"{row['rate']:.4f}", compact(row["sops_caused_per_sample"]))
        _add(layers, shorten(row["name"], 24), *sizes)
    cores = _table("Cores that each limit asks for", "limit", "cores, at least")
    for name, needed in estimated["cores_for"].items():
        _add(cores, name.replace("_", " "), count(needed))
    total, model = si(estimated["joules_per_sample"], "J"), shorten(estimated["chip"], 30)
    energy = _table(f"Dynamic energy a sample, at least: {total} by the model {model}", "component", "count", "each", "a sample", "<status")
    for part in estimated["components"]:
        joules = (si(part[k], "J") for k in ("joules_per_unit", "joules_per_sample"))
        _add(energy, part["name"], compact(part["count_per_sample"]), *joules, part["status"])
    energy.caption, energy.caption_justify = Text("Hops and static power are not in it.", style="dim"), "left"
    return _stack([layers, cores, energy, _warnings(estimated)])


def comparison(rows: list[compare.Row]) -> RenderableType:
    """Return what `spikeloom report RUN...` prints as text: one line a run of `rows`, which `compare.rows` made; the best are bold."""
    columns = compare.columns(rows)
    chosen = [index for index, (heading, *_) in enumerate(columns) if heading in _COMPARED]
    table = _table(f"{len(rows)} runs, figures a sample", "#", "<run", "connect.", *(columns[i][0] for i in chosen[3:]))
    for row in compare.cells(rows):
        table.add_row(*(Text(row[i][0], style="bold" if row[i][1] else "") for i in chosen))
    models = list(dict.fromkeys(str(r["model"]) for r in rows if r["model"]))
    by = f"by the model {models[0]}" if len(models) == 1 else f"each by its own model ({', '.join(models)}), not comparable across models"
    table.caption = Text(f"energy {by}; dynamic: without the static power", style="dim")
    table.caption_justify = "left"
    return table


def explanation(passes: list[dict[str, Any]]) -> RenderableType:
    """Return what `--explain` prints: each pass with its purpose, options, sizes before and after, and time."""
    blocks: list[RenderableType | None] = []
    for number, one in enumerate(clean(passes), 1):
        before, after = one.get("before") or {}, one.get("after") or {}
        sizes = ", ".join(f"{count(before.get(k))} -> {count(after.get(k))} {k}" for k in ("neurons", "synapses", "weights"))
        lines = [Text.assemble((f"{number}. {one.get('name')}", "bold"), f"  {one.get('summary')}  ({duration(one.get('seconds'))})")]
        lines += [Text(f"   {option}", style="dim") for option in one.get("options") or []]
        lines += [Text(f"   {sizes}"), *(Text(f"   {change}") for change in one.get("changes") or [])]
        blocks.append(Group(*lines))
    return _stack(blocks)


def _stack(parts: list[RenderableType | None]) -> Group:
    """Put the parts that exist under each other with an empty line between."""
    shown = [part for part in parts if part is not None]
    return Group(*(piece for index, part in enumerate(shown) for piece in ((Text(""), part) if index else (part,))))


def _table(title: str, *columns: str) -> Table:
    """A table whose first column holds names and the others, right-aligned, figures; a leading "<" makes one a name too."""
    made = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns):
        name = index == 0 or column.startswith("<")
        made.add_column(column.removeprefix("<"), justify="left" if name else "right", no_wrap=not name, overflow="fold", ratio=None)
    return made


def _add(table: Table, *cells: str) -> None:
    table.add_row(*(Text(cell) for cell in cells))


def _headline(results: dict[str, Any]) -> RenderableType:
    network, chip = results.get("network") or {}, results.get("chip") or {}
    accuracy, over = results.get("accuracy"), samples_said(results, results.get("subset") or {})
    found = f"{over}, which had no labels," if accuracy is None else f"{percent(accuracy)} right on {over},"
    said = (
        f"{shorten(results.get('data'), 60)} on {shorten(chip.get('name'), 40)}, backend {shorten(results.get('backend'), 40)}: "
        f"{found} in {duration(results.get('wall_seconds'))} "
        f"({count(results.get('samples_per_second'))} samples/s).{compiled_once(results)} {count(network.get('neurons'))} neurons, "
        f"{count(network.get('synapses'))} synapses, T {count(network.get('timesteps'))}."
    )
    per = (
        f"A sample: {compact(results.get('spikes_per_sample'))} spikes, {compact(results.get('sops_per_sample'))} SOPs, "
        f"{compact(results.get('neuron_updates_per_sample'))} neuron updates, {compact(results.get('messages_per_sample'))} messages, "
        f"{compact(results.get('hops_per_sample'))} hops."
    )
    host = results.get("host_macs_per_sample")
    return Text(f"{said}\n{per}" + (f"\nOn the host, counted apart: {compact(host)} multiply-accumulates a sample." if host else ""))


def _stages(results: dict[str, Any]) -> RenderableType | None:
    rows = stages.rows(results.get("stages") or [])
    if not rows:
        return None
    table = _table("Accuracy by stage", "stage", "<split", "samples", "accuracy", "change (points)")
    for row in rows:
        split = shorten(row.get("split") or MISSING, 12)
        _add(table, shorten(row["name"], 40), split, row["over"], percent(row["accuracy"]), points(row["change"]))
    return table


def _run_layers(results: dict[str, Any]) -> RenderableType | None:
    layers = results.get("layers") or []
    if not layers:
        return None
    kept = _kept(layers)
    table = _table("Layers", "layer", "neurons", "synapses", *kept, "rate", "spikes", "SOPs", "drift")
    for layer in layers:
        figures = (compact(layer.get(k)) for k in ("spike_rate", "spikes_per_sample", "sops_per_sample"))
        sizes = (compact(layer.get(k)) for k in ("neurons", "synapses"))
        _add(table, _layer_name(layer), *sizes, *(percent(layer.get(k)) for k in kept.values()), *figures, percent(layer.get("drift")))
    said = "rate: spikes a neuron and step; spikes, SOPs: a sample; drift: spikes that differ from float"
    reachable = (results.get("network") or {}).get("connectivity_reachable")
    crossed = [] if reachable is None else [f"reachable synapses, as trained: {percent(reachable)} of the possible"]
    table.caption = Text("\n".join([said, *([_KEPT_SAID] if len(kept) > 1 else []), *crossed]), style="dim")
    table.caption_justify = "left"
    return table


_KEPT_SAID = "connect.: synapses left of the possible; weights: of those that a kernel shares"


def _kept(layers: list[dict[str, Any]]) -> dict[str, str]:
    """Return the columns of what is left, by heading: synapses, and weights where some stand for several synapses."""
    shared = any((layer.get("possible_weights") or 0) != (layer.get("possible_synapses") or 0) for layer in layers)
    return {"connect.": "connectivity"} | ({"weights": "weight_connectivity"} if shared else {})


def _layer_name(layer: dict[str, Any]) -> str:
    name = shorten(layer.get("name"), 24)
    return f"{name} (host)" if layer.get("place") == "host" else name


def _energy(results: dict[str, Any]) -> RenderableType | None:
    found = view.energy(results.get("energy"))
    if found is None:
        return None
    title = f"Energy a sample: {si(found.get('joules_per_sample'), 'J')} by the model {shorten(found.get('model'), 30)}"
    table = _table(title, "component", "count", "each", "a sample", "share", "<status")
    for part in found["components"]:
        each, whole = si(part.get("joules_per_unit"), "J"), si(part.get("joules_per_sample"), "J")
        status = shorten(part.get("status") or "unknown", 10)
        _add(table, shorten(part.get("name"), 30), compact(part.get("count_per_sample")), each, whole, percent(part["share"], 1), status)
    return table


def _baselines(results: dict[str, Any]) -> RenderableType | None:
    found = results.get("baselines") or {}
    if not found.get("rows"):
        return None
    table = _table(
        f"Beside it, in arithmetic alone ({shorten(found.get('model'), 30)})", "network", "<what", "MACs", "ACs", "energy a sample"
    )
    for row in found["rows"]:
        operations = (compact(row.get(k)) for k in ("macs_per_sample", "acs_per_sample"))
        _add(table, shorten(row.get("name"), 24), shorten(row.get("what"), 50), *operations, si(row.get("joules_per_sample"), "J"))
    table.caption = Text(f"{found.get('note')} Not to be added to the chip's energy.", style="dim")
    table.caption_justify = "left"
    return table


def _latency(results: dict[str, Any]) -> RenderableType | None:
    found = view.latency(results.get("latency"))
    if found is None:
        return None
    title = f"Latency a sample: {si(found.get('seconds_per_sample'), 's')} by the model {shorten(found.get('model'), 30)}"
    table = _table(title, "component", "a step", "share", "<status")
    for part in found["components"]:
        share, status = percent(part["share"], 1), shorten(part.get("status") or "unknown", 10)
        _add(table, shorten(part.get("name"), 40), si(part.get("seconds_per_step"), "s"), share, status)
    steps = f"{count(found.get('steps'))} steps of {si(found.get('seconds_per_step'), 's')}"
    table.caption = Text(f"{steps}; {count(found.get('throughput_samples_per_second'))} samples a second", style="dim")
    table.caption_justify = "left"
    return table


def _arithmetic(results: dict[str, Any]) -> RenderableType | None:
    found = results.get("arithmetic") or {}
    if not found.get("projections"):
        return None
    table = _table(f"Number formats, on {shorten(found.get('device'), 40)}", "projection", "<format", "largest sum", "exact up to")
    for row in found["projections"]:
        sums = (count(row.get(k)) for k in ("largest_sum", "exact_to"))
        _add(table, shorten(row.get("projection"), 40), shorten(row.get("format"), 12), *sums)
    return table


def _check(results: dict[str, Any]) -> RenderableType | None:
    check = results.get("check")
    if not check:
        return None
    over = (
        f"{count(check.get('spikes_compared'))} spike positions of {shorten(check.get('backend'), 40)} against the "
        f"{shorten(check.get('reference'), 40)}, {count(check.get('samples'))} samples, "
        f"populations {', '.join(shorten(p, 30) for p in check.get('populations') or [])}"
    )
    if check.get("equal"):
        return Text.assemble(("Check: every spike is equal. ", "bold green"), over)
    return Text.assemble(("Check: the spikes DIFFER. ", "bold red"), over)


def _warnings(document: dict[str, Any]) -> RenderableType | None:
    warnings = document.get("warnings") or []
    if not warnings:
        return None
    return Group(*(Text.assemble(("Warning: ", "bold yellow"), warning) for warning in warnings))


def _passes(compiled: dict[str, Any]) -> RenderableType | None:
    passes = compiled.get("passes") or []
    if not passes:
        return None
    table = _table("Passes", "pass", "time", "<what it changed")
    for one in passes:
        changes = "\n".join(change for change in one.get("changes") or []) or MISSING
        _add(table, shorten(one.get("name"), 24), duration(one.get("seconds")), changes)
    return table


def _found(compiled: dict[str, Any]) -> RenderableType | None:
    """Say what was dropped for free, what rounding took, and where the deployed spikes first leave the float ones."""
    dead, drift = compiled.get("dead_code") or {}, compiled.get("first_drift")
    lines: list[Text] = []
    if dead.get("synapses") or dead.get("neurons"):
        share = percent(dead["synapses"] / max(dead.get("of_synapses") or 1, 1), 1)
        line = (
            f"{count(dead.get('synapses'))} synapses ({share}) and {count(dead.get('neurons'))} neurons removed; the spikes stay the same."
        )
        lines.append(Text.assemble(("Dead code: ", "bold"), line))
    if dead.get("rounded_synapses"):
        share = percent(dead["rounded_synapses"] / max(dead.get("of_synapses") or 1, 1), 1)
        line = f"{count(dead['rounded_synapses'])} synapses ({share}) became zero in quantisation."
        lines.append(Text.assemble(("Rounded away: ", "bold"), line))
    if drift:
        line = f"{shorten(drift.get('layer'), 40)}, {percent(drift.get('share'), 1)} of its spikes differ from the float network's."
        lines.append(Text.assemble(("First drift: ", "bold"), line))
    return Group(*lines) if lines else None


def _compiled_layers(compiled: dict[str, Any]) -> RenderableType | None:
    layers = compiled.get("layers") or []
    if not layers:
        return None
    kept = _kept(layers)
    table = _table("Layers", "layer", "neurons", "synapses", *kept, "bits", "exponent", "threshold")
    for layer in layers:
        sizes = (compact(layer.get(k)) for k in ("neurons", "synapses"))
        registers = (count(layer.get(k)) for k in ("weight_bits", "exponent", "v_threshold"))
        _add(table, _layer_name(layer), *sizes, *(percent(layer.get(k)) for k in kept.values()), *registers)
    if len(kept) > 1:
        table.caption, table.caption_justify = Text(_KEPT_SAID, style="dim"), "left"
    return table


def _cores(cores: list[dict[str, Any]]) -> RenderableType | None:
    limits = list(dict.fromkeys(name for core in cores for name in core.get("utilisation") or {}))
    if not cores:
        return None
    table = _table("Cores, and how much of each limit they use", "core", "tile", *(core_map.label(name) for name in limits), "<holds")
    several = any(core.get("chip") for core in cores)
    for core in cores:
        shares = (percent((core.get("utilisation") or {}).get(name), 0) for name in limits)
        inside = ", ".join(f"{shorten(n, 16)} {count(size)}" for n, size in (core.get("populations") or {}).items())
        _add(table, str(core["core"]), traffic.tile_name(core, several), *shares, inside)
    return table


def _limits(cores: list[dict[str, Any]], chip: dict[str, Any]) -> RenderableType | None:
    if not cores:
        return None
    held, chips = view.room(chip)
    used = f"{len(cores)} of {held} cores{chips} of {shorten(chip.get('name'), 30)}"
    table = _table(f"Limits of a core; {used} used", "limit", "fullest core", "uses", "of", "that is", "mean")
    for row in core_map.limits(cores, chip):
        share, mean = percent(row["peak"], 0), percent(row["mean"], 0)
        _add(table, shorten(row["name"], 24), str(row["core"]), compact(row["used"]), compact(row["limit"]), share, mean)
    return table


def _bounds(compiled: dict[str, Any]) -> RenderableType | None:
    mapping = compiled.get("mapping") or {}
    rows = view.bounds(mapping)
    if not rows:
        return None
    table = _table(
        f"Mapping by {shorten(mapping.get('strategy') or 'layers', 40)} against its lower bounds",
        "measure",
        "reached",
        "lower bound",
        "ratio",
    )
    for row in rows:
        _add(table, row["name"], count(row["value"]), count(row["bound"]), ratio(row["value"], row["bound"]))
    table.caption, table.caption_justify = Text("\n".join(mapping.get("changes") or []), style="dim"), "left"
    return table
