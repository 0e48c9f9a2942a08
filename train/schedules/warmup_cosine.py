"""t / w  for t < w, then a cosine from 1 to 0 over the remainder."""

from __future__ import annotations

from dataclasses import dataclass

from .api import Schedule, Warmup, between


@dataclass(frozen=True)
class Options(Warmup):
    """See `Warmup`."""


def build(options: Options) -> Schedule:
    """Return the schedule."""
    warmup = options.warmup
    return lambda t: t / warmup if t < warmup else between(1.0, 0.0, (t - warmup) / (1.0 - warmup))
