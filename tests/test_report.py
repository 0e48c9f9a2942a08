"""The report page and the terminal tables, over invented results: ordinary, tiny, huge, silent and hostile ones."""

from __future__ import annotations

import copy
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType
from spikeloom.errors import OutputError
from spikeloom.runtime.report import core_map, html, raster, stages, svg, terminal, traffic
from spikeloom.runtime.report.format import compact, count, duration, percent, plain, points, ratio, shorten, si

Document = dict[str, Any]
HOSTILE = '<script>alert("x")</script>[bold red]&\x1b[31m\u202e' + "very_long_name_" * 20


def _layer(name: str, source: str, size: int, fan_in: int, synapses: int) -> Document:
    return {
        "name": name,
        "place": "chip",
        "sources": [source],
        "neurons": size,
        "shape": [size],
        "synapses": synapses,
        "possible_synapses": size * fan_in,
        "connectivity": synapses / (size * fan_in),
        "weight_bits": 8,
        "exponent": -4,
        "v_threshold": 8123,
        "spike_rate": 0.1132,
        "spikes_per_sample": 0.1132 * size * 8,
        "sops_per_sample": synapses * 0.61,
        "neuron_updates_per_sample": size * 8.0,
        "drift": 0.004,
    }


def _core(number: int, generator: np.random.Generator, populations: dict[str, int]) -> Document:
    shares = generator.uniform(0.05, 0.98, 4)
    return {
        "core": number,
        "tile": [number // 4 % 8, number // 32],
        "neurons": sum(populations.values()),
        "synapse_words": int(16384 * shares[1]),
        "input_axons": int(4096 * shares[2]),
        "output_axons": int(4096 * shares[3]),
        "utilisation": dict(zip(("neurons", "synapse_words", "input_axons", "output_axons"), shares.tolist(), strict=True)),
        "populations": populations,
        "spikes_per_sample": 310.5,
        "sops_per_sample": 7300.25,
        "neuron_updates_per_sample": 2160.0,
        "messages_per_sample": 612.0,
    }


def _energy() -> Document:
    parts = [
        ("synaptic operations", 19362.0, 2.36e-11, "published", "Davies et al. 2018, Table 2"),
        ("neuron updates, active", 733.0, 8.1e-11, "published", "Davies et al. 2018, Table 2"),
        ("neuron updates, inactive", 5747.0, 5.2e-11, "published", "Davies et al. 2018, Table 2"),
        ("hops", 410.0, 3.5e-12, "derived", "mean of east-west and north-south hops, Davies et al. 2018, Table 2"),
        ("static power", None, None, "assumed", "3.34 W over 32 chips, Frady et al. 2020; shared by the cores in use"),
    ]
    components: list[Document] = [
        {
            "name": name,
            "count_per_sample": number,
            "joules_per_unit": each,
            "joules_per_sample": 2.1e-7 if number is None or each is None else number * each,
            "status": status,
            "source": source,
        }
        for name, number, each, status, source in parts
    ]
    total = sum(c["joules_per_sample"] for c in components)
    note = "Loihi 2 publishes no energy per operation: the figures of Loihi are scaled."
    return {
        "model": "loihi2",
        "joules_per_sample": total,
        "dynamic_joules_per_sample": total - 2.1e-7,
        "components": components,
        "note": note,
    }


def _raster(sizes: dict[str, int], timesteps: int, rate: float) -> Document:
    generator = np.random.default_rng(3)
    populations = []
    for name, size in sizes.items():
        times, ids = np.nonzero(generator.random((timesteps, size)) < rate * generator.random(size) * 2)
        populations.append({"name": name, "neurons": size, "times": times.tolist(), "ids": ids.tolist()})
    return {"sample": 0, "label": 7, "prediction": 7, "timesteps": timesteps, "populations": populations}


def results(cores: int = 3) -> Document:
    """Invented results of an ordinary run of 784-800-10, on so many cores."""
    generator = np.random.default_rng(0)
    between = generator.gamma(0.5, 40.0, (cores, cores)) * (generator.random((cores, cores)) < 0.7)
    names = ["hidden1", "output"]
    layers = [_layer("hidden1", "input", 800, 784, 31000), _layer("output", "hidden1", 10, 800, 760)]
    return {
        "format": "spikeloom.results",
        "version": 1,
        "network": {
            "timesteps": 8,
            "encoding": "current",
            "chip": "loihi2",
            "neurons": 810,
            "synapses": 31760,
            "connectivity": 0.05,
            "weight_bits": 8,
        },
        "data": "mnist",
        "backend": "native",
        "samples": 10000,
        "accuracy": 0.9751,
        "wall_seconds": 1.2,
        "samples_per_second": 8333.0,
        "sops_per_sample": 19373.6,
        "spikes_per_sample": 733.5,
        "neuron_updates_per_sample": 6480.0,
        "messages_per_sample": 1204.0,
        "hops_per_sample": 410.0,
        "host_macs_per_sample": 0,
        "layers": layers,
        "cores": [_core(n, generator, {"hidden1": 267, "output": 3}) for n in range(cores)],
        "chip": {
            "name": "loihi2",
            "mesh": [8, 4],
            "cores_per_tile": 4,
            "cores": 128,
            "limits": {"neurons": 8192, "synapse_words": 16384, "input_axons": 4096, "output_axons": 4096},
        },
        "traffic": {
            "cores": list(range(cores)),
            "messages_per_sample": between.tolist(),
            "input_messages_per_sample": (generator.random(cores) * 400).tolist(),
        },
        "mapping": {"cores": cores, "cores_bound": 2, "messages_per_step": 150.5, "messages_bound": 120.0, "hops_per_message": 0.4},
        "energy": _energy(),
        "latency": {
            "model": "loihi2",
            "seconds_per_sample": 1.84e-5,
            "steps": 10,
            "seconds_per_step": 1.84e-6,
            "throughput_samples_per_second": 54348.0,
            "components": [
                {"name": "barrier", "seconds_per_step": 2.0e-7, "status": "published", "source": "Intel Loihi 2 technology brief"},
                {"name": "synaptic operations", "seconds_per_step": 1.0e-6, "status": "derived", "source": "Davies et al. 2018, scaled"},
                {"name": "neuron updates", "seconds_per_step": 6.4e-7, "status": "assumed", "source": "Davies et al. 2018, scaled"},
            ],
        },
        "stages": [
            {"name": "float", "accuracy": 0.976, "samples": 10000, "split": "test"},
            {"name": "integer (torch)", "accuracy": 0.9753, "samples": 10000, "split": "test"},
            {"name": "deployed (native)", "accuracy": 0.9751, "samples": 10000, "split": "test"},
        ],
        "check": {
            "reference": "integer reference",
            "backend": "lava",
            "samples": 500,
            "populations": names,
            "spikes_compared": 3240000,
            "equal": True,
        },
        "raster": _raster({"hidden1": 800, "output": 10}, 8, 0.11),
        "warnings": ["hidden1: 12 neurons never spike on the calibration samples."],
        "provenance": {
            "command": "spikeloom run runs/mnist/model.loom --data mnist --check",
            "spikeloom": "0.1.0",
            "date": "2025-01-02T03:04:05Z",
            "host": "2 cores, x86_64",
            "versions": {"numpy": "2.2.0", "torch": "2.13.0"},
            "artefact_sha256": "ab" * 32,
            "chip_sha256": "cd" * 32,
            "training": {"data": "mnist", "method": "grad-r", "sparsity": 0.95, "epochs": 20},
        },
    }


def silent() -> Document:
    """A run in which nothing spikes, nothing was checked, and every optional part is empty or null."""
    made = results(1)
    for key in ("sops_per_sample", "spikes_per_sample", "messages_per_sample", "hops_per_sample"):
        made[key] = 0.0
    for layer in made["layers"]:
        layer.update(spike_rate=0.0, spikes_per_sample=0.0, sops_per_sample=0.0, drift=None)
    for population in made["raster"]["populations"]:
        population.update(times=[], ids=[])
    made["traffic"].update(messages_per_sample=[[0.0]], input_messages_per_sample=[0.0])
    made["mapping"].update(messages_per_step=0.0, messages_bound=0.0, hops_per_message=0.0)
    for part in made["energy"]["components"]:
        part.update(joules_per_sample=0.0)
    for part in made["latency"]["components"]:
        part.update(seconds_per_step=0.0)
    made["energy"].update(joules_per_sample=0.0, dynamic_joules_per_sample=0.0)
    made["latency"].update(seconds_per_sample=0.0, seconds_per_step=0.0)
    return {**made, "accuracy": 0.0, "check": None, "warnings": []}


def bare() -> Document:
    """Results without any optional section."""
    made = results(1)
    for key in ("energy", "latency", "raster", "traffic", "check", "stages", "layers", "cores", "warnings", "provenance"):
        made[key] = [] if isinstance(made[key], list) else None
    return made


def hostile() -> Document:
    """Names that carry markup, terminal escapes and hundreds of letters."""
    made = results(2)
    for key in ("data", "backend"):
        made[key] = HOSTILE
    made["chip"]["name"] = HOSTILE
    made["layers"][0].update(name=HOSTILE, sources=[HOSTILE])
    made["cores"][0]["populations"] = {HOSTILE: 267}
    made["raster"]["populations"][0]["name"] = HOSTILE
    made["stages"][0].update(name=HOSTILE, split=HOSTILE)
    made["energy"]["components"][0].update(name=HOSTILE, source=HOSTILE, status=HOSTILE)
    made["latency"]["components"][0].update(name=HOSTILE, source=HOSTILE)
    made["energy"].update(model=HOSTILE, note=HOSTILE)
    made["check"].update(equal=False, populations=[HOSTILE], reference=HOSTILE)
    made["warnings"] = [HOSTILE]
    made["provenance"].update(command=HOSTILE, training={HOSTILE: {HOSTILE: [HOSTILE]}})
    return made


FIXTURES = {
    "ordinary": results(),
    "one core": results(1),
    "whole chip": results(128),
    "silent": silent(),
    "bare": bare(),
    "hostile": hostile(),
}


def compiled(of: Document) -> Document:
    """The dictionary of `spikeloom compile` that belongs to such results."""
    figures = {"spike_rate", "spikes_per_sample", "sops_per_sample", "neuron_updates_per_sample", "messages_per_sample", "drift"}

    def without(rows: list[Document]) -> list[Document]:
        return [{k: v for k, v in row.items() if k not in figures} for row in rows]

    passes = [{"name": "quantise", "seconds": 0.1, "changes": ["hidden1: exponent -4, threshold 8123"]}]
    whole = {key: of[key] for key in ("network", "chip", "mapping", "warnings")}
    return {**whole, "layers": without(of["layers"]), "cores": without(of["cores"]), "passes": passes}


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
    page = html.render(FIXTURES[name])
    assert page.startswith("<!DOCTYPE html>")
    parser = _parse(page)
    assert parser.tags.isdisjoint({"script", "link", "img", "iframe", "object", "image", "use"})
    loads = [value for _, attribute, value in parser.attributes if attribute in {"src", "href", "srcset", "xlink:href", "data"}]
    assert loads == []
    assert not [attribute for _, attribute, _ in parser.attributes if attribute.startswith("on")]
    assert "url(" not in page and "@import" not in page and "http" not in "".join(re.findall("<style>.*</style>", page, re.DOTALL))
    assert len(page) < 500_000


@pytest.mark.parametrize("name", FIXTURES)
def test_the_page_is_the_same_every_time_and_leaves_its_input_alone(name: str) -> None:
    before = copy.deepcopy(FIXTURES[name])
    assert html.render(FIXTURES[name]) == html.render(before)
    assert FIXTURES[name] == before


@pytest.mark.parametrize("name", FIXTURES)
def test_no_drawing_holds_a_broken_coordinate(name: str) -> None:
    for tag, attribute, value in _parse(html.render(FIXTURES[name])).attributes:
        if attribute in {"d", "x", "y", "width", "height", "cx", "cy", "viewbox"}:
            assert not re.search(r"nan|inf|None", value, re.IGNORECASE), (tag, attribute, value[:80])


def test_the_page_says_the_headline_figures() -> None:
    page = html.render(results())
    said = " ".join(" ".join(_parse(page).words).split())
    energy = si(_energy()["joules_per_sample"], "J")
    for figure in ("97.51 %", "19,374", energy, "18.4 µs", "3,240,000", "31,760", "Every spike is equal", "1.50×", "1.25×", "23.6 pJ"):
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
    page = html.render(hostile())
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in page and "\u202e" not in page
    assert "The spikes differ" in page


def test_missing_sections_are_left_out_and_an_unchecked_run_says_so() -> None:
    page = html.render(bare())
    assert "Not checked in this run" in page
    for section in ("accuracy", "layers", "cores", "traffic", "raster", "energy", "latency", "warnings"):
        assert f'id="{section}"' not in page


def test_write_is_atomic_and_explains_a_failure(tmp_path: Path) -> None:
    path = html.write(results(), tmp_path / "sub" / "report.html")
    assert path.read_text(encoding="utf-8") == html.render(results())
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError):
        html.write(results(), tmp_path / "file" / "report.html")


@pytest.mark.parametrize("name", FIXTURES)
def test_the_terminal_tables_fit_80_columns(name: str) -> None:
    for renderable in (terminal.summary(FIXTURES[name]), terminal.mapping_summary(compiled(FIXTURES[name]))):
        shown = _printed(renderable)
        assert max(len(line) for line in shown.splitlines()) <= 80
        assert "\x1b" not in shown


def test_the_terminal_says_the_figures() -> None:
    run, compilation = _printed(terminal.summary(results())), _printed(terminal.mapping_summary(compiled(results())))
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
    shown = _printed(terminal.summary(big))
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
    rows = stages.rows(
        [
            {"name": "float", "accuracy": 0.98, "samples": 100, "split": "validation"},
            {"name": "float", "accuracy": 0.97, "samples": 100, "split": "test"},
            {"name": "integer", "accuracy": 0.96, "samples": 100, "split": "test"},
        ]
    )
    assert [row["change"] for row in rows] == [None, None, pytest.approx(-0.01)]
    low, high = rows[2]["interval"]
    # Wilson's interval for 96 of 100: (0.9016, 0.9843)
    assert (low, high) == (pytest.approx(0.9016, abs=1e-4), pytest.approx(0.9843, abs=1e-4))


def test_traffic_of_many_cores_is_summed_by_tile() -> None:
    whole = results(128)
    found = traffic.matrix(whole["traffic"], whole["cores"])
    assert found is not None and found.unit == "tile" and len(found.receivers) == 32
    expected = np.sum(whole["traffic"]["messages_per_sample"]) + np.sum(whole["traffic"]["input_messages_per_sample"])
    assert found.messages.sum() == pytest.approx(expected)
    assert found.messages[1, 0] == pytest.approx(np.asarray(whole["traffic"]["messages_per_sample"])[:4, :4].sum())


def test_every_used_core_has_its_own_place_on_the_map() -> None:
    chip = {"name": "x", "mesh": [1, 1], "cores_per_tile": 4, "cores": 4, "limits": {}}
    cores = [{**core, "tile": [0, 0], "core": number} for core, number in zip(results(3)["cores"], (0, 4, 8), strict=True)]
    drawn = re.findall(r'<rect x="([^"]+)" y="([^"]+)"[^>]*><title>', str(core_map.chart(cores, chip)))
    assert len(set(drawn)) == 3


def test_a_raster_of_many_neurons_and_steps_stays_small_and_loses_no_spike() -> None:
    large = _raster({"wide": 20_000}, 1000, 0.05)
    (panel,) = raster.panels(large)
    assert len(panel["chart"]) < 250_000
    assert count(len(large["populations"][0]["ids"])) in panel["note"]
    assert "a mark is 100 neurons by 9 steps" in panel["note"]


def test_the_colour_scale_uses_all_its_steps() -> None:
    assert [svg.level(v, 7.0) for v in (0, 0.5, 1.0, 1.5, 6.9, 7.0)] == [0, 1, 1, 2, 7, 7]
    assert svg.level(1.0, 0.0) == 0
