"""Figures for papers: what each kind draws, in which colours, and what it refuses. Their looks: docs/figures.md."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spikeloom as package
from hypothesis import given
from hypothesis import strategies as st
from invented import bare, hostile, made, results
from matplotlib.colors import to_hex
from spikeloom import registry
from spikeloom.errors import UsageError
from spikeloom.report import drawing, figures
from spikeloom.report.colours import METHODS
from spikeloom.report.document import Document
from spikeloom.report.figures.api import MARKERS
from spikeloom.report.frontier import Point, at_equal, front
from spikeloom.report.seeds import Spread
from spikeloom.report.series import of_names
from test_compare import run, seeded, three

KINDS = registry.names(figures)
OF_ONE = ("raster", "weights", "core-map", "step-bound")


def several() -> dict[str, Document]:
    return {name: made(found) for name, found in seeded()}


def written(figure: Any) -> str:
    """Every text of a figure."""
    from matplotlib.text import Text

    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def drawn(kind: str, found: Any = None, **options: Any) -> Any:
    given = found if found is not None else made(results()) if kind in OF_ONE else several()
    return package.figure(given, kind, **options)


def test_there_is_a_file_for_each_kind() -> None:
    assert KINDS == ["accuracy-connectivity", "accuracy-sops", "core-map", "energy", "latency", "layers", "raster", "step-bound", "weights"]


@pytest.mark.parametrize(("kind", "form"), [*((kind, "pdf") for kind in KINDS), ("accuracy-sops", "svg"), ("core-map", "png")])
def test_the_same_results_give_the_same_file(kind: str, form: str, tmp_path: Path) -> None:
    contents: list[bytes] = []
    for name in "ab":
        path = drawing.save(drawn(kind), tmp_path / f"{name}.{form}", form)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] and len(contents[0]) > 2000
    assert form != "pdf" or b"/Type3" not in contents[0]


@pytest.mark.parametrize("kind", KINDS)
def test_names_from_files_are_text(kind: str) -> None:
    """Mathematics in a name, which matplotlib would otherwise read, too."""
    found = hostile()
    found["layers"][0]["name"] = "$\\frac{1}$"
    try:
        text = written(drawn(kind, made(found)))
    except UsageError as error:  # the hostile results lack what this kind shows
        text = str(error)
    assert "\x1b" not in text and "\u202e" not in text


def test_a_width_is_that_of_the_column() -> None:
    assert drawn("energy", width="neurips").get_figwidth() == 5.5
    assert drawn("energy", width="icml").get_figwidth() == 3.25
    figure = drawn("energy", width=88.9, height=50)
    assert figure.get_size_inches().tolist() == pytest.approx([3.5, 50 / 25.4])
    for width, says in ((5, "between 20 and 1,000"), (float("nan"), "between"), ("nips", "Did you mean 'neurips'")):
        with pytest.raises(UsageError, match=says):
            drawn("energy", width=width)


def colour_of(figure: Any, label: str) -> str:
    """The colour of an entry of the legend."""
    handle = next(h for h in figure.legends[0].legend_handles if h.get_label() == label)
    return to_hex(handle.get_color())


def test_a_method_has_the_colour_of_the_pages() -> None:
    for kind in ("accuracy-sops", "accuracy-connectivity"):
        both, one = (
            drawn(kind),
            drawn(kind, {n: r for n, r in several().items() if n[:4] == "stds"} | {"e": made(run("esl", 0.2, 0.9, 99.0))}),
        )
        for figure in (both, one):
            assert colour_of(figure, "stds") == METHODS["stds"].light and colour_of(figure, "esl") == METHODS["esl"].light


def test_seeds_are_means_with_standard_deviations() -> None:
    figure = drawn("accuracy-sops")
    (panel,) = figure.axes
    marks = {round(float(y), 6) for line in panel.lines if line.get_marker() in MARKERS for y in line.get_ydata()}
    assert marks == {93.0, 80.0, 98.0}
    assert "mean ± standard deviation, n = 3 seeds" in written(figure)
    assert "95 % interval" in written(drawn("accuracy-sops", {name: made(found) for name, found in three()}))


POINTS = st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1)), min_size=1, max_size=20)


def points(values: list[tuple[float, float]], name: str = "esl") -> list[Point]:
    return [Point(of_names([name])[name], Spread(x, None, 1), Spread(y, None, 1), None) for x, y in values]


@given(POINTS)
def test_nothing_beats_the_front(values: list[tuple[float, float]]) -> None:
    best = [(p.cost.mean, p.accuracy.mean) for p in front(points(values))]
    assert set(best) <= set(values) and best == sorted(best)
    for x, y in values:
        assert any(cost <= x and accuracy >= y for cost, accuracy in best)
    for x, y in best:
        assert not any((a <= x and b > y) or (a < x and b >= y) for a, b in values)


@given(POINTS, st.floats(0.5, 2e6))
def test_accuracies_lie_between_the_measured_and_never_outside(values: list[tuple[float, float]], cost: float) -> None:
    found = at_equal(points(values), cost)["esl"]
    costs = [x for x, _ in values]
    if not min(costs) <= cost <= max(costs):
        assert found is None
    else:
        assert found is not None
        assert min(y for _, y in values) - 1e-9 <= found <= max(y for _, y in values) + 1e-9


def test_accuracies_at_equal_operations() -> None:
    lines = points([(100.0, 0.8), (10_000.0, 0.9)]) + points([(500.0, 0.7)], "stds")
    assert at_equal(lines, 1000.0) == {"esl": pytest.approx(0.85), "stds": None}  # half way in the logarithm
    found = {name: made(one) for name, one in three()}
    figure = drawn("accuracy-sops", found, options={"at": "5000"})
    assert "at 5k, interpolated" in written(figure)
    (line,) = drawing.said(list(found.items()), "accuracy-sops", {"at": 5000})
    assert "grad-r: 96." in line and "dense: not measured around it" in line
    for at in ("100", 10**7):
        with pytest.raises(UsageError, match=r"outside what was measured .*nothing is extrapolated"):
            drawn("accuracy-sops", found, options={"at": at})


def test_energy_is_the_dynamic_one_unless_asked() -> None:
    page = results()
    static = next(part["value"] for part in page["models"]["rows"][0]["energy"] if part["name"] == "static power")
    ends = [
        max(p.get_x() + p.get_width() for p in drawn("energy", made(page), options={"static": s}).axes[0].patches) for s in (False, True)
    ]
    assert static > 0 and ends[0] < ends[1]
    text = written(drawn("energy", made(page)))
    assert "dynamic energy per sample" in text and "model loihi2" in text


def test_energies_of_different_models_share_no_axis() -> None:
    found = {"a": made(run("esl", 0.1, 0.9, 10.0)), "b": made(run("esl", 0.1, 0.9, 10.0, chip="truenorth", model="truenorth"))}
    with pytest.raises(UsageError, match="No chip model has priced all"):
        drawn("energy", found)


def test_a_core_map_has_every_core() -> None:
    figure = drawn("core-map", made(results(cores=7)))
    assert "7 cores of loihi2" in written(figure) and len(figure.axes[0].patches) == 7


def test_a_raster_has_every_spike() -> None:
    found = made(results())
    assert found.raster is not None
    figure = drawn("raster", found)
    assert [len(panel.collections[0].get_segments()) for panel in figure.axes] == [len(p.ids) for p in found.raster.populations]
    assert {panel.get_ylabel() for panel in figure.axes} == {"neuron"} and figure.axes[-1].get_xlabel() == "time step"
    name = found.raster.populations[-1].name
    assert len(drawn("raster", found, options={"layers": (name,)}).axes) == 1


@pytest.mark.parametrize(
    ("kind", "found", "options", "says"),
    [
        ("rasters", made(results()), {}, "Did you mean 'raster'"),
        ("raster", several(), {}, "is of one run, and there are 8"),
        ("raster", made(results() | {"raster": None}), {}, "recorded no spikes"),
        ("raster", made(results()), {"layers": "hiden1"}, "population in the raster"),
        ("weights", made(results() | {"weights": None}), {}, "no histograms"),
        ("core-map", made(results() | {"cores": []}), {}, "lists no cores"),
        ("accuracy-sops", made(results() | {"accuracy": None}), {}, "no labels"),
        ("accuracy-sops", made(results() | {"sops_per_sample": 0.0}), {}, "nothing to draw"),
        ("accuracy-sops", made(results()), {"at": "-1"}, "must be above 0"),
        ("accuracy-sops", made(results()), {"on": "1"}, "There is no option of the figure accuracy-sops"),
        ("energy", {}, {}, "name at least one run"),
    ],
)
def test_what_cannot_be_drawn_is_told(kind: str, found: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        package.figure(found, kind, options=options)


def test_results_of_old_versions_are_drawn() -> None:
    for kind in ("energy", "latency", "layers", "accuracy-sops"):
        assert drawn(kind, made({**results(), "models": None})).axes
    assert drawn("energy", made(bare())).axes
    with pytest.raises(UsageError, match="None of these runs lists layers"):
        drawn("layers", made({**results(), "layers": []}))


def test_without_matplotlib_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'spikeloom\[figures\]'"):
        package.figure(made(results()), "energy")


def test_pgf_needs_latex_and_takes_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results()
    found["layers"][0]["name"] = r"50 %_of \undefined $x #1"
    figure = drawn("layers", made(found))
    if shutil.which("pdflatex"):
        text = drawing.save(figure, tmp_path / "a.pgf", "pgf").read_text()
        assert r"50 \%\_of \textbackslash{}undefined" in text
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="pgf needs LaTeX"):
        drawing.save(figure, tmp_path / "b.pgf", "pgf")
    assert not list(tmp_path.glob("b*"))


def test_a_figure_shows_itself_in_a_notebook() -> None:
    assert drawn("weights")._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, found in seeded()[:3]:
        path = tmp_path / name / "results.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(found))
    return tmp_path


def test_the_command_draws(spikeloom: Callable[..., Any], folder: Path) -> None:
    ended = spikeloom("figure", folder, "--kind", "accuracy-sops", "--format", "svg", "--width", "neurips")
    assert ended.code == 0 and ended.out.strip() == str(folder / "esl/accuracy-sops.svg"), ended.err
    assert (folder / "esl/accuracy-sops.svg").read_text().startswith("<?xml")
    ended = spikeloom("figure", folder / "esl/0", "--kind", "raster", "--out", folder / "here.png")
    assert ended.code == 0 and (folder / "here.png").read_bytes().startswith(b"\x89PNG")
    ended = spikeloom("figure", folder / "esl/0", "--kind", "weights")
    assert ended.out.strip() == str(folder / "esl/0/weights.pdf")
    ended = spikeloom("figure", folder / "esl", "--set", "at=920")
    assert ended.code == 2 and "nothing is extrapolated" in ended.err  # three seeds are one setting
    for words, says in ((("--format", "gif"), "pdf, pgf, png, svg"), (("--width", "nips"), "neurips"), (("--set", "at"), "NAME=VALUE")):
        ended = spikeloom("figure", folder, *words)
        assert ended.code == 2 and says in ended.err


def test_a_kind_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "report" / "figures"
    place.mkdir(parents=True)
    (place / "synapses.py").write_text(
        "from .api import axes, settings\n\n\ndef draw(runs, page, options):\n    figure, (panel,) = axes(page, 2.0)\n"
        "    panel.bar([one.name for one in settings(runs)], [one.group.first.synapses for one in settings(runs)])\n    return figure\n"
    )
    monkeypatch.setattr(figures, "__path__", list(figures.__path__))
    monkeypatch.setenv("SPIKELOOM_PARTS", str(tmp_path))
    figure = drawn("synapses", {name: made(found) for name, found in three()})
    assert len(figure.axes[0].patches) == 3 and figure.get_figheight() == 2.0
