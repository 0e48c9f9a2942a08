"""What `benchmarks/runtime_speed.py` compares: the engines that are exact give the reference's spikes, and a child says what it lacks."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spikeloom.network import reference

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EXACT = ("native", "scipy", "onnxruntime", "torch_dense", "torch_csr", "spikingjelly")


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of cases; its folder stays on the path during the test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peers.case")


def child(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "runtime_peers.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.chain
@pytest.mark.parametrize("density", [0.02, 1.0])
def test_the_exact_engines_give_the_references_spikes(cases: Any, density: float) -> None:
    case = cases.make_case(density, 70, seed=3)
    network = importlib.import_module("peers.native").network_of(case)
    spikes = reference.simulate(network, case.events)
    assert 0.01 < spikes["hidden"].mean() < 0.1
    assert 0.01 < spikes["output"].mean() < 0.1
    found = {name: importlib.import_module(f"peers.{name}").prepare(case)().output_spikes for name in EXACT}
    assert found == dict.fromkeys(EXACT, int(spikes["output"].sum()))


def test_a_child_prints_one_line(cases: Any, tmp_path: Path) -> None:
    case = cases.make_case(0.05, 16)
    case.save(tmp_path / "case.npz")
    done = child("scipy", tmp_path / "case.npz", "--samples", 9, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    spikes = reference.simulate(importlib.import_module("peers.native").network_of(case), case.events[:9])["output"]
    assert (line["engine"], line["samples"], line["output_spikes"]) == ("scipy", 9, int(spikes.sum()))
    assert line["samples_per_second"] == pytest.approx(9 / line["seconds"])
    assert 20 < line["peak_mib"] < 2000


def test_a_child_says_what_it_lacks(cases: Any, tmp_path: Path) -> None:
    cases.make_case(0.05, 4).save(tmp_path / "case.npz")
    if find_spec("nengo_loihi") is not None:
        pytest.skip("nengo-loihi is installed here")
    done = child("nengo-loihi", tmp_path / "case.npz")
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["nengo-loihi is not installed here: no module nengo_loihi. Try: make bench-peers"]


def test_cases_that_the_engines_do_not_run_are_refused(cases: Any, tmp_path: Path) -> None:
    case = cases.make_case(0.05, 2)
    np.savez(tmp_path / "events.npz", w1=case.w1, w2=case.w2, vth1=1, vth2=1, dv=2048, events=case.events * 2)
    np.savez(tmp_path / "decay.npz", w1=case.w1, w2=case.w2, vth1=1, vth2=1, dv=1024, events=case.events)
    np.savez(tmp_path / "many.npz", w1=case.w1, w2=case.w2, vth1=1, vth2=1, dv=2048, events=np.ones_like(case.events))
    for name, why in (("events", "0 or 1"), ("decay", "dv 1024"), ("many", "at most 516")):
        with pytest.raises(ValueError, match=why):
            cases.load_case(tmp_path / f"{name}.npz")
    done = child("scipy", tmp_path / "decay.npz")
    assert done.returncode == 2
    assert "is not a case" in done.stderr
