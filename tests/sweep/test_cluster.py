"""`spikeloom sweep --scheduler`: the same results on a Dask cluster, whatever happens to its workers; clear errors where they cannot be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from extras import library
from spikeloom.errors import BackendError, InUseError, UsageError
from spikeloom.files import owned, sha256
from spikeloom.sweep import Grid, cluster, sweep
from spikeloom.train import methods

# A pruning rule that stops in its second epoch while the file `wait` is there, and says which worker's process it is in.
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
        if self.epochs == 2 and (HERE / "wait").exists():
            (HERE / f"at-{{1 - self.alive.float().mean():.1f}}-{{os.getppid()}}").touch()
            while (HERE / "wait").exists():
                time.sleep(0.01)

def build(model, settings, options):
    return Held(model, settings, options)
"""


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """A cluster of two processes."""
    distributed = library("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", processes=True) as started:
        yield started


@pytest.fixture(scope="module")
def rules(workers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which `wait` stops the method `held`; the workers were started without that plug-in."""
    folder = tmp_path_factory.mktemp("rules")
    place = folder / "parts/train/methods"
    place.mkdir(parents=True)
    (place / "held.py").write_text(HELD.format(folder=str(folder)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_PARTS", str(folder / "parts"))
        patch.setattr(methods, "__path__", list(methods.__path__))  # to which the registry adds the folder
        yield folder


@pytest.fixture
def held(rules: Path) -> Iterator[Path]:
    """The same, with `wait` in it."""
    (rules / "wait").touch()
    yield rules
    for path in (rules / "wait", *rules.glob("at-*")):
        path.unlink(missing_ok=True)


def grid(out: Path, method: str = "esl", sparsities: tuple[float, ...] = (0.5, 0.7, 0.8)) -> Grid:
    return Grid({"data": "digits", "epochs": 4, "net_options": {"hidden": (16,)}}, (method,), sparsities, (0,), out)


def address(workers: Any) -> str:
    return workers.scheduler_address


def at(folder: Path, sparsity: str = "*") -> set[int]:
    """The workers that are held, by process."""
    return {int(path.name.rpartition("-")[2]) for path in folder.glob(f"at-{sparsity}-*")}


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_one(folder: Path) -> None:
    """Kill the worker of one of two cells that are held, and let all go on once it is held in another process."""
    try:
        until(lambda: len(at(folder)) == 2)
        (killed,) = at(folder, "0.7")
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(at(folder, "0.7")) == 2)
    finally:
        (folder / "wait").unlink(missing_ok=True)


@pytest.mark.chain
def test_a_killed_worker_changes_no_result(workers: Any, held: Path, tmp_path: Path) -> None:
    (held / "wait").unlink()
    there, here = grid(tmp_path / "there", "held"), grid(tmp_path / "here", "held")
    sweep(replace(there, sparsities=(0.5,)), threads=1)
    finished = tmp_path / "there/held/s0.5/seed0/checkpoint.safetensors"
    before = finished.stat().st_mtime_ns
    (held / "wait").touch()
    killer = threading.Thread(target=kill_one, args=(held,))
    killer.start()
    told: list[tuple[int, int]] = []
    rows = sweep(there, scheduler=address(workers), report=lambda done, cells, row, left: told.append((done, cells)))
    killer.join()
    assert len(at(held, "0.7")) == 2 and len(at(held, "0.8")) == 1 and not at(held, "0.5")
    assert finished.stat().st_mtime_ns == before and told == [(1, 3), (2, 3), (3, 3)]
    alone = sweep(here, threads=1)
    changing = ("folder", "seconds", "epoch_seconds")
    moved = [row | {"command": row["command"].replace(str(there.out), str(here.out))} for row in rows]
    assert [{k: row[k] for k in row if k not in changing} for row in moved] == [
        {k: row[k] for k in row if k not in changing} for row in alone
    ]
    assert json.loads((there.out / "sweep.json").read_text())["cells"] == rows and not list(there.out.glob(".shared-*"))
    for cell, same in zip(there.cells(), here.cells(), strict=True):
        for name in ("model.safetensors", "model.onnx"):
            assert sha256((cell.folder / name).read_bytes()) == sha256((same.folder / name).read_bytes())
        epochs = [json.loads(line)["epoch"] for line in (cell.folder / "metrics.jsonl").read_text().splitlines()]
        assert epochs == [1, 2, 3, 4]


@pytest.mark.chain
def test_ctrl_c_ends_the_cells_on_the_workers(workers: Any, held: Path, tmp_path: Path) -> None:
    words = ["sweep", "--data", "digits", "--epochs", "4", "--set", "net.hidden=16", "--methods", "held", "--sparsities", "0.5,0.7,0.8"]
    words += ["--out", str(tmp_path), "--scheduler", address(workers)]
    begun = subprocess.Popen([sys.executable, "-m", "spikeloom", *words], stderr=subprocess.PIPE, text=True)
    until(lambda: len(at(held)) == 2 or begun.poll() is not None)
    begun.send_signal(signal.SIGINT)
    _, told = begun.communicate(timeout=600)
    assert begun.returncode == 130 and "Repeat the command" in told and "Traceback" not in told, told
    for sparsity in (0.5, 0.7):
        until(lambda s=sparsity: free(tmp_path / f"held/s{s}/seed0"))  # the process has ended, though it was to wait
    assert len(at(held)) == 2 and not list(tmp_path.glob("**/train.json")) and not (tmp_path / "held/s0.8").exists()


def free(folder: Path) -> bool:
    try:
        with owned(folder):
            return True
    except InUseError:
        return False


@pytest.mark.chain
def test_a_cell_whose_own_process_dies_is_tried_three_times(workers: Any, tmp_path: Path) -> None:
    def lost(piece: signal.Signals, how: str) -> str:
        return f"{piece.name} {how}"

    pieces = (signal.SIGCHLD, signal.SIGKILL)
    done = dict(cluster.each(signal.raise_signal, pieces, address(workers), 1, tmp_path, lost))
    assert done[signal.SIGCHLD] is None
    assert str(done[signal.SIGKILL]).startswith("SIGKILL was tried 3 times; its process was ended by the signal SIGKILL")


@pytest.mark.chain
def test_workers_of_another_version_are_refused(workers: Any, tmp_path: Path) -> None:
    with library("distributed").Client(workers, set_as_default=False) as client:
        client.run(exec, "from spikeloom.sweep import cluster; cluster.__version__ = '0.0.1'")
        try:
            with pytest.raises(BackendError, match=r"worker tcp://.* has spikeloom 0\.0\.1; this process has"):
                sweep(grid(tmp_path), scheduler=address(workers))
        finally:
            client.run(exec, "from spikeloom.sweep import cluster; cluster.__version__ = __import__('spikeloom').__version__")
    assert not list(tmp_path.iterdir())


@pytest.mark.chain
@pytest.mark.parametrize(("there", "says"), [(None, "without Spikeloom"), ("0.0.1", r"with Spikeloom 0\.0\.1")])
def test_a_scheduler_of_another_version_is_refused(
    workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str | None, says: str
) -> None:
    client = library("distributed").Client
    ask = client.get_versions

    def another(self: Any, packages: list[str]) -> Any:
        found = ask(self, packages=packages)
        found["scheduler"]["packages"]["spikeloom"] = there
        return found

    monkeypatch.setattr(client, "get_versions", another)
    with pytest.raises(BackendError, match=rf"scheduler tcp://.* {says}\. Install"):
        sweep(grid(tmp_path), scheduler=address(workers))


def test_a_worker_without_the_files_is_told(tmp_path: Path) -> None:
    with cluster.site_of(tmp_path) as site:
        assert cluster.unfit(site) is None
        assert f"folder {tmp_path}" in str(cluster.unfit(replace(site, token="of a folder of its own")))
        assert "cannot write" in str(cluster.unfit(replace(site, probe=str(tmp_path / "none/.shared"))))
        assert "/not/here" in str(cluster.unfit(replace(site, folder="/not/here")))
        other = replace(site, versions=site.versions | {"torch": "0.1"})
        assert "has torch" in str(cluster.unfit(other)) and cluster.complete(print, 1, 1, other) == (cluster.unfit(other), None)
    assert not list(tmp_path.iterdir())


def test_without_the_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"spikeloom\[cluster\]"):
        sweep(grid(tmp_path), scheduler="tcp://127.0.0.1:8786")
    with pytest.raises(UsageError, match="Leave --jobs out"):
        sweep(grid(tmp_path), scheduler="tcp://127.0.0.1:8786", jobs=2)


def test_an_address_that_nobody_answers_at_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library("distributed")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        for wrong in (f"tcp://127.0.0.1:{silent.getsockname()[1]}", "here", "tcp://", "", "bar://x:1"):
            with pytest.raises(BackendError, match=r"within 0\.5 seconds: .*dask scheduler"):
                sweep(grid(tmp_path), scheduler=wrong)
