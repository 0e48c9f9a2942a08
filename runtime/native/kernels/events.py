"""One sample of a flat layer, eight steps side by side: a synapse is read once for all of them."""

from __future__ import annotations

from typing import Any

from ....jit import jit, jit_inner
from .api import add_eight, strip
from .lanes import CHUNK
from .limits import EIGHT


@jit_inner
def _lines_of(source: Any, first: int, together: int, lines: Any) -> None:
    """Write steps `first` on of (steps, sources) payloads as (sources, 8); zeros where there are fewer than eight."""
    sources, flat = source.shape[1], source.reshape(source.size)
    if together == EIGHT and sources >= CHUNK:
        for tile in range(0, sources, CHUNK):
            i = min(tile, sources - CHUNK)
            strip(flat, first * sources + i, sources, lines, i * EIGHT, EIGHT)
        return
    lines[:] = 0
    for t in range(together):
        for i in range(sources):
            lines[i * EIGHT + t] = source[first + t, i]


@jit
def turn(acc: Any, at: int, totals: Any, to: int, pitch: int, left: int, right: int) -> None:
    """totals[to + t pitch + j] += acc[at + 8 j + t] << left >> right,  j, t < 8."""
    for t in range(EIGHT):
        for j in range(EIGHT):
            totals[to + t * pitch + j] += acc[at + EIGHT * j + t] << left >> right


@jit
def add_by_eight(
    indptr: Any, places: Any, weights: Any, most: int, exponent: int, source: Any, live: int, lines: Any, acc: Any, totals: Any
) -> None:
    """Do what `sums.add_events` does for bytes, target by target.

    Args:
        indptr, places, weights, most: rows of an even number of synapses, as `sum_pairs` takes them; places in `lines`.
        source: uint8 (at least live steps, sources), contiguous.
        lines: uint8 (8 sources,), scratch.
        acc: int32 (8 targets,), scratch, the targets rounded up to whole eights.
        totals: int32 (live steps rounded up to whole eights, targets rounded up), contiguous; added to.
    """
    flat, width = totals.reshape(totals.size), totals.shape[1]
    for first in range(0, live, EIGHT):
        _lines_of(source, first, min(EIGHT, live - first), lines)
        acc[:] = 0
        for j in range(indptr.size - 1):
            begin, end = indptr[j], indptr[j + 1]
            while begin < end:  # as many synapses at a time as 16 bits hold the sum of
                add_eight(lines, places, weights, begin, min(begin + most, end), acc, j * EIGHT)
                begin += most
        for j in range(0, width, EIGHT):
            turn(acc, j * EIGHT, flat, first * width + j, width, max(exponent, 0), max(-exponent, 0))
