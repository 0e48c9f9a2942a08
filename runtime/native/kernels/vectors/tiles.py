"""Transpositions of 64 x 64 bytes and of 8 x 64."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .....jit import jit_inline
from ..lanes import CHUNK
from .llvm import BYTE, INT, LONG, data_of, pick, prefetch, read, vector, write

LANE = 16  # bytes within which x86 interleaves vectors at no cost
AHEAD = 256  # bytes of a row by which it is called for before it is read: 64 rows are more than a processor follows by itself


def _interleaved(b: Any, x: Any, y: Any, upper: bool) -> Any:
    """Return the lower or upper halves of each 16 bytes of two vectors, byte by byte in turn."""
    size = x.type.count
    first = LANE // 2 if upper else 0
    return pick(
        b, x, y, [place for lane in range(0, size, LANE) for i in range(first, first + LANE // 2) for place in (lane + i, size + lane + i)]
    )


def _columns(b: Any, rows: list[Any]) -> list[Any]:
    """Return eight vectors of words, each the bytes of eight rows in a column: word w of vector k is column  16 (w // 2) + 2 k + w % 2."""
    for apart in (4, 2, 1):
        groups = range(0, len(rows), 2 * apart)
        rows = [_interleaved(b, rows[g + i], rows[g + i + apart], upper) for g in groups for upper in (False, True) for i in range(apart)]
    return [b.bitcast(row, vector(LONG, CHUNK // 8)) for row in rows]


def exchanged(b: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight vectors of eight."""
    for _ in range(3):
        pairs = zip(rows[:4], rows[4:], strict=True)
        rows = [pick(b, x, y, [p for i in range(first, first + 4) for p in (i, 8 + i)]) for x, y in pairs for first in (0, 4)]
    return rows


def _or_of(b: Any, seen: Any) -> Any:
    """Return the OR of a vector's words."""
    held = b.bitcast(seen, vector(LONG, CHUNK // 8))
    while (size := held.type.count) > 1:
        held = b.or_(*(pick(b, held, held, list(range(first, first + size // 2))) for first in (0, size // 2)))
    return b.extract_element(held, ir.Constant(INT, 0))


def _transposition(counts: bool) -> Any:
    """Make the transposition of a tile, with or without counts; see `api.Kernels`."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        source, at, pitch, out, to, apart = args[:6]
        begin = b.gep(data_of(context, b, signature.args[0], source, BYTE), [at])
        into = b.gep(data_of(context, b, signature.args[3], out, BYTE), [to])
        one = ir.Constant(vector(BYTE, CHUNK), [1] * CHUNK)
        seen = few = ir.Constant(one.type, None)
        words: list[list[Any]] = []
        for group in range(0, CHUNK, 8):
            places = [b.gep(begin, [b.mul(pitch, ir.Constant(LONG, group + i))]) for i in range(8)]
            rows = [read(b, place, one.type) for place in places]
            for place, row in zip(places, rows, strict=True):
                prefetch(b, b.gep(place, [ir.Constant(LONG, AHEAD)]), 2)
                seen = b.or_(seen, row)
                few = b.add(few, b.select(b.icmp_unsigned("<", row, one), row, one)) if counts else few
            words.append(_columns(b, rows))
        for k, of_groups in enumerate(zip(*words, strict=True)):
            for w, row in enumerate(exchanged(b, list(of_groups))):
                column = ir.Constant(LONG, LANE * (w // 2) + 2 * k + w % 2)
                write(b, row, b.gep(into, [b.mul(apart, column)]))
        if counts:
            write(b, few, data_of(context, b, signature.args[6], args[6], BYTE))
        return _or_of(b, seen)

    return emit


def _type(typing: Any, source: Any, at: Any, pitch: Any, out: Any, to: Any, apart: Any) -> Any:
    del typing, at, pitch, to, apart
    i = types.int64
    return types.int64(source, i, i, out, i, i), _transposition(False)


def _counted_type(typing: Any, source: Any, at: Any, pitch: Any, out: Any, to: Any, apart: Any, few: Any) -> Any:
    del typing, at, pitch, to, apart
    i = types.int64
    return types.int64(source, i, i, out, i, i, few), _transposition(True)


_transpose: Any = intrinsic(_type)
_count_and_transpose: Any = intrinsic(_counted_type)


def _emit_strip(context: Any, b: Any, signature: Any, args: Any) -> Any:
    source, at, pitch, out, to, apart = args
    begin = b.gep(data_of(context, b, signature.args[0], source, BYTE), [at])
    into = b.gep(data_of(context, b, signature.args[3], out, BYTE), [to])
    rows = [read(b, b.gep(begin, [b.mul(pitch, ir.Constant(LONG, i))]), vector(BYTE, CHUNK)) for i in range(8)]
    for k, words in enumerate(_columns(b, rows)):
        for w in range(words.type.count):
            column = ir.Constant(LONG, LANE * (w // 2) + 2 * k + w % 2)
            write(b, b.extract_element(words, ir.Constant(INT, w)), b.gep(into, [b.mul(apart, column)]))
    return context.get_dummy_value()


def _strip_type(typing: Any, source: Any, at: Any, pitch: Any, out: Any, to: Any, apart: Any) -> Any:
    del typing, at, pitch, to, apart
    i = types.int64
    return types.void(source, i, i, out, i, i), _emit_strip


_strip: Any = intrinsic(_strip_type)


@jit_inline
def transpose(source: Any, at: int, pitch: int, out: Any, to: int, apart: int) -> Any:
    """Transpose a tile."""
    return _transpose(source, at, pitch, out, to, apart)


@jit_inline
def count_and_transpose(source: Any, at: int, pitch: int, out: Any, to: int, apart: int, few: Any) -> Any:
    """Transpose a tile and count what is in its columns."""
    return _count_and_transpose(source, at, pitch, out, to, apart, few)


@jit_inline
def strip(source: Any, at: int, pitch: int, out: Any, to: int, apart: int) -> None:
    """Transpose a tile of eight rows."""
    _strip(source, at, pitch, out, to, apart)
