"""Nobody waits for machine code that the work is not worth, and no clock counts the wait."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netgen import Labelled, graph_network, integer_network
from spikeloom import jit
from spikeloom.cli.shared import say_compiled
from spikeloom.runtime import run
from spikeloom.runtime.backends import native
from spikeloom.runtime.backends.api import BackendOptions
from spikeloom.runtime.clock import Clock
from spikeloom.runtime.native import lanes, plain

TIMED = ("wall_seconds", "samples_per_second", "compiling_seconds", "provenance")


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in TIMED}


def test_both_forms_give_the_same_results(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Labelled(np.random.default_rng(0).integers(0, 17, (70, 8, 8)).astype(np.uint8), np.zeros(70, np.int64))
    found: dict[bool, Any] = {}
    for enough in (True, False):
        monkeypatch.setattr(native, "plain_is_enough", lambda *_, enough=enough: enough)
        found[enough] = run(digits_run / "model.loom", data, check=True)
    assert [found[plain].provenance.native_form for plain in (True, False)] == ["NumPy and SciPy", "kernels"]
    assert without_times(found[True].document()) == without_times(found[False].document())


def test_a_small_run_needs_no_numba(digits_run: Path) -> None:
    code = "import sys; from spikeloom.cli import main\ntry:\n main()\nfinally:\n assert 'numba' not in sys.modules"
    words = ["run", str(digits_run / "model.loom"), "--samples", "20", "--check", "--out", str(digits_run / "few.json")]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_work_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(0)
    monkeypatch.setattr(jit, "has_code", lambda kernel: False)
    assert native.plain_is_enough(network, 1)
    many = int(native.COMPILING / plain.seconds(network, 1)) + 1
    some = int(native.IMPORTING / plain.seconds(network, 1)) + 1
    assert native.plain_is_enough(network, some) and not native.plain_is_enough(network, many)
    monkeypatch.setattr(jit, "has_code", lambda kernel: True)  # from an earlier run
    assert native.plain_is_enough(network, 1) and not native.plain_is_enough(network, some)


def test_recurrent_networks_are_not_held_against_themselves() -> None:
    looped = graph_network(3, backward=2)
    assert not plain.independent(looped) and not native.plain_is_enough(looped, 1)


def test_direct_calls_take_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    network = integer_network(1)
    events = np.zeros((2, network.timesteps, network.populations[0].size), np.uint8)
    called: list[int] = []
    simulate = lanes.simulate
    monkeypatch.setattr(lanes, "simulate", lambda *a: called.append(1) or simulate(*a))
    native.simulate(network, events, BackendOptions())
    assert called == [1]


def test_a_clock_leaves_out_what_compiling_took(monkeypatch: pytest.MonkeyPatch) -> None:
    now, compiled = [0.0], [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(jit, "compiling_seconds", lambda: compiled[0])
    clock = Clock()
    for _ in range(2):
        with clock:
            now[0] += 5.0
            compiled[0] += 3.0
    assert clock.working == pytest.approx(4.0) and clock.compiling == pytest.approx(6.0)


def test_compiling_is_counted_once_and_code_is_known() -> None:
    def added(a: int) -> int:
        return a + 1

    kernel = jit.jit(added)
    before = jit.compiling_seconds()
    assert not kernel.signatures and kernel(1) == 2
    passed = jit.compiling_seconds() - before
    assert jit.has_code(kernel) and (passed > 0.0 or kernel.stats.cache_hits)
    kernel(2)
    assert jit.compiling_seconds() - before == passed


def test_a_command_says_how_long_kernels_took(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds, line in ((6.04, "Compiled kernels once: 6.0 s, not part of any time above. Later runs reuse them.\n"), (0.0, "")):
        monkeypatch.setattr(jit, "compiling_seconds", lambda seconds=seconds: seconds)
        say_compiled()
        assert capsys.readouterr().err == line
