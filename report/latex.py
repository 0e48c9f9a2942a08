"""A table for a paper: a LaTeX `table` with the rules of the package booktabs, every character of the cells as itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .table import Cell, Table

__all__ = ["SIGNS", "table", "text"]

SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}"},
    **{"[": "{[}", "]": "{]}", "*": "{*}"},  # \\ takes what stands in brackets, and a star
    **{"µ": r"\textmu{}", "…": r"\ldots{}", "–": r"\textendash{}", "−": "$-$", "±": r"$\pm$", "×": r"$\times$"},
}
"""LaTeX for its special characters, and for the non-ASCII characters in reports."""
_SIGNS = str.maketrans(SIGNS)


def table(found: Table) -> str:
    """Write a table with its title as the caption; totals lie below a rule, the note below the table."""
    columns = "".join("r" if column.figure else "l" for column in found.columns)
    lines = [r"\begin{table}  % \usepackage{booktabs}, \usepackage[T1]{fontenc}", r"\centering", rf"\caption{{{text(found.title)}}}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row([text(column.said) for column in found.columns]), r"\midrule"]
    lines += [_row([written(cell) for cell in cells]) for cells in found.rows]
    if found.totals:
        lines += [r"\midrule", *(_row([written(cell) for cell in cells]) for cells in found.totals)]
    lines += [r"\bottomrule", r"\end{tabular}", *([rf"\par\smallskip {text(found.note)}"] if found.note else []), r"\end{table}"]
    return "\n".join(lines) + "\n"


def written(cell: Cell) -> str:
    """Return a cell; the main figure is bold."""
    said = text(cell.line)
    return rf"\textbf{{{said}}}" if cell.strong and said else said


def text(value: str) -> str:
    """Return a text on one line, escaped."""
    return re.sub("-(?=-)", "-{}", " ".join(value.split()).translate(_SIGNS))  # -- and --- are dashes


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
