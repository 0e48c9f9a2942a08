"""The report as Markdown, for issues, READMEs and e-mail: the page's tables without its drawings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import compare, models, tables, view
from .document import Check, Document
from .format import clean, count, shorten
from .table import Cell, Table

__all__ = ["comparison", "report", "table", "written"]

_MARKS = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~"})
_SHOWN = (
    *("stages", "layers", "weights", "limits", "bounds", "models, energy", "models, latency"),
    *("baselines", "definitions", "energy", "latency", "step", "arithmetic", "neurobench"),
)


def report(results: Document) -> str:
    """Return one run's results as Markdown."""
    found = clean(results)
    made = tables.of_run(found)
    blocks = [_head(found, made["headlines"]), _checks(found), *(section(made[name]) for name in _SHOWN if name in made)]
    blocks += [_models(found), _warnings(found), _provenance(found)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def comparison(rows: Sequence[compare.Run]) -> str:
    """Return the runs of `rows`, which `compare.rows` made, as a Markdown table; the best on its data set is bold."""
    said = "Figures per sample. Dynamic: energy without the static power. From float: points from the first stage to the deployed network."
    common = "; ".join(f"{name} {_text(value)}" for name, value in compare.shared(rows))
    said = " ".join(filter(None, (said, _text(compare.digital(rows)))))
    blocks = [table(compare.table(rows)), said + (f" All: {common}." if common else "")]
    seeds = compare.seeds(rows)
    blocks += [section(seeds)] if seeds.rows else []
    warned = (
        f"- {'Run' if len(numbers) == 1 else 'Runs'} {', '.join(map(str, numbers))}: {_text(text)}"
        for text, numbers in compare.warned(rows)
    )
    return "\n\n".join(filter(None, [*blocks, _listed("Warnings", warned)])) + "\n"


def table(found: Table) -> str:
    """Write a table with all its columns; columns of figures are aligned to the right."""
    heads = ["#" if column.heading == "#" else _text(column.said) for column in found.columns]
    rule = ["---:" if column.figure else "---" for column in found.columns]
    rows = [[written(cell) for cell in cells] for cells in (*found.rows, *found.totals)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def section(found: Table) -> str:
    """Write a table below its title, its note below it."""
    return f"## {_text(found.title)}\n\n{table(found)}" + (f"\n\n{_text(found.note)}" if found.note else "")


def written(cell: Cell) -> str:
    """Return a cell for a Markdown table."""
    written = _text(cell.line)
    return f"**{written}**" if cell.strong and written else written


def _text(value: object) -> str:
    """Escape Markdown's special characters: names come from files."""
    return str(value).translate(_MARKS)


def _head(results: Document, headlines: Table) -> str:
    title = f"# {_text(shorten(results.data, 60))} on {_text(shorten(results.chip.name, 60))}"
    facts = ", ".join(f"{_text(name)} {_text(value)}" for name, value in view.facts(results))
    return f"{title}\n\n{table(headlines)}\n\n{facts}"


def _checks(results: Document) -> str:
    checks = results.checks or ([results.check] if results.check else [])
    return "\n\n".join(map(_checked, checks)) or "Not checked against the integer reference in this run."


def _checked(check: Check) -> str:
    verdict = "**Every spike is equal**" if check.equal else "**The spikes differ**"
    over = f"{count(check.spikes_compared)} spike positions of {_text(check.backend)} against the {_text(check.reference)}"
    return f"{verdict}: {over}, {count(check.samples)} samples."


def _models(results: Document) -> str:
    found = results.models
    if found is None:
        return ""
    said = f"Chip models: the same counts, those of the mapping on {_text(found.mapped_for)}, under each; nothing is added across models."
    missing = (f"{', '.join(map(_text, names))}: {_text(why)}" for why, names in models.left_out(found))
    return " ".join([said, *(f"Left out: {one.rstrip('.')}." for one in missing)])


def _warnings(results: Document) -> str:
    return _listed("Warnings", (f"- {_text(warning)}" for warning in results.warnings))


def _provenance(results: Document) -> str:
    found = view.provenance(results.provenance)
    lines = [f"- {_text(name)}: {_text(value)}" for name, value in found.single]
    lines += [f"- {_text(name)}: {', '.join(f'{_text(k)} {_text(v)}' for k, v in entries)}" for name, entries in found.groups]
    return _listed("Provenance", ([*(f"    {command}" for command in found.commands), ""] if found.commands else []) + lines)


def _listed(title: str, lines: Iterable[str]) -> str:
    listed = "\n".join(lines)
    return f"## {title}\n\n{listed}" if listed else ""
