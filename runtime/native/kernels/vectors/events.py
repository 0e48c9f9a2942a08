"""Eight steps of one sample side by side: sums of a row that stay in registers."""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .....jit import jit_inline
from ..choose import Form
from ..limits import EIGHT
from .llvm import BYTE, INT, LONG, SHORT, data_of, pick, read, splat, vector, write
from .row_sums import pair_products


def _products(b: Any, form: Form, x: Any, y: Any, pair: Any) -> Any:
    """Return  w0 x + w1 y  of eight bytes each, 16 bits; `pair`: both weights."""
    out, size = vector(SHORT, EIGHT), 2 * EIGHT
    if form == "portable":
        return pair_products(b, form, x, y, pair)[0]
    kind = ir.FunctionType(out, [vector(BYTE, size)] * 2)
    multiply = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.ssse3.pmadd.ub.sw.128")
    turns = [p for i in range(EIGHT) for p in (i, EIGHT + i)]
    return b.call(multiply, [pick(b, x, y, turns), b.bitcast(splat(b, pair, EIGHT), vector(BYTE, size))])


def _emit_row(form: Form, context: Any, b: Any, signature: Any, args: Any) -> Any:
    lines, places, weights, begin, end, acc, at = args
    stream, pairs = (data_of(context, b, signature.args[i], array, BYTE) for i, array in ((0, lines), (2, weights)))
    where, into = data_of(context, b, signature.args[1], places, LONG), data_of(context, b, signature.args[5], acc, INT)
    none = ir.Constant(vector(SHORT, EIGHT), None)
    sums = cgutils.alloca_once_value(b, none)
    b.store(none, sums)
    with cgutils.for_range_slice(b, begin, end, ir.Constant(LONG, 2), LONG) as (k, _):
        x, y = (read(b, b.gep(stream, [b.load(b.gep(where, [b.add(k, ir.Constant(LONG, i))]))]), vector(BYTE, EIGHT)) for i in (0, 1))
        b.store(b.add(b.load(sums), _products(b, form, x, y, read(b, b.gep(pairs, [k]), SHORT))), sums)
    place = b.gep(into, [at])
    wide = b.sext(b.load(sums), vector(INT, EIGHT))
    write(b, b.add(wide, read(b, place, wide.type)), place)
    return context.get_dummy_value()


def _add_eight(form: Form) -> Any:
    def add_eight(typing: Any, lines: Any, places: Any, weights: Any, begin: Any, end: Any, acc: Any, at: Any) -> Any:
        del typing, begin, end, at
        i = types.int64
        return types.void(lines, places, weights, i, i, acc, i), partial(_emit_row, form)

    return intrinsic(add_eight)


_portable, _x86 = _add_eight("portable"), _add_eight("avx2")


@jit_inline
def add_eight_portable(lines: Any, places: Any, weights: Any, begin: int, end: int, acc: Any, at: int) -> None:
    """Add a row's sums of eight steps, on any processor."""
    _portable(lines, places, weights, begin, end, acc, at)


@jit_inline
def add_eight_x86(lines: Any, places: Any, weights: Any, begin: int, end: int, acc: Any, at: int) -> None:
    """Add a row's sums of eight steps, two products and their sum in one instruction."""
    _x86(lines, places, weights, begin, end, acc, at)
