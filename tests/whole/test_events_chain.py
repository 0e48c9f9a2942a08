"""Recorded events through the whole chain: trained, compiled, run, every spike compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def recording(rng: np.random.Generator, label: int) -> bytes:
    """A recording in N-MNIST's format: 60 events around a place that is the class's."""
    x, y = (rng.integers(0, 6, 60) + 3 * place for place in (label, 9 - label))
    t = np.sort(rng.integers(0, 300_000, 60))
    polarity = rng.integers(0, 2, 60)
    rows = np.stack([x, y, (polarity << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1)
    return rows.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("events") / "N-MNIST", np.random.default_rng(0)
    for part, count in (("Train", 12), ("Test", 4)):
        for label in range(10):
            place = root / part / str(label)
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i:05d}.bin").write_bytes(recording(rng, label))
    return root.parent


def chain(spikeloom: Callable[..., Any], out: Path, *more: str) -> dict[str, Any]:
    ended = spikeloom("train", "--data", "n-mnist", "--method", "grad-r", "--sparsity", "0.8", "--out", str(out), *more)
    assert ended.code == 0, ended.err
    assert spikeloom("compile", str(out)).code == 0
    ended = spikeloom("run", str(out / "model.loom"), "--check", "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_synthetic_recordings(spikeloom: Callable[..., Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikeloom.runtime.backends import lava

    monkeypatch.setenv("SPIKELOOM_DATA", str(folder))
    out = tmp_path / "run"
    results = chain(spikeloom, out, "-T", "5", "--hidden", "40", "--epochs", "12", "--seed", "1")
    assert results["network"]["encoding"] == "events" and results["network"]["timesteps"] == 5
    assert results["accuracy"] > 0.5 and results["check"]["equal"]
    if lava.available() is None:
        ended = spikeloom("run", str(out / "model.loom"), "--backend", "lava", "--samples", "5", "--check")
        assert ended.code == 0, ended.err
    ended = spikeloom("compile", str(out), "--encoding", "current")
    assert ended.code == 2 and "events" in ended.err


@pytest.mark.chain
@pytest.mark.skipif(
    not (Path(os.environ.get("SPIKELOOM_DATA") or "/nowhere") / "N-MNIST-small").is_dir(), reason="SPIKELOOM_DATA has no N-MNIST-small"
)
def test_real_recordings(spikeloom: Callable[..., Any], tmp_path: Path) -> None:
    results = chain(spikeloom, tmp_path / "run", "--hidden", "200", "--epochs", "10")
    assert results["accuracy"] > 0.75 and results["check"]["equal"] and results["samples"] == 100
