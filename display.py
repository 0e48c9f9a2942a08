"""How objects show themselves in a notebook and at a prompt: one line, and a small table. Names come from files and are escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["chain", "short", "table"]

MOST_ROWS = 30
LONGEST = 60


def short(text: object) -> str:
    """Return a text on one line of at most 60 characters, without what cannot be printed."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def chain(sizes: Sequence[int]) -> str:
    """Return the sizes of populations joined as in 784-800-10, with those in the middle left out if there are more than 8."""
    shown = [*sizes[:6], "…", sizes[-1]] if len(sizes) > 8 else sizes
    return "-".join(map(str, shown))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table of at most 30 rows below its title; numbers are right-aligned."""
    listed = list(rows)
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in listed[:MOST_ROWS])
    left_out = f"<p>… and {len(listed) - MOST_ROWS:,} more</p>" if len(listed) > MOST_ROWS else ""
    return f"<div><p>{html.escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left_out}</div>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return (
            f'<td style="text-align: right">{value:,}</td>' if isinstance(value, int) else f'<td style="text-align: right">{value:.4g}</td>'
        )
    return f'<td style="text-align: left">{html.escape(short(value))}</td>'
