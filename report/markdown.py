"""The report as Markdown, for issues, READMEs and mail: the page's tables without its drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import compare, core_map, models, stages, view
from .format import MISSING, clean, compact, count, percent, points, shorten, si

__all__ = ["comparison", "report"]

Rows = Iterable[Sequence[object]]
_MARKS = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~"})


def report(results: dict[str, Any]) -> str:
    """Return one run's `results` (results.json, parsed) as Markdown."""
    found = clean(results)
    blocks = [_head(found), _check(found), _stages(found), _layers(found), _limits(found), _bounds(found)]
    blocks += [_models(found), _baselines(found), _neurobench(found), _warnings(found), _provenance(found)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def comparison(rows: list[compare.Row]) -> str:
    """Return the runs of `rows`, which `compare.rows` made, as a Markdown table; the best on its data set is bold."""
    heads = [heading or "#" for heading, *_ in compare.columns(rows)]
    figures = [figure for _, figure, *_ in compare.columns(rows)]
    lines = [[f"**{_text(text)}**" if best else _text(text) for text, best in row] for row in compare.cells(rows)]
    said = "Figures a sample. Dynamic: energy without the static power. From float: points from the first stage to the deployed network."
    common = "; ".join(f"{name} {_text(value)}" for name, value in compare.shared(rows))
    said = " ".join(filter(None, (said, _text(compare.digital(rows)))))
    return f"{_table(heads, lines, figures)}\n\n{said}" + (f" All: {common}." if common else "") + "\n"


def _text(value: object) -> str:
    """Escape what Markdown would read as a mark: names come from files."""
    return str(value).translate(_MARKS)


def _table(heads: Sequence[str], lines: Rows, figures: Sequence[bool]) -> str:
    """Write a table of cells that are Markdown already; columns of figures are aligned to the right."""
    rule = ["---:" if figure else "---" for figure in figures]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heads, rule, *lines))


def _section(title: str, heads: Sequence[str], lines: Rows, figures: Sequence[bool], note: str = "") -> str:
    made = [[_text(cell) for cell in line] for line in lines]
    if not made:
        return ""
    return f"## {title}\n\n{_table(heads, made, figures)}" + (f"\n\n{note}" if note else "")


def _head(results: dict[str, Any]) -> str:
    title = f"# {_text(shorten(results.get('data'), 60))} on {_text(shorten((results.get('chip') or {}).get('name'), 60))}"
    lines = [(item["name"], item["figure"], item["note"]) for item in view.headlines(results)]
    facts = ", ".join(f"{_text(name)} {_text(value)}" for name, value in view.facts(results))
    return f"{title}\n\n{_table(('', 'figure', ''), [[_text(c) for c in line] for line in lines], (False, True, False))}\n\n{facts}"


def _check(results: dict[str, Any]) -> str:
    checks = results.get("checks") or [c for c in [results.get("check")] if c]
    return "\n\n".join(map(_checked, checks)) or "Not checked against the integer reference in this run."


def _checked(check: dict[str, Any]) -> str:
    verdict = "**Every spike is equal**" if check.get("equal") else "**The spikes differ**"
    backend, reference = _text(check.get("backend")), _text(check.get("reference"))
    compared, samples = count(check.get("spikes_compared")), count(check.get("samples"))
    return f"{verdict}: {compared} spike positions of {backend} against the {reference}, {samples} samples."


def _stages(results: dict[str, Any]) -> str:
    made = stages.rows(results.get("stages") or [])
    lines = [(s["name"], s.get("split") or MISSING, s["over"], percent(s["accuracy"]), points(s["change"])) for s in made]
    return _section("Accuracy by stage", ("stage", "split", "samples", "accuracy", "change"), lines, (False, False, True, True, True))


def _layers(results: dict[str, Any]) -> str:
    heads = ("layer", "neurons", "synapses", "connectivity", "reachable", "bits", "rate", "spikes", "SOPs", "drift")
    lines = [
        (
            r["name"],
            *(count(r.get(k)) for k in ("neurons", "synapses")),
            percent(r.get("connectivity")),
            percent(r.get("connectivity_reachable")),
            count(r.get("weight_bits")),
            *(compact(r.get(k)) for k in ("spike_rate", "spikes_per_sample", "sops_per_sample")),
            percent(r.get("drift")),
        )
        for r in view.layers(results)
    ]
    return _section(
        "Layers",
        heads,
        lines,
        (False, *[True] * 9),
        "Reachable: synapses that a spike could cross, as trained. Rate: spikes a neuron and step; spikes, SOPs: a sample.",
    )


def _limits(results: dict[str, Any]) -> str:
    cores = results.get("cores") or []
    made = core_map.limits(cores, results.get("chip") or {}) if cores else []
    lines = [(r["name"], r["core"], compact(r["used"]), compact(r["limit"]), percent(r["peak"], 0), percent(r["mean"], 0)) for r in made]
    heads = ("limit of a core", "fullest core", "uses", "of", "that is", "mean")
    said = "1 core is used." if len(cores) == 1 else f"{count(len(cores))} cores are used."
    return _section("Cores", heads, lines, (False, True, True, True, True, True), said)


def _bounds(results: dict[str, Any]) -> str:
    lines = [(r["name"], count(r["value"]), count(r["bound"]), r["ratio"]) for r in view.bounds(results.get("mapping") or {})]
    return _section("Mapping against its lower bounds", ("measure", "reached", "lower bound", "ratio"), lines, (False, True, True, True))


def _models(results: dict[str, Any]) -> str:
    found = models.side_by_side(results.get("models"))
    if found is None:
        return ""
    blocks: list[str] = []
    for one in found["quantities"]:
        lines = [(part["name"], *(si(cell["value"] if cell else None, one["unit"]) for cell in part["cells"])) for part in one["parts"]]
        lines.append(("sum", *(si(total, one["unit"]) for total in one["totals"])))
        if one["dynamic"]:
            lines.append(("of which dynamic", *(si(value, "J") for value in one["dynamic"])))
        names = [_text(name) for name in found["models"]]
        blocks.append(_section(one["title"], ("part", *names), lines, (False, *[True] * len(names))))
    said = f"The same counts, those of the mapping on {_text(found['mapped_for'])}, under each chip model; nothing is added across models."
    return "\n\n".join([*blocks, said])


def _baselines(results: dict[str, Any]) -> str:
    found = results.get("baselines") or {}
    lines = [
        (
            r["name"],
            r["what"],
            *(compact(r.get(k)) for k in ("macs_per_sample", "acs_per_sample")),
            si(r.get("joules_per_sample"), "J"),
        )
        for r in found.get("rows") or []
    ]
    note = f"By {_text(found.get('model'))}. {_text(found.get('note') or '')} Not to be added to the chip's energy."
    heads = ("network", "what is counted", "MACs", "ACs", "energy")
    return _section("The same network in digital arithmetic alone", heads, lines, (False, False, True, True, True), note)


def _neurobench(results: dict[str, Any]) -> str:
    lines = [(r["name"], r["value"], r["said"]) for r in view.neurobench(results.get("neurobench"))]
    return _section("NeuroBench metrics", ("metric", "value", "definition"), lines, (False, True, False))


def _warnings(results: dict[str, Any]) -> str:
    listed = "\n".join(f"- {_text(warning)}" for warning in results.get("warnings") or [])
    return f"## Warnings\n\n{listed}" if listed else ""


def _provenance(results: dict[str, Any]) -> str:
    found = view.provenance(results.get("provenance") or {})
    lines = [f"- {_text(name)}: {_text(value)}" for name, value in found["single"]]
    lines += [f"- {_text(name)}: {', '.join(f'{_text(k)} {_text(v)}' for k, v in entries)}" for name, entries in found["groups"]]
    command = f"\n\n    {found['command']}" if found["command"] else ""
    return f"## Provenance{command}\n\n" + "\n".join(lines) if command or lines else ""
