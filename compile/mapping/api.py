"""Types shared by the modules of the mapping: the effort, the objective and a partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ...hwmodels import chip as chips
from ...hwmodels.chip import Chip

__all__ = ["EFFORTS", "OBJECTIVES", "Effort", "Objective", "Partition", "check_effort", "check_objective"]

Effort = Literal["fast", "default", "best"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
Objective = Literal["messages", "latency", "energy"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


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


def check_objective(objective: str, chip: Chip) -> None:
    """Refuse an unknown objective, and one about which the chip's model says nothing.

    Raises:
        UsageError: the known objectives, or the chips whose models say something, are listed.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"There is no objective called {objective!r}. Known: {', '.join(OBJECTIVES)}.")
    if objective == "messages" or _priced(objective, chip):
        return
    others = [name for name in chips.names() if _priced(objective, chips.load(name))]
    what = "time of its cores' work" if objective == "latency" else "energy of its messages"
    raise UsageError(
        f"The model of {chip.name} states no {what}, so no mapping has less {objective} than another. Leave --objective out, or "
        f"compile for one of: {', '.join(others)}."
    )


def _priced(objective: str, chip: Chip) -> bool:
    """Return whether the time, or the energy, of a step depends on the mapping."""
    if objective == "latency":
        times = chip.time
        return any(price.value for price in (times.synaptic_op, times.neuron_update_active, times.message_out))
    prices = chip.energy
    return any(price.value for price in (prices.message_out, prices.hop_horizontal, prices.hop_vertical))
