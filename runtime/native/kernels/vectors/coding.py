"""The rate code: eight counters of the generator side by side."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .....jit import jit_inline
from .....network import coding
from ..limits import INPUTS
from .llvm import BYTE, INT, LONG, SHORT, data_of, pick, read, splat, vector, write

BLOCKS = 8  # of the generator side by side, in lanes of 64 bits


def _draw(b: Any, counter: list[Any], key: tuple[Any, Any]) -> list[Any]:
    """Return the generator's four words, in lanes of 64 bits whose upper halves mean nothing; see network.coding.philox."""
    low, half = (ir.Constant(vector(LONG, BLOCKS), [number] * BLOCKS) for number in (0xFFFFFFFF, 32))
    m0, m1 = (ir.Constant(low.type, [m] * BLOCKS) for m in coding.MULTIPLIERS)
    c0, c1, c2, c3 = counter
    for r in range(coding.ROUNDS):
        k0, k1 = (splat(b, b.add(k, ir.Constant(LONG, r * w)), BLOCKS) for k, w in zip(key, coding.WEYL, strict=True))
        upper, lower = b.mul(b.and_(c0, low), m0), b.mul(b.and_(c2, low), m1)
        c0, c2 = b.xor(b.xor(b.lshr(lower, half), c1), k0), b.xor(b.xor(b.lshr(upper, half), c3), k1)
        c1, c3 = lower, upper
    return [c0, c1, c2, c3]


def _emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
    _, _, at, step, low, high, k0, k1, out, to = args
    numbers = ir.Constant(vector(LONG, BLOCKS), list(range(BLOCKS)))
    counter = [b.add(splat(b, b.udiv(at, ir.Constant(LONG, 8)), BLOCKS), numbers), *(splat(b, n, BLOCKS) for n in (step, low, high))]
    words = [b.bitcast(c, vector(INT, 2 * BLOCKS)) for c in _draw(b, counter, (k0, k1))]
    lower = [p for i in range(0, 2 * BLOCKS, 2) for p in (i, 2 * BLOCKS + i)]
    pairs = [b.bitcast(pick(b, words[i], words[i + 1], lower), vector(LONG, BLOCKS)) for i in (0, 2)]
    limits, drawn = (data_of(context, b, signature.args[i], args[i], kind) for i, kind in ((0, SHORT), (1, BYTE)))
    into, size = data_of(context, b, signature.args[8], out, BYTE), INPUTS // 2
    for first in (0, size):
        blocks, beyond = range(first // 8, (first + size) // 8), ir.Constant(LONG, first)
        bits = b.bitcast(pick(b, pairs[0], pairs[1], [p for i in blocks for p in (i, BLOCKS + i)]), vector(SHORT, size))
        limit, some = (read(b, b.gep(a, [b.add(at, beyond)]), vector(kind, size)) for a, kind in ((limits, SHORT), (drawn, BYTE)))
        spikes = b.and_(b.icmp_unsigned("<=", bits, limit), b.icmp_unsigned("!=", some, ir.Constant(some.type, None)))
        write(b, b.zext(spikes, some.type), b.gep(into, [b.add(to, beyond)]))
    return context.get_dummy_value()


def _type(typing: Any, line: Any, some: Any, at: Any, step: Any, low: Any, high: Any, k0: Any, k1: Any, out: Any, to: Any) -> Any:
    del typing, at, step, low, high, k0, k1, to
    i = types.int64
    return types.void(line, some, i, i, i, i, i, i, out, i), _emit


_spikes: Any = intrinsic(_type)


@jit_inline
def draw(line: Any, some: Any, at: int, step: int, low: int, high: int, k0: int, k1: int, out: Any, to: int) -> None:
    """Draw eight blocks of the generator, and compare each input's bits with its limit."""
    _spikes(line, some, at, step, low, high, k0, k1, out, to)
