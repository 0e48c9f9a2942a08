"""Whether the time constants of a NIR graph are plausible for the time step used to read it, and which step would be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import FormatError
from .graph import Graph, Node, numbers

__all__ = ["Hint", "hint_of_dt"]

CONSTANTS = {"LIF": ("tau",), "LI": ("tau",), "CubaLIF": ("tau_mem", "tau_syn"), "CubaLI": ("tau_mem", "tau_syn")}
LONG = 0.5  # seconds: longer time constants of neurons only occur when a framework writes steps or milliseconds
WEAK = 1e-2  # R dt, the factor of an IF's input, below which a step seems too short


@dataclass(frozen=True)
class Hint:
    """A sentence with the --dt to try, or nothing; `certain`: whether any other reading is implausible."""

    text: str = ""
    certain: bool = False


def hint_of_dt(graph: Graph, dt: float, timesteps: int) -> Hint:
    """Compare time constants and resistances with dt.

    Time constants of half a second and more are numbers of steps; an IF whose R is 1 ignores dt (its potential rises by R dt x per
    step). Time constants much longer than a sample are reported, with the dt for which a sample lasts one of them.
    """
    taus = np.concatenate([np.zeros(0), *(_values(n, name) for n in graph.nodes.values() for name in CONSTANTS.get(n.kind, ()))])
    rises = np.concatenate([np.zeros(0), *(_values(n, "r") for n in graph.nodes.values() if n.kind in ("IF", "I"))])
    if taus.size and taus.min() >= LONG and dt < LONG:
        return Hint(
            f"The time constants of the file, {_span(taus)}, look like numbers of time steps, not seconds: try --dt 1.", certain=True
        )
    if rises.size and rises.max() > 0.0 and rises.max() * dt < WEAK:
        step = f"{1.0 / rises.max():.4g}"
        text = (
            f"The file's IF neurons have R = {_span(rises)}, so their input is multiplied by R dt = {rises.max() * dt:g}: try --dt {step}."
        )
        return Hint(text, certain=not taus.size)
    if taus.size and taus.min() > 10 * timesteps * dt:
        return Hint(
            f"The time constants of the file are {_span(taus)} s and a sample of {timesteps} steps of {dt:g} s lasts {timesteps * dt:g} s: "
            f"try a longer --dt ({taus.min() / timesteps:.4g} makes it last one of them), or more time steps."
        )
    return Hint()


def _values(node: Node, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    try:
        return numbers(node, name).astype(np.float64).ravel()
    except FormatError:  # reported by the reader of the node, where it matters
        return np.zeros(0)


def _span(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
