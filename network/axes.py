"""Check the axes of an array against the declared shape: arrays of the same size still differ if their axes are in another order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import prod

__all__ = ["advice", "fits", "frames_fit", "transposition"]

Shape = tuple[int, ...]
MAX_AXES = 7  # of arrays for which transpositions are searched


def squeezed(shape: Sequence[int]) -> Shape:
    """Return a shape without its axes of length 1."""
    return tuple(int(n) for n in shape if n != 1)


def fits(arriving: Sequence[int], declared: Sequence[int]) -> bool:
    """Whether two shapes differ only by axes of length 1, or one of them is flat."""
    a, b = squeezed(arriving), squeezed(declared)
    return a == b or (prod(a) == prod(b) and min(len(a), len(b)) <= 1)


def frames_fit(arriving: Sequence[int], timesteps: int, declared: Sequence[int]) -> bool:
    """Whether a sample holds `timesteps` frames of the shape `declared`, each as in `fits`, or all of them flattened."""
    shape = tuple(arriving)
    while len(shape) > 1 and shape[0] == 1 != timesteps:
        shape = shape[1:]
    if len(squeezed(shape)) <= 1 or timesteps == 1:
        return fits(shape, (timesteps, *declared))
    return shape[:1] == (timesteps,) and fits(shape[1:], declared)


def transposition(arriving: Sequence[int], declared: Sequence[int]) -> tuple[int, ...] | None:
    """Return the order of the axes of `arriving` that gives `declared`, ignoring axes of length 1; None if there is none."""
    if len(arriving) > MAX_AXES or sorted(squeezed(arriving)) != sorted(squeezed(declared)):
        return None
    goal = squeezed(declared)
    return next((order for order in permutations(range(len(arriving))) if squeezed([arriving[i] for i in order]) == goal), None)


def advice(arriving: Sequence[int], declared: Sequence[int], *, batched: bool = False) -> str:
    """Return a sentence that names the transposition that would fit, if there is one. `batched`: both have a leading axis of samples."""
    order = transposition(arriving, declared)
    if order is None:
        return ""
    axes = (0, *(i + 1 for i in order)) if batched else order
    return f" Transpose with x.transpose{axes}."
