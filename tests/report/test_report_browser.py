"""The pages in headless Chromium: no console errors, nothing cut off at any width, and the figures of results.json."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from invented import FIXTURES, made, results
from spikeloom.report import compare, html
from spikeloom.report.format import compact, count, percent, points, si, size

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
MEASURE = """<script>
const wide = document.documentElement.scrollWidth - window.innerWidth;
const cut = [...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text, path, rect, circle')].filter(part => {
    const box = part.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1.5 || box.right > frame.right + 1.5 || box.top < frame.top - 1.5 ||
      box.bottom > frame.bottom + 1.5);
  }).map(part => part.tagName + ' ' + (part.textContent || '').slice(0, 40) + ' in ' + svg.getAttribute('aria-label').slice(0, 60));
});
document.title = JSON.stringify({wide, cut, charts: document.querySelectorAll('svg.chart').length});
</script></body>"""


@functools.cache
def chromium() -> str:
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or pytest.skip(f"no Chromium is installed ({', '.join(NAMES)})")


def opened(page: Path, width: int = 1100, *flags: str) -> tuple[str, list[str]]:
    """Open a page; return its document after rendering, and what was written to the console."""
    profile = page.parent / "profile"
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={profile}", *flags]
    done = subprocess.run(
        [chromium(), *words, f"--window-size={width},1600", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


class Cells(HTMLParser):
    """Collects the text of every table row by section, and of the headlines."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.headlines: dict[str, str] = {}
        self.commands: list[str] = []
        self._section, self._open, self._name = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self._section = given.get("id") or ""
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")
            self._open = "cell"
        elif tag == "pre":
            self._open = "command"
        elif tag == "strong":
            self._open = "headline"
        elif tag == "span" and given.get("class") == "name":
            self._open = "name"
        elif tag == "br" and self._open == "cell":
            self.rows[self._section][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "pre", "strong") or (tag == "span" and self._open == "name"):
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "cell":
            self.rows[self._section][-1][-1] += data
        elif self._open == "command":
            self.commands.append(data)
        elif self._open == "name":
            self._name = data
        elif self._open == "headline":
            self.headlines[self._name] = data

    def row(self, section: str, first: str, at: int = 0) -> list[str]:
        """Return the cells of the row that begins with a name; of several the `at`-th."""
        found = [[" ".join(cell.split()) for cell in row] for row in self.rows[section] if " ".join(row[0].split()) == first]
        return found[at]


@pytest.fixture(scope="module")
def run_folder(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the small network on the digits, with its page."""
    from spikeloom.runtime import run
    from spikeloom.train import load_dataset

    folder = tmp_path_factory.mktemp("browser") / "digits"
    shutil.copytree(digits_run, folder)
    found = run(
        folder / "model.loom", load_dataset("digits").test, check=True, data_name="digits", command="spikeloom run model.loom --check"
    )
    found.save(folder / "results.json")
    found.write_report(folder / "report.html")
    return folder


def test_the_page_shows_the_figures_of_results_json_without_console_errors(run_folder: Path) -> None:
    page, console = opened(run_folder / "report.html")
    assert console == []
    found: dict[str, Any] = json.loads((run_folder / "results.json").read_text())
    shown = Cells(page)
    assert shown.headlines == {
        "accuracy": percent(found["accuracy"]),
        "synaptic operations": compact(found["sops_per_sample"]),
        "dynamic energy": si(found["energy"]["dynamic_joules_per_sample"], "J"),
        "latency": si(found["latency"]["seconds_per_sample"], "s"),
        "cores": count(found["mapping"]["cores"]),
    }
    last = None
    for stage in found["stages"]:
        change = None if last is None else stage["accuracy"] - last
        last = stage["accuracy"]
        assert shown.row("accuracy", stage["name"])[2:] == [count(stage["samples"]), percent(last), points(change)]
    for layer in found["layers"]:
        row = shown.row("layers", layer["name"])
        assert row[3] == f"{count(layer['synapses'])} of {count(layer['possible_synapses'])}"
        assert row[4] == f"{percent(layer['connectivity'])} {percent(layer['connectivity_reachable'])} reachable"
        assert row[8:11] == [count(layer[k]) for k in ("spike_rate", "spikes_per_sample", "sops_per_sample")]
    for row in found["weights"]["rows"]:
        expected = [count(row[k]) for k in ("weights_before", "weights_after", "integers", "largest_before", "largest_after", "step")]
        assert shown.row("weights", row["layer"])[2:] == expected
    rows = found["models"]["rows"]
    assert shown.row("models", "sum", 0)[1:] == [si(row["joules_per_sample"], "J") for row in rows]
    assert shown.row("models", "sum", 1)[1:] == [si(row["seconds_per_sample"], "s") for row in rows]
    assert shown.row("energy", "messages")[3] == si(found["energy"]["components"][4]["joules_per_sample"], "J")
    for row in found["baselines"]["rows"]:
        assert shown.row("baselines", row["name"])[4] == si(row["joules_per_sample"], "J")
    one = found["definitions"]["upr"]["deployed"]
    assert shown.row("definitions", "upr")[2] == compact(one["sops_per_sample"])
    assert shown.row("definitions", "upr")[4] == si(one["joules_per_sample"], "J")
    metrics = found["neurobench"]
    assert shown.row("neurobench", "footprint")[1] == size(metrics["footprint_bytes"])
    assert shown.row("neurobench", "activation sparsity")[1] == percent(metrics["activation_sparsity"])
    assert shown.row("neurobench", "effective ACs")[1] == f"{compact(metrics['effective_acs_per_sample'])} per sample"
    assert shown.commands == [found["provenance"]["command"]]


def test_a_broken_drawing_is_seen(tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(html.render(made(results())).replace('<path d="M', '<path d="Mnan ', 1))
    assert any("attribute d" in line for line in opened(broken)[1])


DESKTOP, PHONE = 1100, 500  # Chromium's headless windows are at least 500 wide


@pytest.mark.parametrize(("name", "width"), [("whole chip", DESKTOP), ("whole chip", PHONE), ("hostile", PHONE), ("silent", PHONE)])
def test_nothing_is_cut_off_or_wider_than_the_window(name: str, width: int, tmp_path: Path) -> None:
    measured = _measured(html.render(made(FIXTURES[name])), tmp_path, width)
    assert measured["wide"] <= 0 and measured["cut"] == [] and measured["charts"] > 5


def test_the_comparison_renders(tmp_path: Path) -> None:
    rows = compare.rows([(f"run{k}", made(_scaled(k))) for k in range(1, 8)])
    measured = _measured(html.render_comparison(rows), tmp_path, PHONE)
    assert measured["wide"] <= 0 and measured["cut"] == [] and measured["charts"] == 3
    shown = Cells(html.render_comparison(rows))
    for row in rows:
        cells = shown.row("table", str(row.number))
        assert row.run in cells and percent(row.accuracy) in cells and si(row.joules, "J") in cells


def _scaled(k: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(results()))
    found["accuracy"], found["sops_per_sample"] = 0.9 + 0.01 * k, 1000.0 * 3**k
    found["network"]["connectivity"] = 0.7**k
    found["provenance"]["training"].update(method=("grad-r", "esl")[k % 2], sparsity=1 - 0.7**k)
    return found


def _measured(page: str, folder: Path, width: int) -> dict[str, Any]:
    path = folder / "page.html"
    path.write_text(page.replace("</body>", MEASURE))
    shown, console = opened(path, width)
    assert console == []
    title = re.search(r"<title>(.*?)</title>", shown, re.DOTALL)
    assert title
    return json.loads(title[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


Command = Callable[..., Any]


def test_both_pages_are_small(run_folder: Path, spikeloom: Command, tmp_path: Path) -> None:
    assert (run_folder / "report.html").stat().st_size < 3_000_000
    ended = spikeloom("report", run_folder, run_folder / "results.json", "--out", tmp_path / "both.html")
    assert ended.code == 0, ended.err
    assert (tmp_path / "both.html").stat().st_size < 3_000_000
