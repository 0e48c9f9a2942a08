"""What a schedule of the learning rate is: the share (0..1) of the peak rate at the completed share t (0..1) of the stage.

A module in this folder has  build(options) -> Schedule  and, if it has any,  Options, a frozen dataclass. An option called `warmup` is the
setting of that name where no other value is given. A schedule applies to the float stage; the quantisation-aware stage has its own cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..settings import check_real

__all__ = ["Schedule", "Warmup", "between"]

Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Warmup:
    """Options of schedules that warm up.

    Args:
        warmup: the share of the stage spent warming up, 0 < warmup < 1.
    """

    warmup: float = 0.1

    def __post_init__(self) -> None:
        check_real("warmup", self.warmup, 0.0, 1.0, "0 < warmup < 1", include_low=False, include_high=False)


def between(start: float, end: float, share: float) -> float:
    """Return the number on half a cosine from `start` at `share` = 0 to `end` at 1 and beyond."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
