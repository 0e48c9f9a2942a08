"""LIF neurons in LLVM's vectors: states and counts stay in registers over all steps. All forms give the same integers."""

from __future__ import annotations

from typing import Any, Literal, get_args

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .....hwmodels.fixed_point import STATE_LIMIT
from .....jit import variant
from ..choose import Form
from ..lanes import BYTES, SAMPLES, STEPS
from .llvm import BYTE, INT, LONG, data_of, read, splat, vector, write

Decay = Literal["simple", "product"]
"""How a neuron is computed. `product`: all of it, the decay by products. `simple`: the potential halves, the sums shift to the left
alone, there are no biases, a spike leaves 0, and no state reaches its limit: half of the instructions."""
_Lanes = Any  # intrinsics; see `variant`


def _half(b: Any, v: Any) -> Any:
    """Return  v / 2  rounded toward zero."""
    size = v.type.count
    one, last = (splat(b, ir.Constant(INT, value), size) for value in (1, 31))
    return b.ashr(b.add(v, b.lshr(v, last)), one)


def _rest(b: Any, v: Any, keep: Any) -> Any:
    """Return  v keep / 4096  rounded toward zero; |v| < 2^23."""
    size = v.type.count

    def constant(value: int) -> Any:
        return splat(b, ir.Constant(INT, value), size)

    sign = b.ashr(v, constant(31))
    magnitude = b.sub(b.xor(v, sign), sign)
    low = b.lshr(b.mul(b.and_(magnitude, constant(4095)), keep), constant(12))
    whole = b.add(b.mul(b.lshr(magnitude, constant(12)), keep), low)
    return b.sub(b.xor(whole, sign), sign)


def _limited(b: Any, value: Any) -> Any:
    """Return values held within the state's 24 bits."""
    top, bottom = (splat(b, ir.Constant(INT, limit), value.type.count) for limit in (STATE_LIMIT - 1, 1 - STATE_LIMIT))
    value = b.select(b.icmp_signed("<", value, bottom), bottom, value)
    return b.select(b.icmp_signed(">", value, top), top, value)


class Neurons:
    """Emits LIF neurons, one a lane: states and counts stay in registers over all steps."""

    def __init__(self, b: Any, registers: Any, biases: Any, decay: Decay, packing: int) -> None:
        """Take the builder, the address of the registers, the biases as a vector, the form of the decay, and how spikes lie."""
        self.b, self.bias, self.packing, self.decay, size = b, biases, packing, decay, biases.type.count
        right, left, held, keep, bar, soft = (b.load(b.gep(registers, [ir.Constant(LONG, i)])) for i in range(6))
        self.right, self.left, self.held, self.keep, self.bar, self.soft = (splat(b, x, size) for x in (right, left, held, keep, bar, soft))
        wide, narrow = (ir.Constant(vector(element, size), None) for element in (INT, BYTE))
        zeros = (wide, wide, narrow, narrow, narrow)
        self.v, self.u, self.fires, self.busy, self.eight = (cgutils.alloca_once_value(b, zero) for zero in zeros)
        for slot, zero in zip((self.v, self.u, self.fires, self.busy, self.eight), zeros, strict=True):
            b.store(zero, slot)  # an alloca is filled where the function begins, not each time round

    def arrive(self, sums: Any) -> None:
        """Take the current of this step."""
        b = self.b
        kept = sums if self.decay == "simple" else b.ashr(sums, self.right)
        b.store(b.shl(kept, self.left), self.u)

    def end_of_input(self) -> None:
        """Hold the current, or end it."""
        self.b.store(self.b.and_(self.b.load(self.u), self.held), self.u)

    def _next(self, v: Any, u: Any) -> tuple[Any, Any, Any]:
        """Return the potential before a spike, whether there is one, and the potential after it."""
        b = self.b
        if self.decay == "simple":
            new = b.add(_half(b, v), u)
            fired = b.icmp_signed(">", new, self.bar)
            return new, fired, b.select(fired, ir.Constant(new.type, None), new)
        new = _limited(b, b.add(b.add(_rest(b, v, self.keep), u), self.bias))
        fired = b.icmp_signed(">", new, self.bar)
        return new, fired, b.select(fired, b.and_(b.sub(new, self.bar), self.soft), new)

    def step(self, t: Any, out: Any, pitch: Any) -> None:
        """Take step t and write the spikes."""
        b = self.b
        u = b.load(self.u)
        new, fired, after = self._next(b.load(self.v), u)
        b.store(after, self.v)
        spikes = b.zext(fired, vector(BYTE, new.type.count))
        if self.packing == STEPS:
            self._gather_steps(spikes, t, out, pitch)
        elif self.packing == SAMPLES:
            write(b, b.bitcast(fired, ir.IntType(new.type.count)), b.gep(out, [b.mul(t, pitch)]))
        else:
            write(b, spikes, b.gep(out, [b.mul(t, pitch)]))
        self.count(fired, spikes, b.icmp_signed("!=", b.or_(u, new), ir.Constant(new.type, None)))

    def count(self, fired: Any, spikes: Any, busy: Any) -> None:
        """Add a step's spikes, as bits and as bytes, and the lanes with a state, to the counts by lane."""
        b = self.b
        b.store(b.add(b.load(self.fires), spikes), self.fires)
        b.store(b.add(b.load(self.busy), b.zext(busy, spikes.type)), self.busy)

    def _gather_steps(self, spikes: Any, t: Any, out: Any, pitch: Any) -> None:
        """Put step t's spikes into their bit, and write the byte as it stands."""
        b, size = self.b, spikes.type.count
        place = b.and_(t, ir.Constant(LONG, 7))
        first = b.sext(b.icmp_signed("!=", place, ir.Constant(LONG, 0)), BYTE)
        held = b.and_(b.load(self.eight), splat(b, first, size))
        held = b.or_(held, b.shl(spikes, splat(b, b.trunc(place, BYTE), size)))
        b.store(held, self.eight)
        write(b, held, b.gep(out, [b.mul(b.lshr(t, ir.Constant(LONG, 3)), pitch)]))


def _shape(context: Any, b: Any, kind: Any, array: Any) -> Any:
    return cgutils.unpack_tuple(b, context.make_array(kind)(context, b, array).shape, 2)


def _run_lanes(size: int, decay: Decay, packing: int) -> Any:
    """Make the neurons of `size` lanes with one form of the decay; see `run_lanes`."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        sums, biases, registers = (data_of(context, b, kinds[i], args[i], INT) for i in (0, 1, 2))
        out, fires = (data_of(context, b, kinds[i], args[i], BYTE) for i in (3, 4))
        start, pitch, steps, at = args[5:]
        (live, width), (_, apart) = (_shape(context, b, kinds[i], args[i]) for i in (0, 4))
        out = b.gep(out, [b.add(start, b.udiv(at, ir.Constant(LONG, 8)) if packing == SAMPLES else at)])
        n = Neurons(b, registers, read(b, b.gep(biases, [at]), vector(INT, size)), decay, packing)
        with cgutils.for_range(b, live) as loop:
            n.arrive(read(b, b.gep(sums, [b.add(b.mul(loop.index, width), at)]), vector(INT, size)))
            n.step(loop.index, out, pitch)
        n.end_of_input()
        with cgutils.for_range_slice(b, live, steps, ir.Constant(LONG, 1), LONG) as (t, _):
            n.step(t, out, pitch)
        write(b, b.load(n.fires), b.gep(fires, [at]))
        write(b, b.load(n.busy), b.gep(fires, [b.add(at, apart)]))
        return context.get_dummy_value()

    @intrinsic
    def run(
        typing: Any, total: Any, biases: Any, registers: Any, spikes: Any, counts: Any, start: Any, pitch: Any, steps: Any, at: Any
    ) -> Any:
        del typing, start, pitch, steps, at
        i = types.int64
        return types.void(total, biases, registers, spikes, counts, i, i, i, i), emit

    return run


WIDTHS: dict[Form, int] = {"avx512": 64, "avx2": 32, "portable": 16}
"""Lanes for which the registers hold states and counts."""
simple_most: _Lanes = None
product_most: _Lanes = None
product_8: _Lanes = None
most = 0  # lanes at a time; see `variant`


def _run(total: Any, n: int, biases: Any, registers: Any, spikes: Any, start: int, pitch: int, steps: int, counts: Any) -> None:
    at, simple = 0, registers[6] != 0
    while at + most <= n:
        if simple:
            simple_most(total, biases, registers, spikes, counts, start, pitch, steps, at)
        else:
            product_most(total, biases, registers, spikes, counts, start, pitch, steps, at)
        at += most
    while at < n:
        product_8(total, biases, registers, spikes, counts, start, pitch, steps, at)
        at += 8


_run_bytes: _Lanes = None
_run_samples: _Lanes = None
_run_steps: _Lanes = None


def _run_lanes_of(
    total: Any, n: int, biases: Any, registers: Any, spikes: Any, start: int, pitch: int, steps: int, packing: int, counts: Any
) -> None:
    if packing == SAMPLES:
        _run_samples(total, n, biases, registers, spikes, start, pitch, steps, counts)
    elif packing == STEPS:
        _run_steps(total, n, biases, registers, spikes, start, pitch, steps, counts)
    else:
        _run_bytes(total, n, biases, registers, spikes, start, pitch, steps, counts)


def make_run_lanes(form: Form) -> Any:
    """Compile the neurons for as many lanes at a time as the registers have room for, and 8 at a time for what is left."""
    made: dict[str, Any] = {}
    for name, packing in (("_run_bytes", BYTES), ("_run_samples", SAMPLES), ("_run_steps", STEPS)):
        emitted = {f"{decay}_most": _run_lanes(WIDTHS[form], decay, packing) for decay in get_args(Decay)}
        made[name] = variant(_run, f"{name}_{form}", most=WIDTHS[form], product_8=_run_lanes(8, "product", packing), **emitted)
    return variant(_run_lanes_of, f"run_lanes_{form}", **made)
