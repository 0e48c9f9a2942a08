"""One sample of a flat layer, eight steps side by side: a synapse is read once for all of them, and the sums stay in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ....jit import jit
from .lanes import CHUNK
from .llvm import BYTE, INT, LONG, SHORT, data_of, host_form, pick, read, splat, vector, write
from .row_sums import pair_products
from .tiles import exchanged, strip

EIGHT = 8  # steps side by side, and neurons


def _products(b: Any, x: Any, y: Any, pair: Any) -> Any:
    """Return  w0 x + w1 y  of eight bytes each, 16 bits; `pair`: both weights."""
    out, size = vector(SHORT, EIGHT), 2 * EIGHT
    if host_form() == "plain":
        return pair_products(b, "plain", x, y, pair)[0]
    kind = ir.FunctionType(out, [vector(BYTE, size)] * 2)
    multiply = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.ssse3.pmadd.ub.sw.128")
    turns = [p for i in range(EIGHT) for p in (i, EIGHT + i)]
    return b.call(multiply, [pick(b, x, y, turns), b.bitcast(splat(b, pair, EIGHT), vector(BYTE, size))])


def _emit_row(context: Any, b: Any, signature: Any, args: Any) -> Any:
    lines, places, weights, begin, end, acc, at = args
    stream, pairs = (data_of(context, b, signature.args[i], array, BYTE) for i, array in ((0, lines), (2, weights)))
    where, into = data_of(context, b, signature.args[1], places, LONG), data_of(context, b, signature.args[5], acc, INT)
    none = ir.Constant(vector(SHORT, EIGHT), None)
    sums = cgutils.alloca_once_value(b, none)
    b.store(none, sums)
    with cgutils.for_range_slice(b, begin, end, ir.Constant(LONG, 2), LONG) as (k, _):
        x, y = (read(b, b.gep(stream, [b.load(b.gep(where, [b.add(k, ir.Constant(LONG, i))]))]), vector(BYTE, EIGHT)) for i in (0, 1))
        b.store(b.add(b.load(sums), _products(b, x, y, read(b, b.gep(pairs, [k]), SHORT))), sums)
    place = b.gep(into, [at])
    wide = b.sext(b.load(sums), vector(INT, EIGHT))
    write(b, b.add(wide, read(b, place, wide.type)), place)
    return context.get_dummy_value()


def _row_type(typing: Any, lines: Any, places: Any, weights: Any, begin: Any, end: Any, acc: Any, at: Any) -> Any:
    del typing, begin, end, at
    i = types.int64
    return types.void(lines, places, weights, i, i, acc, i), _emit_row


_add_row: Any = intrinsic(_row_type)
"""acc[at + t] += sum over the synapses k in begin..end of  weights[k] lines[places[k] + t],  t < 8,  where 16 bits hold the sum."""


def _emit_turn(context: Any, b: Any, signature: Any, args: Any) -> Any:
    acc, at, totals, to, pitch, left, right = args
    begin, into = (data_of(context, b, signature.args[i], array, INT) for i, array in ((0, acc), (2, totals)))
    rows = [read(b, b.gep(begin, [b.add(at, ir.Constant(LONG, EIGHT * i))]), vector(INT, EIGHT)) for i in range(EIGHT)]
    for t, row in enumerate(exchanged(b, rows)):
        place = b.gep(into, [b.add(to, b.mul(pitch, ir.Constant(LONG, t)))])
        shifted = b.ashr(b.shl(row, splat(b, b.trunc(left, INT), EIGHT)), splat(b, b.trunc(right, INT), EIGHT))
        write(b, b.add(shifted, read(b, place, row.type)), place)
    return context.get_dummy_value()


def _turn_type(typing: Any, acc: Any, at: Any, totals: Any, to: Any, pitch: Any, left: Any, right: Any) -> Any:
    del typing, at, to, pitch, left, right
    i = types.int64
    return types.void(acc, i, totals, i, i, i, i), _emit_turn


_turn: Any = intrinsic(_turn_type)
"""totals[to + t pitch + j] += acc[at + 8 j + t] << left >> right,  j, t < 8,  int32."""


@jit
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
def add_by_eight(
    indptr: Any, places: Any, weights: Any, most: int, exponent: int, source: Any, live: int, lines: Any, acc: Any, totals: Any
) -> None:
    """Do what `sums.add_events` does for bytes, target by target.

    Args:
        indptr, places, weights, most: rows of an even number of synapses, as `row_sums.sum_pairs` takes them; places in `lines`.
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
                _add_row(lines, places, weights, begin, min(begin + most, end), acc, j * EIGHT)
                begin += most
        for j in range(0, width, EIGHT):
            _turn(acc, j * EIGHT, flat, first * width + j, width, max(exponent, 0), max(-exponent, 0))
