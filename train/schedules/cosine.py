"""(1 + cos(pi t)) / 2: from 1 at t = 0 to 0 at t = 1."""

from __future__ import annotations

from .api import Schedule, between


def build(options: None) -> Schedule:
    """Return the schedule."""
    return cosine


def cosine(t: float) -> float:
    """From 1 at t = 0 to 0 at t = 1."""
    return between(1.0, 0.0, t)
