"""The tables of one run, each made once from its results; terminal, Markdown and page render them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import core_map, models, stages, step_chart, traffic
from .definitions import definitions, neurobench
from .document import Document
from .format import MISSING, compact, count, percent, points, ratio, samples_said, shorten, si
from .prices import Energy, EnergyComponent, Latency, LatencyComponent
from .sizes import ChipInUse, CoreLoad, LayerSize, MappingFound
from .table import Cell, Column, Row, Table, row

__all__ = [
    "arithmetic", "baselines", "bounds", "cores", "definitions", "energy", "headlines", "latency", "layers", "limits", "neurobench",
    "of_run", "prices", "sizes", "stage_rows", "weights",
]  # fmt: skip

SAMPLE, STEP = "per sample", "per time step"


def of_run(results: Document) -> dict[str, Table]:
    """Return the tables of a run by name; a table without rows is left out."""
    made = {
        "headlines": headlines(results),
        "stages": stage_rows(results),
        "layers": layers(results),
        "weights": weights(results),
        "bounds": bounds(results.mapping),
        "limits": limits(results.cores, results.chip),
        "cores": cores(results.cores),
        **{f"models, {table.title.split()[0].lower()}": table for table in prices(results)},
        "baselines": baselines(results),
        "definitions": definitions(results.definitions),
        "energy": energy(results),
        "latency": latency(results),
        "step": step_chart.table(results.step_bound),
        "neurobench": neurobench(results.neurobench),
        "arithmetic": arithmetic(results),
    }
    return {name: table for name, table in made.items() if table.rows}


def _name(heading: str) -> Column:
    return Column(heading, figure=False)


def headlines(results: Document) -> Table:
    """Return the five headline figures, each with its basis."""
    held, chips = room(results.chip)
    tested = samples_said(results) + ("" if results.accuracy is not None else ", no labels")
    spikes = compact(results.spikes_per_sample)
    rows = (
        row("accuracy", percent(results.accuracy), tested),
        row("synaptic operations", compact(results.sops_per_sample), f"{SAMPLE}, from {spikes} spikes"),
        _energy_in_short(results.energy),
        row(
            _named("latency", _least_certain(results.latency.components)),
            si(results.latency.seconds_per_sample, "s"),
            f"{SAMPLE}, model {results.latency.model}",
        ),
        row("cores", count(results.mapping.cores), f"of {held}{chips}; lower bound {count(results.mapping.cores_bound)}"),
    )
    return Table("In short", (_name(""), Column("figure"), _name("")), rows)


def _energy_in_short(found: Energy) -> Row:
    """Return the dynamic energy, which is the network's own, with its status; then what it is with the static power."""
    status = _least_certain(part for part in found.components if not part.name.startswith("static"))
    whole = f"{SAMPLE}, model {found.model}; {si(found.joules_per_sample, 'J')} with the static power"
    return row(_named("dynamic energy", status), si(found.dynamic_joules_per_sample, "J"), whole)


def _named(name: str, status: str) -> Cell:
    return Cell(name, (status,) if status else ())


def _least_certain(parts: Iterable[EnergyComponent | LatencyComponent]) -> str:
    """Return the status of the least certain number among the parts; empty if none has one."""
    found = {part.status for part in parts}
    return next((status for status in ("assumed", "derived", "published") if status in found), "")


def room(chip: ChipInUse) -> tuple[str, str]:
    """Return how many cores the chips in use have, and " on 3 chips" where there are several."""
    used = chip.chips_in_use
    if used == 1:
        return count(chip.cores), ""
    return count(used * int(chip.cores_offered or chip.cores)), f" on {count(used)} chips"


def stage_rows(results: Document) -> Table:
    """Return the accuracy at each stage from the float network to the chip."""
    columns = (_name("stage"), _name("split"), Column("samples", whole=True), Column("accuracy"), Column("change"))
    rows: list[Row] = []
    for stage in stages.rows(results.stages):
        samples, _, which = stage.over.partition(", ")
        accuracy = Cell(percent(stage.accuracy), strong=True)
        rows.append(row(stage.name, stage.split or MISSING, Cell(samples, (which,) if which else ()), accuracy, points(stage.change)))
    return Table("Accuracy by stage", columns, tuple(rows), note="Change: percentage points from the stage before on the same samples.")


def sizes(found: Sequence[LayerSize], brief: bool = False) -> tuple[tuple[Column, ...], list[list[Cell]]]:
    """Return the columns and cells that layers have before any run; `brief`: the terminal shows no registers."""
    shared = any(layer.shares_weights for layer in found)
    columns = (
        _name("layer"),
        Column("input from", figure=False, wide=True),
        Column("neurons"),
        Column("synapses"),
        Column("connectivity", brief="connect."),
        *((Column("weights left", brief="weights"),) if shared else ()),
        Column("bits", wide=brief),
        Column("exponent", wide=brief),
        Column("threshold", wide=brief),
    )
    return columns, [_size(layer, shared) for layer in found]


def _size(layer: LayerSize, shared: bool) -> list[Cell]:
    reachable = () if layer.connectivity_reachable is None else (f"{percent(layer.connectivity_reachable)} reachable",)
    possible = () if layer.possible_synapses is None else (f"of {compact(layer.possible_synapses)}",)
    return [
        Cell(f"{layer.name} (host)" if layer.place == "host" else layer.name),
        Cell(", ".join(layer.sources) or MISSING, (layer.kind,) if layer.kind else ()),
        Cell(compact(layer.neurons), ("×".join(map(str, layer.shape)),) if len(layer.shape) > 1 else ()),
        Cell(compact(layer.synapses), possible),
        Cell(percent(layer.connectivity), reachable),
        *((Cell(percent(layer.weight_connectivity) if layer.possible_weights else "no weights"),) if shared else ()),
        *(Cell(count(v)) for v in (layer.weight_bits, layer.exponent, layer.v_threshold)),
    ]


def layers(results: Document) -> Table:
    """Return the layers with their activity, each with its share of all SOPs."""
    columns, cells = sizes(results.layers, brief=True)
    total = sum(layer.sops_per_sample for layer in results.layers)
    rows: list[Row] = []
    for layer, size_cells in zip(results.layers, cells, strict=True):
        share = layer.sops_per_sample / total if total else 0.0
        did = (
            Cell(compact(layer.spike_rate), alarm=layer.spike_rate == 0),
            Cell(compact(layer.spikes_per_sample)),
            Cell(compact(layer.sops_per_sample), strong=True),
            Cell(percent(share, 1), share=share),
            Cell(percent(layer.drift)),
        )
        rows.append((*size_cells, *did))
    columns += (
        Column("rate", "per neuron and step"),
        Column("spikes", SAMPLE),
        Column("SOPs", SAMPLE),
        Column("share of SOPs", wide=True),
        Column("mismatch"),
    )
    return Table("Layers", columns, tuple(rows), note=_note(results))


def _note(results: Document) -> str:
    said = "Mismatch: share of spikes that differ from the float network's."
    if any(layer.shares_weights for layer in results.layers):
        said += f" {SHARED}"
    reachable = results.network.connectivity_reachable
    return said if reachable is None else f"{said} Reachable synapses, as trained: {percent(reachable)} of the possible."


SHARED = "Connectivity: synapses left of the possible; weights left: of those that a kernel shares."


def weights(results: Document) -> Table:
    """Return the weights of every projection before and after quantisation."""
    columns = (
        _name("weights of"),
        Column("bits"),
        Column("before"),
        Column("deployed"),
        Column("distinct values", "deployed", brief="distinct"),
        Column("largest", "before"),
        Column("largest", "deployed", brief="deployed"),
        Column("one integer step is", brief="step"),
    )
    found = results.weights.rows if results.weights else []
    several = len({one.layer for one in found}) < len(found)
    rows = [
        row(
            one.projection if several else one.layer,
            *map(count, (one.bits, one.weights_before, one.weights_after, one.integers, one.largest_before, one.largest_after, one.step)),
        )
        for one in found
    ]
    return Table("Weights before and after quantisation", columns, tuple(rows))


def bounds(mapping: MappingFound) -> Table:
    """Return the quality of the mapping, each measure against its lower bound if there is one."""
    listed: list[tuple[str, float, float | None]] = [
        ("cores", mapping.cores, mapping.cores_bound),
        (f"messages {STEP}", mapping.messages_per_step, mapping.messages_bound),
        ("hops per message", mapping.hops_per_message, None),
    ]
    if mapping.chips > 1:
        listed.append(("chips", mapping.chips, None))
    rows = [row(name, Cell(count(value), strong=True), count(bound), ratio(value, bound)) for name, value, bound in listed]
    title = f"Mapping by {shorten(mapping.strategy or 'layers', 40)} against its lower bounds"
    return Table(title, (_name("measure"), Column("reached"), Column("lower bound"), Column("ratio")), tuple(rows))


def limits(found: Sequence[CoreLoad], chip: ChipInUse) -> Table:
    """Return one row per limit of a core: the fullest core, and the mean over the cores in use."""
    columns = (_name("limit of a core"), Column("fullest core"), Column("uses"), Column("of"), Column("that is"), Column("mean"))
    rows = [
        row(one.label, str(one.core), compact(one.used), compact(one.limit), Cell(percent(one.peak, 0), strong=True), percent(one.mean, 0))
        for one in core_map.limits(found, chip)
    ]
    held, chips = room(chip)
    used = f"{count(len(found))} of {held} cores{chips} of {shorten(chip.name, 30)}"
    return Table(f"Limits of a core; {used} used", columns, tuple(rows))


def cores(found: Sequence[CoreLoad]) -> Table:
    """Return one row per core: where it lies, how much of each limit it uses (the tightest is strong), what it holds."""
    names = core_map.names(found)
    several = any(core.chip for core in found)
    measured = ("sops_per_sample", "spikes_per_sample", "messages_per_sample")
    counted = any(hasattr(core, measured[0]) for core in found)
    columns = (
        _name("core"),
        Column("chip:tile" if several else "tile", figure=False),
        *(Column(core_map.label(name)) for name in names),
        Column("holds", figure=False),
        *(Column(heading, SAMPLE, wide=True) for heading in (("SOPs", "spikes", "messages") if counted else ())),
    )
    rows = [
        row(
            str(core.core),
            traffic.tile_name(core, several),
            *(Cell(percent(core.share(n), 0), (count(core.used(n)),), strong=n == core.tightest[0]) for n in names),
            ", ".join(f"{shorten(name, 24)} {count(neurons)}" for name, neurons in core.populations.items()),
            *(count(getattr(core, key)) for key in (measured if counted else ())),
        )
        for core in found
    ]
    return Table("Cores, and how much of each limit they use", columns, tuple(rows))


def prices(results: Document) -> list[Table]:
    """Return energy and latency by part under each chip model, one column per model."""
    made: list[Table] = []
    for one in models.quantities(results.models):
        listed = [
            row(Cell(name, key=models.STYLES.get(name, "c6")), *(Cell(si(v, one.unit), (s,) if s else ()) for v, s in parts))
            for name, parts in one.parts
        ]
        totals = [row("sum", *(Cell(si(total, one.unit), strong=True) for total in one.totals))]
        if one.dynamic:
            totals.append(row("of which dynamic", *(si(value, one.unit) for value in one.dynamic)))
        columns = (_name("part"), *(Column(shorten(name, 30)) for name in one.models))
        made.append(Table(one.title, columns, tuple(listed), tuple(totals)))
    return made


def baselines(results: Document) -> Table:
    """Return the same network in digital arithmetic alone."""
    found = results.baselines
    columns = (
        _name("network"),
        Column("what is counted", figure=False),
        Column("MACs", SAMPLE),
        Column("ACs", SAMPLE),
        Column("energy", SAMPLE),
    )
    rows = [
        row(
            one.name,
            one.what,
            compact(one.macs_per_sample),
            compact(one.acs_per_sample),
            Cell(si(one.joules_per_sample, "J"), strong=True),
        )
        for one in (found.rows if found else ())
    ]
    by = shorten(found.model, 30) if found else MISSING
    note = f"{found.note} Not to be added to the chip's energy." if found else ""
    return Table(f"The same network in digital arithmetic alone, by {by}", columns, tuple(rows), note=note)


def energy(results: Document) -> Table:
    """Return the energy by component with the source of each price."""
    found = results.energy
    total = sum(part.joules_per_sample for part in found.components)
    columns = (
        _name("component"),
        Column("count", SAMPLE),
        Column("each"),
        Column("energy", SAMPLE),
        Column("share"),
        Column("status", figure=False),
        Column("source of the number", figure=False, wide=True),
    )
    rows = [
        row(
            part.name,
            compact(part.count_per_sample),
            si(part.joules_per_unit, "J"),
            Cell(si(part.joules_per_sample, "J"), strong=True),
            _share(part.joules_per_sample, total),
            Cell(part.status or "unknown", badge=True),
            part.source or "no source given",
        )
        for part in found.components
    ]
    totals = (
        row("sum", "", "", Cell(si(found.joules_per_sample, "J"), strong=True), "", "", ""),
        row("of which dynamic", "", "", si(found.dynamic_joules_per_sample, "J"), "", "", ""),
    )
    title = f"Energy per sample: {si(found.dynamic_joules_per_sample, 'J')} dynamic, by the model {shorten(found.model, 30)}"
    return Table(title, columns, tuple(rows), totals, _static_note(found))


def _static_note(found: Energy) -> str:
    """Say what dynamic means, and the range of the static part where the model states one."""
    static = found.joules_per_sample - found.dynamic_joules_per_sample
    said = "Dynamic: without the static power."
    if found.static_joules_low is None:
        return said
    return f"{said} Static: {si(found.static_joules_low, 'J')} to {si(static, 'J')}, as its two sources have it."


def _share(value: float, total: float) -> Cell:
    share = value / total if total else 0.0
    return Cell(percent(share, 1), share=share)


def latency(results: Document) -> Table:
    """Return the time of a step by component with the source of each."""
    found = results.latency
    total = sum(part.seconds_per_step for part in found.components)
    columns = (
        _name("component"),
        Column("time", STEP),
        Column("share"),
        Column("status", figure=False),
        Column("source of the number", figure=False, wide=True),
    )
    rows = [
        row(
            part.name,
            Cell(si(part.seconds_per_step, "s"), strong=True),
            _share(part.seconds_per_step, total),
            Cell(part.status or "unknown", badge=True),
            part.source or "no source given",
        )
        for part in found.components
    ]
    steps = f"{count(found.steps)} time steps of {si(found.seconds_per_step, 's')} each"
    note = f"{steps}; {count(found.throughput_samples_per_second)} samples per second. {_timing_note(found)}"
    title = f"Latency per sample: {si(found.seconds_per_sample, 's')}, by the model {shorten(found.model, 30)}"
    return Table(title, columns, tuple(rows), note=note)


def _timing_note(found: Latency) -> str:
    """Say of how many samples the steps were timed, with the error of their mean; or that only mean loads were known."""
    if not found.timed_samples:
        return "From mean loads: a step that waits for its slowest core takes longer."
    error = "" if not found.standard_error else f", standard error {si(found.standard_error, 's')}"
    longest = "" if found.slowest_step is None else f"; the longest took {si(found.slowest_step, 's')}"
    return f"Each step of {count(found.timed_samples)} samples timed by its own slowest core{error}{longest}."


def arithmetic(results: Document) -> Table:
    """Return the number formats that a backend chose, by projection."""
    found = results.arithmetic
    columns = (_name("projection"), Column("format", figure=False), Column("largest sum"), Column("exact up to"))
    rows = [
        row(shorten(one.projection, 40), shorten(one.format, 12), count(one.largest_sum), count(one.exact_to))
        for one in (found.projections if found else ())
    ]
    return Table(f"Number formats, on {shorten(found.device, 40) if found else MISSING}", columns, tuple(rows))
