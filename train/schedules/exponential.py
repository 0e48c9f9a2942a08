"""e^t: from 1 at t = 0 to e at t = 1, the same factor in every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import check_real
from .api import Schedule


@dataclass(frozen=True)
class Options:
    """How far the rate falls.

    Args:
        end: e above, the share of the peak rate at the end, 0 < end <= 1. ESL's 0.01 to 0.0001 on MNIST is 0.01.
    """

    end: float = 0.01

    def __post_init__(self) -> None:
        check_real("end", self.end, 0.0, 1.0, "0 < end <= 1", include_low=False)


def build(options: Options) -> Schedule:
    """Return the schedule."""
    return lambda t: options.end**t
