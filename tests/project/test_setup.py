"""Set-up as a newcomer meets it: a Python that is too old gets one clear line; examples and targets are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spikeloom

ROOT = Path(spikeloom.__file__).resolve().parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Just what make needs, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_an_old_python_is_named(clone: Path) -> None:
    old = clone / "python3.10"
    old.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 2); exec(sys.argv[1])" "$@"\n')
    old.chmod(0o755)
    done = subprocess.run(["make", "install", f"PYTHON={old}"], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Spikeloom needs Python 3.11 or newer" in done.stderr
    assert not (clone / ".venv").exists()


def test_help_is_the_default_target(clone: Path) -> None:
    done = subprocess.run(["make"], cwd=clone, capture_output=True, text=True, check=True, env={**os.environ, "MAKEFLAGS": ""})
    assert "make demo" in done.stdout
    assert "make test" in done.stdout


def test_ci_calls_lint_tests_docs_chains_and_extras() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert re.findall(r"^make (\S+)", script, re.MULTILINE) == ["lint", "test", "docs", "test-chains", "test-extras"]


def test_every_property_test_asks_how_many_examples_to_try() -> None:
    fixed = {path.name: re.findall(r"max_examples=(?!examples\()\S+", path.read_text()) for path in ROOT.glob("tests/**/*.py")}
    fixed.pop("test_setup.py")
    assert not {name: found for name, found in fixed.items() if found}


@pytest.mark.chain
def test_a_folder_of_any_name_holds_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "my-clone"
    (folder / "tests" / "project").mkdir(parents=True)
    for name in ("pyproject.toml", "__init__.py", "_version.py", "tests/conftest.py", "tests/project/test_setup.py"):
        (folder / name).write_text((ROOT / name).read_text())
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ci_calls", "tests/project/test_setup.py"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
