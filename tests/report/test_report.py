"""The report page and the terminal tables, over invented results: ordinary, tiny, huge, silent and hostile ones."""

from __future__ import annotations

import copy
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from invented import FIXTURES, Document, bare, compiled, energy, hostile, made, results, spikes_of
from rich.console import Console, RenderableType
from spikeloom.errors import OutputError
from spikeloom.report import core_map, html, markdown, raster, stages, svg, tables, terminal, traffic
from spikeloom.report.document import Raster, StageResult
from spikeloom.report.format import compact, count, duration, percent, plain, points, ratio, shorten, si
from spikeloom.report.sizes import ChipInUse, TrafficTable


class Balance(HTMLParser):
    """Checks that every element is closed in order, and keeps the attributes and text."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def _parse(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def _printed(renderable: RenderableType, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, color_system=None).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("name", FIXTURES)
def test_the_page_is_whole_and_self_contained(name: str) -> None:
    page = html.render(made(FIXTURES[name]))
    assert page.startswith("<!DOCTYPE html>")
    parser = _parse(page)
    assert parser.tags.isdisjoint({"script", "link", "img", "iframe", "object", "image", "use"})
    loads = [value for _, attribute, value in parser.attributes if attribute in {"src", "href", "srcset", "xlink:href", "data"}]
    assert all(value.startswith("#") for value in loads)
    anchors = {value for _, attribute, value in parser.attributes if attribute == "id"}
    assert {value.removeprefix("#") for value in loads} <= anchors
    assert not [attribute for _, attribute, _ in parser.attributes if attribute.startswith("on")]
    assert "url(" not in page and "@import" not in page and "http" not in "".join(re.findall("<style>.*</style>", page, re.DOTALL))
    assert len(page) < 500_000


def test_the_page_of_a_large_system_stays_small() -> None:
    large = results(47)
    large["cores"] = [{**large["cores"][number % 47], "core": number, "chip": number // 128} for number in range(6000)]
    large["layers"] = [_renamed(layer, k) for k in range(30) for layer in large["layers"]]
    large["raster"] = spikes_of({f"layer{k}": 2000 for k in range(60)}, 100, 0.1)
    large["rates"]["populations"] = [{"name": f"layer{k}", "rate_per_step": [0.1] * 100} for k in range(60)]
    large["weights"]["rows"] = [_renamed(row, k) for k in range(60) for row in large["weights"]["rows"]]
    large["traffic"] = {"unit": "chip", "names": [str(k) for k in range(47)], "messages_per_sample": np.ones((47, 47)).tolist()}
    page = html.render(made(large))
    assert len(page) < 3_000_000, len(page)


def _renamed(row: Document, number: int) -> Document:
    return {**row, **{key: f"{row[key]}{number}" for key in ("name", "layer", "projection") if key in row}}


@pytest.mark.parametrize("name", FIXTURES)
def test_the_page_is_the_same_every_time_and_leaves_its_input_alone(name: str) -> None:
    before = copy.deepcopy(FIXTURES[name])
    assert html.render(made(FIXTURES[name])) == html.render(made(before))
    assert FIXTURES[name] == before


@pytest.mark.parametrize("name", FIXTURES)
def test_no_drawing_holds_a_broken_coordinate(name: str) -> None:
    for tag, attribute, value in _parse(html.render(made(FIXTURES[name]))).attributes:
        if attribute in {"d", "x", "y", "width", "height", "cx", "cy", "viewbox"}:
            assert not re.search(r"nan|inf|None", value, re.IGNORECASE), (tag, attribute, value[:80])


def test_the_page_says_the_headline_figures() -> None:
    page = html.render(made(results()))
    said = " ".join(" ".join(_parse(page).words).split())
    joules = si(energy()["joules_per_sample"], "J")
    for figure in ("97.51 %", "19,374", joules, "18.4 µs", "3,240,000", "31,760", "Every spike is equal", "1.50×", "1.25×", "23.6 pJ"):
        assert figure in said, figure
    for word in (
        "published",
        "derived",
        "assumed",
        "Davies et al. 2018, Table 2",
        "spikeloom run runs/mnist/model.loom",
        "−0.07",
        "0.40 %",
    ):
        assert word in said, word


def test_names_from_files_stay_text() -> None:
    page = html.render(made(hostile()))
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in page and "\u202e" not in page
    assert "The spikes differ" in page


def test_missing_sections_are_left_out_and_an_unchecked_run_says_so() -> None:
    page = html.render(made(bare()))
    assert "Not checked in this run" in page
    for section in (
        "accuracy",
        "layers",
        "spikes",
        "weights",
        "cores",
        "traffic",
        "models",
        "baselines",
        "definitions",
        "neurobench",
    ):
        assert f'id="{section}"' not in page and f'href="#{section}"' not in page
    assert 'id="warnings"' not in page


def test_write_is_atomic_and_explains_a_failure(tmp_path: Path) -> None:
    path = html.write(made(results()), tmp_path / "sub" / "report.html")
    assert path.read_text(encoding="utf-8") == html.render(made(results()))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError):
        html.write(made(results()), tmp_path / "file" / "report.html")


@pytest.mark.parametrize("name", FIXTURES)
def test_the_terminal_tables_fit_80_columns(name: str) -> None:
    for renderable in (terminal.summary(made(FIXTURES[name])), terminal.mapping_summary(compiled(FIXTURES[name]))):
        shown = _printed(renderable)
        assert max(len(line) for line in shown.splitlines()) <= 80
        assert "\x1b" not in shown


def test_the_terminal_says_the_figures() -> None:
    run, compilation = _printed(terminal.summary(made(results()))), _printed(terminal.mapping_summary(compiled(results())))
    for figure in ("97.51 %", "97.60 %", "−0.07", "18.4 µs", "3,240,000", "31,000", "18,910", "23.6 pJ", "published", "assumed", "loihi2"):
        assert figure in run, figure
    assert "Warning: hidden1: 12 neurons never spike" in run
    for figure in ("31,000", "4.94 %", "8,123", "1.50×", "1.25×", "120", "quantise", "16,384", "3 of 128 cores"):
        assert figure in compilation, figure
    assert "Cores, and how much" in compilation
    assert "Cores, and how much" not in _printed(terminal.mapping_summary(compiled(results(128))))


def test_large_counts_are_not_cut_in_the_terminal() -> None:
    big = results()
    big["layers"][0].update(neurons=123_456, synapses=87_654_321, spikes_per_sample=7_654_321.0, sops_per_sample=9.87e9)
    shown = _printed(terminal.summary(made(big)))
    for figure in ("123,456", "87.7 M", "7.65 M", "9.87 G"):
        assert figure in shown, figure
    assert "…" not in shown


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.2e-7, "120 nJ"),
        (0.0, "0 J"),
        (999.96, "1.00 kJ"),
        (9.996e-10, "1.00 nJ"),
        (-2.5e-3, "−2.50 mJ"),
        (3e-15, "3.00 fJ"),
        (3e-19, "3.00e-19 J"),
        (4e21, "4.00e+21 J"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "∞ J"),
    ],
)
def test_si(value: float | None, written: str) -> None:
    assert si(value, "J") == written


def test_counts_and_percentages() -> None:
    assert [count(v) for v in (0, 31760, 8333.0, 733.5, 0.01234, 1e-9, 1e16, -4, None, math.nan)] == [
        *("0", "31,760", "8,333", "734", "0.0123", "1.00e-09", "1.00e+16", "−4", "–", "–")
    ]
    assert [compact(v) for v in (999_999, 12_345_678, 5e15)] == ["999,999", "12.3 M", "5.00 P"]
    assert [percent(v) for v in (0.9751, 0, 1, 1e-6, 1 - 1e-6, 1.25, None)] == [
        *("97.51 %", "0.00 %", "100.00 %", "<0.01 %", ">99.99 %", "125.00 %", "–")
    ]
    assert [points(v) for v in (-0.0005, 0.0, 0.012, -1e-6, None)] == ["−0.05", "±0", "+1.20", "−<0.01", "–"]
    assert [ratio(3, 2), ratio(0, 0), ratio(3, 0), ratio(None, 1), ratio(3e6, 1)] == ["1.50×", "1.00×", "–", "–", "3,000,000×"]
    assert [duration(v) for v in (0.85, 12.5, 59.97, 200, 7500)] == ["850 ms", "12.5 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]
    assert plain("a\x00b\nc\u202e") == "ab c" and shorten("abcdef", 4) == "abc…"


def test_the_change_between_stages_stays_within_a_split() -> None:
    def stage(name: str, accuracy: float, samples: int, split: str = "test") -> StageResult:
        return StageResult(name=name, accuracy=accuracy, samples=samples, split=split)

    rows = stages.rows([stage("float", 0.98, 100, "validation"), stage("float", 0.97, 100), stage("integer", 0.96, 100)])
    assert [row.change for row in rows] == [None, None, pytest.approx(-0.01)]
    fewer = stages.rows([stage(name, 0.9, samples) for name, samples in (("all", 1000), ("some", 100), ("all", 1000))])
    assert [row.change for row in fewer] == [None, None, 0.0]
    assert rows[2].interval is not None
    low, high = rows[2].interval
    # Wilson's interval for 96 of 100: (0.9016, 0.9843)
    assert (low, high) == (pytest.approx(0.9016, abs=1e-4), pytest.approx(0.9843, abs=1e-4))


def test_traffic_of_many_cores_is_summed_by_tile() -> None:
    whole = results(128)
    found = traffic.matrix(made(whole).traffic, made(whole).cores)
    assert found is not None and found.unit == "tile" and len(found.receivers) == 32
    expected = np.sum(whole["traffic"]["messages_per_sample"]) + np.sum(whole["traffic"]["input_messages_per_sample"])
    assert found.messages.sum() == pytest.approx(expected)
    assert found.messages[1, 0] == pytest.approx(np.asarray(whole["traffic"]["messages_per_sample"])[:4, :4].sum())


def test_every_used_core_has_its_own_place_on_the_map() -> None:
    chip = ChipInUse(name="x", mesh=(1, 1), cores_per_tile=4, cores=4, limits={})
    found = made(results(3)).cores
    cores = [core.model_copy(update={"tile": (0, 0), "core": number}) for core, number in zip(found, (0, 4, 8), strict=True)]
    drawn = re.findall(r'<rect x="([^"]+)" y="([^"]+)"[^>]*><title>', str(core_map.chart(cores, chip)))
    assert len(set(drawn)) == 3


def test_a_raster_of_many_neurons_and_steps_stays_small_and_loses_no_spike() -> None:
    large = spikes_of({"wide": 20_000}, 1000, 0.05)
    (panel,) = raster.panels(Raster.model_validate(large))
    assert len(panel.chart) < 250_000
    assert count(len(large["populations"][0]["ids"])) in panel.note
    assert "a mark is 100 neurons by 9 steps" in panel.note


def test_the_colour_scale_uses_all_its_steps() -> None:
    assert [svg.level(v, 7.0) for v in (0, 0.5, 1.0, 1.5, 6.9, 7.0)] == [0, 1, 1, 2, 7, 7]
    assert svg.level(1.0, 0.0) == 0


def test_the_head_leads_with_the_dynamic_energy_and_how_certain_it_is() -> None:
    found = results()
    for part in found["energy"]["components"]:
        part["status"] = "assumed" if part["name"].startswith("static") else "derived"
    rows = {line[0].text: line for line in tables.headlines(made(found)).rows}
    dynamic, whole = (si(found["energy"][key], "J") for key in ("dynamic_joules_per_sample", "joules_per_sample"))
    assert rows["dynamic energy"][1].text == dynamic and f"{whole} with the static power" in rows["dynamic energy"][2].text
    assert rows["dynamic energy"][0].details == ("derived",)  # the static power is not in it
    found["energy"]["components"][0]["status"] = "assumed"
    page = html.render(made(found))
    head = page[page.index('<ul class="headlines">') : page.index('<dl class="facts">')]
    assert re.search(rf'dynamic energy</span><strong>{dynamic}</strong><span class="note"><span class="status is-assumed">assumed', head)


def test_the_axes_of_rasters_are_named() -> None:
    page = html.render(made(results()))
    spikes = page[page.index('id="spikes"') : page.index('id="weights"')]
    figures = spikes.count("<figure")
    assert figures and spikes.count(">neuron<") == spikes.count(">time step<") == spikes.count(">rate<") == figures


def test_the_commands_that_made_the_network_stand_before_that_of_the_run() -> None:
    found = results()
    found["provenance"]["before"] = ["spikeloom train --out runs/x", "spikeloom compile runs/x <b>"]
    page, text = html.render(made(found)), markdown.report(made(found))
    own = found["provenance"]["command"]
    assert f"<pre>spikeloom train --out runs/x\nspikeloom compile runs/x &lt;b&gt;\n{own}</pre>" in page
    assert f"    spikeloom train --out runs/x\n    spikeloom compile runs/x <b>\n    {own}\n" in text
    assert "before" not in made(results()).provenance.model_dump()


@pytest.mark.parametrize(("tiles", "lines"), [(4, 2), (1, 0)])
def test_chips_are_told_apart_in_the_traffic(tiles: int, lines: int) -> None:
    """Tiles come chip by chip and row by row, whatever the order of the cores; where each chip has one tile, lines would tell nothing."""
    places = [(number * 7 % 44 * tiles // 44, number % 2) for number in range(44)]  # of 44 cores: the tile, the chip
    cores = [
        made(results()).cores[0].model_copy(update={"core": number, "chip": chip, "tile": (tile % 2, tile // 2)})
        for number, (tile, chip) in enumerate(places)
    ]
    found = traffic.matrix(TrafficTable(cores=list(range(44)), messages_per_sample=np.ones((44, 44)).tolist()), cores)
    assert found is not None
    assert found.receivers == [f"{chip}:{tile % 2},{tile // 2}" for chip in range(2) for tile in range(tiles)]
    assert found.messages.sum() == 44 * 44
    drawn = str(traffic.chart(found))
    assert "to tile (chip:column,row)" in drawn and drawn.count('class="axis"') == lines


def test_only_a_full_core_is_at_100_per_cent() -> None:
    assert [core_map.per_cent(share) for share in (0.004, 0.5, 0.996, 0.999999, 1.0, 1.2)] == ["0", "50", "99", "99", "100", "120"]
