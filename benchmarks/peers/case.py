"""The network and the input that every engine runs, and the exact LIF neuron in NumPy for those that have none.

No more than NumPy is imported here: nengo-loihi lives with a version of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUTS, HIDDEN, OUTPUTS, STEPS = 784, 800, 10, 8
ACTIVE = 0.116  # inputs that spike in a step
HIDDEN_RATE, OUTPUT_RATE = 0.04, 0.05
DV = 2048  # of 4096: the potential halves in a step
ALIGN = 6  # potentials hold 6 bits behind the point, as hwmodels.fixed_point has them
LIMIT = (1 << 23) - 1
MOST = LIMIT // (2 * 127 << ALIGN)  # inputs in a step with which |v| <= |sum| (1 + 1/2 + 1/4 ...) stays within the limit
EVEN_HALF = 2.0**-8  # potentials are multiples of 2^-7 at most: v >= vth + 2^-8 is v > vth


@dataclass(frozen=True)
class Case:
    """784-800-10 in integers.  v <- tz(v / 2) + 64 sum;  spike when v > 64 vth, then v <- 0  (hwmodels.fixed_point.lif_step, du = 4095).

    `w1` (800, 784), `w2` (10, 800): int8; `events` (samples, 8, 784): uint8, 0 or 1.
    """

    w1: NDArray[np.int8]
    w2: NDArray[np.int8]
    vth1: int
    vth2: int
    events: NDArray[np.uint8]

    @property
    def samples(self) -> int:
        """The number of samples."""
        return len(self.events)

    @property
    def density(self) -> float:
        """The share of the weights that are not zero."""
        return self.synapses / (self.w1.size + self.w2.size)

    @property
    def synapses(self) -> int:
        """The number of weights that are not zero."""
        return int(np.count_nonzero(self.w1)) + int(np.count_nonzero(self.w2))

    def first(self, samples: int) -> Case:
        """Return the case with its first samples alone, in memory of their own."""
        return replace(self, events=self.events[:samples].copy())

    def save(self, path: Path) -> None:
        """Write the case as npz."""
        np.savez(path, w1=self.w1, w2=self.w2, vth1=self.vth1, vth2=self.vth2, dv=DV, events=self.events)


@dataclass(frozen=True)
class Outcome:
    """What a run gave. `seconds`: where the engine's own clock leaves out what is not simulation; None for the wall's."""

    output_spikes: int
    seconds: float | None = None


Run = Callable[[], Outcome]


def load_case(path: Path, samples: int | None = None) -> Case:
    """Read a case.

    Raises:
        ValueError: other shapes than 784-800-10 and 8 steps, another decay, events that are not 0 or 1, or so many in a step that a
            potential might reach 24 bits (then it would be clipped, which only the exact engines do).
    """
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in ("w1", "w2", "vth1", "vth2", "dv", "events")}
    events = data["events"][:samples].astype(np.uint8)
    shapes = (data["w1"].shape, data["w2"].shape, events.shape[1:])
    if shapes != ((HIDDEN, INPUTS), (OUTPUTS, HIDDEN), (STEPS, INPUTS)) or int(data["dv"]) != DV:
        raise ValueError(f"{path}: shapes {shapes} and dv {data['dv']}; the engines run 784-800-10 with {STEPS} steps and dv {DV}.")
    if events.size and (events.max() > 1 or int(events.sum(axis=2, dtype=np.int64).max()) > MOST):
        raise ValueError(f"{path}: events must be 0 or 1, and at most {MOST} in a step.")
    return Case(data["w1"].astype(np.int8), data["w2"].astype(np.int8), int(data["vth1"]), int(data["vth2"]), events)


def make_case(density: float, samples: int, seed: int = 0) -> Case:
    """Draw weights and events, and find thresholds at which the hidden layer spikes at 4 % and the output at 5 %."""
    rng = np.random.default_rng(seed)
    w1, w2 = (_weights(rng, shape, density) for shape in ((HIDDEN, INPUTS), (OUTPUTS, HIDDEN)))
    events = (rng.random((samples, STEPS, INPUTS), np.float32) < ACTIVE).view(np.uint8)
    sums = np.einsum("nti,hi->thn", events[:128].astype(np.float32), w1.astype(np.float32), optimize=True).astype(np.int32)
    vth1 = _threshold(sums, HIDDEN_RATE)
    hidden = lif(sums, vth1)
    vth2 = _threshold(np.einsum("oh,thn->ton", w2.astype(np.float32), hidden.astype(np.float32)).astype(np.int32), OUTPUT_RATE)
    return Case(w1, w2, vth1, vth2, events)


def _weights(rng: np.random.Generator, shape: tuple[int, int], density: float) -> NDArray[np.int8]:
    """Draw weights of -127..127 without 0; exactly a share `density` of them stays."""
    weights = rng.integers(1, 128, shape) * rng.choice([-1, 1], shape)
    keep = np.zeros(weights.size, np.bool_)
    keep[rng.permutation(weights.size)[: round(density * weights.size)]] = True
    return np.where(keep.reshape(shape), weights, 0).astype(np.int8)


def _threshold(sums: NDArray[np.int32], rate: float) -> int:
    """Return the smallest threshold at which neurons spike at `rate` or less."""
    low, high = 0, int(np.abs(sums).max()) * 2 + 1
    while low < high:
        middle = (low + high) // 2
        if lif(sums, middle).mean() > rate:
            low = middle + 1
        else:
            high = middle
    return low


def lif(sums: NDArray[Any], vth: int) -> NDArray[np.bool_]:
    """Run exact LIF neurons of any shape over time; `sums`: (steps, ...) integers; return the spikes (steps, ...)."""
    spikes = np.empty(sums.shape, np.bool_)
    v, sign, u = (np.zeros(sums.shape[1:], np.int32) for _ in range(3))
    for a, s in zip(sums, spikes, strict=True):
        np.less(v, 0, out=s)
        np.add(v, s, out=v)  # rounds towards zero
        np.right_shift(v, 1, out=v)
        np.left_shift(a, ALIGN, out=u, dtype=np.int32)
        np.add(v, u, out=v)
        np.greater(v, vth << ALIGN, out=s)
        np.logical_not(s, out=sign)
        np.multiply(v, sign, out=v)
    return spikes
