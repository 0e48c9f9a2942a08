"""Two stages with rates of their own, such as UPR's search and fine-tuning:

cos(t / s)  for t < s,   r cos((t - s) / (1 - s))  after;    cos: half a cosine, from 1 to 0, or 1 throughout
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import unknown_name
from ..settings import check_real
from .api import Schedule, between

Shape = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Options:
    """The two stages.

    Args:
        first: s above, the share of the first stage, 0 < first < 1; `search` of UPR.
        second: r above, the second stage's peak rate as a share of the first's, 0 < second <= 1.
        shape: "cosine": each stage falls to 0; "constant": neither falls.
    """

    first: float = 0.5
    second: float = 0.1
    shape: Shape = "cosine"

    def __post_init__(self) -> None:
        check_real("first", self.first, 0.0, 1.0, "0 < first < 1", include_low=False, include_high=False)
        check_real("second", self.second, 0.0, 1.0, "0 < second <= 1", include_low=False)
        if self.shape not in get_args(Shape):
            raise unknown_name("shape of the schedule two-phase", str(self.shape), get_args(Shape))


def build(options: Options) -> Schedule:
    """Return the schedule."""
    end = 0.0 if options.shape == "cosine" else 1.0

    def share(t: float) -> float:
        if t < options.first:
            return between(1.0, end, t / options.first)
        return options.second * between(1.0, end, (t - options.first) / (1.0 - options.first))

    return share
