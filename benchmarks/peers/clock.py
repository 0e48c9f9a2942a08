"""What time is measured with: the wall's, or that of the processor where others use the machine as well."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

KINDS: dict[str, Callable[[], float]] = {}
_chosen = ["wall"]


def _cpu() -> float:
    """Return the seconds for which processors have worked for this process and for those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


KINDS.update(wall=time.perf_counter, cpu=_cpu)


def choose(kind: str) -> str:
    """Measure with this clock from now on; return the one before."""
    held, _chosen[0] = _chosen[0], kind
    return held


def kind() -> str:
    """Return which clock was chosen."""
    return _chosen[0]


def now() -> float:
    """Return the chosen clock's time in seconds."""
    return KINDS[_chosen[0]]()
