"""The arithmetic of a TrueNorth-style core: binary crossbar, four weights per neuron, a linear leak.

Cassidy et al., Cognitive computing building block, IJCNN 2013 (the deterministic neuron with a leak towards zero and a reset to zero);
Merolla et al., Science 345, 2014. Potentials are signed numbers of 20 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

STATE_MAX = (1 << 19) - 1
TYPES = 4  # of axons; each neuron has a weight for each
LEVEL_MAX = 255  # largest magnitude of a weight: 9 bits with the sign


def crossbar_step(v: Int, a: Int, *, threshold: int, leak: int) -> tuple[Int, NDArray[np.bool_]]:
    """Advance neurons by one tick.

        v <- clip(v + a, -(2^19 - 1), 2^19 - 1)
        v <- v - sign(v) min(|v|, leak)
        s  = v >= threshold;   v[s] <- 0

    Args:
        v: potentials, any shape.
        a: sum of the weights whose axons spiked, same shape.
        threshold: at least 1.
        leak: at least 0.
    """
    v = np.clip(v + a, -STATE_MAX, STATE_MAX)
    v = v - np.sign(v) * np.minimum(np.abs(v), leak)
    s = v >= threshold
    return np.where(s, 0, v), s
