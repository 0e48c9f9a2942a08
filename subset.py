"""Which samples of a data set are used if not all are: evenly spread over it or, if requested, its first ones.

Many sets are ordered by class (N-MNIST, DVS128 Gesture, folders of images), so their first N samples belong to one or two classes, and a
measurement on them says nothing about the set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

__all__ = ["Subset", "asked_for", "choose", "describe"]

Chosen = Literal["all", "evenly", "first"]
FIRST = "first:"


@dataclass(frozen=True)
class Subset:
    """`samples` of the `of` samples of a data set, `chosen` evenly over it, from its beginning on (first), or all."""

    samples: int
    of: int
    chosen: Chosen

    def __post_init__(self) -> None:
        if self.chosen == "all" and self.samples != self.of:
            raise UsageError(f"All {self.of} samples are {self.of}, not {self.samples}.")
        if not 0 <= self.samples <= self.of:
            raise UsageError(f"{self.samples} of {self.of} samples cannot be taken.")

    def indices(self) -> NDArray[np.int64]:
        """Return the indices of the samples in the set, (samples,), ascending, counted from 0.

        Evenly:  round(i (of - 1) / (samples - 1)),  i = 0..samples - 1.  Each class of a set that is ordered by class gets its share, to
        within 1.5 samples; where classes take turns each has about its share, since the steps are a little longer than  of / samples.
        """
        if self.chosen == "evenly":
            return np.linspace(0, self.of - 1, self.samples).round().astype(np.int64)
        return np.arange(self.samples, dtype=np.int64)

    def document(self) -> dict[str, Any]:
        """Return the fields as stored in results.json."""
        return {"samples": self.samples, "of": self.of, "chosen": self.chosen}

    def __str__(self) -> str:
        """Describe it in words: 20 of 100 samples, evenly spread."""
        return describe(self.samples, self.of, self.chosen)


def describe(samples: int, of: int | None = None, chosen: str = "all") -> str:
    """Describe which samples: 100 samples; 20 of 100 samples, evenly spread; the first 20 of 100 samples."""
    if chosen == "all" or of is None:
        return f"{samples:,} sample{'' if samples == 1 else 's'}"
    if chosen == "first":
        return f"the first {samples:,} of {of:,} samples"
    return f"{samples:,} of {of:,} samples, evenly spread"


def choose(wanted: int | str | None, of: int, option: str = "--samples") -> Subset:
    """Return which of `of` samples are taken.

    Args:
        wanted: N or "N", evenly spread; "first:N", the first ones; None: all. More than available: all.
        of: how many there are.
        option: its name in messages.

    Raises:
        UsageError: neither form, or N below 1.
    """
    if wanted is None:
        return Subset(of, of, "all")
    count, chosen = _parsed(wanted, option)
    return Subset(of, of, "all") if count >= of else Subset(count, of, chosen)


def asked_for(wanted: int | str | None, option: str = "--samples") -> int | None:
    """Return the N of a `wanted`, None where it is None.

    Raises:
        UsageError: as `choose`.
    """
    return None if wanted is None else _parsed(wanted, option)[0]


def _parsed(wanted: int | str, option: str) -> tuple[int, Literal["evenly", "first"]]:
    word = str(wanted).strip()
    number = word.removeprefix(FIRST)
    if not number.removeprefix("-").isdecimal():
        raise UsageError(f"{option} is {word!r}; it must be a number N, for N samples evenly spread over the set, or first:N.")
    if int(number) < 1:
        raise UsageError(f"{option} is {word}; it must be at least 1.")
    return int(number), "first" if word != number else "evenly"
