"""A cosine from 1/25 up to 1 over the first w, then a cosine down to 1/250000 (Smith and Topin 2018, arXiv 1708.07120), with the divisors
of torch.optim.lr_scheduler.OneCycleLR."""

from __future__ import annotations

from dataclasses import dataclass

from .api import Schedule, Warmup, between

START_DIVISOR, END_DIVISOR = 25.0, 25.0 * 1e4


@dataclass(frozen=True)
class Options(Warmup):
    """See `Warmup`."""


def build(options: Options) -> Schedule:
    """Return the schedule."""
    warmup = options.warmup

    def share(t: float) -> float:
        if t < warmup:
            return between(1.0 / START_DIVISOR, 1.0, t / warmup)
        return between(1.0, 1.0 / END_DIVISOR, (t - warmup) / (1.0 - warmup))

    return share
