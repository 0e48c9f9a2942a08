"""A table says the same in the terminal, in Markdown, CSV, LaTeX and on the page: what one of them laid out by itself would differ in."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from invented import FIXTURES, compiled, made, results
from rich.console import Console
from spikeloom.errors import UsageError
from spikeloom.report import compare, delimited, deployed, html, latex, markdown, tables, terminal, write
from spikeloom.report.compiled import Compiled, OnPaper
from spikeloom.report.format import clean, shorten
from spikeloom.report.table import Cell, Column, Table, row
from spikeloom.sweep import page

Texts = list[list[str]]
SWEPT = {"method": "stds", "sparsity_asked": 0.9, "connectivity": 0.1, "connectivity_unrolled": 0.2, "sparsity": 0.9, "pruned": 5e7}
PAPER = OnPaper.model_validate(
    {
        "chip": "loihi2",
        "layers": [{"name": "hidden1", "neurons": 800, "synapses": 31_000_000, "rate": 0.1, "sops_caused_per_sample": 2480.0}],
        "cores_for": {"synapse_words": 3},
        "joules_per_sample": 1e-7,
        "components": [
            {"name": "hops", "count_per_sample": 3.0, "joules_per_unit": 1e-12, "joules_per_sample": 3e-12, "status": "assumed"}
        ],
        "cores": 3,
        "chips": 1,
        "steps": 9,
        "step": [{"name": "barrier", "seconds_per_step": 2e-7, "status": "derived"}],
        "seconds_per_step": 2e-7,
        "seconds_per_sample": 1.8e-6,
        "static_watts": [0.03, 0.1],
    }
)


def every_table() -> dict[str, Table]:
    """Every table that any of the three shows, over ordinary, empty, huge and hostile results."""
    found: dict[str, Table] = {}
    for name, document in FIXTURES.items():
        run, built = clean(made(document)), clean(Compiled.model_validate(compiled(document)))
        of_compile = {"passes": deployed.passes(built), "compiled layers": deployed.layers(built), "load": tables.cores(built.cores)}
        found |= {f"{name}: {table}": one for table, one in (tables.of_run(run) | of_compile).items()}
    runs = compare.rows([(name, made(document)) for name, document in FIXTURES.items()])
    rows = [SWEPT | {"seed": seed, "accuracy": 0.9 + 0.01 * seed, "regrown": 3.0} for seed in range(2)]
    found |= {"compared": compare.table(runs), "provenance": compare.provenance(runs), "sweep": page.table(rows)}
    return found | {f"paper: {one.title}": one for one in deployed.on_paper(PAPER)}


TABLES = every_table()


class Page(HTMLParser):
    """The texts of a table's cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: Texts = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True
        elif tag == "br":
            self.rows[-1][-1] += ", "

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data.strip("\n")


def on_page(table: Table) -> Texts:
    draw = html._environment().get_template("table.html.j2").module.draw  # pyright: ignore
    rows = [[" ".join(cell.split()) for cell in line] for line in Page(str(draw(table))).rows]
    return [[cell.replace(" , ", ", ").replace(", of ", " of ") for cell in line] for line in rows]


def in_markdown(table: Table) -> Texts:
    lines = markdown.table(table).splitlines()
    cells = [re.split(r"(?<!\\) ?\| ?", line.strip())[1:-1] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", re.sub(r"^\*\*|(?<!\\)\*\*$", "", cell)) for cell in line] for line in (cells[0], *cells[2:])]


def in_terminal(table: Table) -> Texts:
    drawn = terminal.table(table)
    columns = [[str(column.header), *map(str, column.cells)] for column in drawn.columns]
    return [list(line) for line in zip(*columns, strict=True)]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_the_same_in_all_three(name: str) -> None:
    table = TABLES[name]
    rows = [*table.rows, *table.totals]
    lines = [[" ".join(cell.line.split()) for cell in cells] for cells in rows]
    headings = [column.said for column in table.columns]
    assert [[" ".join(text.split()) for text in line] for line in in_markdown(table)[1:]] == lines
    assert in_markdown(table)[0] == headings
    shown = on_page(table)
    assert shown == [headings, *([text.replace(", of ", " of ") for text in line] for line in lines)]
    narrow = [index for index, column in enumerate(table.columns) if not column.wide]
    spoken = in_terminal(table)
    assert spoken[0] == [table.columns[index].brief or table.columns[index].heading for index in narrow]
    for cells, line in zip(rows, spoken[1:], strict=True):
        for index, text in zip(narrow, line, strict=True):
            cell, column = cells[index], table.columns[index]
            wanted = shorten(cell.text, terminal.NAME) if index == 0 else cell.text
            assert text == "\n".join([wanted, *cell.details] if column.whole else [wanted])


def in_csv(table: Table) -> Texts:
    """The cells without the apostrophe before what looks like a formula."""
    return [[cell[1:] if re.match("'[=+@-]", cell) else cell for cell in line] for line in csv.reader(io.StringIO(delimited.table(table)))]


def in_latex(table: Table) -> Texts:
    """The cells as LaTeX sets them: commands and braces undone one by one, so that one left unescaped shows."""
    signs: dict[str, str] = {written: sign for sign, written in latex.SIGNS.items()} | {"-{}": "-"}
    longest_first = sorted(signs, key=len, reverse=True)
    token = re.compile("|".join(map(re.escape, longest_first)) + "|.")
    body = latex.table(table).split("\\toprule\n")[1].split("\\bottomrule")[0].replace("\\midrule\n", "")

    def plain(cell: str) -> str:
        inner = cell.removeprefix("\\textbf{").removesuffix("}") if cell.startswith("\\textbf{") else cell
        tokens: list[str] = token.findall(inner)
        assert not {t for t in tokens if t not in signs} & set("\\{}&%$#_~^[]*")
        return "".join(signs.get(t, t) for t in tokens)

    return [[plain(cell) for cell in line.removesuffix(r" \\").split(" & ")] for line in body.splitlines()]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_the_same_in_csv_and_latex(name: str) -> None:
    table = TABLES[name]
    texts = [[column.said for column in table.columns], *([cell.line for cell in cells] for cells in (*table.rows, *table.totals))]
    lines = [[" ".join(text.split()) for text in line] for line in texts]
    assert in_latex(table) == lines
    assert in_csv(table) == lines


HARD = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-x",
    "@SUM(A1)",
    "a,b",
    'say "x"',
    "50 % & more_$#{}\\~^",
    "[x] * --",
    "",
    "+0.05",
    "-12 nJ",
    "two\nlines",
)


@pytest.mark.parametrize("text", HARD)
def test_hard_cells(text: str) -> None:
    table = Table(text, (Column("a", figure=False), Column(text)), (row(text, Cell(text, strong=True)),), (row("", text),))
    line = " ".join(text.split())
    assert in_latex(table) == in_csv(table) == [["a", line], [line, line], ["", line]]
    for cells in csv.reader(io.StringIO(delimited.table(table))):
        assert not any(re.match(r"[=@]|[+-]\D", cell) for cell in cells)


def test_a_table_is_written_as_csv_and_latex(tmp_path: Path) -> None:
    run = made(results())
    written = write(run, tmp_path / "energy.csv", table="energy").read_text()
    assert written == delimited.table(tables.of_run(clean(run))["energy"])
    assert write(run, tmp_path / "layers.tex").read_text() == latex.table(tables.of_run(clean(run))["layers"])
    assert write({"a": run, "b": run}, tmp_path / "both.csv").read_text() == delimited.table(
        compare.table(compare.rows([("a", run), ("b", run)]))
    )
    with pytest.raises(UsageError, match="Did you mean 'energy'"):
        write(run, tmp_path / "x.tex", table="enery")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_fits_the_terminal(name: str) -> None:
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(terminal.table(TABLES[name]))
    assert max(map(len, out.getvalue().splitlines()), default=0) <= 80 and "\x1b" not in out.getvalue()


def test_every_table_of_the_pages_is_of_the_one_form() -> None:
    """No template lays a table out by itself."""
    templates = Path(html.__file__).with_name("templates")
    assert [path.name for path in sorted(templates.glob("*.j2")) if "<table" in path.read_text()] == ["table.html.j2"]


def test_every_table_of_a_run_is_on_the_page_and_in_markdown() -> None:
    """But the tables of each core, of which there may be thousands, which only the page shows."""
    run = made(results())
    shown, text = html.render(run), markdown.report(run)
    for name, table in tables.of_run(run).items():
        last = table.rows[-1][0].text
        assert last in shown, name
        assert name == "cores" or all(markdown.written(cells[0]) in text for cells in table.rows), name


def test_cells_that_are_no_row_are_refused() -> None:
    with pytest.raises(ValueError, match="2 cells, one for each column"):
        Table("x", (Column("a"), Column("b")), (row("1"),))


def test_details_on_a_line() -> None:
    assert Cell("31,000", ("of 627,200",)).line == "31,000 of 627,200"
    assert Cell("20 of 100", ("evenly spread",)).line == "20 of 100, evenly spread"
