"""Samples to lanes and back, 64 x 64 bytes at a time in LLVM's vectors: a transposition is all that lies between them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .jit import jit
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


def _exchanged(b: Any, rows: list[Any]) -> list[Any]:
    """Transpose eight vectors of eight words."""
    for _ in range(3):
        pairs = zip(rows[:4], rows[4:], strict=True)
        rows = [pick(b, x, y, [p for i in range(first, first + 4) for p in (i, 8 + i)]) for x, y in pairs for first in (0, 4)]
    return rows


def _emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
    source, at, pitch, out, to, apart = args
    begin = b.gep(data_of(context, b, signature.args[0], source, BYTE), [at])
    into = b.gep(data_of(context, b, signature.args[3], out, BYTE), [to])
    seen, words = ir.Constant(vector(BYTE, CHUNK), None), []
    for group in range(0, CHUNK, 8):
        places = [b.gep(begin, [b.mul(pitch, ir.Constant(LONG, group + i))]) for i in range(8)]
        rows = [read(b, place, vector(BYTE, CHUNK)) for place in places]
        for place, row in zip(places, rows, strict=True):
            prefetch(b, b.gep(place, [ir.Constant(LONG, AHEAD)]), 2)
            seen = b.or_(seen, row)
        words.append(_columns(b, rows))
    for k, of_groups in enumerate(zip(*words, strict=True)):
        for w, row in enumerate(_exchanged(b, list(of_groups))):
            column = ir.Constant(LONG, LANE * (w // 2) + 2 * k + w % 2)
            write(b, row, b.gep(into, [b.mul(apart, column)]))
    held = b.bitcast(seen, vector(LONG, CHUNK // 8))
    while (size := held.type.count) > 1:
        held = b.or_(*(pick(b, held, held, list(range(first, first + size // 2))) for first in (0, size // 2)))
    return b.extract_element(held, ir.Constant(INT, 0))


def _type(typing: Any, source: Any, at: Any, pitch: Any, out: Any, to: Any, apart: Any) -> Any:
    del typing, at, pitch, to, apart
    i = types.int64
    return types.int64(source, i, i, out, i, i), _emit


_transpose: Any = intrinsic(_type)
"""Write  out[to + i apart + j] = source[at + j pitch + i],  i, j < 64, of flat arrays of bytes; return the OR of all, by eight."""


@jit
def gather_tiles(events: Any, out: Any) -> int:
    """Write a full block of a flat stream: uint8 (CHUNK samples, steps, inputs) to (inputs, steps, CHUNK); steps beyond out's are dropped.

    At least CHUNK inputs; the last tile lies upon the one before where they are no multiple. Returns the OR of what was read, eight bytes.
    """
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
