"""Sums of weights times spikes, the innermost loops, written in LLVM's vectors.

numba compiles a loop over lanes to half the registers' width on many processors, keeps its sums in memory and widens 8-bit products to
64 bits before it narrows them. Here sums stay in registers, and two products and their sum are one instruction where the
processor has it (x86: u8 times s8 in pairs, AVX2 or AVX-512). Elsewhere LLVM chooses. All forms give the same integers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .....jit import variant
from ..choose import Form
from ..lanes import CHUNK
from .llvm import BIT, BYTE, INT, LONG, SHORT, data_of, pick, read, splat, vector, write


def pair_products(b: Any, form: Form, x: Any, y: Any, pair: Any) -> list[Any]:
    """Return  w0 x + w1 y  of two vectors of bytes as vectors of 16 bits; `pair`: both weights, 8 bits each. See `_in_order`."""
    size = x.type.count
    if form == "portable":
        wide = vector(SHORT, size)
        low, high = b.sext(b.trunc(pair, BYTE), SHORT), b.ashr(pair, ir.Constant(SHORT, 8))
        return [b.add(b.mul(b.zext(x, wide), splat(b, low, size)), b.mul(b.zext(y, wide), splat(b, high, size)))]
    name = {"avx512": "llvm.x86.avx512.pmaddubs.w.512", "avx2": "llvm.x86.avx2.pmadd.ub.sw"}[form]
    out, inputs = vector(SHORT, size // 2), vector(BYTE, size)
    multiply = cgutils.get_or_insert_function(b.module, ir.FunctionType(out, [inputs, inputs]), name)
    weights = b.bitcast(splat(b, pair, size // 2), inputs)
    parts: list[Any] = []
    for half in (0, 8):  # bytes 0-7 of each 16, then 8-15: what interleaves without crossing registers
        places = [place for start in range(half, size, 16) for i in range(start, start + 8) for place in (i, size + i)]
        parts.append(b.call(multiply, [pick(b, x, y, places), weights]))
    return parts


def _in_order(b: Any, sums: list[Any]) -> list[Any]:
    """Return the 16-bit sums of `pair_products` as vectors of 16 lanes in the lanes' order."""
    if len(sums) == 1:
        return [pick(b, sums[0], sums[0], list(range(i, i + 16))) for i in range(0, sums[0].type.count, 16)]
    size = sums[0].type.count
    return [pick(b, sums[0], sums[1], [*range(i, i + 8), *range(size + i, size + i + 8)]) for i in range(0, size, 8)]


def _store_sums(b: Any, sums: list[Any], address: Any, add: bool) -> None:
    """Write 16-bit sums as 32 bits in the lanes' order, or add them to what is there."""
    for i, lanes in enumerate(_in_order(b, sums)):
        place = b.gep(address, [ir.Constant(LONG, 16 * i)])
        wide = b.sext(lanes, vector(INT, 16))
        write(b, b.add(wide, read(b, place, wide.type)) if add else wide, place)


SPANS: dict[Form, int] = {"avx512": CHUNK, "avx2": 32, "portable": CHUNK}
"""Bytes of a stream that one or two vectors of 16-bit sums hold."""
AT_ONCE: dict[Form, int] = {"avx512": 8, "avx2": 4, "portable": 8}
"""Spans that one pass over a row's synapses adds up. AVX2 has 16 registers: the sums of more spans than this would live in memory."""


def emit_sums(context: Any, b: Any, form: Form, chunks: int, kinds: Any, args: Any) -> list[list[Any]]:
    """Emit the sum of a row over `chunks * CHUNK` bytes of a stream; return, span by span, the slots of what `pair_products` gives.

    `args`, of types `kinds`, begin with source, base, places, weights, begin, end as in `sum_pairs`.
    """
    source, base, places, weights, begin, end = args[:6]
    span = SPANS[form]
    stream = b.gep(data_of(context, b, kinds[0], source, BYTE), [base])
    where, pairs = data_of(context, b, kinds[2], places, LONG), data_of(context, b, kinds[3], weights, BYTE)
    starts = range(0, chunks * CHUNK, span)
    each, size = (1, span) if form == "portable" else (2, span // 2)
    none = ir.Constant(vector(SHORT, size), None)
    slots = [[cgutils.alloca_once_value(b, none) for _ in range(each)] for _ in starts]
    for slot in (s for pair in slots for s in pair):
        b.store(none, slot)  # an alloca is filled where the function begins, not each time round
    for first in range(0, len(slots), AT_ONCE[form]):
        some = slice(first, first + AT_ONCE[form])
        with cgutils.for_range_slice(b, begin, end, ir.Constant(LONG, 2), LONG) as (k, _):
            x, y = (b.gep(stream, [b.load(b.gep(where, [b.add(k, ir.Constant(LONG, i))]))]) for i in (0, 1))
            pair = read(b, b.gep(pairs, [k]), SHORT)
            for start, held in zip(starts[some], slots[some], strict=True):
                x_part, y_part = (read(b, b.gep(a, [ir.Constant(LONG, start)]), vector(BYTE, span)) for a in (x, y))
                for s, product in zip(held, pair_products(b, form, x_part, y_part, pair), strict=True):
                    b.store(b.add(b.load(s), product), s)
    return slots


def _typed(emit: Any) -> Any:
    """Return the intrinsic that `emit` writes, of the arguments that `_sum_row` gives."""

    def chunks(typing: Any, source: Any, base: Any, places: Any, weights: Any, begin: Any, end: Any, out: Any, at: Any, pitch: Any) -> Any:
        del typing, base, begin, end, at, pitch
        i = types.int64
        return types.void(source, i, places, weights, i, i, out, i, i), emit

    return intrinsic(chunks)


def _sum_chunks(form: Form, chunks: int, add: bool) -> Any:
    """Make the sum of a row over `chunks * CHUNK` bytes of a stream; `add` to what is there, or write."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        into = b.gep(data_of(context, b, signature.args[6], args[6], INT), [args[7]])
        for i, slots in enumerate(emit_sums(context, b, form, chunks, signature.args, args)):
            _store_sums(b, [b.load(s) for s in slots], b.gep(into, [ir.Constant(LONG, i * SPANS[form])]), add)
        return context.get_dummy_value()

    return _typed(emit)


_Chunks = Any  # intrinsics; see `variant`
set8: _Chunks = None
set4: _Chunks = None
set2: _Chunks = None
set1: _Chunks = None
add8: _Chunks = None
add4: _Chunks = None
add1: _Chunks = None


packed = 0  # lanes of a byte of the stream in `_sum_row`, as a power of two; see `variant`
shift = 0  # lanes of a place in its output, likewise


def _sum_row(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    last, at = min(begin + most, end), 0
    while at < size:
        start, left, into = base + (at >> packed), size - at, to + (at >> shift)
        if left >= 512:
            set8(source, start, places, weights, begin, last, out, into, pitch)
            at += 512
        elif left >= 256:
            set4(source, start, places, weights, begin, last, out, into, pitch)
            at += 256
        elif left >= 128:
            set2(source, start, places, weights, begin, last, out, into, pitch)
            at += 128
        else:
            set1(source, start, places, weights, begin, last, out, into, pitch)
            at += 64
    while last < end:  # more than one sum of 16 bits holds
        first, last, at = last, min(last + most, end), 0
        while at < size:
            start, left, into = base + (at >> packed), size - at, to + (at >> shift)
            if left >= 512:
                add8(source, start, places, weights, first, last, out, into, pitch)
                at += 512
            elif left >= 256:
                add4(source, start, places, weights, first, last, out, into, pitch)
                at += 256
            else:
                add1(source, start, places, weights, first, last, out, into, pitch)
                at += 64


def _chunked(make: Any) -> dict[str, Any]:
    """Return the sums that `_sum_row` takes, by name; `make` takes a number of chunks and whether to add."""
    return {f"{'add' if add else 'set'}{n}": make(n, add) for add, sizes in ((False, (8, 4, 2, 1)), (True, (8, 4, 1))) for n in sizes}


def make_sum_pairs(form: Form) -> Any:
    """Compile the sum of a row over bytes in one of the forms; see `api.Kernels`."""
    return variant(_sum_row, f"sum_pairs_{form}", packed=0, shift=0, **_chunked(partial(_sum_chunks, form)))


def _store_steps(b: Any, low: Any, high: Any, address: Any, pitch: Any, add: bool) -> None:
    """Write the sums of eight positions with eight steps each, 2 x 32 lanes of 16 bits, step by step: eight rows, `pitch` apart."""
    for t in range(8):
        place = b.gep(address, [b.mul(pitch, ir.Constant(LONG, t))])
        wide = b.sext(pick(b, low, high, list(range(t, 64, 8))), vector(INT, 8))
        write(b, b.add(wide, read(b, place, wide.type)) if add else wide, place)


def _bit_chunks(chunks: int, add: bool, steps: bool) -> Any:
    """Make the sum of a row over `chunks * CHUNK` lanes of a stream of bits; `add` to what is there, or write; see `_make_sum_bits`."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        source, base, places, weights, begin, end, out, at, pitch = args
        kinds = signature.args
        stream = b.gep(data_of(context, b, kinds[0], source, BYTE), [base])
        where, numbers = data_of(context, b, kinds[2], places, LONG), data_of(context, b, kinds[3], weights, SHORT)
        into = b.gep(data_of(context, b, kinds[6], out, INT), [at])
        none = ir.Constant(vector(SHORT, 32), None)
        slots = [cgutils.alloca_once_value(b, none) for _ in range(2 * chunks)]
        for slot in slots:
            b.store(none, slot)
        with cgutils.for_range_slice(b, begin, end, ir.Constant(LONG, 1), LONG) as (k, _):
            x = b.gep(stream, [b.load(b.gep(where, [k]))])
            weight = splat(b, b.load(b.gep(numbers, [k])), 32)
            for i, slot in enumerate(slots):
                lanes = b.bitcast(read(b, b.gep(x, [ir.Constant(LONG, 4 * i)]), INT), vector(BIT, 32))
                held = b.load(slot)
                b.store(b.select(lanes, b.add(held, weight), held), slot)
        for i in range(chunks):
            low, high = (b.load(slot) for slot in slots[2 * i : 2 * i + 2])
            if steps:
                _store_steps(b, low, high, b.gep(into, [ir.Constant(LONG, 8 * i)]), pitch, add)
                continue
            for k, half in enumerate((low, high)):
                _store_sums(b, [half], b.gep(into, [ir.Constant(LONG, 64 * i + 32 * k)]), add)
        return context.get_dummy_value()

    return _typed(emit)


sum_bits = variant(_sum_row, "sum_bits", packed=3, shift=0, **_chunked(partial(_bit_chunks, steps=False)))
sum_step_bits = variant(_sum_row, "sum_step_bits", packed=3, shift=3, **_chunked(partial(_bit_chunks, steps=True)))
