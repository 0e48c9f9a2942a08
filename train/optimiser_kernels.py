"""Adam with rewiring: a step of each method in one pass over its arrays.

Each kernel is written twice: for the CPU (numba, multi-threaded) and in torch for all other devices, where torch.compile fuses it into one
kernel on the first step. Both follow the same equations in the same order. In all of them, with g = dL/dw and the moments m, q of Adam,

    m <- beta1 m + (1 - beta1) g;   q <- beta2 q + (1 - beta2) g^2;   u = rate m / (sqrt(q) / root + eps)
    rate = lr / (1 - beta1^t);   root = sqrt(1 - beta2^t)

Arrays are flat, (M,), of one floating dtype, except for signs and masks, which are int8. All are updated in place.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..jit import jit_inline, jit_parallel, prange
from . import devices, threads
from .random_numbers import hashed

__all__ = ["LANGEVIN", "MASKED", "MASK_SEARCH", "REWIRING", "SOFT_THRESHOLD", "Kernel"]

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


class Kernel:
    """One step of one method, on the device of its arrays.

    Args:
        compiled: the numba function  (*arrays, *numbers, *flags).
        written: the torch function  (*arrays, numbers, *flags), numbers being a tensor.
    """

    def __init__(self, compiled: Callable[..., None], written: Callable[..., None]) -> None:
        self.compiled, self.written = compiled, written
        self._fused: Callable[..., None] | None = None

    def __call__(self, arrays: Sequence[Tensor], numbers: Sequence[float] | Tensor, flags: Sequence[bool] = ()) -> None:
        """Update `arrays` in place.

        Args:
            numbers: real scalars that may change with every step; a tensor of them, on the device of the arrays, saves copying them there.
            flags: switches; torch.compile builds a kernel for each combination in use.
        """
        if not devices.uses_numpy(arrays[0]):
            self._compile()(*arrays, numbers if isinstance(numbers, Tensor) else _placed(numbers, arrays[0]), *flags)
            return
        numbers = numbers.tolist() if isinstance(numbers, Tensor) else numbers
        views = [a.numpy() for a in arrays]
        kind = views[0].dtype.type
        threads.run(self.compiled, views[0].size, *views, *(kind(n) for n in numbers), *flags)

    def _compile(self) -> Callable[..., None]:
        if self._fused is None:
            fusible = importlib.util.find_spec("triton") is not None
            self._fused = torch.compile(self.written, dynamic=True) if fusible else self.written
        return self._fused


def _placed(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers as a tensor of the type and on the device of another."""
    values = torch.tensor(list(numbers), dtype=like.dtype)
    target = torch.empty_like(values, device=like.device)
    devices.uploaded(values, target)
    return target


def _adam(grad: Tensor, mean: Tensor, square: Tensor, numbers: Sequence[Tensor]) -> Tensor:
    """Update the moments; return u."""
    beta1, beta2, rate, root, eps = numbers
    m = beta1 * mean + (1 - beta1) * grad
    q = beta2 * square + (1 - beta2) * grad * grad
    mean.copy_(m)
    square.copy_(q)
    return rate * m / (q.sqrt() / root + eps)


# --- Grad R ------------------------------------------------------------------------------------------------------------


@jit_parallel
def _rewiring_cpu(
    theta: Floats, sign: Integers, weight: Floats, grad: Floats, mean: Floats, square: Floats,
    beta1: float, beta2: float, rate: float, root: float, eps: float, pull: float, mu: float, floor: float, frozen: bool,
) -> None:  # fmt: skip # pragma: no cover - compiled
    """See `REWIRING`."""
    one = theta.dtype.type(1)
    zero = theta.dtype.type(0)
    for i in prange(theta.size):
        g = grad[i]
        m = beta1 * mean[i] + (one - beta1) * g
        q = beta2 * square[i] + (one - beta2) * g * g
        mean[i] = m
        square[i] = q
        old = theta[i]
        signed = rate * m / (np.sqrt(q) / root + eps)
        new = old - (signed if sign[i] > 0 else -signed)
        if pull != zero:
            away = old - mu
            new -= pull if away > zero else (-pull if away < zero else zero)
        if frozen:
            new = max(new, floor) if old > zero else old
        theta[i] = new
        live = max(new, zero)
        weight[i] = live if sign[i] > 0 else -live


def _rewiring(
    theta: Tensor, sign: Tensor, weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, numbers: Tensor, frozen: bool
) -> None:
    """See `REWIRING`."""
    *adam, pull, mu, floor = numbers.unbind()
    update = _adam(grad, mean, square, adam)
    new = theta - sign * update - pull * torch.sign(theta - mu)
    if frozen:
        new = torch.where(theta > 0, torch.maximum(new, floor), theta)
    theta.copy_(new)
    weight.copy_(sign * new.clamp(min=0))


REWIRING = Kernel(_rewiring_cpu, _rewiring)
"""theta <- theta - sign u - pull sgn(theta - mu);   w = sign max(theta, 0).

Arrays theta, sign (-1/+1), weight, grad, mean, square; numbers beta1, beta2, rate, root, eps, pull, mu, floor; flag frozen: dead
synapses stay dead and live ones keep at least `floor`."""


# --- Deep R and soft Deep R ----------------------------------------------------------------------------------------------


@jit_inline
def _mix(x: np.uint32) -> np.uint32:  # pragma: no cover - compiled
    """The hash of `random_numbers.py`."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@jit_parallel
def _langevin_cpu(
    theta: Floats, sign: Integers, weight: Floats, grad: Floats, mean: Floats, square: Floats, key: Integers, normals: Floats,
    beta1: float, beta2: float, rate: float, root: float, eps: float, pull: float, noise: float, lowest: float, floor: float,
    soft: bool, frozen: bool,
) -> None:  # fmt: skip # pragma: no cover - compiled
    """See `LANGEVIN`."""
    one = theta.dtype.type(1)
    zero = theta.dtype.type(0)
    first, key0, key1 = np.uint32(key[2]), np.uint32(key[0]), np.uint32(key[1])
    for i in prange(theta.size):
        g = grad[i]
        m = beta1 * mean[i] + (one - beta1) * g
        q = beta2 * square[i] + (one - beta2) * g * g
        mean[i] = m
        square[i] = q
        old = theta[i]
        active = old > zero
        signed = rate * m / (np.sqrt(q) / root + eps)
        new = old - ((signed if sign[i] > 0 else -signed) + pull if active else zero)
        drawn = normals[_mix(np.uint32(_mix(np.uint32(np.uint32(i) + first) ^ key0) + key1)) >> np.uint32(16)]
        new += noise * drawn if (active or soft) and not frozen else zero
        kept = max(new, floor) if active else old
        new = kept if frozen else max(new, lowest)
        theta[i] = new
        live = max(new, zero)
        weight[i] = live if sign[i] > 0 else -live


def _langevin(
    theta: Tensor, sign: Tensor, weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, key: Tensor, normals: Tensor,
    numbers: Tensor, soft: bool, frozen: bool,
) -> None:  # fmt: skip
    """See `LANGEVIN`."""
    *adam, pull, noise, lowest, floor = numbers.unbind()
    update = _adam(grad, mean, square, adam)
    active = theta > 0
    new = torch.where(active, theta - (sign * update + pull), theta)
    if frozen:
        new = torch.where(active, torch.maximum(new, floor), theta)
    else:
        drawn = noise * normals[hashed(torch.arange(theta.numel(), device=theta.device), key) >> 16]
        new = torch.maximum(new + drawn if soft else torch.where(active, new + drawn, new), lowest)
    theta.copy_(new)
    weight.copy_(sign * new.clamp(min=0))


LANGEVIN = Kernel(_langevin_cpu, _langevin)
"""theta <- max(theta - [theta > 0] (sign u + pull) + noise N(0, 1), lowest);   w = sign max(theta, 0).

Arrays theta, sign, weight, grad, mean, square, key (int64: two words and the first index), normals (a table); numbers beta1, beta2,
rate, root, eps, pull, noise, lowest, floor; flags soft: dormant synapses (theta <= 0) have noise too; frozen: no noise, dead synapses
stay dead and live ones keep at least `floor`."""


# --- STDS ----------------------------------------------------------------------------------------------------------------


@jit_parallel
def _soft_threshold_cpu(
    theta: Floats, weight: Floats, grad: Floats, mean: Floats, square: Floats,
    beta1: float, beta2: float, rate: float, root: float, eps: float, width: float, floor: float, frozen: bool,
) -> None:  # fmt: skip # pragma: no cover - compiled
    """See `SOFT_THRESHOLD`."""
    one = theta.dtype.type(1)
    zero = theta.dtype.type(0)
    least = width + floor
    for i in prange(theta.size):
        g = grad[i]
        m = beta1 * mean[i] + (one - beta1) * g
        q = beta2 * square[i] + (one - beta2) * g * g
        mean[i] = m
        square[i] = q
        old = theta[i]
        new = old - rate * m / (np.sqrt(q) / root + eps)
        if frozen:
            new = max(new, least) if old > width else (min(new, -least) if old < -width else old)
        theta[i] = new
        live = max(abs(new) - width, zero)
        weight[i] = live if new > zero else -live


def _soft_threshold(theta: Tensor, weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, numbers: Tensor, frozen: bool) -> None:
    """See `SOFT_THRESHOLD`."""
    *adam, width, floor = numbers.unbind()
    new = theta - _adam(grad, mean, square, adam)
    if frozen:
        least = width + floor
        low = torch.where(theta < -width, torch.minimum(new, -least), theta)
        new = torch.where(theta > width, torch.maximum(new, least), low)
    theta.copy_(new)
    weight.copy_(torch.sign(new) * (new.abs() - width).clamp(min=0))


SOFT_THRESHOLD = Kernel(_soft_threshold_cpu, _soft_threshold)
"""theta <- theta - u;   w = sgn(theta) max(|theta| - width, 0).

Arrays theta, weight, grad, mean, square; numbers beta1, beta2, rate, root, eps, width, floor; flag frozen: dead synapses stay where
they are and live ones keep their sign and at least `floor`."""


# --- A fixed mask: ESL between two rewirings, fine-tuning in UPR ------------------------------------------------------------


@jit_parallel
def _masked_cpu(
    weight: Floats, mask: Integers, grad: Floats, mean: Floats, square: Floats,
    beta1: float, beta2: float, rate: float, root: float, eps: float, floor: float,
) -> None:  # fmt: skip # pragma: no cover - compiled
    """See `MASKED`."""
    one = weight.dtype.type(1)
    zero = weight.dtype.type(0)
    for i in prange(weight.size):
        g = grad[i]
        m = beta1 * mean[i] + (one - beta1) * g
        q = beta2 * square[i] + (one - beta2) * g * g
        mean[i] = m
        square[i] = q
        old = weight[i]
        new = old - rate * m / (np.sqrt(q) / root + eps)
        if abs(new) < floor:
            new = floor if old > zero else -floor
        weight[i] = new if mask[i] > 0 else zero


def _masked(weight: Tensor, mask: Tensor, grad: Tensor, mean: Tensor, square: Tensor, numbers: Tensor) -> None:
    """See `MASKED`."""
    *adam, floor = numbers.unbind()
    new = weight - _adam(grad, mean, square, adam)
    new = torch.where(new.abs() < floor, torch.where(weight > 0, floor, -floor), new)
    weight.copy_(torch.where(mask > 0, new, 0))


MASKED = Kernel(_masked_cpu, _masked)
"""w <- mask (w - u), kept at least `floor` away from 0 where the mask is 1; the moments take the gradient of every synapse.

Arrays weight, mask (0/1), grad, mean, square; numbers beta1, beta2, rate, root, eps, floor."""


# --- UPR, the search -------------------------------------------------------------------------------------------------------

SINGLE = np.float32
LN2_HIGH, LN2_LOW = SINGLE(0.693359375), SINGLE(math.log(2.0) - 0.693359375)  # n LN2_HIGH is exact


@jit_inline
def _exp(x: np.float32) -> np.float32:  # pragma: no cover - compiled
    """e^x to 2e-7 in operations that vectorise, which a call of exp does not:  2^n e^r, n whole, |r| <= ln(2)/2, Taylor to r^7."""
    x = min(max(x, SINGLE(-87)), SINGLE(88))
    n = np.floor(x * SINGLE(1.4426950408889634) + SINGLE(0.5))
    r = x - n * LN2_HIGH - n * LN2_LOW
    p = SINGLE(1 / 5040) * r + SINGLE(1 / 720)
    p = p * r + SINGLE(1 / 120)
    p = p * r + SINGLE(1 / 24)
    p = p * r + SINGLE(1 / 6)
    p = p * r + SINGLE(1 / 2)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return (p * r * r + r + SINGLE(1)) * power.view(SINGLE)


@jit_parallel
def _mask_search_cpu(
    raw: Floats, score: Floats, opening: Floats, weight: Floats, grad: Floats, mean: Floats, square: Floats,
    score_mean: Floats, score_square: Floats,
    beta1: float, beta2: float, rate: float, root: float, eps: float, score_rate: float, beta: float, next_beta: float, push: float,
) -> None:  # fmt: skip # pragma: no cover - compiled
    """See `MASK_SEARCH`."""
    one = raw.dtype.type(1)
    for i in prange(raw.size):
        w, a, o = raw[i], score[i], opening[i]
        slope = beta * o * (one - o)
        g = grad[i] * o
        m = beta1 * mean[i] + (one - beta1) * g
        q = beta2 * square[i] + (one - beta2) * g * g
        mean[i] = m
        square[i] = q
        w -= rate * m / (np.sqrt(q) / root + eps)
        g = (grad[i] * raw[i] + push) * slope
        m = beta1 * score_mean[i] + (one - beta1) * g
        q = beta2 * score_square[i] + (one - beta2) * g * g
        score_mean[i] = m
        score_square[i] = q
        a -= score_rate * m / (np.sqrt(q) / root + eps)
        raw[i] = w
        score[i] = a
        o = one / (one + _exp(SINGLE(-next_beta * a)))
        opening[i] = o
        weight[i] = w * o


def _mask_search(
    raw: Tensor, score: Tensor, opening: Tensor, weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor,
    score_mean: Tensor, score_square: Tensor, numbers: Tensor,
) -> None:  # fmt: skip
    """See `MASK_SEARCH`."""
    beta1, beta2, rate, root, eps, score_rate, beta, next_beta, push = numbers.unbind()
    slope = beta * opening * (1 - opening)
    score_grad = (grad * raw + push) * slope
    new = raw - _adam(grad * opening, mean, square, (beta1, beta2, rate, root, eps))
    new_score = score - _adam(score_grad, score_mean, score_square, (beta1, beta2, score_rate, root, eps))
    new_opening = 1 / (1 + torch.exp(-next_beta * new_score))
    raw.copy_(new)
    score.copy_(new_score)
    opening.copy_(new_opening)
    weight.copy_(new * new_opening)


MASK_SEARCH = Kernel(_mask_search_cpu, _mask_search)
"""With o = sigmoid(beta a), held from the step before:  dL/draw = g o,  dL/da = (g raw + push) beta o (1 - o),  Adam on both, then
o <- sigmoid(next_beta a),  w = raw o.

Arrays raw, score (a), opening (o), weight, grad, mean, square, score_mean, score_square; numbers beta1, beta2, rate, root, eps,
score_rate, beta, next_beta, push (lambda e_w)."""
