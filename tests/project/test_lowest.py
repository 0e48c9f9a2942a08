"""The lowest versions that are tried are the lowest that the package allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import spikeloom

ROOT = Path(spikeloom.__file__).resolve().parent


def number(version: str) -> tuple[int, ...]:
    """A version without the zeros at its end, so that 2.0 is 2.0.0."""
    parts = [int(part) for part in version.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def test_the_constraints_are_the_lower_bounds() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    allowed = {name: version for line in listed for name, version in re.findall(r"^([\w-]+)>=([\d.]+)(?:;|$)", line)}
    assert len(allowed) == len(listed)
    lines = [line for line in (ROOT / "requirements/lowest.txt").read_text().splitlines() if line and not line.startswith("#")]
    tried = {name: version for name, _, version in (line.partition("==") for line in lines)}
    assert {name: number(v) for name, v in tried.items()} == {name: number(v) for name, v in allowed.items()}
    assert lines == sorted(lines)


def test_make_runs_them() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "-c requirements/lowest.txt" in makefile.partition("\ntest-lowest:")[2].partition("\n\n")[0]
    for path in re.findall(r"tests/\S+", makefile.partition("LOWEST_TESTS :=")[2].partition("\n\n")[0]):
        assert (ROOT / path).exists(), path
