"""A table as comma-separated values (RFC 4180), for spreadsheets: the cells as written on the page, with units in the headings.

Spreadsheets treat cells that begin with = + - @ as formulas, and names come from files: such a cell gets a leading apostrophe,
unless it is a number. For figures at full precision there are `Results.to_frame` and results.json.
"""

from __future__ import annotations

import csv
import io
import re

from .table import Table

__all__ = ["table"]

NUMBER = re.compile(r"[+-]\d[\d,.]*( \S+)?")


def table(found: Table) -> str:
    """Write a table: a line of headings, one for each row, one for each total."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([safe(column.said) for column in found.columns])
    writer.writerows([safe(cell.line) for cell in cells] for cells in (*found.rows, *found.totals))
    return stream.getvalue()


def safe(text: str) -> str:
    """Return a one-line cell that no spreadsheet treats as a formula."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) and not NUMBER.fullmatch(line) else line
