r"""NIR's neurons in time steps of dt, by forward Euler, as the neurons and gains of our networks.

    LIF      v <- v + (dt/tau) (v_leak - v + R x)            IF    v <- v + dt R x
    CubaLIF  i <- i + (dt/tau_syn) (-i + w_in x);   v <- v + (dt/tau_mem) (v_leak - v + R i),  the i of this very step
    spike when v > v_threshold, then v <- v_reset, or where the threshold is subtracted  v <- v - (v_threshold - v_reset)
    v begins at v_reset, i at 0

(Pedersen et al., Neuromorphic intermediate representation, Nature Communications 15, 2024, has the equations in continuous time.)

With w = v - v_reset the leak is  v_leak - v_reset - w,  so v_leak - v_reset is a constant input; R, w_in and the time constants of
inputs are gains of the input. Where thresholds or resets differ between neurons, each potential is measured in units of its own
v_threshold - v_reset. All that a population still has to share is tau_mem / dt and tau_syn / dt.

Our neurons spike at v >= v_threshold. v > c is  v >= the next float64 above c,  exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import FormatError, NetworkError
from ...network.axes import fits
from ...network.model import LIF
from .graph import Node, numbers

__all__ = ["INTEGRATORS", "NEURONS", "Reset", "SpikeWhen", "Stepped", "bar", "filtered", "spread", "stepped"]

Reset = Literal["zero", "subtract", "subtract-late"]
SpikeWhen = Literal["above", "reached"]
Float = NDArray[np.float64]
NEURONS = ("LIF", "IF", "CubaLIF")
INTEGRATORS = {"LI": "LIF", "CubaLI": "CubaLIF", "I": "IF"}  # the same without spikes
FIELDS = {"LIF": ("tau", "r", "v_leak"), "IF": ("r",), "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "w_in")}


@dataclass(frozen=True)
class Stepped:
    """A population's neurons in discrete time.

    `neuron`: one for each distinct pair of time constants; `group` (size,): each neuron's index into it; `gain` (size,): of the input;
    `drive` (size,): added to the voltage directly, bypassing the synaptic current; `alive` (size,): whether the threshold is finite.
    """

    neurons: tuple[LIF, ...]
    group: NDArray[np.int64]
    gain: Float
    drive: Float
    alive: NDArray[np.bool_]


def bar(threshold: float, spike_when: SpikeWhen) -> float:
    """Return the value that v must reach to spike."""
    return float(np.nextafter(threshold, np.inf)) if spike_when == "above" else threshold


def spread(node: Node, values: NDArray[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
    """Return a parameter as one number per element, (size,), from a scalar, one number, or an array of that shape up to axes of size 1.

    Raises:
        FormatError: any other shape; the node is named.
    """
    size = int(np.prod(shape))
    if values.size == 1:
        return np.full(size, values.ravel()[0])
    if values.size == size and fits(values.shape, shape):
        return values.ravel()
    if values.ndim == len(shape) and all(n in (1, m) for n, m in zip(values.shape, shape, strict=True)):
        return np.broadcast_to(values, shape).ravel()
    raise FormatError(f"{what} of the node {node.name} ({node.kind}) has the shape {values.shape}; what arrives has {shape}")


def stepped(
    node: Node, shape: tuple[int, ...], dt: float, spike_when: SpikeWhen, readout: float | None = None, reset: Reset = "zero"
) -> Stepped:
    """Return the neurons of a node, in steps of `dt` seconds.

    Args:
        readout: threshold above v_leak given to integrators (LI, CubaLI, I).
        reset: what a spike does to v: sets it to v_reset (`zero`), or takes v_threshold - v_reset off it (late: the builder adds the rest).

    Raises:
        FormatError: parameters that are missing or of another shape.
        NetworkError: time constants below one step, thresholds below the resting potential.
    """
    kind = INTEGRATORS.get(node.kind, node.kind)
    values = {n: numbers(node, n, default=1.0 if n == "w_in" else None) for n in FIELDS[kind]}
    if node.kind in INTEGRATORS:
        rest = values.get("v_leak", np.zeros(()))
        values |= {"v_reset": rest, "v_threshold": rest + (1.0 if readout is None else readout)}
    else:
        values |= {"v_threshold": numbers(node, "v_threshold", infinite=True), "v_reset": numbers(node, "v_reset", default=0.0)}
    exact = {n: np.finfo(v.dtype).eps for n, v in values.items()}
    full = {n: spread(node, v, shape, n).astype(np.float64) for n, v in values.items()}
    alive = np.isfinite(full["v_threshold"])
    span = np.where(alive, full["v_threshold"], full["v_reset"] + 1.0) - full["v_reset"]
    if not (span > 0).all():
        raise NetworkError(f"the node {node.name}: v_threshold must be above v_reset, or the neuron would spike for ever. Raise it")
    memory = _Memory.of(node, kind, full, exact, dt)
    v_threshold, v_reset = 1.0, 0.0
    if _same(full["v_threshold"][alive]) and _same(full["v_reset"][alive]):
        v_threshold = float(full["v_threshold"][alive][0]) if alive.any() else 1.0
        v_reset = float(full["v_reset"][alive][0]) if alive.any() else 0.0
        span = np.ones_like(span)
    drive = (
        np.zeros_like(span) if kind == "IF" else (full["v_leak"] - full["v_reset"]) / (span if memory.decay_input else span * memory.tau)
    )
    pairs, group = np.unique(np.stack([memory.tau, memory.tau_syn]), axis=1, return_inverse=True)
    neurons = tuple(
        LIF(float(tau), bar(v_threshold, spike_when), v_reset, memory.decay_input, reset != "zero", float(tau_syn))
        for tau, tau_syn in pairs.T
    )
    return Stepped(neurons, group.ravel().astype(np.int64), memory.gain / span, drive, alive)


def filtered(node: Node, shape: tuple[int, ...], dt: float) -> tuple[Float, Float, Float]:
    """Return an LI as a synaptic current:  v = v_leak + u,  u <- u - u / tau + gain x.

    Returns:
        tau in steps, gain and v_leak, (size,) each.

    Raises:
        FormatError: parameters that are missing or of another shape.
        NetworkError: a time constant below one step.
    """
    values = {n: numbers(node, n) for n in FIELDS["LIF"]}
    exact = {n: np.finfo(v.dtype).eps for n, v in values.items()}
    full = {n: spread(node, v, shape, n).astype(np.float64) for n, v in values.items()}
    tau = _steps(node, "tau", full, exact, dt)
    return tau, _rounded(full["r"] / tau, max(exact.values())), full["v_leak"]


def _same(values: Float) -> bool:
    return bool((values == values[:1]).all())


@dataclass(frozen=True)
class _Memory:
    """Time constants in steps, (size,) each, whether the input decays, and the remaining gain."""

    tau: Float
    tau_syn: Float
    decay_input: bool
    gain: Float

    @classmethod
    def of(cls, node: Node, kind: str, full: dict[str, Float], exact: dict[str, Any], dt: float) -> _Memory:
        """Express time constants in steps; choose the form of the neuron whose gain is 1, if there is one."""
        ones = np.ones_like(full["r"])
        if kind == "IF":
            return cls(ones * np.inf, ones, decay_input=False, gain=_rounded(full["r"] * dt, exact["r"]))
        name = "tau_mem" if kind == "CubaLIF" else "tau"
        tau, eps = _steps(node, name, full, exact, dt), max(exact.values())
        tau_syn, entering = ones, ones
        if kind == "CubaLIF":
            tau_syn = _steps(node, "tau_syn", full, exact, dt)
            entering = _rounded(full["w_in"] / tau_syn, eps)
        decaying = _rounded(full["r"] * entering, eps)
        plain = _rounded(full["r"] / tau * entering, eps)
        if (plain == 1.0).all() and not (decaying == 1.0).all():
            return cls(tau, tau_syn, decay_input=False, gain=plain)
        return cls(tau, tau_syn, decay_input=True, gain=decaying)


def _steps(node: Node, name: str, full: dict[str, Float], exact: dict[str, Any], dt: float) -> Float:
    steps = _rounded(full[name] / dt, exact[name])
    if not (steps >= 1.0).all():
        shortest = float(full[name].min())
        raise NetworkError(
            f"the node {node.name}: {name} is {shortest:g} s, {shortest / dt:g} steps of {dt:g} s; forward Euler needs at least one. "
            f"Use a --dt of at most {max(shortest, 0.0):g}"
        )
    return steps


def _rounded(values: Float, eps: float) -> Float:
    """Return values, rounded to four digits if that is within rounding errors (four of `eps`): 3e-4 s / 1e-4 s is 3."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 3.0 - np.floor(np.log10(np.abs(values)))
        finer, coarser = 10.0 ** np.maximum(power, 0.0), 10.0 ** np.maximum(-power, 0.0)  # integers: a single rounding
        near = np.rint(values * finer / coarser) * coarser / finer
        close = np.abs(values - near) <= 4.0 * eps * np.abs(values)
    return np.where(close, near, values)
