"""The doctor: what it finds here, what it misses elsewhere, and its exit code."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spikeloom import registry
from spikeloom.cli import warm
from spikeloom.compile import compile_network
from spikeloom.data.dataset import names
from spikeloom.data.sets.mnist import FILES
from spikeloom.errors import UsageError
from spikeloom.train import methods

Command = Callable[..., Any]


def findings(spikeloom: Command, *words: object) -> tuple[int, dict[str, dict[str, str]]]:
    done = spikeloom("doctor", "--json", "--no-cuda", *words)
    return done.code, {f["name"]: f for f in json.loads(done.out)}


def test_here_nothing_is_missing(spikeloom: Command, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        (raw / f"{name}.gz").touch()
    (tmp_path / "NMNIST").mkdir()  # a folder without recordings
    code, found = findings(spikeloom, "--data-dir", tmp_path)
    assert code == 0
    assert found["numba"]["state"] == found["vectors"]["state"] == "ok"
    assert found["data"]["found"] == str(tmp_path)
    assert found["data sets here"]["found"] == f"digits, mnist ({raw})"
    assert found["data sets not here"]["state"] == "absent" and "n-mnist" in found["data sets not here"]["found"]
    assert {*names()} == {
        *re.findall(r"[a-z0-9-]+(?= \(|,|$)", found["data sets here"]["found"] + ", " + found["data sets not here"]["found"])
    }
    shown = spikeloom("doctor", "--no-cuda").out
    assert "onnxruntime" in shown


def test_products_that_depend_on_alignment_are_said(spikeloom: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {f["name"]: f for f in json.loads(spikeloom("doctor", "--json").out)}
    assert rows["products"]["state"] == "ok" and "MKL_CBWR" in rows["products"]["found"]
    monkeypatch.setattr("spikeloom.train.platform.depends_on_alignment", lambda threads: "(2, 3) x (3, 4) has 5 results")
    rows = {f["name"]: f for f in json.loads(spikeloom("doctor", "--json").out)}
    assert rows["products"]["state"] == "absent" and "5 results" in rows["products"]["found"]


def test_what_is_missing_is_named_with_the_way_out(spikeloom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name in ("nir", "numba", "lava") else real(name, package)
    )
    code, found = findings(spikeloom, "--data-dir", tmp_path / "nowhere")
    assert code == 1
    assert found["nir"] == {"name": "nir", "state": "missing", "found": "needed by every command", "way_out": "pip install nir"}
    assert found["numba"]["state"] == found["lava"]["state"] == found["data"]["state"] == "absent"
    assert "SPIKELOOM_DATA" in found["data"]["way_out"]


def test_warming_says_what_it_compiles(spikeloom: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise UsageError("no such thing")

    done: list[str] = []
    monkeypatch.setattr(warm, "works", lambda: [("one", lambda: done.append("one")), ("two", fails)])
    ended = spikeloom("doctor", "--no-cuda", "--warm", "--json")
    assert done == ["one"] and "compiling kernels: one" in ended.err
    kernels = [f for f in json.loads(ended.out) if f["name"] == "kernels"]
    assert [(f["state"], f["found"]) for f in kernels] == [("absent", "two: no such thing")]


def test_a_warmed_network_takes_several_cores_and_every_way_through_the_simulator() -> None:
    """So that the kernels of the mapping are compiled, too: one core would need none of them."""
    assert compile_network(warm.network(0.5, "rate"), chip=warm.small_cores()).mapping.cores > 4
    names = [name for name, _ in warm.works()]
    assert names[:3] == ["mapping to cores", "mapping by objective", "simulator"]
    assert set(registry.names(methods)) - {"deep-r", "fixed"} == set(warm.METHODS)
