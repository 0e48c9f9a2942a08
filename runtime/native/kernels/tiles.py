"""Samples to lanes and back, 64 x 64 bytes at a time in LLVM's vectors: a transposition is all that lies between them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ....jit import jit
from .lanes import CHUNK
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
    """Make the transposition of a tile, with or without counts; see `_transpose` and `_count_and_transpose`."""

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
"""Write  out[to + i apart + j] = source[at + j pitch + i],  i, j < 64, of flat arrays of bytes; return the OR of all, by eight."""
_count_and_transpose: Any = intrinsic(_counted_type)
"""Do the same, and write how many  source[at + j pitch + i]  are not 0 as  few[i]."""


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


strip: Any = intrinsic(_strip_type)
"""Write  out[to + i apart + j] = source[at + j pitch + i],  i < 64, j < 8, of flat arrays of bytes."""


def _emit_call(context: Any, b: Any, signature: Any, args: Any) -> Any:
    prefetch(b, b.gep(data_of(context, b, signature.args[0], args[0], BYTE), [args[1]]), 2)
    return context.get_dummy_value()


def _call_type(typing: Any, source: Any, at: Any) -> Any:
    del typing, at
    return types.void(source, types.int64), _emit_call


call_for: Any = intrinsic(_call_type)
"""Call for the cache line at a place of a flat array: it will be read soon."""


@jit
def gather_block(source: Any, at: int, apart: int, steps: int, out: Any, pitch: int, few: Any, counts: Any) -> int:
    """Write a full block of samples, `apart` bytes each, from `at` on, as inputs, `pitch` bytes each: (steps, CHUNK).

    At least CHUNK inputs; the last tile lies upon the one before where they are no multiple.

    Args:
        few: uint8 (CHUNK,), scratch.
        counts: int64 by input: payloads that are not 0, added to.

    Returns:
        The OR of what was read, eight bytes.
    """
    seen, inputs = 0, counts.size
    for t in range(steps):
        for tile in range(0, inputs, CHUNK):
            i = min(tile, inputs - CHUNK)
            seen |= _count_and_transpose(source, at + t * inputs + i, apart, out, i * pitch + t * CHUNK, pitch, few)
            for k in range(tile - i, CHUNK):
                counts[i + k] += few[k]
    return seen


@jit
def gather_tiles(events: Any, out: Any) -> int:
    """Do this, without counts, from uint8 (CHUNK samples, steps, inputs) to (inputs, steps, CHUNK); steps beyond out's are dropped."""
    samples, steps, inputs = events.shape
    source, into, seen = events.reshape(events.size), out.reshape(out.size), 0
    for t in range(out.shape[1]):
        for tile in range(0, inputs, CHUNK):
            i = min(tile, inputs - CHUNK)
            seen |= _transpose(source, t * inputs + i, steps * inputs, into, (i * out.shape[1] + t) * samples, out.shape[1] * samples)
    return seen


@jit
def scatter_tiles(stream: Any, spikes: Any) -> None:
    """Write the spikes of a full block of a flat stream, (at least neurons, steps, CHUNK), as (CHUNK samples, steps, neurons)."""
    lanes, steps, neurons = spikes.shape
    source, into = stream.reshape(stream.size), spikes.reshape(spikes.size)
    for t in range(steps):
        for tile in range(0, neurons, CHUNK):
            c = min(tile, neurons - CHUNK)
            _transpose(source, (c * steps + t) * lanes, steps * lanes, into, t * neurons + c, steps * neurons)


@jit
def scatter_strips(source: Any, at: int, spikes: Any, first: int) -> None:
    """Do this from `at` on in a flat array to samples from `first` on, eight neurons at a time; the spikes are as wide as whole words."""
    _, steps, neurons = spikes.shape
    into, pitch, apart = spikes.reshape(spikes.size), steps * CHUNK, steps * neurons
    for t in range(steps):
        for c in range(0, neurons, 8):
            strip(source, at + c * pitch + t * CHUNK, pitch, into, first * apart + t * neurons + c, apart)
