"""Every command and every block of Python in the README is run, made small."""

from __future__ import annotations

import gzip
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spikeloom as package

ROOT = Path(package.__file__).resolve().parent
README = (ROOT / "README.md").read_text()
SMALL = {"--epochs": "2", "--samples": "20"}


@pytest.fixture(scope="module")
def few_images(mnist_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with MNIST and the first 500 of its test images."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "MNIST/raw").mkdir(parents=True)
    for path in (mnist_folder / "MNIST/raw").glob("*-ubyte.gz"):
        content = gzip.decompress(path.read_bytes())
        count, dimensions = (60_000 if path.name.startswith("train") else 500), content[3]
        head, each = 4 + 4 * dimensions, 784 if dimensions == 3 else 1
        few = content[:4] + count.to_bytes(4, "big") + content[8:head] + content[head : head + count * each]
        (folder / "MNIST/raw" / path.name).write_bytes(gzip.compress(few, 1))
    return folder


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)  # all of them, so that no closing fence opens one
    return [text for named, text in found if named == language]


def commands() -> list[str]:
    lines = [line.split("#")[0].strip() for block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.mark.chain
def test_the_commands_of_the_readme(
    spikeloom: Callable[..., Any], few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spikeloom.runtime.backends import lava

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKELOOM_DATA", str(few_images))
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make" or ("lava" in words and "--backend" in words and lava.available()):
            continue
        for flag, value in SMALL.items():
            if flag in words:
                words[words.index(flag) + 1] = value if words[1] != "sweep" else "8"  # each of its cells must spike
        ended = spikeloom(*words[1:])
        assert ended.code == 0, f"{line}\n{ended.err}"
    assert (tmp_path / "runs/mnist/report.html").exists()


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in commands():
        if line.startswith("make "):
            assert f"\n{line.split()[1]}:" in makefile


@pytest.mark.chain
def test_the_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        namespace: dict[str, Any] = {}
        exec(block.replace("epochs=30", "epochs=8, hidden=(64,)"), namespace)
        assert namespace["results"].check.equal


def test_the_links_of_the_readme() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.chain
def test_the_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy
    import sys

    monkeypatch.setattr(sys, "argv", ["digits_quickstart.py", str(tmp_path / "quick")])
    runpy.run_path(str(ROOT / "examples/digits_quickstart.py"), run_name="__main__")
    assert (tmp_path / "quick/report.html").exists()


@pytest.mark.chain
def test_the_sweep_example(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    settings = os.environ | {"SWEEP_OUT": "sweep", "SWEEP_EPOCHS": "6"}
    script = ["sh", str(ROOT / "examples/sweep_digits.sh"), sys.executable]
    done = subprocess.run(script, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/sweep.html").exists() and "sweep.html" in done.stdout


@pytest.mark.slow
def test_the_sweep_example_on_mnist(mnist_folder: Path, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    small = {
        "SWEEP_OUT": "sweep",
        "SWEEP_EPOCHS": "1",
        "SWEEP_HIDDEN": "50",
        "SWEEP_SPARSITIES": "0.5",
        "SPIKELOOM_DATA": str(mnist_folder),
    }
    script = ["sh", str(ROOT / "examples/sweep_mnist.sh"), sys.executable]
    done = subprocess.run(script, cwd=tmp_path, env=os.environ | small, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/sparse/sweep.html").exists() and (tmp_path / "sweep/compare.html").exists()
