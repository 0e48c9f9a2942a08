"""Learning rates as pure functions: the share of the peak rate at a share `t` of the stage, 0 <= t <= 1.

    constant       1
    cosine         (1 + cos(pi t)) / 2
    warmup-cosine  t / w  for t < w, then the cosine over what is left
    one-cycle      a cosine from 1/25 up to 1 over the first w, then a cosine down to 1/250000 (Smith and Topin 2018, arXiv 1708.07120,
                   with torch's divisors)

w is the share of the stage that warms up. The schedule rules the float stage; a quantisation-aware stage has a cosine of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .settings import ScheduleName

__all__ = ["share_of_peak"]

START_DIVISOR, END_DIVISOR = 25.0, 25.0 * 1e4  # torch.optim.lr_scheduler.OneCycleLR's defaults


def constant(t: float, warmup: float) -> float:
    """The peak throughout."""
    return 1.0


def cosine(t: float, warmup: float) -> float:
    """From 1 at t = 0 to 0 at t = 1."""
    return _between(1.0, 0.0, t)


def warmup_cosine(t: float, warmup: float) -> float:
    """From 0 up to 1 along a line until t = `warmup`, then down to 0 along a cosine."""
    return t / warmup if t < warmup else _between(1.0, 0.0, (t - warmup) / (1.0 - warmup))


def one_cycle(t: float, warmup: float) -> float:
    """From 1/25 up to 1 until t = `warmup`, then down to 1/250000, both along cosines."""
    if t < warmup:
        return _between(1.0 / START_DIVISOR, 1.0, t / warmup)
    return _between(1.0, 1.0 / END_DIVISOR, (t - warmup) / (1.0 - warmup))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


_BY_NAME: dict[str, Callable[[float, float], float]] = {
    "cosine": cosine,
    "warmup-cosine": warmup_cosine,
    "one-cycle": one_cycle,
    "constant": constant,
}


def share_of_peak(name: ScheduleName, t: float, warmup: float) -> float:
    """Return the share of the peak rate that schedule `name` has at `t`; `warmup` is w above, 0 <= w < 1."""
    return _BY_NAME[name](t, warmup)
