"""One step of one neuron: the general form, in 64 bits, of which there is one copy for all kernels that are not LLVM's vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....hwmodels.fixed_point import DECAY_ONE, STATE_LIMIT
from ....jit import jit, jit_inner


@jit_inner
def decayed(state: Any, keep: Any) -> Any:
    """Return  state * keep / 4096  rounded toward zero."""
    product = state * keep
    return (product + ((product >> 63) & (DECAY_ONE - 1))) >> 12


@jit
def lif_step(u: Any, v: Any, a: Any, bias: Any, keep_u: Any, keep_v: Any, bar: Any, soft: bool) -> Any:
    """Advance one neuron by a step, as `hwmodels.fixed_point.lif_step` defines it; all numbers are int64.

    Args:
        u, v: synaptic current and membrane potential, registers of 24 bits.
        a: what arrives, aligned like the state (shifted by ALIGN); bias: added to v, aligned.
        keep_u, keep_v: 4095 - du and 4096 - dv.
        bar: the threshold, aligned; soft: whether a spike takes it off the potential, instead of leaving 0.

    Returns:
        u, v before a spike is taken off it, whether there is one, and v after it.
    """
    limit = np.int64(STATE_LIMIT)
    u = decayed(u, keep_u) + a
    if u > limit:
        u -= 2 * limit
    elif u <= -limit:
        u += 2 * limit
    v = min(max(decayed(v, keep_v) + u + bias, 1 - limit), limit - 1)
    fired = v > bar
    after = (v - bar if soft else np.int64(0)) if fired else v
    return u, v, fired, after
