"""Progress of a mapping, reported to the caller."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "quiet", "within"]

Progress = Callable[[str, float], None]
"""Called with the current stage and the share of it (0..1) that is complete; a stage may end before its share reaches 1."""


def quiet(stage: str, share: float) -> None:
    """Report nothing."""


def within(progress: Progress, stage: str, start: float, share: float) -> Callable[[float], None]:
    """Return a callback for a part of a stage: the part begins at `start` and makes up `share` of the stage."""
    return lambda done: progress(stage, min(start + share * done, 1.0))
