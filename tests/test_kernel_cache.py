"""Compiled kernels are forgotten when any of their sources changes."""

from __future__ import annotations

from pathlib import Path

from spikeloom.runtime import kernels


def test_stale_code_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "runtime" / "kernels"
    cache = folder / "__pycache__"
    cache.mkdir(parents=True)
    (tmp_path / "hwmodels").mkdir()
    (tmp_path / "hwmodels" / "fixed_point.py").write_text("LIMIT = 1")
    (folder / "sums.py").write_text("a = 1")
    (cache / "sums.x-1.nbc").write_text("old")
    kernels._forget_stale(folder)  # pyright: ignore[reportPrivateUsage]
    assert not (cache / "sums.x-1.nbc").exists()
    (cache / "sums.x-1.nbc").write_text("new")
    kernels._forget_stale(folder)  # pyright: ignore[reportPrivateUsage]
    assert (cache / "sums.x-1.nbc").exists()
    (folder / "sums.py").write_text("a = 2")
    kernels._forget_stale(folder)  # pyright: ignore[reportPrivateUsage]
    assert not (cache / "sums.x-1.nbc").exists()
