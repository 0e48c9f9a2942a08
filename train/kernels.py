"""Fused, multi-threaded kernels (numba): all T steps of a layer of LIF neurons, forward and backward.

Each neuron's T steps stay in one core's cache, where the step-by-step form writes and reads several (N, C) arrays per step.
The kernels contract no products (no fast-math), so the forward pass is bit-identical to the step-by-step form, whatever the number of
threads. Arrays are (steps, elements); an input of one row is static: every step takes the same row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..jit import jit_parallel, prange

Floats = NDArray[np.floating]

BLOCK = 1024  # elements whose T steps a thread computes before the next block: 4 KiB per row, so a block stays in the L2 cache
STATE_MAX = float((1 << 23) - 1)
STATE_WRAP = float(1 << 24)


@jit_parallel
def lif_forward(
    x: Floats,
    v: Floats,
    tau: float,
    v_threshold: float,
    v_reset: float,
    decay_input: bool,
    soft_reset: bool,
    spikes: Floats,
    charged: Floats,
) -> None:  # pragma: no cover - compiled
    """h = v + (x - (v - v_reset)) / tau  (or  v - (v - v_reset)/tau + x);  s = h >= v_threshold;  v = v_reset where s else h.

    With `soft_reset`  v = h - v_threshold  where s; `v_reset` is then 0.

    Args:
        x: (T or 1, M) input.
        v: (M,) membrane potential before the first step; afterwards that after the last step.
        spikes, charged: (T, M) outputs: s as 0/1, and h.
    """
    steps, size = spikes.shape
    moving = 1 if x.shape[0] > 1 else 0
    one = spikes.dtype.type(1)
    zero = spikes.dtype.type(0)
    for block in prange((size + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        high = min(low + BLOCK, size)
        for t in range(steps):
            xt, st, ht = x[t * moving, low:high], spikes[t, low:high], charged[t, low:high]
            vt = v[low:high]
            for i in range(high - low):
                away = vt[i] - v_reset
                h = vt[i] + (xt[i] - away) / tau if decay_input else vt[i] - away / tau + xt[i]
                fired = h >= v_threshold
                st[i] = one if fired else zero
                ht[i] = h
                vt[i] = (h - v_threshold if soft_reset else v_reset) if fired else h


@jit_parallel
def integer_lif_forward(
    total: Floats,
    factor: float,
    keep: float,
    threshold: float,
    bias: Floats,
    biased: bool,
    soft_reset: bool,
    spikes: Floats,
    charged: Floats,
) -> None:  # pragma: no cover - compiled
    """The chip's LIF of `hwmodels.fixed_point.lif_step`, its integers held exactly in float64; the current has no memory of other inputs.

        u = wrap(floor(total * factor) * 64);   h = clip(tz(v * keep) + u + bias);   s = h > threshold
        v = 0  where s  (with `soft_reset`  h - threshold),  else h

    Args:
        total: (T or 1, M) sums W_int p, integers.
        factor: 2^exponent.
        keep: (4096 - dv) / 4096.
        threshold: vth << 6.
        bias: (M,) integers, read if `biased`.
        spikes, charged: (T, M) outputs: s as 0/1, and h, an integer.
    """
    steps, size = spikes.shape
    moving = 1 if total.shape[0] > 1 else 0
    one = spikes.dtype.type(1)
    zero = spikes.dtype.type(0)
    half = STATE_WRAP / 2.0
    for block in prange((size + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        high = min(low + BLOCK, size)
        v = np.zeros(BLOCK, np.float64)
        for t in range(steps):
            at, st, ht = total[t * moving, low:high], spikes[t, low:high], charged[t, low:high]
            for i in range(high - low):
                raw = np.floor(np.float64(at[i]) * factor) * 64.0
                u = raw - STATE_WRAP if raw > half else raw
                u = raw + STATE_WRAP if u <= -half else u
                h = np.trunc(v[i] * keep) + u
                if biased:
                    h += np.float64(bias[low + i])
                h = min(max(h, -STATE_MAX), STATE_MAX)
                fired = h > threshold
                st[i] = one if fired else zero
                ht[i] = h
                v[i] = (h - threshold if soft_reset else 0.0) if fired else h


@jit_parallel
def lif_backward(
    grad_spikes: Floats,
    grad_v: Floats,
    charged: Floats,
    threshold: float,
    unit: float,
    slope: float,
    half_alpha: float,
    gain: float,
    keep: float,
    v_reset: float,
    detach_reset: bool,
    strict: bool,
    soft_reset: bool,
    grad_x: Floats,
) -> None:  # pragma: no cover - compiled
    """Backward through the T steps with the ATan surrogate  g(z) = half_alpha / (1 + (slope z)^2),  z = (h - threshold) / unit.

        dL/dh[t] = dL/ds[t] g(z) + dL/dv[t] (1 - s[t])   (+ dL/dv[t] (v_reset - h) g(z) when the reset is not detached)
        soft reset:  dL/dh[t] = dL/ds[t] g(z) + dL/dv[t]   (- dL/dv[t] threshold g(z) when it is not detached)
        dL/dx[t] = gain dL/dh[t];   dL/dv[t-1] = keep dL/dh[t]

    Args:
        grad_v: (M,) dL/dv after the last step; on return, that before the first step.
        grad_x: (T or 1, M) output; one row receives the sum over the steps.
    """
    steps, size = charged.shape
    moving = 1 if grad_x.shape[0] > 1 else 0
    one = charged.dtype.type(1)
    zero = charged.dtype.type(0)
    for block in prange((size + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        high = min(low + BLOCK, size)
        if moving == 0:
            grad_x[0, low:high] = zero
        for back in range(steps):
            t = steps - 1 - back
            gs, ht, gx, gv = grad_spikes[t, low:high], charged[t, low:high], grad_x[t * moving, low:high], grad_v[low:high]
            for i in range(high - low):
                z = (ht[i] - threshold) / unit
                ax = slope * z
                surrogate = half_alpha / (one + ax * ax)
                fired = ht[i] > threshold if strict else ht[i] >= threshold
                gh = gs[i] * surrogate + (zero if fired and not soft_reset else gv[i])
                if not detach_reset:
                    gh += gv[i] * (-threshold if soft_reset else v_reset - ht[i]) * surrogate
                if moving == 1:
                    gx[i] = gh * gain
                else:
                    gx[i] += gh * gain
                gv[i] = gh * keep
