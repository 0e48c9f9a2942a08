"""A flat neuron from its synapses to its spikes, with sums and states in registers all the way: the lanes of a full block, bytes.

For what most networks are made of: `simple` neurons (see `lif.Decay`) whose rows one sum of 16 bits holds. The sums come out of the
products in an order of their own; states and counts keep it, and only the bytes of the spikes are put in the lanes' order again.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import variant
from .lanes import BYTES, CHUNK
from .lif import WIDTHS, Neurons
from .llvm import BIT, BYTE, INT, LONG, Form, data_of, host_form, pick, read, vector, write
from .row_sums import emit_sums

COUNTS = 8 * CHUNK
"""Where in a neuron's scratch memory two counts of 64 bits begin, behind potentials and currents of 32 bits by lane."""
STATE = COUNTS + 16
"""Bytes of that memory."""
_Steps = Any  # intrinsics; see `variant`
steps8: _Steps = None
steps4: _Steps = None
steps2: _Steps = None
steps1: _Steps = None
quiet: _Steps = None


def _lanes_of(b: Any, form: Form, spans: list[list[Any]], chunk: int, part: int) -> Any:
    """Return the sums of one step and part of its lanes, 32 bits each, in the order of `_order`."""
    if form == "plain":
        first = part * WIDTHS[form]
        whole = b.load(spans[chunk][0])
        sums = pick(b, whole, whole, list(range(first, first + WIDTHS[form])))
    else:
        low, high = (b.load(s) for s in spans[chunk * (CHUNK // WIDTHS[form]) + part])
        sums = pick(b, low, high, list(range(WIDTHS[form])))
    return b.sext(sums, vector(INT, WIDTHS[form]))


def _order(form: Form) -> list[int]:
    """Return where each lane of a part lies: of sixteen, the products leave the first eight in one vector and the others in another."""
    if form == "plain":
        return list(range(WIDTHS[form]))
    return [lane // 16 * 8 + lane % 8 + (WIDTHS[form] // 2 if lane % 16 >= 8 else 0) for lane in range(WIDTHS[form])]


class _Part(Neurons):
    """Some lanes of a neuron: its states and counts, taken from scratch memory and put back."""

    def __init__(self, b: Any, form: Form, registers: Any, state: Any, part: int, first: Any) -> None:
        """Take the builder, the addresses of registers and scratch, which part, and whether the neuron begins here: with zeros."""
        super().__init__(b, registers, ir.Constant(vector(INT, WIDTHS[form]), None), "simple", BYTES)
        self.order = _order(form)
        self.counts = [cgutils.alloca_once(b, LONG) for _ in range(2)]
        lanes = [(slot, at + 4 * part * WIDTHS[form]) for slot, at in ((self.v, 0), (self.u, 4 * CHUNK))]
        numbers = [(slot, COUNTS + 8 * i) for i, slot in enumerate(self.counts)]
        self.places = [(slot, b.gep(state, [ir.Constant(LONG, at)])) for slot, at in (*lanes, *numbers)]
        begins = b.and_(first, ir.Constant(BIT, int(part == 0)))  # the parts of a neuron are counted together
        for slot, place in self.places:
            kind = slot.type.pointee
            b.store(b.select(begins if kind == LONG else first, ir.Constant(kind, None if kind != LONG else 0), read(b, place, kind)), slot)

    def count(self, fired: Any, spikes: Any, busy: Any) -> None:
        """Add a step's spikes, and the lanes with a state, to the counts of all lanes."""
        b = self.b
        for slot, bits in zip(self.counts, (fired, busy), strict=True):
            whole = b.bitcast(bits, ir.IntType(bits.type.count))
            number = b.ctpop(whole)
            b.store(b.add(b.load(slot), b.zext(number, LONG) if number.type != LONG else number), slot)

    def put_back(self) -> None:
        """Write states and counts."""
        for slot, place in self.places:
            write(self.b, self.b.load(slot), place)


def _emit_steps(form: Form, chunks: int) -> Any:
    """Make the sums and `chunks` steps of a neuron."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        registers = data_of(context, b, signature.args[6], args[6], INT)
        state, out = (data_of(context, b, signature.args[i], args[i], BYTE) for i in (7, 8))
        first = b.icmp_signed("==", args[1], ir.Constant(LONG, 0))
        spans = emit_sums(context, b, form, chunks, signature.args, args)
        for part in range(CHUNK // WIDTHS[form]):
            held = _Part(b, form, registers, state, part, first)
            into = b.gep(out, [b.add(args[9], ir.Constant(LONG, part * WIDTHS[form]))])
            for t in range(chunks):
                held.arrive(_lanes_of(b, form, spans, t, part))
                held.step(ir.Constant(LONG, t), into, ir.Constant(LONG, CHUNK))
            held.put_back()
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
    """Make a step in which nothing arrives."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        registers = data_of(context, b, signature.args[0], args[0], INT)
        state, out = (data_of(context, b, signature.args[i], args[i], BYTE) for i in (1, 2))
        for part in range(CHUNK // WIDTHS[form]):
            held = _Part(b, form, registers, state, part, ir.Constant(BIT, 0))
            into = b.gep(out, [b.add(args[3], ir.Constant(LONG, part * WIDTHS[form]))])
            held.end_of_input()
            held.step(ir.Constant(LONG, 0), into, ir.Constant(LONG, CHUNK))
            held.put_back()
        return context.get_dummy_value()

    @intrinsic
    def run(typing: Any, registers: Any, state: Any, out: Any, at: Any) -> Any:
        del typing, at
        return types.void(registers, state, out, types.int64), emit

    return run


def _run_fused(
    source: Any, places: Any, weights: Any, begin: int, end: int, registers: Any, live: int, steps: int, state: Any, out: Any, at: int
) -> None:
    t = 0
    while t < live:
        left, base, to = live - t, t * CHUNK, at + t * CHUNK
        if left >= 8:
            steps8(source, base, places, weights, begin, end, registers, state, out, to)
            t += 8
        elif left >= 4:
            steps4(source, base, places, weights, begin, end, registers, state, out, to)
            t += 4
        elif left >= 2:
            steps2(source, base, places, weights, begin, end, registers, state, out, to)
            t += 2
        else:
            steps1(source, base, places, weights, begin, end, registers, state, out, to)
            t += 1
    while t < steps:
        quiet(registers, state, out, at + t * CHUNK)
        t += 1


def make_run_fused(form: Form) -> Any:
    """Compile the neurons in one of the forms; see `run_fused`."""
    made = {f"steps{n}": _emit_steps(form, n) for n in (8, 4, 2, 1)}
    return variant(_run_fused, f"run_fused_{form}", quiet=_emit_quiet(form), **made)


run_fused = make_run_fused(host_form())
"""Run a neuron: what `sum_pairs` does over its live steps, and `run_lanes` on the sums.

    source, places, weights, begin, end: as `sum_pairs` takes them, of at most `most_synapses`.
    registers: as `run_lanes` takes them, of a neuron that is `simple`.
    live, steps: those in which something can arrive, at least one, and all.
    state: uint8 (STATE,), scratch; from COUNTS on, written: spikes and active updates of all lanes, int64.
    out: uint8, flat, written from `at` on: (steps, CHUNK) bytes.
"""
