"""`spikeloom sweep`: the grid runs, goes on where it stopped, tells of what failed; the page shows what sweep.json says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spikeloom import sweep_page
from spikeloom.errors import UsageError
from spikeloom.sweeping import Grid

SMALL = ("--data", "digits", "--epochs", "2", "--set", "net.hidden=40")


def run(spikeloom: Callable[..., Any], out: Path, *more: str, methods: str = "dense,esl", sparsities: str = "0.5,0.7") -> Any:
    return spikeloom("sweep", *SMALL, "--methods", methods, "--sparsities", sparsities, "--out", str(out), *more)


def test_a_grid_runs_and_goes_on(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    first = run(spikeloom, out, "--json", sparsities="0.5")
    assert first.code == 0, first.err
    rows = json.loads(first.out)
    assert [(r["method"], r["sparsity_asked"]) for r in rows] == [("dense", 0.0), ("esl", 0.5)]
    assert rows[1]["sparsity"] == pytest.approx(0.5, abs=1e-3) and rows[1]["pruned"] == rows[1]["regrown"] > 0
    assert 0 < rows[1]["sops"] < rows[0]["sops"]
    checkpoint = out / "esl/s0.5/seed0/checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    second = run(spikeloom, out)
    assert second.code == 0, second.err
    document = json.loads((out / "sweep.json").read_text())
    assert len(document["cells"]) == 3 and document["cells"][:2] == rows
    assert checkpoint.stat().st_mtime_ns == before
    assert "esl" in second.out and "70.00%" not in second.out.split("dense")[0]


def test_what_fails_is_told_and_the_others_go_on(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    ended = run(spikeloom, tmp_path / "sweep", "--no-deploy", methods="grad-r,esl", sparsities="0.9999,0.5")
    assert ended.code == 1 and "2 of 4 cells failed" in ended.err and "synapses" in ended.err
    cells = json.loads((tmp_path / "sweep/sweep.json").read_text())["cells"]
    assert ["error" in c for c in cells] == [True, False, True, False]
    page = (tmp_path / "sweep/sweep.html").read_text()
    assert "2 failed" in page and "sops" not in cells[1]


def test_two_jobs_train_what_one_does(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    for name, jobs in (("one", "1"), ("two", "2")):
        ended = run(spikeloom, tmp_path / name, "--jobs", jobs, "--no-deploy", methods="esl", sparsities="0.5,0.8")
        assert ended.code == 0, ended.err
    one, two = (json.loads((tmp_path / name / "sweep.json").read_text())["cells"] for name in ("one", "two"))
    # sums may be split over another number of threads, so the last bits may differ
    assert [c["sparsity"] for c in one] == [c["sparsity"] for c in two]
    assert [c["accuracy"] for c in one] == pytest.approx([c["accuracy"] for c in two], abs=0.03)


def test_the_page_shows_means_and_spreads(tmp_path: Path) -> None:
    base = {"method": "stds", "sparsity_asked": 0.9, "connectivity": 0.1, "connectivity_unrolled": 0.2, "sparsity": 0.9}
    rows = [base | {"seed": i, "accuracy": a, "pruned": 5.0, "regrown": 3.0} for i, a in enumerate((0.90, 0.94, 0.95))]
    (point,) = sweep_page.points([*rows, base | {"seed": 9, "error": "<b>broke</b>"}])
    assert point["seeds"] == 3 and point["accuracy"] == pytest.approx(0.93) and point["highest"] == 0.95
    assert sweep_page.table(rows)[1][:5] == ["stds", "10.00%", "93.00%", "2.50", "3"]
    page = sweep_page.write_page([*rows, base | {"seed": 9, "error": "<b>broke</b>"}], tmp_path / "p.html", {"data": "x"}).read_text()
    assert "&lt;b&gt;broke" in page and "<b>broke" not in page and 'src="' not in page and 'href="http' not in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("--sparsities", "1.5"), "between 0 and 1"), (("--sparsities", "x"), "numbers"), (("--methods", ""), "methods"),
        (("--seeds", "0,0"), "each once"), (("--jobs", "0"), "jobs"), (("--set", "seed=3"), "varies"), (("--set", "epoch=3"), "epochs"),
        (("--methods", "gradr"), "grad-r"),
    ],
)  # fmt: skip
def test_a_grid_that_makes_no_sense_is_named(spikeloom: Callable[..., Any], tmp_path: Path, changes: tuple[str, str], says: str) -> None:
    ended = run(spikeloom, tmp_path / "sweep", *changes)
    assert ended.code == 2 and says in ended.err
    assert not (tmp_path / "sweep").exists()


def test_dense_is_trained_once_a_seed() -> None:
    grid = Grid({"data": "digits"}, ("dense", "stds"), (0.5, 0.9), (0, 1), Path("x"))
    assert sum(c.method == "dense" for c in grid.cells()) == 2 and len(list(grid.cells())) == 6
    with pytest.raises(UsageError, match="seeds"):
        Grid({}, ("dense",), (0.5,), (), Path("x"))
