"""The doctor: what it finds here, what it misses elsewhere, and its exit code."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def findings(spikeloom: Command, *words: object) -> tuple[int, dict[str, dict[str, str]]]:
    done = spikeloom("doctor", "--json", "--no-cuda", *words)
    return done.code, {f["name"]: f for f in json.loads(done.out)}


def test_here_nothing_is_missing(spikeloom: Command, tmp_path: Path) -> None:
    (tmp_path / "MNIST").mkdir()
    code, found = findings(spikeloom, "--data-dir", tmp_path)
    assert code == 0
    assert found["numba"]["state"] == found["vectors"]["state"] == "ok"
    assert found["data"]["found"] == f"{tmp_path}: MNIST"
    assert "digits" in found["data sets"]["found"]
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
