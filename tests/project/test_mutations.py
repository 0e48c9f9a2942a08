"""benchmarks/mutations.py tells tests that notice a fault from those that do not, on a package of one line."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, for a package that adds one."""
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "benchmarks" / "mutations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    package = tmp_path / "spikeloom"
    (package / "tests").mkdir(parents=True)
    (package / "__init__.py").write_text("def plus(n): return n + 1\n")
    (package / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n')
    (package / "tests" / "test_plus.py").write_text("import spikeloom\n\ndef test_plus(): assert spikeloom.plus(0) == 1\n")
    monkeypatch.setattr(module, "ROOT", package)
    return module


@pytest.mark.parametrize(
    ("before", "after", "how"),
    [
        ("n + 1", "n + 2", "caught"),
        ("n + 1", "(n + 1) * (n + 1)", "SURVIVED"),
        ("n + 1", "n + (", "BROKEN"),
        ("n + 3", "n + 4", "BROKEN"),
        ("n", "m", "BROKEN"),
    ],
)
def test_faults_are_caught_or_survive(script: ModuleType, before: str, after: str, how: str) -> None:
    fault = script.Fault("__init__.py", before, after, ("tests/test_plus.py",), "any")
    found, said = script.outcome(fault, 0, 600.0)
    assert found == how, said
    assert (script.ROOT / "__init__.py").read_text() == "def plus(n): return n + 1\n"


def test_the_list_is_long_and_names_tests() -> None:
    rows = [row for found in tomllib.loads((ROOT / "benchmarks" / "mutations.toml").read_text()).values() for row in found]
    assert len(rows) >= 60 and all(len(row) >= 4 and row[0] != row[1] for row in rows)
