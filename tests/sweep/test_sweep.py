"""`spikeloom sweep`: the grid runs, goes on where it stopped, tells of what failed; the page shows what sweep.json says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spikeloom import runtime, train
from spikeloom.errors import UsageError
from spikeloom.sweep import Grid, page, sweep, workers

SMALL = ("--data", "digits", "--epochs", "2", "--set", "net.hidden=40")


def run(spikeloom: Callable[..., Any], out: Path, *more: str, methods: str = "dense,esl", sparsities: str = "0.5,0.7") -> Any:
    return spikeloom("sweep", *SMALL, "--methods", methods, "--sparsities", sparsities, "--out", str(out), *more)


@pytest.mark.chain
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
    assert document["format"] == "spikeloom.sweep" and document["sparsities"] == [0.5, 0.7] and "sweep" in document["provenance"]["command"]
    assert all(c["checked"] and set(c["stages"]) == {"float"} for c in document["cells"])
    assert checkpoint.stat().st_mtime_ns == before
    assert "esl" in second.out and "70.00%" not in second.out.split("dense")[0]


@pytest.mark.chain
def test_what_fails_is_told_and_the_others_go_on(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    ended = run(spikeloom, tmp_path / "sweep", "--no-deploy", methods="grad-r,esl", sparsities="0.9999,0.5")
    assert ended.code == 1 and "2 of 4 cells failed" in ended.err and "synapses" in ended.err
    cells = json.loads((tmp_path / "sweep/sweep.json").read_text())["cells"]
    assert ["error" in c for c in cells] == [True, False, True, False]
    page = (tmp_path / "sweep/sweep.html").read_text()
    assert "2 failed" in page and "sops" not in cells[1]


@pytest.mark.chain
def test_two_jobs_train_what_one_does(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    for name, jobs in (("one", "1"), ("two", "2")):
        ended = run(spikeloom, tmp_path / name, "--jobs", jobs, "--threads", "1", "--no-deploy", methods="esl", sparsities="0.5,0.8")
        assert ended.code == 0, ended.err
    one, two = (json.loads((tmp_path / name / "sweep.json").read_text())["cells"] for name in ("one", "two"))
    changing = ("folder", "command", "seconds", "epoch_seconds")
    assert [{k: c[k] for k in c if k not in changing} for c in one] == [{k: c[k] for k in c if k not in changing} for c in two]
    for cell in ("s0.5", "s0.8"):
        weights = [(tmp_path / name / "esl" / cell / "seed0/model.safetensors").read_bytes() for name in ("one", "two")]
        assert weights[0] == weights[1]


def test_an_empty_folder_of_a_cell_is_no_run(tmp_path: Path) -> None:
    grid = Grid({"data": "digits", "epochs": 1, "net_options": {"hidden": (20,)}}, ("dense",), (0.5,), (0,), tmp_path, deploy=False)
    next(grid.cells()).folder.mkdir(parents=True)
    (row,) = sweep(grid)
    assert "error" not in row


def test_an_option_goes_to_the_methods_that_have_it(tmp_path: Path) -> None:
    grid = Grid({"data": "digits", "method_options": {"growth": "momentum"}}, ("dense", "grad-r", "esl"), (0.5,), (0,), tmp_path)
    grid.check()
    assert [dict(grid.settings_of(cell).method_options) for cell in grid.cells()] == [{}, {}, {"growth": "momentum"}]
    with pytest.raises(UsageError, match="growth"):
        Grid({"data": "digits", "method_options": {"grow": "momentum"}}, ("dense", "esl"), (0.5,), (0,), tmp_path).check()


def test_results_of_another_run_are_not_taken(digits_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "grad-r/s0.8/seed0"
    shutil.copytree(digits_run, folder)
    settings = {"data": "digits", "epochs": 10, "weight_bits": 8, "net_options": {"hidden": (64,)}}
    grid = Grid(settings, ("grad-r",), (0.8,), (0,), tmp_path)
    few = runtime.run(folder / "model.loom", train.load_dataset("digits").test, samples=5, data_name="digits")
    few.save(folder / "results.json")
    (row,) = sweep(grid)
    results = runtime.load_results(folder / "results.json")
    assert results.samples == 359 and row["checked"] and row["sops"] == results.sops_per_sample
    assert row["deployed_accuracy"] == row["accuracy"]  # trained in the chip's integers: deployment changes nothing


def test_a_process_that_dies_takes_only_its_own_piece() -> None:
    others = (signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH)  # signals that end nothing
    pieces = (others[0], signal.SIGKILL, *others[1:])
    done = dict(workers.each(signal.raise_signal, pieces, 2, 1, lambda piece, how: f"{piece.name} {how}"))
    assert str(done.pop(signal.SIGKILL)).startswith("SIGKILL was ended by the signal SIGKILL")
    assert done == dict.fromkeys(others)


# A pruning rule that stops in its second epoch while the file `wait` is there, having written its process's id.
HELD = """
import os, time
from pathlib import Path
from spikeloom.train.methods.esl import ESL, Options

HERE = Path({folder!r})

class Held(ESL):
    epochs = 0

    def control(self, progress):
        super().control(progress)
        self.epochs += 1
        while self.epochs == 2 and (HERE / "wait").exists():
            (HERE / f"held-{{os.getpid()}}").touch()
            time.sleep(0.01)

def build(model, settings, options):
    return Held(model, settings, options)
"""


@pytest.mark.chain
def test_ctrl_c_ends_the_children_and_the_sweep_goes_on(tmp_path: Path) -> None:
    """Both children are held after their first epoch, however fast or busy the machine is, when Ctrl-C is pressed."""
    rules, out = tmp_path / "parts/train/methods", tmp_path / "out"
    rules.mkdir(parents=True)
    (rules / "held.py").write_text(HELD.format(folder=str(tmp_path)))
    (tmp_path / "wait").touch()
    words = ["sweep", *SMALL, "--epochs", "3", "--methods", "held", "--sparsities", "0.5,0.6,0.7", "--no-deploy", "--out", str(out)]
    command, known = [sys.executable, "-m", "spikeloom", *words], os.environ | {"SPIKELOOM_PARTS": str(tmp_path / "parts")}
    begun = subprocess.Popen([*command, "--jobs", "2"], stderr=subprocess.PIPE, text=True, env=known)
    while len(held := [int(path.name.rpartition("-")[2]) for path in tmp_path.glob("held-*")]) < 2 and begun.poll() is None:
        time.sleep(0.01)
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=300)
    assert begun.returncode == 130 and "Repeat the command" in told, told
    assert not [pid for pid in held if Path(f"/proc/{pid}/cmdline").exists() and b"spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    cell = out / "held/s0.5/seed0"
    assert (cell / "checkpoint.safetensors").exists() and not (cell / "train.json").exists()
    assert not (out / "held/s0.7").exists()  # nothing more was begun
    (tmp_path / "wait").unlink()
    again = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    epochs = [json.loads(line)["epoch"] for line in (cell / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2, 3]


def test_the_page_shows_means_and_spreads(tmp_path: Path) -> None:
    base: dict[str, Any] = {"method": "stds", "sparsity_asked": 0.9, "connectivity": 0.1, "connectivity_unrolled": 0.2, "sparsity": 0.9}
    rows = [base | {"seed": i, "accuracy": a, "pruned": 5.0, "regrown": 3.0} for i, a in enumerate((0.90, 0.94, 0.95))]
    (point,) = page.points([*rows, base | {"seed": 9, "error": "<b>broke</b>"}])
    assert point["seeds"] == 3 and point["accuracy"] == pytest.approx(0.93)
    assert point["accuracy_sd"] == pytest.approx(statistics.stdev((0.90, 0.94, 0.95)))
    assert [cell.text for cell in page.table(rows).rows[0]][:7] == ["1", "stds", "10.00 %", "3", "93.00 %", "2.65", "–"]
    assert [column.heading for column in page.table(rows).columns][3:6] == ["n", "accuracy", "SD of accuracy"]
    rows[0]["warnings"] = rows[2]["warnings"] = ["<i>Silent.</i>"]
    drawn = page.write_page([*rows, base | {"seed": 9, "error": "<b>broke</b>"}], tmp_path / "p.html", {"data": "x"}).read_text()
    assert "1 warning<" in drawn and "stds 0.9 seed 0, stds 0.9 seed 2: &lt;i&gt;Silent.&lt;/i&gt;" in drawn
    assert "&lt;b&gt;broke" in drawn and "<b>broke" not in drawn and 'src="' not in drawn and 'href="http' not in drawn
    assert drawn.count("<svg class") == 1 and "stds at sparsity 0.9, 3 seeds: 93.00 % at 10 %" in drawn  # of SOPs nothing is known


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("--sparsities", "1.5"), "between 0 and 1"), (("--sparsities", "x"), "numbers"), (("--methods", ""), "methods"),
        (("--seeds", "0,0"), "only once"), (("--jobs", "0"), "jobs"), (("--set", "seed=3"), "varies"), (("--set", "epoch=3"), "epochs"),
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
