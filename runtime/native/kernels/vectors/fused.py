"""A flat neuron from its synapses to its spikes, with sums and states in registers all the way: the lanes of a full block, bytes.

For what most networks are made of: neurons that halve (`simple` in `lif.Decay`) and whose potential fits 16 bits and a fraction. In
units of the sums, before they are shifted by the exponent e, a potential is  h + f / 2^15,  both in 16 bits, and

    v / 2 + s  =  floor(h / 2) + s  +  (f + 2^15 (h mod 2)) / 2 / 2^15.

The state of 24 bits has e + 6 places behind the point, so the first seven steps halve exactly; later ones round toward zero. Sums come
out of the products in an order of their own; states keep it, and only the bytes of the spikes are put in the lanes' order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .....jit import variant
from ..choose import Form
from ..lanes import CHUNK
from ..limits import COUNTS, POINT
from .llvm import BYTE, INT, LONG, SHORT, data_of, pick, read, splat, vector, write
from .row_sums import emit_sums

EXACT = 7
"""Steps, from the first on, in which a potential halves without a rest, whatever the exponent."""
_VECTORS: dict[Form, tuple[int, int]] = {"avx512": (2, 32), "avx2": (2, 16), "portable": (1, 16)}
"""How many vectors, of how many lanes, are stepped side by side."""
_Steps = Any  # intrinsics; see `variant`
begin8: _Steps = None
begin4: _Steps = None
begin2: _Steps = None
begin1: _Steps = None
steps8: _Steps = None
steps2: _Steps = None
steps1: _Steps = None
quiet: _Steps = None
start: _Steps = None


class _Lanes:
    """Emits the steps of some lanes of a neuron; see the equation above. `kept`: lanes whose potential the last step left, or all."""

    def __init__(self, b: Any, size: int, registers: Any) -> None:
        """Take the builder, the number of lanes, and the address of the registers, see `run_fused`."""
        self.b, self.kind = b, vector(SHORT, size)
        self.zero = ir.Constant(self.kind, None)
        numbers = (splat(b, b.load(b.gep(registers, [ir.Constant(LONG, i)])), size) for i in range(6))
        self.bar, self.rest, self.half, self.held, self.none, self.one = numbers
        self.h, self.f, self.sum, self.kept = self.zero, self.none, self.zero, None

    def constant(self, value: int) -> Any:
        """Return a vector that holds a number everywhere."""
        return ir.Constant(self.kind, [value] * self.kind.count)

    def step(self, sums: Any, t: int | None) -> tuple[Any, Any]:
        """Take the sums of a step, the t-th where that is known; return the lanes without a spike, and what is 0 at rest."""
        b, self.sum = self.b, sums
        if t == 0:
            self.h = sums
        elif t is not None and t < EXACT:
            self._halve()
        else:
            self._round()
        whole = self.h
        if t != 0:
            whole = b.select(b.icmp_unsigned(">", self.f, self.rest), b.add(self.h, self.one), self.h)
        self.kept = b.icmp_signed("<=", whole, self.bar)
        return self.kept, self.h if t == 0 else b.or_(b.or_(self.h, self.f), sums)

    def _left(self, value: Any) -> Any:
        return value if self.kept is None else self.b.select(self.kept, value, self.zero)

    def _halve(self) -> None:
        """Halve and add, where a fraction has places left: the mean of f and 0 or 1, which processors have an instruction for."""
        b, wide = self.b, vector(INT, self.kind.count)
        f, odd = (b.zext(x, wide) for x in (self.f, b.shl(self.h, self.constant(POINT))))
        one = ir.Constant(wide, [1] * wide.count)
        self.f = self._left(b.trunc(b.lshr(b.add(b.add(f, odd), one), one), self.kind))
        self.h = b.add(self._left(b.ashr(self.h, self.constant(1))), self.sum)

    def _round(self) -> None:
        """Halve, round toward zero, and add: below zero up by the last place, which may carry into the whole."""
        b, last = self.b, self.constant(POINT)
        odd = b.and_(b.shl(self.h, self.constant(POINT - 1)), self.constant(1 << (POINT - 1)))
        up = b.and_(b.ashr(self.h, last), self.half)
        f = b.add(b.lshr(self.f, self.constant(1)), b.or_(odd, up))
        f = self._left(b.and_(f, b.sub(self.zero, b.shl(self.half, self.constant(1)))))
        whole = b.add(self._left(b.ashr(self.h, self.constant(1))), self.sum)
        self.h, self.f = b.add(whole, b.lshr(f, last)), b.and_(f, self.constant((1 << POINT) - 1))


class _Part:
    """Vectors of lanes stepped side by side, and the counts of their spikes and updates."""

    def __init__(self, b: Any, form: Form, registers: Any, state: Any, part: int) -> None:
        """Take the builder, the addresses of registers and scratch memory, and which part of a chunk."""
        many, size = _VECTORS[form]
        self.b, self.many, self.size, self.at = b, many, size, part * many * size
        self.lanes = [_Lanes(b, size, registers) for _ in range(many)]
        first = [2 * (self.at + i * size) for i in range(many)]
        self.places = [[b.gep(state, [ir.Constant(LONG, 2 * CHUNK * k + x)]) for k in range(3)] for x in first]
        self.counts = [ir.Constant(LONG, 0)] * 2

    def take_up(self) -> None:
        """Read what an earlier call left."""
        for n, places in zip(self.lanes, self.places, strict=True):
            n.h, n.f, n.sum = (read(self.b, place, n.kind) for place in places)

    def step(self, sums: list[Any], t: int | None, out: Any) -> None:
        """Take a step and write its spikes."""
        b = self.b
        found = [n.step(arrived, t) for n, arrived in zip(self.lanes, sums, strict=True)]
        kept, held = self._narrow([b.sext(mask, n.kind) for n, (mask, _) in zip(self.lanes, found, strict=True)]), [x for _, x in found]
        spikes = b.add(kept, ir.Constant(kept.type, [1] * kept.type.count))
        write(b, spikes, b.gep(out, [ir.Constant(LONG, self.at)]))
        for i, x in enumerate((spikes, self._narrow(held) if self.many > 1 else held[0])):
            other = b.bitcast(b.icmp_signed("!=", x, ir.Constant(x.type, None)), ir.IntType(x.type.count))
            number = b.ctpop(other)
            self.counts[i] = b.add(self.counts[i], b.zext(number, LONG) if number.type != LONG else number)

    def _narrow(self, vectors: list[Any]) -> Any:
        """Return bytes, limited, in the lanes' order: of sixteen lanes the products leave the first eight in one vector."""
        b, size = self.b, self.many * self.size
        if self.many == 1:
            return b.trunc(vectors[0], vector(BYTE, size))
        name = {64: "llvm.x86.avx512.packsswb.512", 32: "llvm.x86.avx2.packsswb"}[size]
        return b.call(
            cgutils.get_or_insert_function(b.module, ir.FunctionType(vector(BYTE, size), [v.type for v in vectors]), name), vectors
        )

    def put_back(self) -> None:
        """Write the states."""
        for n, places in zip(self.lanes, self.places, strict=True):
            left = [n.h, n.f] if n.kept is None else [self.b.select(n.kept, x, n.zero) for x in (n.h, n.f)]
            for place, value in zip(places, (*left, n.sum), strict=True):
                write(self.b, value, place)


def _add_counts(b: Any, state: Any, parts: list[_Part], begins: bool) -> None:
    """Write the counts of a neuron's parts, or add them to those of earlier calls."""
    for i in range(2):
        place, total = b.gep(state, [ir.Constant(LONG, COUNTS + 8 * i)]), ir.Constant(LONG, 0)
        for part in parts:
            total = b.add(total, part.counts[i])
        address = b.bitcast(place, LONG.as_pointer())
        b.store(total if begins else b.add(b.load(address), total), address)


def _sums_of(b: Any, form: Form, spans: list[list[Any]], chunk: int, part: int) -> list[Any]:
    """Return the sums of a part of a step, a vector each."""
    many, size = _VECTORS[form]
    if form == "portable":
        whole = b.load(spans[chunk][0])
        return [pick(b, whole, whole, list(range(part * size, part * size + size)))]
    return [b.load(s) for s in spans[chunk * (CHUNK // (many * size)) + part]]


def _parts(form: Form) -> range:
    many, size = _VECTORS[form]
    return range(CHUNK // (many * size))


def _emit_steps(form: Form, chunks: int, begins: bool) -> Any:
    """Make the sums and `chunks` steps of a neuron, its first ones or later ones."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        registers = data_of(context, b, signature.args[6], args[6], SHORT)
        state, out = (data_of(context, b, signature.args[i], args[i], BYTE) for i in (7, 8))
        spans = emit_sums(context, b, form, chunks, signature.args, args)
        parts = [_Part(b, form, registers, state, part) for part in _parts(form)]
        for i, part in enumerate(parts):
            if not begins:
                part.take_up()
            for t in range(chunks):
                place = b.gep(out, [b.add(args[9], ir.Constant(LONG, t * CHUNK))])
                part.step(_sums_of(b, form, spans, t, i), t if begins else None, place)
            part.put_back()
        _add_counts(b, state, parts, begins)
        return context.get_dummy_value()

    @intrinsic
    def run(
        typing: Any, source: Any, base: Any, places: Any, weights: Any, begin: Any, end: Any, registers: Any, state: Any, out: Any, at: Any
    ) -> Any:
        del typing, base, begin, end, at
        i = types.int64
        return types.void(source, i, places, weights, i, i, registers, state, out, i), emit

    return run


def _emit_quiet(form: Form) -> Any:
    """Make a step in which nothing arrives: the current is held, or ends."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        registers = data_of(context, b, signature.args[0], args[0], SHORT)
        state, out = (data_of(context, b, signature.args[i], args[i], BYTE) for i in (1, 2))
        parts = [_Part(b, form, registers, state, part) for part in _parts(form)]
        for part in parts:
            part.take_up()
            part.step([b.and_(n.sum, n.held) for n in part.lanes], None, b.gep(out, [args[3]]))
            part.put_back()
        _add_counts(b, state, parts, False)
        return context.get_dummy_value()

    @intrinsic
    def run(typing: Any, registers: Any, state: Any, out: Any, at: Any) -> Any:
        del typing, at
        return types.void(registers, state, out, types.int64), emit

    return run


def _begin(source: Any, places: Any, weights: Any, begin: int, end: int, registers: Any, live: int, state: Any, out: Any, to: int) -> int:
    """Run a neuron's first steps; return how many."""
    if live >= 8:
        begin8(source, 0, places, weights, begin, end, registers, state, out, to)
        return 8
    if live >= 4:
        begin4(source, 0, places, weights, begin, end, registers, state, out, to)
        return 4
    if live >= 2:
        begin2(source, 0, places, weights, begin, end, registers, state, out, to)
        return 2
    begin1(source, 0, places, weights, begin, end, registers, state, out, to)
    return 1


def _run_fused(
    source: Any,
    places: Any,
    weights: Any,
    indptr: Any,
    first: int,
    last: int,
    registers: Any,
    alive: Any,
    live: int,
    steps: int,
    state: Any,
    out: Any,
    at: int,
    sums: Any,
) -> None:
    counts = state[COUNTS:].view(np.int64)
    for j in range(first, last):
        if not alive[j]:
            continue
        begin, end, to = indptr[j], indptr[j + 1], at + (j - first) * steps * CHUNK
        t = start(source, places, weights, begin, end, registers, live, state, out, to)
        while t < live:
            left, base = live - t, t * CHUNK
            if left >= 8:
                steps8(source, base, places, weights, begin, end, registers, state, out, to + base)
                t += 8
            elif left >= 2:
                steps2(source, base, places, weights, begin, end, registers, state, out, to + base)
                t += 2
            else:
                steps1(source, base, places, weights, begin, end, registers, state, out, to + base)
                t += 1
        while t < steps:
            quiet(registers, state, out, to + t * CHUNK)
            t += 1
        sums[0, j] += counts[0]
        sums[1, j] += counts[1]


def make_run_fused(form: Form) -> Any:
    """Compile the neurons in one of the forms; see `api.Kernels`."""
    begins = {f"begin{n}": _emit_steps(form, n, True) for n in (8, 4, 2, 1)}
    later = {f"steps{n}": _emit_steps(form, n, False) for n in (8, 2, 1)}
    start = variant(_begin, f"begin_{form}", **begins)
    return variant(_run_fused, f"run_fused_{form}", start=start, quiet=_emit_quiet(form), **later)
