"""Run folders on the command line: what `spikeloom report` and `spikeloom figure` are of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .shared import say

if TYPE_CHECKING:
    from ..runtime.results import Results

__all__ = ["names", "places"]


def places(sources: list[Path]) -> list[tuple[Path, Results]]:
    """Return every run with its results, each once; folders without results are named and left out, unless they are all there is."""
    found: dict[Path, Path] = {}
    empty: list[Path] = []
    for source in sources:
        runs = _runs(source)
        if not runs:
            empty.append(source)
        for run in runs:
            found.setdefault(run.resolve(), run)
    if not found:
        raise UsageError(
            f"{', '.join(map(str, empty))}: no results.json in or below it. Run a network first: spikeloom run RUN/model.loom --data NAME."
        )
    for source in empty:
        say(f"{source} has no results and is left out.")
    return [(path, _read(path)) for path in found.values()]


def _runs(source: Path) -> list[Path]:
    """Return the run folders (or the file) that `source` stands for."""
    if not source.is_dir():
        return [source]
    if any(source.glob("results*.json")):
        return [source]
    return sorted({path.parent for path in source.rglob("results*.json")})


def _read(path: Path) -> Results:
    from ..runtime.results import gather, load

    return gather(path) if path.is_dir() else load(path)


def names(paths: list[Path]) -> tuple[Path, list[str]]:
    """Return the deepest folder that holds all runs, and each run's path below it."""
    whole = [path.resolve() for path in paths]
    folder = Path(os.path.commonpath([path.parent for path in whole]))
    return folder, [str(path.relative_to(folder)) for path in whole]
