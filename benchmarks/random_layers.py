"""Lower bounds on the mapping of random layers, which hold for all partitions at once in all but one of 1 / RARE networks.

Of a layer, each target v draws d_v of S sources. The first moment of the number of partitions with M messages or fewer, by weights
w(X) = E[exp(-theta t(X)); X fits a core], t the distinct sources of a set X of targets; different sets draw independently:

    P(some partition has sum of t <= M)  <=  exp(theta M) * sum over partitions of the product of w(X)

The sum over partitions is a coefficient of the exponential of the sum over sets, so for all positive u_d, one for each fan-in d,

    sum over partitions  <=  product over d of N_d! u_d^-N_d  *  exp(sum over sets' fan-ins of w * product of u_d^m_d / m_d!)

and with u_d = N_d exp(a + b d) the inner sum is one over sizes m and synapses e:  N^m exp(a m + b e) P_m(e) w(e) / m!, where
P_m(e) <= exp(-m I(e / m)) is the chance that m random targets have e synapses (Chernoff; I the rate function of the fan-ins). The weight:

    E[exp(-theta t)]       <= min over z of  e! / (S z)^e (1 + exp(-theta) (exp(z) - 1))^S      (e balls in S boxes, their saddle point)
    E[exp(-theta t); t <= A] <= min over eta >= theta of  exp((eta - theta) A) E[exp(-eta t)]

Balls may fall into a box twice where a target's synapses may not, and so reach fewer. What is left is minimised over a and b, in which it
is convex, and M is raised until the whole is RARE, for the best theta. The inner sum is taken over a grid of m and e.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

Int = NDArray[np.int64]
Float = NDArray[np.float64]
RARE = 1e-3
THETAS = np.geomspace(0.1, 40.0, 80)
SPREAD = np.linspace(-3.0, 3.0, 49)  # mean fan-ins of a set that are looked at, in standard deviations of the fan-in
TILTS = np.linspace(-4.0, 4.0, 161)  # of the rate function, in inverse standard deviations
SIZES = 300  # set sizes that are looked at, at most
HUGE = 60.0  # exponents beyond it are as good as infinite


@dataclass(frozen=True)
class RandomLayer:
    """A layer of `fan_in.size` targets, each of which draws so many of `sources` sources."""

    sources: int
    fan_in: Int

    @property
    def targets(self) -> int:
        """N."""
        return self.fan_in.size

    @property
    def mean(self) -> float:
        """Mean fan-in."""
        return float(self.fan_in.mean())


@dataclass(frozen=True)
class Room:
    """What a set of one core may have at most: targets, distinct sources, and synapses."""

    targets: int
    axons: int
    synapses: float = math.inf


def log_moment(theta: float, balls: Float, boxes: int) -> Float:
    """Return the bound on  log E[exp(-theta t)],  t the boxes of `boxes` that so many balls hit."""
    x = math.exp(-theta)
    z = np.maximum(balls / boxes, 1e-12)
    for _ in range(60):  # towards  balls = boxes x z e^z / (1 + x (e^z - 1)); any z gives a bound
        z = np.clip(balls / boxes * (1.0 - x + x * np.exp(z)) / (x * np.exp(z)), z * 0.5, z * 1.5 + 1e-9)
    found = gammaln(balls + 1) - balls * np.log(boxes * z) + boxes * np.log1p(x * np.expm1(z))
    return np.where(balls > 0, np.minimum(found, -theta), 0.0)  # one box at least


@dataclass(frozen=True)
class _Sets:
    """The grid of set sizes m and synapses e; `ways`: log of what the inner sum has beside the weight, at a = b = 0."""

    m: Float
    e: Float
    ways: Float

    @classmethod
    def of(cls, layer: RandomLayer, room: Room) -> _Sets:
        sizes = np.unique(np.round(np.geomspace(1, min(room.targets, layer.targets), SIZES)).astype(np.int64))
        deviation = max(float(layer.fan_in.std()), 1e-9)
        per = np.clip(layer.mean + SPREAD * deviation, layer.fan_in.min(), layer.fan_in.max())
        m = np.repeat(sizes[:, None].astype(np.float64), per.size, axis=1)
        e = np.minimum(np.round(per * m), room.synapses)
        tilts = TILTS / deviation
        log_z = np.array([_log_mean_exp(tilt * layer.fan_in) for tilt in tilts])
        rate = -np.min([z - tilt * e / m for z, tilt in zip(log_z, tilts, strict=True)], axis=0)
        stands_for = np.log(np.diff(sizes, append=sizes[-1] + 1).astype(np.float64))[:, None]
        stands_for = stands_for + np.log(np.maximum(np.abs(np.gradient(e, axis=1)), 1.0))
        return cls(m, e, m * math.log(layer.targets) - gammaln(m + 1) - m * np.maximum(rate, 0.0) + stands_for)


def _log_mean_exp(values: Float) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).mean()))


def least_messages(layer: RandomLayer, room: Room) -> float:
    """Return messages, if each source fires once, that every partition of a random layer into such sets needs."""
    sets = _Sets.of(layer, room)
    moments = np.array([log_moment(theta, sets.e, layer.sources) for theta in THETAS])
    best = 0.0
    for i, theta in enumerate(THETAS):
        more = (THETAS[i:] - theta)[:, None, None] * float(min(room.axons, layer.sources))
        weight = np.min(moments[i:] + more, axis=0)
        best = max(best, (math.log(RARE) - _log_partitions(layer, sets, weight)) / theta)
    return best


def _log_partitions(layer: RandomLayer, sets: _Sets, weight: Float) -> float:
    """Return the bound on the log of the sum over partitions; `weight`: log w."""
    counts = np.bincount(layer.fan_in)
    counts = counts[counts > 0].astype(np.float64)
    orders = float((gammaln(counts + 1) - counts * np.log(counts)).sum())
    exponent, beside = sets.ways + weight, sets.e - sets.m * layer.mean  # b is that of synapses beside the mean, which sum to 0

    def bound(at: Any) -> float:
        found = exponent + sets.m * at[0] + beside * at[1]
        top = float(found.max())
        return 1e18 * (1.0 + top) if top > HUGE else -layer.targets * float(at[0]) + float(np.exp(found).sum())

    def start(b: float) -> float:
        return float(((1.0 - exponent - beside * b) / sets.m).min())

    b = max(np.linspace(-3.0, 3.0, 121).tolist(), key=start)
    corners = [[start(b), b], [start(b) - 0.01, b], [start(b) - 0.01, b + 0.01]]
    settings = {"initial_simplex": corners, "xatol": 1e-7, "fatol": 1e-2, "maxiter": 500}
    return orders + float(minimize(bound, corners[0], method="Nelder-Mead", options=settings).fun)
