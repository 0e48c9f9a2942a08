"""f^n, n: how many of the milestones t has reached."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_real
from .api import Schedule


@dataclass(frozen=True)
class Options:
    """When the rate falls, and how far.

    Args:
        milestones: shares of the stage, each 0 < share < 1.
        factor: f above, what each milestone multiplies the rate by, 0 < factor <= 1.
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        for milestone in self.milestones:
            check_real("milestones", milestone, 0.0, 1.0, "shares 0 < t < 1, such as 0.5,0.75", include_low=False, include_high=False)
        check_real("factor", self.factor, 0.0, 1.0, "0 < factor <= 1", include_low=False)


def build(options: Options) -> Schedule:
    """Return the schedule."""
    return lambda t: options.factor ** sum(t >= milestone for milestone in options.milestones)
