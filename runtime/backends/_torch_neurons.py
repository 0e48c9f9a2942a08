"""Neurons on torch tensors, in integers: operations of `hwmodels.fixed_point` and `hwmodels.crossbar`, step by step or in one kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...hwmodels.crossbar import STATE_MAX
from ...hwmodels.fixed_point import ALIGN, DECAY_ONE, NO_MEMORY, STATE_LIMIT

__all__ = ["STEPS_AT_ONCE", "Crossbar", "Fuser", "Lif", "Neurons", "State"]

DECAY_BITS = 12
INT32 = 1 << 31
STEPS_AT_ONCE = 16  # of a kernel made by torch.compile
COMPILE_AFTER = 1 << 38  # neuron updates: seconds on a large GPU, about as long as compiling
MOST_KERNELS = 256
PLAIN, FUSED = "an operation at a time", "all steps in one kernel, by torch.compile"
State = tuple[Tensor, ...]  # (samples, neurons) each


@dataclass(frozen=True)
class Lif:
    """IntegerLIF neurons as defined by `hwmodels.fixed_point.lif_step`; a state is the current u and the potential v.

    `narrow`: every input stays below 2^17, so that 32 bits hold a current before it is wrapped; else 64. The decay is exact:
    state (4096 - d) / 4096 = state * factor / 2^shift  in lowest terms, in 32 bits where the product fits.
    """

    du: int
    dv: int
    bar: int
    narrow: bool
    soft_reset: bool = False

    def rest(self, samples: int, bias: Tensor) -> State:
        """Return the state before the first step."""
        zeros = torch.zeros((samples, len(bias)), dtype=bias.dtype, device=bias.device)
        return zeros, zeros

    def step(self, state: State, a: Tensor | None, bias: Tensor) -> tuple[State, Tensor, Tensor]:
        """Return the next state, the spikes, and which neurons had a state; `a`: the input, None for nothing."""
        u = self._decay(state[0], self.du + 1)
        if a is not None:
            u = u + (a << ALIGN)
        if not self.narrow or self.du != NO_MEMORY:
            u = torch.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, torch.where(u <= -STATE_LIMIT, u + 2 * STATE_LIMIT, u))
        v = (self._decay(state[1], self.dv) + u + bias).clamp(1 - STATE_LIMIT, STATE_LIMIT - 1)
        fired = v > self.bar
        return (u, v - fired * self.bar if self.soft_reset else v * ~fired), fired, (u | v) != 0

    def _decay(self, state: Tensor, constant: int) -> Tensor:
        """Return  tz(state (4096 - constant) / 4096)."""
        if constant == 0:
            return state
        if constant == DECAY_ONE:
            return torch.zeros_like(state)
        factor, shift = DECAY_ONE - constant, DECAY_BITS
        while self.narrow and factor % 2 == 0:
            factor, shift = factor // 2, shift - 1
        wide = not self.narrow or factor * STATE_LIMIT >= INT32
        product = (state.to(torch.int64) if wide else state) * factor
        return ((product + ((product < 0) * ((1 << shift) - 1))) >> shift).to(state.dtype)


@dataclass(frozen=True)
class Crossbar:
    """A crossbar's neurons as defined by `hwmodels.crossbar.crossbar_step`; a state is the potential."""

    threshold: int
    leak: int

    def rest(self, samples: int, bias: Tensor) -> State:
        """Return the state before the first tick."""
        return (torch.zeros((samples, len(bias)), dtype=bias.dtype, device=bias.device),)

    def step(self, state: State, a: Tensor | None, bias: Tensor) -> tuple[State, Tensor, Tensor]:
        """Return the next state, the spikes, and which neurons had a state."""
        del bias
        v = (state[0] if a is None else state[0] + a).clamp(-STATE_MAX, STATE_MAX)
        v = v - v.sign() * v.abs().clamp(max=self.leak)
        fired = v >= self.threshold
        return (v * ~fired,), fired, (v != 0) | fired


Neurons = Lif | Crossbar


def _steps(neurons: Neurons, state: State, currents: Tensor | None, bias: Tensor, steps: int) -> tuple[State, Tensor, Tensor]:
    """Run several steps; return the state, the spikes (steps, samples, neurons), and in how many steps each had a state."""
    spikes: list[Tensor] = []
    active = torch.zeros_like(state[0], dtype=torch.int16)
    for t in range(steps):
        a = currents[t] if currents is not None and t < len(currents) else None
        state, fired, busy = neurons.step(state, a, bias)
        spikes.append(fired)
        active = active + busy
    return state, torch.stack(spikes), active


class Fuser:
    """Runs `_steps` as one kernel made by torch.compile; its first result is checked against the plain one.

    `wish`: whether to compile; None: on CUDA devices, once a run is long enough to be worth the seconds of compiling.
    """

    def __init__(self, device: torch.device, wish: bool | None) -> None:
        self._wish, self._updates = (False if wish is None and device.type != "cuda" else wish), 0
        self.said = PLAIN
        self._compiled: Callable[..., tuple[State, Tensor, Tensor]] | None = None
        self._proven: set[tuple[Neurons, int]] = set()

    def run(self, neurons: Neurons, state: State, currents: Tensor | None, bias: Tensor, steps: int) -> tuple[State, Tensor, Tensor]:
        """See `_steps`."""
        self._updates += steps * state[0].numel()
        if self._wish is False or (self._wish is None and self._updates < COMPILE_AFTER):
            return _steps(neurons, state, currents, bias, steps)
        try:
            self._compiled = self._compiled or torch.compile(_steps, dynamic=True)  # seconds of imports, so not before it is needed
            with torch._dynamo.config.patch(recompile_limit=MOST_KERNELS, fail_on_recompile_limit_hit=True):  # pyright: ignore[reportPrivateUsage]
                found = self._compiled(neurons, state, currents, bias, steps)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ImportError, OSError) as error:  # no compiler, no Triton: the plain form works
            return self._plainly(f"torch.compile failed: {type(error).__name__}", neurons, state, currents, bias, steps)
        if (neurons, steps) not in self._proven:
            plain = _steps(neurons, state, currents, bias, steps)
            if not all(torch.equal(a, b) for a, b in zip((*found[0], *found[1:]), (*plain[0], *plain[1:]), strict=True)):
                return self._plainly("torch.compile differed", neurons, state, currents, bias, steps)
            self._proven.add((neurons, steps))
            self.said = FUSED
        return found

    def _plainly(self, why: str, *arguments: Any) -> tuple[State, Tensor, Tensor]:
        self._wish, self.said = False, f"{PLAIN} ({why})"
        return _steps(*arguments)
