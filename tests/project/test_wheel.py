"""A wheel holds all that the chain needs: built, installed elsewhere, and used from a folder that is not the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spikeloom

ROOT = Path(spikeloom.__file__).resolve().parent


@pytest.mark.slow
def test_a_wheel_works_outside_the_repository(tmp_path: Path) -> None:
    source = tmp_path / "source"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "runs", "__pycache__")
    shutil.copytree(ROOT, source, ignore=unwanted)  # a build leaves folders where it is made
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(source)], capture_output=True, text=True, check=False)
    if built.returncode and "Could not find a version" in built.stderr + built.stdout:
        pytest.skip("no network: the build's own setuptools cannot be fetched")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("spikeloom-*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=work, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("-c", "import spikeloom; print(spikeloom.__file__)").strip()).is_relative_to(site)
    assert (site / "spikeloom/py.typed").exists()
    assert {"loihi", "loihi2", "truenorth"} <= {chip["name"] for chip in json.loads(run("-m", "spikeloom", "hw", "list", "--json"))}
    assert json.loads(run("-m", "spikeloom", "recipes", "gradr-cifar10-5", "--json"))["accuracy"] == 92.03
    assert "as claimed" in run("-m", "spikeloom", "zoo", "digits-gradr-10", "--check")
    run("-m", "spikeloom", "train", "--data", "digits", "--hidden", "40", "--epochs", "6", "--out", "run")
    run("-m", "spikeloom", "compile", "run")
    run("-m", "spikeloom", "run", "run/model.loom", "--samples", "50", "--check")
    page = Path(work / run("-m", "spikeloom", "report", "run").strip())
    assert page.read_text().lower().startswith("<!doctype html>")
