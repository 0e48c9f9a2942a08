"""How many random examples a property test tries: a quarter by default, all in CI and where SPIKELOOM_ALL_EXAMPLES is set."""

from __future__ import annotations

import os

__all__ = ["ALL_EXAMPLES", "examples"]

ALL_EXAMPLES = any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in ("CI", "SPIKELOOM_ALL_EXAMPLES"))
FEWEST = 3


def examples(in_full: int) -> int:
    """Return how many of the examples are tried now; edges belong into `@example`, which is always tried."""
    return in_full if ALL_EXAMPLES else max(in_full // 4, min(in_full, FEWEST))
