"""Matrix products that are bit-identical wherever their operands are in memory.

MKL, which computes torch's products on x86, chooses the order of a sum by the addresses of its operands as well, so on some processors
the last bits depend on what the process allocated before. MKL_CBWR, its "conditional numerical reproducibility", prevents this; MKL reads
it once, at its first product. It is therefore set when Spikeloom is imported, for this process and those that it starts; the user's own
setting is kept.

Source: Intel oneMKL Developer Guide, "Obtaining Numerically Reproducible Results".
"""

from __future__ import annotations

import os

__all__ = ["STRICT", "VARIABLE", "ask"]

VARIABLE = "MKL_CBWR"
STRICT = "AUTO,STRICT"  # the best instructions of the processor; STRICT: whatever the alignment and the number of threads


def ask() -> None:
    """Ask MKL for reproducible products, unless the user's environment already configures it."""
    os.environ.setdefault(VARIABLE, STRICT)
