"""The list of faults of benchmarks/mutations.py keeps up with the code: each has its place, and tests that exist."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "benchmarks" / "mutations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


def test_every_fault_has_one_place_and_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _script(monkeypatch).faults()
    assert len(found) >= 60
    for fault in found:
        assert fault.applied((ROOT / fault.path).read_text(encoding="utf-8"))
        assert fault.tests
        for test in fault.tests:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8") if name else (ROOT / file).is_file(), test
