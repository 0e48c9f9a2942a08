"""Runs side by side: the figures of each, one chip model for all, what is best, and every form of the report on the command line."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import copy
import io
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from extras import library
from invented import HOSTILE, hostile, made, results
from rich.console import Console
from spikeloom import load_results, registry, report
from spikeloom.errors import FormatError, UsageError
from spikeloom.files import read_json
from spikeloom.report import compare, html, markdown, scatter, terminal
from spikeloom.report.colours import METHODS
from spikeloom.report.format import percent, si
from spikeloom.report.seeds import groups
from spikeloom.report.series import of_names
from spikeloom.report.table import Table
from spikeloom.train import methods

Document = dict[str, Any]
Command = Callable[..., Any]


def run(method: str, connectivity: float, accuracy: float, sops: float, **chip: str) -> Document:
    """Invented results of one run."""
    found = results()
    found["network"].update(connectivity=connectivity)
    found["provenance"]["training"].update(method=method, sparsity_asked=str(1 - connectivity), seed="0")
    found.update(accuracy=accuracy, sops_per_sample=sops)
    found["energy"]["components"][-1]["count_per_sample"] = 1.0
    if chip:
        found["chip"]["name"] = chip["chip"]
        found["energy"]["model"] = chip["model"]
        found["models"]["rows"] = [{**found["models"]["rows"][0], "model": chip["model"]}]
    return found


def three() -> list[tuple[str, Document]]:
    return [
        ("dense", run("dense", 1.0, 0.98, 120_000.0)),
        ("a/s0.9", run("grad-r", 0.1, 0.975, 16_000.0)),
        ("a/s0.99", run("grad-r", 0.01, 0.96, 2_500.0)),
    ]


def compared(runs: list[tuple[str, Document]]) -> list[compare.Run]:
    return compare.rows([(name, made(found)) for name, found in runs])


def test_runs_on_data_of_other_options_are_no_seeds_of_one_another() -> None:
    """Nor are those whose training recorded another learning rate."""
    first, second, third, fourth = (run("grad-r", 0.1, 0.9, 1.0) for _ in range(4))
    second["provenance"]["training"]["seed"] = "1"
    third["provenance"] |= {"data_options": {"timesteps": "4"}}
    fourth["provenance"]["training"] |= {"seed": "2", "lr": "0.02"}
    found = groups(compared([("a", first), ("b", second), ("c", third), ("d", fourth)]))
    assert [[r.run for r in group.runs] for group in found] == [["a", "b"], ["c"], ["d"]]


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


def test_a_row_has_the_figures_of_its_run() -> None:
    found = run("grad-r", 0.1, 0.975, 16_000.0)
    row = compared([("here", found)])[0]
    assert (row.run, row.method, row.connectivity, row.accuracy, row.sops) == ("here", "grad-r", 0.1, 0.975, 16_000.0)
    assert row.joules == found["energy"]["joules_per_sample"] and row.dynamic_joules == found["energy"]["dynamic_joules_per_sample"]
    assert row.seconds == found["latency"]["seconds_per_sample"] and row.model == "loihi2"
    assert row.float_accuracy == found["stages"][0]["accuracy"]
    assert row.interval is not None
    low, high = row.interval
    assert low < 0.975 < high


def test_dense_networks_stand_beside_the_deployed_one() -> None:
    """As on the page of one run, with the model named; a run from before there were baselines has none."""
    runs = three()
    prices = {"dense ANN": 3e-6, "dense SNN": 2e-6, "deployed SNN": 1e-7}
    for _, found in runs:
        found["baselines"]["rows"] = [{**found["baselines"]["rows"][0], "name": n, "joules_per_sample": j} for n, j in prices.items()]
    first = compared(runs)[0]
    assert [getattr(first, f"{name}_joules") for name in ("dense_ann", "dense_snn", "deployed_snn")] == list(prices.values())
    table, page = markdown.comparison(compared(runs)), compare.view(compared(runs))
    assert "| dense ANN | dense SNN | deployed SNN |" in table and "digital" in table
    assert "dense ANN" in headings(page["table"]) and page["digital"] in compare.digital(compared(runs)) != ""
    for _, old in runs:
        old["baselines"] = None
    assert "dense ANN" not in markdown.comparison(compared(runs)) and not compare.digital(compared(runs))


def test_energies_are_compared_under_a_model_that_priced_all() -> None:
    first, second = results(), results()
    second["energy"]["model"] = "mine"  # its own model is another, but loihi2 and loihi have priced both
    rows = compared([("first", first), ("second", second)])
    assert [row.model for row in rows] == ["loihi2", "loihi2"]
    assert rows[1].joules == second["models"]["rows"][0]["joules_per_sample"] != second["energy"]["joules_per_sample"]


def test_energies_of_models_that_share_no_run_are_never_on_one_axis() -> None:
    runs = [*three(), ("t1", run("grad-r", 0.1, 0.97, 9e4, chip="truenorth", model="truenorth"))]
    runs.append(("t2", run("grad-r", 0.01, 0.95, 1e4, chip="truenorth", model="truenorth")))
    rows = compared(runs)
    assert [row.model for row in rows] == ["loihi2"] * 3 + ["truenorth"] * 2
    figures = compare.view(rows)["figures"]
    assert len(figures) == 4
    loihi, truenorth = (str(figure["chart"]) for figure in figures[2:])
    assert "model loihi2" in loihi and "t1" not in loihi and loihi.count('class="mark') == 3
    assert "model truenorth" in truenorth and "dense" not in truenorth and truenorth.count('class="mark') == 2
    page = html.render_comparison(rows)
    assert "must not be compared across models" in page
    best = [cell.text for row in compare.table(rows).rows for cell in row if cell.strong]
    assert best.count(si(rows[0].joules, "J")) == 5  # equal within each model's group: each is its best


def test_the_best_of_each_figure_is_marked() -> None:
    rows = compared(three())
    heads = headings(compare.table(rows))
    cells = compare.table(rows).rows
    best = {heads[column]: row for row, line in enumerate(cells) for column, cell in enumerate(line) if cell.strong}
    assert best["accuracy"] == 0 and best["SOPs"] == 2
    assert "data" not in heads and ("data", "mnist") in compare.shared(rows)
    assert "method" in heads


def test_an_accuracy_on_fewer_samples_is_not_the_best() -> None:
    runs = three()
    runs[2][1].update(accuracy=0.995, samples=200)
    rows = compared(runs)
    heads = headings(compare.table(rows))
    at = heads.index("accuracy")
    cells = [line[at] for line in compare.table(rows).rows]
    assert [(cell.text, cell.strong) for cell in cells] == [
        ("98.00 %", True),
        ("97.50 %", False),
        ("99.50 %", False),
    ]
    assert "samples" in heads and rows[2].float_accuracy is None and rows[1].float_accuracy is not None


def test_charts_place_what_costs_more_to_the_right_and_what_is_right_more_often_above() -> None:
    one = of_names(["s"])["s"]
    marks = [scatter.Mark(1, "x", one, 10.0, 0.9, (0.89, 0.91)), scatter.Mark(2, "y", one, 1000.0, 0.95, (0.94, 0.96))]
    across, up = scatter._Log([m.x for m in marks]), scatter._Linear([0.89, 0.91, 0.94, 0.96])
    assert across.place(10) < across.place(100) < across.place(1000) and up.place(0.9) > up.place(0.95)
    assert across.place(100) == pytest.approx((across.place(10) + across.place(1000)) / 2)
    assert all(any(10**across.low <= t <= 10**across.high for t in across.ticks()) for _ in (0,)) and len(across.ticks()) >= 3
    assert up.ticks()[0] <= 0.89 and up.ticks()[-1] >= 0.96
    drawn = scatter.chart(marks, "cost", str)
    assert str(drawn).count('class="mark') == 2


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.8985, 0.9, 1.0])
def test_a_single_run_of_a_round_accuracy_is_drawn(accuracy: float) -> None:
    up = scatter._Linear([accuracy, accuracy])
    assert up.low <= accuracy <= up.high and 0 < up.place(accuracy) < 330 and len(up.ticks()) > 1
    assert "nan" not in scatter.chart([scatter.Mark(1, "x", of_names(["s"])["s"], 10.0, accuracy, (accuracy, accuracy))], "cost", str)


@pytest.mark.parametrize("count", [2, 40])
def test_pages_of_few_and_many_runs(count: int) -> None:
    rows = compared([(f"r{k}", run("esl", 0.9**k, 0.9, 10.0 + k)) for k in range(count)])
    page = html.render_comparison(rows)
    assert len(page) < 300_000 and page == html.render_comparison(copy.deepcopy(rows))
    assert page.count("<svg class") == 3


def test_costs_that_cannot_be_are_not_drawn() -> None:
    """On an axis of logarithms there is no place for them."""
    rows = compared([(f"r{k}", run("esl", 0.5, 0.9, sops)) for k, sops in enumerate((0.0, 0.0, 10.0, 20.0))])
    assert html.render_comparison(rows).count("<svg class") == 3


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_json_without_finite_numbers_is_refused(tmp_path: Path, number: str) -> None:
    """As read, so that nothing later writes what is no JSON."""
    (tmp_path / "results.json").write_text(f'{{"accuracy": {number}}}')
    with pytest.raises(FormatError, match="is not a finite number"):
        read_json(tmp_path / "results.json", "results")


def test_runs_without_figures_and_hostile_names() -> None:
    bare = {**results(), "models": None, "stages": [], "provenance": {}, "check": None}
    rows = compared([("plain", bare), (HOSTILE, hostile())])
    page = html.render_comparison(rows)
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    text = markdown.comparison(rows)
    assert not re.search(r"(?<!\\)<script", text) and "\\<script\\>" in text
    out = io.StringIO()
    Console(file=out, width=80).print(terminal.comparison(rows))
    assert max(map(len, out.getvalue().splitlines())) <= 80 and "\x1b" not in out.getvalue()


def test_markdown_of_one_run() -> None:
    text = markdown.report(made(results()))
    for figure in ("97.51 %", "97.60 %", "−0.07", "18,910", "638 kB", "2.92 µJ", "1.50×", "spikeloom run runs/mnist/model.loom"):
        assert figure in text, figure
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| loihi") or line.startswith("| synaptic operations")}
    assert widths and all(line.endswith("|") for line in text.splitlines() if line.startswith("|"))
    written = [line for line in markdown.report(made(hostile())).splitlines() if not line.startswith("    ")]  # code is never read as marks
    assert not re.search(r"(?<!\\)<script", "\n".join(written))


def seeded() -> list[tuple[str, Document]]:
    """Two settings of three seeds each, a run of one seed, and one of the first seed again."""
    found = [
        (f"{method}/{seed}", run(method, 0.1, accuracy, 1000.0 * accuracy + seed))
        for method, accuracies in (("esl", (0.90, 0.92, 0.97)), ("stds", (0.8, 0.8, 0.8)))
        for seed, accuracy in enumerate(accuracies)
    ]
    for name, one in found:
        one["provenance"]["training"].update(seed=name[-1], sparsity_reached=f"0.9{name[-1]}")
    return [*found, ("dense", run("dense", 1.0, 0.98, 120_000.0)), ("again", copy.deepcopy(found[0][1]))]


def test_runs_of_one_setting_have_mean_deviation_and_n() -> None:
    rows = compared(seeded())
    lines = compare.seeds(rows)
    assert [column.heading for column in lines.columns][3:6] == ["n", "accuracy", "SD of accuracy"]
    assert [[cell.text for cell in line][:6] for line in lines.rows] == [
        ["1, 2, 3", "esl", "10.00 %", "3", "93.00 %", "3.61"],
        ["4, 5, 6", "stds", "10.00 %", "3", "80.00 %", "0.00"],
        ["7", "dense", "100.00 %", "1", "98.00 %", "–"],
    ]
    found = compare.document(rows)["seeds"]
    assert found[0]["accuracy"] == {
        "mean": pytest.approx(0.93),
        "standard_deviation": pytest.approx(statistics.stdev((0.90, 0.92, 0.97))),
        "n": 3,
    }
    assert found[0]["sops"]["standard_deviation"] > 0 and found[2]["sops"] == {"mean": 120_000.0, "standard_deviation": None, "n": 1}
    assert found[0]["seeds"] == ["0", "1", "2"]
    out = io.StringIO()
    Console(file=out, width=80).print(terminal.comparison(rows))
    for text in (out.getvalue(), markdown.comparison(rows), html.render_comparison(rows)):
        assert "Means over seeds" in text and "standard deviation over the n seeds" in " ".join(text.split()) and "3.61" in text
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert not compare.seeds(compared(three())).rows and "Means over seeds" not in html.render_comparison(compared(three()))


def test_what_else_differs_than_the_seed_is_no_seed() -> None:
    runs = seeded()[:3]
    runs[1][1]["provenance"]["training"]["epochs"] = "99"
    del runs[2][1]["provenance"]["training"]["seed"]
    assert [len(group.runs) for group in groups(compared(runs))] == [1, 1, 1]


def test_a_method_has_one_colour_whatever_stands_beside_it() -> None:
    """On every page, whatever the order and the number of methods; two methods never share one."""
    names = [*METHODS, "mine", "theirs", "ours"]
    alone = {name: of_names([name])[name].colour for name in names}
    for order in (names, names[::-1], names[3:] + names[:3]):
        found = of_names(order)
        assert len({series.colour for series in found.values()}) == len(names)
        assert all(found[name].colour == alone[name] for name in METHODS)
    page = html.render_comparison(compared(three()))
    reverse = html.render_comparison(compared(three()[::-1]))
    marks = [set(re.findall(r'class="mark (m\d+)"><title>\d+\. (\S+):', text)) for text in (page, reverse)]
    assert marks[0] == marks[1] == {("m1", "dense"), ("m2", "a/s0.9"), ("m2", "a/s0.99")}
    assert all(f"--{colour.name}:{colour.light}" in page for colour in METHODS.values())


def test_every_method_of_ours_has_a_colour() -> None:
    assert set(registry.names(methods)) == set(METHODS)


def test_warnings_stand_with_their_text_and_runs() -> None:
    runs = three()
    runs[1][1]["warnings"] = []
    runs[0][1]["warnings"] = ["Layer a is silent.", "Both."]
    runs[2][1]["warnings"] = ["Both."]
    rows = compared(runs)
    assert compare.warned(rows) == [("Layer a is silent.", [1]), ("Both.", [1, 3])]
    out = io.StringIO()
    Console(file=out, width=80).print(terminal.comparison(rows))
    for text in (out.getvalue(), markdown.comparison(rows), html.render_comparison(rows)):
        assert re.search("[Rr]uns 1, 3: Both", text) and re.search("[Rr]un 1: Layer a is silent", text)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two runs and a sweep of two, below one folder, and a folder without results."""
    for place, found in (("one", 0), ("two", 1), ("sweep/a/seed0", 1), ("sweep/b/seed0", 2)):
        path = tmp_path / "runs" / place / "results.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(three()[found][1]))
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path / "runs"


def test_the_command_compares_runs(spikeloom: Command, folders: Path) -> None:
    ended = spikeloom("report", *sorted(folders.iterdir()))
    assert ended.code == 0 and ended.out.strip() == str(folders / "compare.html")
    assert "empty has no results and is left out" in ended.err
    page = (folders / "compare.html").read_text()
    assert all(name in page for name in ("one", "two", "sweep/a/seed0", "sweep/b/seed0"))
    ended = spikeloom("report", folders / "sweep", folders / "sweep/a/seed0", "--format", "json")
    document = json.loads(ended.out)
    assert document["format"] == compare.FORMAT and [row["run"] for row in document["runs"]] == ["a/seed0", "b/seed0"]
    assert document["runs"][0]["sops"] == 16_000.0
    ended = spikeloom("report", folders / "one", folders / "two", "--format", "md")
    assert ended.out.startswith("| # | run |") and percent(0.98) in ended.out
    ended = spikeloom("report", folders / "one", folders / "two", "--format", "text")
    assert "2 runs" in ended.out and "120,000" in ended.out


def test_the_checks_of_every_backend_are_shown(spikeloom: Command, folders: Path) -> None:
    lava = json.loads((folders / "one/results.json").read_text())
    lava.update(backend="lava")
    (folders / "one/results-lava.json").write_text(json.dumps(lava))
    native = json.loads((folders / "one/results.json").read_text())
    native["check"].update(backend="native", samples=10_000)
    (folders / "one/results.json").write_text(json.dumps(native))
    found = json.loads(spikeloom("report", folders / "one", "--format", "json").out)
    assert [(c["backend"], c["samples"]) for c in found["checks"]] == [("native", 10_000), ("lava", 500)]
    assert spikeloom("report", folders / "one", "--format", "md").out.count("**Every spike is equal**") == 2
    assert spikeloom("report", folders / "one").code == 0
    assert (folders / "one/report.html").read_text().count("Every spike is equal.") == 2


def test_the_command_writes_one_run_in_every_form(spikeloom: Command, folders: Path, tmp_path: Path) -> None:
    assert json.loads(spikeloom("report", folders / "one", "--format", "json").out)["accuracy"] == 0.98
    for form, said in (("json", '"accuracy": 0.98'), ("md", "# mnist on loihi2"), ("text", "98.00 %"), ("html", "<!DOCTYPE html>")):
        path = tmp_path / f"out.{form}"
        ended = spikeloom("report", folders / "one/results.json", "--format", form, "--out", path)
        assert ended.code == 0 and ended.out.strip() == str(path) and said in path.read_text()
    assert "98.00 %" in spikeloom("report", folders / "one", "--format", "text").out


def test_the_command_writes_one_table(spikeloom: Command, folders: Path, tmp_path: Path) -> None:
    one, two = folders / "one", folders / "two"
    assert spikeloom("report", one, "--format", "csv").out.startswith("layer,input from,neurons,")
    assert "\\caption{Layers}" in spikeloom("report", one, "--format", "latex").out
    assert spikeloom("report", one, "--format", "csv", "--table", "stages", "--out", tmp_path / "a.csv").code == 0
    assert (tmp_path / "a.csv").read_text().startswith("stage,split,samples,accuracy,change\n")
    assert spikeloom("report", one, two, "--format", "csv").out.splitlines()[0].startswith("#,run,")
    for words, said in (
        ((one, "--format", "csv", "--table", "energies"), "Did you mean 'energy'"),
        ((one, "--table", "energy"), "--table chooses the table of --format csv, latex or parquet"),
        ((one, two, "--format", "csv", "--table", "energy"), "no table of several runs called 'energy'"),
        ((one, two, "--format", "csv", "--table", "seeds"), "No two of these runs differ in their seed alone"),
    ):
        ended = spikeloom("report", *words)
        assert ended.code == 2 and said in " ".join(ended.err.split()), ended.err


def test_the_table_of_seeds_in_csv_latex_and_markdown(spikeloom: Command, tmp_path: Path) -> None:
    for name, found in seeded():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "results.json").write_text(json.dumps(found))
    lines = spikeloom("report", tmp_path, "--format", "csv", "--table", "seeds").out.splitlines()
    assert lines[0].startswith("runs,setting,connectivity,n,accuracy,SD of accuracy,SOPs,SD of SOPs,dynamic energy,SD of dynamic energy,")
    assert len(lines) == 4 and any("esl,10.00 %,3,93.00 %,3.61," in line for line in lines)
    assert "SD of accuracy" in spikeloom("report", tmp_path, "--format", "latex", "--table", "seeds").out
    assert "| SD of accuracy |" in spikeloom("report", tmp_path, "--format", "md").out
    results = {name: made(found) for name, found in seeded()}
    assert len(report.write(results, tmp_path / "a.csv", table="seeds").read_text().splitlines()) == 4


def test_several_runs_as_a_frame() -> None:
    pandas = library("pandas")
    found = {name: made(one) for name, one in seeded()}
    frame, seeds = report.to_frame(found), report.to_frame(found, "seeds")
    assert isinstance(frame, pandas.DataFrame) and frame["run"].tolist() == list(found) and frame["sops"].tolist()[6] == 120_000.0
    assert seeds["accuracy_n"].tolist() == [3, 3, 1] and seeds["accuracy_standard_deviation"].isna().tolist() == [False, False, True]
    with pytest.raises(UsageError, match="Did you mean 'seeds'"):
        report.to_frame(found, "seed")


def test_parquet_has_the_rows_at_full_precision(spikeloom: Command, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = library("pyarrow.parquet")
    one = folders / "one"
    ended = spikeloom("report", one, "--format", "parquet")
    assert ended.out.strip() == str(one / "layers.parquet"), ended.err
    assert parquet.read_table(one / "layers.parquet").to_pylist() == load_results(one).records("layers")
    ended = spikeloom("report", folders, "--format", "parquet", "--out", folders / "all.parquet")
    rows = parquet.read_table(folders / "all.parquet").to_pylist()
    assert [row["run"] for row in rows] == ["one", "sweep/a/seed0", "sweep/b/seed0", "two"] and rows[0]["accuracy"] == 0.98
    assert report.write({"a": made(results())}, folders / "b.parquet").exists()
    ended = spikeloom("report", one, "--format", "parquet", "--table", "headlines")
    assert ended.code == 2 and "Known: cores, energy" in ended.err
    with pytest.raises(UsageError, match="no rows in that table"):
        report.write(made(results() | {"cores": []}), folders / "c.parquet", table="cores")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ended = spikeloom("report", one, "--format", "parquet")
    assert ended.code == 2 and "pip install 'spikeloom[parquet]'" in ended.err


def test_the_command_explains_what_is_wrong(spikeloom: Command, folders: Path) -> None:
    ended = spikeloom("report", folders / "one", "--format", "pdf")
    assert ended.code == 2 and "Known: csv, html, json, latex, md, parquet, text" in ended.err
    ended = spikeloom("report", folders / "empty")
    assert ended.code == 2 and "no results.json in or below it" in ended.err
    (folders / "two/results.json").write_text("{")
    ended = spikeloom("report", folders / "one", folders / "two")
    assert ended.code == 1 and "two/results.json is not results of spikeloom run" in ended.err
