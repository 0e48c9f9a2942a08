"""Lava missing, hanging, failing or dying: one clear error, promptly, and nothing left behind."""

# What is tested here is not public, on purpose.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from spikeloom.errors import BackendError
from spikeloom.network.model import IntegerLIF, Network, Population, Projection, Synapses
from spikeloom.runtime.backends import _lava_child, lava
from spikeloom.runtime.backends.api import BackendOptions

needs_lava = pytest.mark.skipif(
    lava.available() is not None or sys.platform != "linux", reason=lava.available() or "looks for processes in /proc, which Linux has"
)
LONG = 40_000  # samples one after another: far more than the tests wait for
T = TypeVar("T")
PROGRAM = """
from spikeloom.network.model import *
from spikeloom.runtime.backends import lava
from spikeloom.runtime.backends.api import BackendOptions
import numpy as np
synapses = Synapses.from_dense(np.full((3, 4), 9, np.int32))
network = Network((Population("x", (4,), None), Population("a", (3,), IntegerLIF())), (Projection("xa", "x", "a", synapses, 0, 8),), 4)
lava.simulate(network, np.ones((40_000, 4, 4), np.uint8), BackendOptions(batch_size=1))
"""


def simulate(samples: int, *, time_limit: float = 60.0, lava_python: str | None = None) -> None:
    """Run a tiny network on `samples` samples, one after another."""
    synapses = Synapses.from_dense(np.full((3, 4), 9, np.int32))
    network = Network((Population("x", (4,), None), Population("a", (3,), IntegerLIF())), (Projection("xa", "x", "a", synapses, 0, 8),), 4)
    lava.simulate(network, np.ones((samples, 4, 4), np.uint8), BackendOptions(time_limit, lava_python, batch_size=1))


def processes(group: int | None = None, parent: int | None = None) -> list[int]:
    """The live processes of a group, or the children of a parent."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state not in "ZX" and (int(its_group) == group or int(its_parent) == parent):
            found.append(int(stat.parent.name))
    return found


def wait_for(what: Callable[[], T], limit: float = 120.0) -> T:
    """Wait until `what` gives something true, and return it."""
    end = time.monotonic() + limit
    while not (result := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return result


def worker_of(parent: int) -> int:
    """The Lava worker among the children of `parent`, 0 if there is none."""
    for child in processes(parent=parent):
        try:
            if b"lava_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        except OSError:
            continue
    return 0


def segments(group: int) -> set[str]:
    """The shared memory that a group has mapped."""
    lines = (line for p in processes(group) for line in Path(f"/proc/{p}/maps").read_text().splitlines())
    return {line.split()[-1] for line in lines if "/dev/shm/psm_" in line}


def running(parent: int) -> tuple[int, list[int], set[str]]:
    """Wait until the worker of `parent` steps. Returns its id, the ids of its group, its shared memory."""
    worker = wait_for(lambda: worker_of(parent))
    folder = Path(Path(f"/proc/{worker}/cmdline").read_bytes().split(b"\0")[2].decode())
    wait_for(lambda: [f for f in folder.glob("spikes_*") if f.stat().st_size > 50])
    return worker, processes(worker), segments(worker)


def assert_gone(worker: int, shared: set[str]) -> None:
    """No process of the worker's group and none of its shared memory are left."""
    wait_for(lambda: not processes(worker))
    wait_for(lambda: not any(Path(s).exists() for s in shared))


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own, with a path that is short enough for sockets; pytest's own is made before it."""
    del tmp_path
    with tempfile.TemporaryDirectory(prefix="own-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


def script(folder: Path, text: str) -> str:
    """Write an executable that stands in for an interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_lava_missing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    reason = lava.available()
    assert reason is not None
    assert "pip install asteval scikit-learn" in reason
    assert "pip install --ignore-requires-python --no-deps lava-nc==0.10.0" in reason
    with pytest.raises(BackendError, match="make install"):
        simulate(1)


def test_lava_missing_in_a_named_interpreter(tmp_path: Path) -> None:
    bare = script(tmp_path, f'exec "{sys.executable}" -S -I "$@"')  # -S: no site-packages
    with pytest.raises(BackendError, match=r"cannot import Lava.*make install"):
        simulate(1, lava_python=bare)


def test_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"Cannot start .*nowhere"):
        simulate(1, lava_python=str(tmp_path / "nowhere"))


@pytest.mark.chain
def test_worker_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lava_child, "GRACE", 0.5)
    deaf = script(tmp_path, 'trap "" TERM\nwhile :; do sleep 0.2; done')
    start = time.monotonic()
    with pytest.raises(BackendError, match=r"time limit of 0\.3 s"):
        simulate(1, lava_python=deaf, time_limit=0.3)
    assert time.monotonic() - start < 120  # without a kill it would last for ever
    assert not [p for p in processes(parent=os.getpid()) if deaf.encode() in Path(f"/proc/{p}/cmdline").read_bytes()]


@pytest.mark.chain
@needs_lava
def test_time_limit(own: Path) -> None:
    seen: list[tuple[int, list[int], set[str]]] = []
    observer = threading.Thread(target=lambda: seen.append(running(os.getpid())))
    observer.start()
    with pytest.raises(BackendError, match=r"time limit of 2\.5 s"):
        simulate(LONG, time_limit=2.5)
    observer.join()
    worker, members, shared = seen[0]
    assert len(members) > 5
    assert shared
    assert_gone(worker, shared)
    assert not list(own.iterdir())


@pytest.mark.chain
@needs_lava
@pytest.mark.parametrize("victim", ["worker", "child"])
def test_killed(victim: str, own: Path) -> None:
    seen: list[tuple[int, set[str], float]] = []

    def kill() -> None:
        worker, _, shared = running(os.getpid())
        # The last child is the runtime service, without which all the others wait for ever.
        os.kill(worker if victim == "worker" else max(processes(parent=worker)), signal.SIGKILL)
        seen.append((worker, shared, time.monotonic()))

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(BackendError, match="killed by signal 9" if victim == "worker" else "Lava's own processes ended"):
        simulate(LONG, time_limit=60)
    killer.join()
    worker, shared, when = seen[0]
    assert time.monotonic() - when < 50  # not at the time limit
    assert_gone(worker, shared)
    assert not list(own.iterdir())


@pytest.mark.chain
@needs_lava
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_caller_ended(number: signal.Signals, own: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.DEVNULL) as caller:
        worker, _, shared = running(caller.pid)
        caller.send_signal(number)
        caller.wait(15)
    assert_gone(worker, shared)
    wait_for(lambda: not list(own.iterdir()))


@needs_lava
@pytest.mark.parametrize(("obstacle", "message"), [("/dev/full", "No space left"), ("/proc/nowhere/file", "No such file")])
def test_spikes_that_cannot_be_written(obstacle: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = lava._write_job

    def sabotage(network: Network, events: Any, plan: Any, folder: Path, registers: list[str]) -> None:
        write(network, events, plan, folder, registers)
        (folder / "spikes_0.bin").symlink_to(obstacle)

    monkeypatch.setattr(lava, "_write_job", sabotage)
    with pytest.raises(BackendError, match=message):
        simulate(5, time_limit=30)
    wait_for(lambda: not worker_of(os.getpid()))


def test_temporary_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    if lava.available():
        pytest.skip(str(lava.available()))
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(BackendError, match="TMPDIR"):
        simulate(1)
