"""Files damaged at random, bytes and structure: every reader reads them or refuses them with an error of ours."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import pytest
from budget import examples
from fuzzed import READERS, attempt, forked, fresh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
damages = st.randoms(use_true_random=False)


@pytest.fixture(scope="module")
def originals() -> dict[str, Path]:
    """The real files, each made when it is first asked for."""
    return {}


def damaged_files_are_read_or_refused(name: str, originals: dict[str, Path], scratch: Path, rng: Random) -> None:
    reader = READERS[name]
    if name not in originals:
        home = scratch / "original" / "home"
        home.mkdir(parents=True)
        originals[name] = reader.make(home)
        reader.read(fresh(originals[name], scratch))  # undamaged it is read
    attempt(reader, fresh(originals[name], scratch), rng)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(10), deadline=None, suppress_health_check=CHECKS)
@given(rng=damages)
def test_damaged_files_are_read_or_refused(
    name: str, originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: Random
) -> None:
    monkeypatch.setattr(subprocess, "run", forked)
    damaged_files_are_read_or_refused(name, originals, tmp_path, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(400), deadline=None, suppress_health_check=CHECKS)
@given(rng=damages)
def test_many_damaged_files_are_read_or_refused(
    name: str, originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: Random
) -> None:
    monkeypatch.setattr(subprocess, "run", forked)
    damaged_files_are_read_or_refused(name, originals, tmp_path, rng)
