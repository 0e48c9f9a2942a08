"""Types shared by the modules of the mapping: the effort and a partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError

__all__ = ["EFFORTS", "Effort", "Partition", "check_effort"]

Effort = Literal["fast", "default", "best"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)


@dataclass(frozen=True)
class Partition:
    """`core_of`: (neurons,) from 0, cores numbered by their first neuron; `strategy`: how it was found; `changes`: what was left out."""

    core_of: NDArray[np.int64]
    strategy: str
    changes: tuple[str, ...] = ()


def check_effort(effort: str) -> None:
    """Refuse an unknown effort.

    Raises:
        UsageError: the known ones are listed.
    """
    if effort not in EFFORTS:
        raise UsageError(f"There is no effort called {effort!r}. Known: {', '.join(EFFORTS)}.")
