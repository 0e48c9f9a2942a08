"""The two innermost loops, written in LLVM's vectors: sums of weights times spikes, and LIF neurons.

numba compiles a loop over lanes to half the registers' width on many processors, keeps its sums in memory and widens 8-bit products to
64 bits before it narrows them. Here sums and states stay in registers, and two products and their sum are one instruction where the
processor has it (x86: u8 times s8 in pairs, AVX2 or AVX-512). Elsewhere LLVM chooses. All forms give the same integers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...hwmodels.fixed_point import STATE_LIMIT
from .jit import jit, variant

Form = Literal["avx512", "avx2", "plain"]
BYTES, SAMPLES, STEPS = 0, 1, 2
"""How spikes lie in a stream: a byte each; eight samples of a step in a byte; eight steps of a sample in a byte."""
PAYLOAD = 127
"""Largest payload of which two products with 8-bit weights fit 16 bits."""
CHUNK = 64  # lanes that are summed side by side
_BIT, _BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_ZERO = ir.Constant(_INT, 0)


def host_form() -> Form:
    """Return the best form of the pair sums that this processor has."""
    features = binding.get_host_cpu_features()
    if features.get("avx512bw") and features.get("avx512vl"):
        return "avx512"
    return "avx2" if features.get("avx2") else "plain"


def most_synapses(payload: int, weight: int = 127) -> int:
    """Return how many products of payloads with weights one 16-bit sum can hold, of each sign; even where there are two."""
    most = 32767 // max(payload * weight, 1)
    return most // 2 * 2 or most


def _vector(element: Any, size: int) -> Any:
    return ir.VectorType(element, size)


def _splat(b: Any, value: Any, size: int) -> Any:
    """Return a vector that holds `value` everywhere."""
    kind = _vector(value.type, size)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), value, _ZERO)
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(_vector(_INT, size), None))


def _pick(b: Any, x: Any, y: Any, places: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(_vector(_INT, len(places)), places))


def _data(context: Any, b: Any, kind: Any, array: Any, element: Any) -> Any:
    """Return the address of an array's data as one of `element`."""
    return b.bitcast(context.make_array(kind)(context, b, array).data, element.as_pointer())


def _read(b: Any, address: Any, kind: Any) -> Any:
    """Load a vector from an address that need not be aligned."""
    value = b.load(b.bitcast(address, kind.as_pointer()))
    value.align = 1
    return value


def _write(b: Any, value: Any, address: Any) -> None:
    b.store(value, b.bitcast(address, value.type.as_pointer())).align = 1


def _pair_products(b: Any, form: Form, x: Any, y: Any, pair: Any) -> list[Any]:
    """Return  w0 x + w1 y  of two vectors of bytes as vectors of 16 bits; `pair`: both weights, 8 bits each. See `_in_order`."""
    size = x.type.count
    if form == "plain":
        wide = _vector(_SHORT, size)
        low, high = b.sext(b.trunc(pair, _BYTE), _SHORT), b.ashr(pair, ir.Constant(_SHORT, 8))
        return [b.add(b.mul(b.zext(x, wide), _splat(b, low, size)), b.mul(b.zext(y, wide), _splat(b, high, size)))]
    name = {"avx512": "llvm.x86.avx512.pmaddubs.w.512", "avx2": "llvm.x86.avx2.pmadd.ub.sw"}[form]
    out, vector = _vector(_SHORT, size // 2), _vector(_BYTE, size)
    multiply = cgutils.get_or_insert_function(b.module, ir.FunctionType(out, [vector, vector]), name)
    weights = b.bitcast(_splat(b, pair, size // 2), vector)
    parts: list[Any] = []
    for half in (0, 8):  # bytes 0-7 of each 16, then 8-15: what interleaves without crossing registers
        places = [place for start in range(half, size, 16) for i in range(start, start + 8) for place in (i, size + i)]
        parts.append(b.call(multiply, [_pick(b, x, y, places), weights]))
    return parts


def _in_order(b: Any, sums: list[Any]) -> list[Any]:
    """Return the 16-bit sums of `_pair_products` as vectors of 16 lanes in the lanes' order."""
    if len(sums) == 1:
        return [_pick(b, sums[0], sums[0], list(range(i, i + 16))) for i in range(0, sums[0].type.count, 16)]
    size = sums[0].type.count
    return [_pick(b, sums[0], sums[1], [*range(i, i + 8), *range(size + i, size + i + 8)]) for i in range(0, size, 8)]


def _store_sums(b: Any, sums: list[Any], address: Any, add: bool) -> None:
    """Write 16-bit sums as 32 bits in the lanes' order, or add them to what is there."""
    for i, lanes in enumerate(_in_order(b, sums)):
        place = b.gep(address, [ir.Constant(_LONG, 16 * i)])
        wide = b.sext(lanes, _vector(_INT, 16))
        _write(b, b.add(wide, _read(b, place, wide.type)) if add else wide, place)


def _sum_chunks(form: Form, chunks: int, add: bool) -> Any:
    """Make the sum of a row over `chunks * CHUNK` bytes of a stream; `add` to what is there, or write."""
    bytes_ = 32 if form == "avx2" else CHUNK

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        source, base, places, weights, begin, end, out, at = args
        kinds = signature.args
        stream = b.gep(_data(context, b, kinds[0], source, _BYTE), [base])
        where, pairs = _data(context, b, kinds[2], places, _LONG), _data(context, b, kinds[3], weights, _BYTE)
        into = b.gep(_data(context, b, kinds[6], out, _INT), [at])
        starts = range(0, chunks * CHUNK, bytes_)
        each, size = (1, bytes_) if form == "plain" else (2, bytes_ // 2)
        none = ir.Constant(_vector(_SHORT, size), None)
        slots = [[cgutils.alloca_once_value(b, none) for _ in range(each)] for _ in starts]
        for slot in (s for pair in slots for s in pair):
            b.store(none, slot)  # an alloca is filled where the function begins, not each time round
        with cgutils.for_range_slice(b, begin, end, ir.Constant(_LONG, 2), _LONG) as (k, _):
            x, y = (b.gep(stream, [b.load(b.gep(where, [b.add(k, ir.Constant(_LONG, i))]))]) for i in (0, 1))
            pair = _read(b, b.gep(pairs, [k]), _SHORT)
            for start, slot in zip(starts, slots, strict=True):
                x_part, y_part = (_read(b, b.gep(a, [ir.Constant(_LONG, start)]), _vector(_BYTE, bytes_)) for a in (x, y))
                for s, product in zip(slot, _pair_products(b, form, x_part, y_part, pair), strict=True):
                    b.store(b.add(b.load(s), product), s)
        for start, slot in zip(starts, slots, strict=True):
            _store_sums(b, [b.load(s) for s in slot], b.gep(into, [ir.Constant(_LONG, start)]), add)
        return context.get_dummy_value()

    @intrinsic
    def sum_chunks(typing: Any, source: Any, base: Any, places: Any, weights: Any, begin: Any, end: Any, out: Any, at: Any) -> Any:
        del typing, base, begin, end, at
        i = types.int64
        return types.void(source, i, places, weights, i, i, out, i), emit

    return sum_chunks


_Chunks = Any  # intrinsics; see `variant`
set8: _Chunks = None
set4: _Chunks = None
set2: _Chunks = None
set1: _Chunks = None
add8: _Chunks = None
add4: _Chunks = None
add1: _Chunks = None


def _sum_pairs(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    last, at = min(begin + most, end), 0
    while at < size:
        start, left = base + at, size - at
        if left >= 512:
            set8(source, start, places, weights, begin, last, out, to + at)
            at += 512
        elif left >= 256:
            set4(source, start, places, weights, begin, last, out, to + at)
            at += 256
        elif left >= 128:
            set2(source, start, places, weights, begin, last, out, to + at)
            at += 128
        else:
            set1(source, start, places, weights, begin, last, out, to + at)
            at += 64
    while last < end:  # more than one sum of 16 bits holds
        first, last, at = last, min(last + most, end), 0
        while at < size:
            start, left = base + at, size - at
            if left >= 512:
                add8(source, start, places, weights, first, last, out, to + at)
                at += 512
            elif left >= 256:
                add4(source, start, places, weights, first, last, out, to + at)
                at += 256
            else:
                add1(source, start, places, weights, first, last, out, to + at)
                at += 64


def _chunked(make: Any) -> dict[str, Any]:
    """Return the sums that `_sum_pairs` and `_sum_bits` take, by name; `make` takes a number of chunks and whether to add."""
    return {f"{'add' if add else 'set'}{n}": make(n, add) for add, sizes in ((False, (8, 4, 2, 1)), (True, (8, 4, 1))) for n in sizes}


def make_sum_pairs(form: Form) -> Any:
    """Compile the sum of a row in one of the forms; see `sum_pairs`."""
    return variant(_sum_pairs, f"sum_pairs_{form}", **_chunked(partial(_sum_chunks, form)))


sum_pairs = make_sum_pairs(host_form())
"""out[to + l] = sum over the synapses k in begin..end of  weights[k] source[base + places[k] + l].

    source: uint8, flat; at least 64 bytes can be read from every place that is asked for.
    places, weights: int64 and int8 by synapse; rows begin and end at even numbers (pad them with a weight of 0).
    most: synapses whose sum fits 16 bits: `most_synapses`.
    size: lanes, rounded up to whole chunks of 64.
    out: int32, written.
    pitch: of `sum_step_bits` alone.
"""


def _store_steps(b: Any, low: Any, high: Any, address: Any, pitch: Any, add: bool) -> None:
    """Write the sums of eight positions with eight steps each, 2 x 32 lanes of 16 bits, step by step: eight rows, `pitch` apart."""
    for t in range(8):
        place = b.gep(address, [b.mul(pitch, ir.Constant(_LONG, t))])
        wide = b.sext(_pick(b, low, high, list(range(t, 64, 8))), _vector(_INT, 8))
        _write(b, b.add(wide, _read(b, place, wide.type)) if add else wide, place)


def _bit_chunks(chunks: int, add: bool, steps: bool) -> Any:
    """Make the sum of a row over `chunks * CHUNK` lanes of a stream of bits; `add` to what is there, or write; see `_make_sum_bits`."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        source, base, places, weights, begin, end, out, at, pitch = args
        kinds = signature.args
        stream = b.gep(_data(context, b, kinds[0], source, _BYTE), [base])
        where, numbers = _data(context, b, kinds[2], places, _LONG), _data(context, b, kinds[3], weights, _SHORT)
        into = b.gep(_data(context, b, kinds[6], out, _INT), [at])
        none = ir.Constant(_vector(_SHORT, 32), None)
        slots = [cgutils.alloca_once_value(b, none) for _ in range(2 * chunks)]
        for slot in slots:
            b.store(none, slot)
        with cgutils.for_range_slice(b, begin, end, ir.Constant(_LONG, 1), _LONG) as (k, _):
            x = b.gep(stream, [b.load(b.gep(where, [k]))])
            weight = _splat(b, b.load(b.gep(numbers, [k])), 32)
            for i, slot in enumerate(slots):
                lanes = b.bitcast(_read(b, b.gep(x, [ir.Constant(_LONG, 4 * i)]), _INT), _vector(_BIT, 32))
                held = b.load(slot)
                b.store(b.select(lanes, b.add(held, weight), held), slot)
        for i in range(chunks):
            low, high = (b.load(slot) for slot in slots[2 * i : 2 * i + 2])
            if steps:
                _store_steps(b, low, high, b.gep(into, [ir.Constant(_LONG, 8 * i)]), pitch, add)
                continue
            for k, half in enumerate((low, high)):
                _store_sums(b, [half], b.gep(into, [ir.Constant(_LONG, 64 * i + 32 * k)]), add)
        return context.get_dummy_value()

    @intrinsic
    def bit_chunks(
        typing: Any, source: Any, base: Any, places: Any, weights: Any, begin: Any, end: Any, out: Any, at: Any, pitch: Any
    ) -> Any:
        del typing, base, begin, end, at, pitch
        i = types.int64
        return types.void(source, i, places, weights, i, i, out, i, i), emit

    return bit_chunks


shift = 0  # lanes of a position in `_sum_bits`, as a power of two; see `variant`


def _sum_bits(
    source: Any, base: int, places: Any, weights: Any, begin: int, end: int, most: int, size: int, out: Any, to: int, pitch: int
) -> None:
    last, at = min(begin + most, end), 0
    while at < size:
        start, left, into = base + (at >> 3), size - at, to + (at >> shift)
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
    while last < end:
        first, last, at = last, min(last + most, end), 0
        while at < size:
            start, left, into = base + (at >> 3), size - at, to + (at >> shift)
            if left >= 512:
                add8(source, start, places, weights, first, last, out, into, pitch)
                at += 512
            elif left >= 256:
                add4(source, start, places, weights, first, last, out, into, pitch)
                at += 256
            else:
                add1(source, start, places, weights, first, last, out, into, pitch)
                at += 64


sum_bits = variant(_sum_bits, "sum_bits", shift=0, **_chunked(partial(_bit_chunks, steps=False)))
"""Do what `sum_pairs` does for a stream of bits, a lane each, and int16 weights; `base` and `places` in bytes."""
sum_step_bits = variant(_sum_bits, "sum_step_bits", shift=3, **_chunked(partial(_bit_chunks, steps=True)))
"""Do what `sum_bits` does for bytes that are eight steps of a position; the sums of step t lie at  out[to + t pitch + position]."""


def _rest(b: Any, v: Any, keep: Any, places: Any) -> Any:
    """Return  v keep / 4096  rounded toward zero: by a shift of `places`, or by products where it is None; |v| < 2^23."""
    size = v.type.count

    def constant(value: int) -> Any:
        return _splat(b, ir.Constant(_INT, value), size)

    sign = b.ashr(v, constant(31))
    if places is not None:
        below = b.sub(b.shl(ir.Constant(_INT, 1), places), ir.Constant(_INT, 1))
        return b.ashr(b.add(v, b.and_(sign, _splat(b, below, size))), _splat(b, places, size))
    magnitude = b.sub(b.xor(v, sign), sign)
    low = b.lshr(b.mul(b.and_(magnitude, constant(4095)), keep), constant(12))
    whole = b.add(b.mul(b.lshr(magnitude, constant(12)), keep), low)
    return b.sub(b.xor(whole, sign), sign)


def _limited(b: Any, value: Any) -> Any:
    """Return values held within the state's 24 bits."""
    top, bottom = (_splat(b, ir.Constant(_INT, limit), value.type.count) for limit in (STATE_LIMIT - 1, 1 - STATE_LIMIT))
    value = b.select(b.icmp_signed("<", value, bottom), bottom, value)
    return b.select(b.icmp_signed(">", value, top), top, value)


class _Neurons:
    """Emits LIF neurons, one a lane: states and counts stay in registers over all steps."""

    def __init__(self, b: Any, size: int, registers: Any, biases: Any, shift: bool, packing: int) -> None:
        """Take the builder, the address of the registers, the biases as a vector, whether the decay is a shift, and how spikes lie."""
        self.b, self.bias, self.packing = b, biases, packing
        right, left, held, keep, places, bar, soft = (b.load(b.gep(registers, [ir.Constant(_LONG, i)])) for i in range(7))
        self.right, self.left, self.held, self.keep, self.bar, self.soft = (
            _splat(b, x, size) for x in (right, left, held, keep, bar, soft)
        )
        self.places = places if shift else None
        wide, narrow = (ir.Constant(_vector(element, size), None) for element in (_INT, _BYTE))
        zeros = (wide, wide, narrow, narrow, narrow)
        self.v, self.u, self.fires, self.busy, self.eight = (cgutils.alloca_once_value(b, zero) for zero in zeros)
        for slot, zero in zip((self.v, self.u, self.fires, self.busy, self.eight), zeros, strict=True):
            b.store(zero, slot)  # an alloca is filled where the function begins, not each time round

    def arrive(self, sums: Any) -> None:
        """Take the current of this step."""
        b = self.b
        b.store(b.shl(b.ashr(sums, self.right), self.left), self.u)

    def end_of_input(self) -> None:
        """Hold the current, or end it."""
        self.b.store(self.b.and_(self.b.load(self.u), self.held), self.u)

    def step(self, t: Any, out: Any, pitch: Any) -> None:
        """Take step t and write the spikes."""
        b = self.b
        u = b.load(self.u)
        new = _limited(b, b.add(b.add(_rest(b, b.load(self.v), self.keep, self.places), u), self.bias))
        zero = ir.Constant(new.type, None)
        fired = b.icmp_signed(">", new, self.bar)
        b.store(b.select(fired, b.and_(b.sub(new, self.bar), self.soft), new), self.v)
        spikes = b.zext(fired, _vector(_BYTE, new.type.count))
        if self.packing == STEPS:
            self._gather_steps(spikes, t, out, pitch)
        else:
            bits = b.bitcast(fired, ir.IntType(new.type.count)) if self.packing == SAMPLES else spikes
            _write(b, bits, b.gep(out, [b.mul(t, pitch)]))
        b.store(b.add(b.load(self.fires), spikes), self.fires)
        busy = b.zext(b.icmp_signed("!=", b.or_(u, new), zero), spikes.type)
        b.store(b.add(b.load(self.busy), busy), self.busy)

    def _gather_steps(self, spikes: Any, t: Any, out: Any, pitch: Any) -> None:
        """Put step t's spikes into their bit, and write the byte as it stands."""
        b, size = self.b, spikes.type.count
        place = b.and_(t, ir.Constant(_LONG, 7))
        first = b.sext(b.icmp_signed("!=", place, ir.Constant(_LONG, 0)), _BYTE)
        held = b.and_(b.load(self.eight), _splat(b, first, size))
        held = b.or_(held, b.shl(spikes, _splat(b, b.trunc(place, _BYTE), size)))
        b.store(held, self.eight)
        _write(b, held, b.gep(out, [b.mul(b.lshr(t, ir.Constant(_LONG, 3)), pitch)]))


def _shape(context: Any, b: Any, kind: Any, array: Any) -> Any:
    return cgutils.unpack_tuple(b, context.make_array(kind)(context, b, array).shape, 2)


def _run_lanes(size: int, shift: bool, packing: int) -> Any:
    """Make the neurons of `size` lanes, with a decay by shift or by product; see `run_lanes`."""

    def emit(context: Any, b: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        sums, biases, registers = (_data(context, b, kinds[i], args[i], _INT) for i in (0, 1, 2))
        out, fires = (_data(context, b, kinds[i], args[i], _BYTE) for i in (3, 4))
        start, pitch, steps, at = args[5:]
        (live, width), (_, apart) = (_shape(context, b, kinds[i], args[i]) for i in (0, 4))
        out = b.gep(out, [b.add(start, b.udiv(at, ir.Constant(_LONG, 8)) if packing == SAMPLES else at)])
        n = _Neurons(b, size, registers, _read(b, b.gep(biases, [at]), _vector(_INT, size)), shift, packing)
        with cgutils.for_range(b, live) as loop:
            n.arrive(_read(b, b.gep(sums, [b.add(b.mul(loop.index, width), at)]), _vector(_INT, size)))
            n.step(loop.index, out, pitch)
        n.end_of_input()
        with cgutils.for_range_slice(b, live, steps, ir.Constant(_LONG, 1), _LONG) as (t, _):
            n.step(t, out, pitch)
        _write(b, b.load(n.fires), b.gep(fires, [at]))
        _write(b, b.load(n.busy), b.gep(fires, [b.add(at, apart)]))
        return context.get_dummy_value()

    @intrinsic
    def run(
        typing: Any, total: Any, biases: Any, registers: Any, spikes: Any, counts: Any, start: Any, pitch: Any, steps: Any, at: Any
    ) -> Any:
        del typing, start, pitch, steps, at
        i = types.int64
        return types.void(total, biases, registers, spikes, counts, i, i, i, i), emit

    return run


_WIDTH = {"avx512": 64, "avx2": 32, "plain": 16}[host_form()]
shift_most: _Chunks = None
shift_8: _Chunks = None
product_most: _Chunks = None
product_8: _Chunks = None
most = 0  # lanes at a time; see `variant`


def _run(total: Any, n: int, biases: Any, registers: Any, spikes: Any, start: int, pitch: int, steps: int, counts: Any) -> None:
    at, shift = 0, registers[4] >= 0
    while at + most <= n:
        if shift:
            shift_most(total, biases, registers, spikes, counts, start, pitch, steps, at)
        else:
            product_most(total, biases, registers, spikes, counts, start, pitch, steps, at)
        at += most
    while at < n:
        if shift:
            shift_8(total, biases, registers, spikes, counts, start, pitch, steps, at)
        else:
            product_8(total, biases, registers, spikes, counts, start, pitch, steps, at)
        at += 8


def _make_run(name: str, packing: int) -> Any:
    """Compile the neurons for as many lanes at a time as the processor has room for, and 8 at a time for what is left."""
    kinds = {f"{'shift' if shift else 'product'}_{size}": (n, shift) for shift in (True, False) for size, n in (("most", _WIDTH), ("8", 8))}
    return variant(_run, name, most=_WIDTH, **{kind: _run_lanes(n, shift, packing) for kind, (n, shift) in kinds.items()})


_run_bytes, _run_samples, _run_steps = (
    _make_run(name, packing) for name, packing in (("_run_bytes", BYTES), ("_run_samples", SAMPLES), ("_run_steps", STEPS))
)


@jit
def run_lanes(
    total: Any, n: int, biases: Any, registers: Any, spikes: Any, start: int, pitch: int, steps: int, packing: int, counts: Any
) -> None:
    """Run LIF neurons over all steps of a block, the equations of hwmodels.fixed_point.lif_step; the current is either new or held.

    Args:
        total: int32 (live steps, lanes), the sums that arrive. Once shifted, |a| < 2^17. Later steps get none.
        n: how many of the lanes to run; all arrays have room for the next multiple of 8.
        biases: int32 (1, lanes).
        registers: int32: right shift, then left shift (ALIGN in it) of the sums, -1 where the current is held and else 0,
            4096 - dv, log2(4096 / (4096 - dv)) where that is whole and else -1, the threshold, aligned, and -1 for a soft reset, else 0.
        spikes: uint8, flat, written from `start` on, as `packing` says; `pitch` bytes from step to step, or from eight to eight.
        steps: at most 255.
        counts: uint8 (2, lanes), written: steps with a spike, and with a state before or after it.
    """
    if packing == SAMPLES:
        _run_samples(total, n, biases, registers, spikes, start, pitch, steps, counts)
    elif packing == STEPS:
        _run_steps(total, n, biases, registers, spikes, start, pitch, steps, counts)
    else:
        _run_bytes(total, n, biases, registers, spikes, start, pitch, steps, counts)
