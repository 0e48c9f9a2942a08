"""A table independent of its output: titled columns and rows of formatted cells. Terminal, Markdown and page each render it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cell", "Column", "Row", "Table", "row"]


@dataclass(frozen=True)
class Column:
    """A column.

    `unit`: of its figures, if the heading does not give it; `figure`: aligned to the right; `wide`: omitted in the terminal,
    which has only 80 columns; `brief`: the heading there; `whole`: details are shown there too.
    """

    heading: str
    unit: str = ""
    figure: bool = True
    wide: bool = False
    brief: str = ""
    whole: bool = False

    @property
    def said(self) -> str:
        """The heading with its unit, on one line."""
        return f"{self.heading}, {self.unit}" if self.unit else self.heading


@dataclass(frozen=True)
class Cell:
    """A formatted cell of a table.

    `details`: smaller lines below it; `strong`: the main figure; `alarm`: a figure that needs attention; `badge`: how certain a number is;
    `code`: a command or checksum; `share` (0..1): drawn as a bar on the page; `key`: the colour of its part in a drawing on the page.
    """

    text: str
    details: tuple[str, ...] = ()
    strong: bool = False
    alarm: bool = False
    badge: bool = False
    code: bool = False
    share: float | None = None
    key: str = ""

    @property
    def line(self) -> str:
        """Text and details on one line: "31,000 of 627,200"; "20 of 100, evenly spread"."""
        return self.text + "".join(f" {detail}" if detail.startswith("of ") else f", {detail}" for detail in self.details)


Row = tuple[Cell, ...]


def row(*cells: str | Cell) -> Row:
    """Return a row of cells, plain texts among them."""
    return tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)


@dataclass(frozen=True)
class Table:
    """A table: its rows, then `totals` over them; a `note` below explains in a sentence what the headings do not."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    totals: tuple[Row, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(cells) != len(self.columns) for cells in (*self.rows, *self.totals)):
            raise ValueError(f"A row of the table {self.title!r} has not {len(self.columns)} cells, one for each column.")
