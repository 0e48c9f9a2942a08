"""Where the mapping of a network is, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "quiet", "within"]

Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of it (0..1) that is done; it may end before its share is 1."""


def quiet(stage: str, share: float) -> None:
    """Tell nobody."""


def within(progress: Progress, stage: str, start: float, share: float) -> Callable[[float], None]:
    """Return what takes the share of a part of a stage: the part from `start` on, of `share` of the stage."""
    return lambda done: progress(stage, min(start + share * done, 1.0))
