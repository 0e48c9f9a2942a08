"""The ten kernels that exist in several forms, and the one that was chosen (`choose.FORM`). The others call them from here.

Each is a plain numba function in `plain` and LLVM's vectors in `vectors`, with one signature and the same integers. Arrays are NumPy's;
`flat` ones have one dimension. Vectors read whole chunks: behind every stream, 64 bytes can be read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from . import plain
from .choose import FORM, Form

__all__ = ["Kernels", "add_eight", "count_and_transpose", "draw", "kernels", "run_fused", "run_lanes", "strip", "sum_bits", "sum_pairs"]
__all__ += ["sum_step_bits", "transpose"]


@dataclass(frozen=True)
class Kernels:
    """The kernels of one form."""

    sum_pairs: Any
    """(source, base, places, weights, begin, end, most, size, out, to, pitch):

        out[to + l] = sum over the synapses k in begin..end of  weights[k] source[base + places[k] + l],  l < size.

    source: uint8, flat. places, weights: int64 and int8 by synapse; rows begin and end at even numbers (padded with a weight of 0).
    most: synapses whose sum fits 16 bits, `limits.most_synapses`. size: lanes, rounded up to whole chunks of 64. out: int32, written.
    pitch: of `sum_step_bits` alone."""
    sum_bits: Any
    """The same of a stream of bits, a lane each, and int16 weights; `base` and `places` in bytes."""
    sum_step_bits: Any
    """The same of bytes that are eight steps of a position; the sums of step t lie at  out[to + t pitch + position]."""
    run_lanes: Any
    """(total, n, state, registers, spikes, start, pitch, steps, packing, counts): LIF neurons over all steps of a block, the equations
    of hwmodels.fixed_point.lif_step; the current is either new or held.

    total: int32 (live steps, lanes), the sums that arrive. Once shifted, |a| < 2^17. Later steps get none.
    n: how many of the lanes to run; all arrays have room for the next multiple of 8.
    state: int32 (STATE_ROWS, lanes), lanes even: the biases, and scratch.
    registers: int32: right shift, then left shift (ALIGN in it) of the sums, -1 where the current is held and else 0, 4096 - dv, the
    threshold, aligned, -1 for a soft reset, else 0, and 1 where the neuron is simple (see vectors.lif.Decay).
    spikes: uint8, flat, written from `start` on, as `packing` says; `pitch` bytes from step to step, or from eight to eight.
    steps: at most 255. counts: uint8 (2, lanes), written: steps with a spike, and with a state before or after it."""
    run_fused: Any
    """(source, places, weights, indptr, first, last, registers, alive, live, steps, state, out, at, sums): rows `first` to `last`, a
    neuron each, from synapses to spikes: what `sum_pairs` does over the live steps, and `run_lanes` on the sums, for simple neurons.

    source, places, weights, indptr: as `sum_pairs` takes them, by row; no sum, of any part of a row, is beyond +-`limits.MOST`.
    registers: int16 (6,): the threshold in units of the sums, its whole part, at most 2^15 - 1, and its fraction; half of the last place
    behind the point, 2^(8 - e); -1 where the current is held (then one step is live), else 0; and 0 and 1, which the compiler must not
    know: it would put two instructions in the place of one.
    alive: uint8 by row; removed neurons do not spike, and nothing is written of them. live, steps: those in which something can arrive,
    at least one, and all. state: uint8 (limits.STATE,), scratch. out: uint8, flat, written from `at` on: (rows, steps, 64) bytes.
    sums: int64 (2, rows): spikes and active updates of all lanes, added to."""
    transpose: Any
    """(source, at, pitch, out, to, apart): write  out[to + i apart + j] = source[at + j pitch + i],  i, j < 64, of flat arrays of
    bytes; return eight bytes whose OR is that of all."""
    count_and_transpose: Any
    """(source, at, pitch, out, to, apart, few): the same, and write how many  source[at + j pitch + i]  are not 0 as  few[i]."""
    strip: Any
    """(source, at, pitch, out, to, apart): write  out[to + i apart + j] = source[at + j pitch + i],  i < 64, j < 8."""
    draw: Any
    """(line, some, at, step, low, high, k0, k1, out, to): write the rate code of limits.INPUTS inputs, from `at` on, into  out[to ...].

    line: uint16, the largest bits with a spike, and some: bool, whether there are any, by input. step, low, high: the step, and the
    sample's number in two words of 32 bits; k0, k1: the seed, likewise. See network.coding."""
    add_eight: Any
    """(lines, places, weights, begin, end, acc, at):

        acc[at + t] += sum over the synapses k in begin..end of  weights[k] lines[places[k] + t],  t < 8,  where 16 bits hold the sum."""


@cache
def kernels(form: Form) -> Kernels:
    """Return the kernels of a form, one of `choose.forms()`."""
    if form == "plain":
        return Kernels(**{field.name: getattr(plain, field.name) for field in fields(Kernels)})
    from . import vectors  # it emits all of its forms' code when it is imported

    return Kernels(**vectors.make(form))


_chosen = kernels(FORM)
sum_pairs, sum_bits, sum_step_bits = _chosen.sum_pairs, _chosen.sum_bits, _chosen.sum_step_bits
run_lanes, run_fused = _chosen.run_lanes, _chosen.run_fused
transpose, count_and_transpose, strip = _chosen.transpose, _chosen.count_and_transpose, _chosen.strip
draw, add_eight = _chosen.draw, _chosen.add_eight
